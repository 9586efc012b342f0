//! Structured fields (RFC 9651), as much as `Cache-Groups` and `Cache-Group-Invalidation` (RFC 9875) need, lists of
//! strings, and targeted fields (RFC 9213), dictionaries.
//!
//! Parameters are checked and ignored. One mistake, and the whole field counts as not there (RFC 9651 §4.2), so that no
//! two readers make different lists of it.
use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// RFC 9651 §4.2.7: padding may be left out, and bits behind the last byte may be set.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The strings of a list in all of a field's lines; no lines are an empty list; `None` if it is malformed or has a
/// member that is not a string.
pub fn sf_strings<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Option<Vec<String>> {
    let text = values.into_iter().collect::<Vec<_>>().join(&b","[..]);
    let mut rest = Rest(&text);
    let mut strings = Vec::new();
    rest.members(|rest| {
        strings.push(rest.string()?);
        rest.parameters()
    })?;
    Some(strings)
}

/// The value of a dictionary's member, as far as a cache directive has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    /// `7`.
    Integer(i64),
    /// `?1`, or no value at all; `?0`.
    Boolean(bool),
    /// Anything else.
    Other,
}

/// The members of a dictionary in all of a field's lines, of those with the same key the last; no lines are an empty one;
/// `None` if it is malformed.
pub fn sf_dictionary<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Option<Vec<(String, Item)>> {
    let text = values.into_iter().collect::<Vec<_>>().join(&b","[..]);
    let mut rest = Rest(&text);
    let mut members: Vec<(String, Item)> = Vec::new();
    rest.members(|rest| {
        let key = rest.key()?;
        let item = match rest.0.first() {
            Some(b'=') => {
                rest.next();
                if rest.0.first() == Some(&b'(') { rest.inner_list()? } else { rest.bare_item()? }
            }
            _ => Item::Boolean(true),
        };
        rest.parameters()?;
        members.retain(|(before, _)| *before != key);
        members.push((key, item));
        Some(())
    })?;
    Some(members)
}

/// Append a list of these strings. `false`, and nothing appended, if one has a character other than printable ASCII,
/// which such a string cannot hold (RFC 9651 §4.1.6).
pub fn write_sf_strings<S: AsRef<str>>(out: &mut Vec<u8>, strings: impl IntoIterator<Item = S>) -> bool {
    let start = out.len();
    for string in strings {
        if out.len() > start {
            out.extend_from_slice(b", ");
        }
        out.push(b'"');
        for byte in string.as_ref().bytes() {
            match byte {
                b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
                b' '..=b'~' => out.push(byte),
                _ => {
                    out.truncate(start);
                    return false;
                }
            }
        }
        out.push(b'"');
    }
    true
}

/// What is left to parse.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    /// All that is left, as members with commas between them (RFC 9651 §4.2.1, §4.2.2).
    fn members(&mut self, mut member: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.skip(b" ");
        while !self.0.is_empty() {
            member(self)?;
            self.skip(b" \t");
            if self.0.is_empty() {
                break;
            }
            self.take(b',')?;
            self.skip(b" \t");
            if self.0.is_empty() {
                return None;
            }
        }
        Some(())
    }

    fn skip(&mut self, bytes: &[u8]) {
        self.run(|b| bytes.contains(&b));
    }

    /// As many bytes as fit.
    fn run(&mut self, fits: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.0.iter().position(|b| !fits(*b)).unwrap_or(self.0.len());
        let (run, rest) = self.0.split_at(end);
        self.0 = rest;
        run
    }

    /// RFC 9651 §4.2.5.
    fn string(&mut self) -> Option<String> {
        self.take(b'"')?;
        let mut string = String::new();
        loop {
            match self.next()? {
                b'"' => return Some(string),
                b'\\' => match self.next()? {
                    byte @ (b'"' | b'\\') => string.push(byte as char),
                    _ => return None,
                },
                byte @ b' '..=b'~' => string.push(byte as char),
                _ => return None,
            }
        }
    }

    /// RFC 9651 §4.2.3.2.
    fn parameters(&mut self) -> Option<()> {
        while self.0.first() == Some(&b';') {
            self.next();
            self.skip(b" ");
            self.key()?;
            if self.0.first() == Some(&b'=') {
                self.next();
                self.bare_item()?;
            }
        }
        Some(())
    }

    /// RFC 9651 §4.2.3.3.
    fn key(&mut self) -> Option<String> {
        let text = self.0;
        if !matches!(self.next()?, b'a'..=b'z' | b'*') {
            return None;
        }
        let more = self.run(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'*')).len();
        String::from_utf8(text[..=more].to_vec()).ok()
    }

    /// RFC 9651 §4.2.1.2.
    fn inner_list(&mut self) -> Option<Item> {
        self.take(b'(')?;
        loop {
            self.skip(b" ");
            if self.0.first() == Some(&b')') {
                self.next();
                return Some(Item::Other);
            }
            self.bare_item()?;
            self.parameters()?;
            if !matches!(self.0.first()?, b' ' | b')') {
                return None;
            }
        }
    }

    /// RFC 9651 §4.2.3.1.
    fn bare_item(&mut self) -> Option<Item> {
        match self.0.first()? {
            b'"' => self.string().map(|_| Item::Other),
            b'-' | b'0'..=b'9' => self.number(),
            b'a'..=b'z' | b'A'..=b'Z' | b'*' => {
                self.run(|b| crate::http::response::is_token_byte(b) || matches!(b, b':' | b'/'));
                Some(Item::Other)
            }
            b':' => {
                self.next();
                let encoded = self.run(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='));
                BASE64.decode(encoded).ok()?;
                self.take(b':').map(|()| Item::Other)
            }
            b'?' => {
                self.next();
                match self.next()? {
                    b'0' => Some(Item::Boolean(false)),
                    b'1' => Some(Item::Boolean(true)),
                    _ => None,
                }
            }
            b'@' => {
                self.next();
                matches!(self.number()?, Item::Integer(_)).then_some(Item::Other)
            }
            b'%' => {
                self.next();
                self.take(b'"')?;
                self.display_string().map(|()| Item::Other)
            }
            _ => None,
        }
    }

    /// RFC 9651 §4.2.10, behind its opening quote.
    fn display_string(&mut self) -> Option<()> {
        let mut text = vec![];
        loop {
            match self.next()? {
                b'"' => return std::str::from_utf8(&text).ok().map(drop),
                b'%' => {
                    let mut digit = || match self.next()? {
                        byte @ (b'0'..=b'9' | b'a'..=b'f') => (byte as char).to_digit(16),
                        _ => None,
                    };
                    text.push((digit()? << 4 | digit()?) as u8);
                }
                byte @ b' '..=b'~' => text.push(byte),
                _ => return None,
            }
        }
    }

    /// RFC 9651 §4.2.4.
    fn number(&mut self) -> Option<Item> {
        let text = self.0;
        if self.0.first() == Some(&b'-') {
            self.next();
        }
        let whole = self.run(|b| b.is_ascii_digit()).len();
        if self.0.first() != Some(&b'.') {
            let written = &text[..text.len() - self.0.len()];
            let number = std::str::from_utf8(written).ok()?.parse().ok()?;
            return matches!(whole, 1..=15).then_some(Item::Integer(number));
        }
        self.next();
        let fraction = self.run(|b| b.is_ascii_digit()).len();
        (matches!(whole, 1..=12) && matches!(fraction, 1..=3)).then_some(Item::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_list_of_strings_is_read_strictly() {
        for (values, strings) in [
            (&[][..], Some(&[][..])),
            (&[""], Some(&[])),
            (&["  "], Some(&[])),
            (&[r#""a""#], Some(&["a"])),
            (&[r#" "a" , "b\"\\" "#, r#""c""#], Some(&["a", "b\"\\", "c"])),
            (&[r#""a";x;y=1;z="q;";t=tok/x;b=:YQ==:;n=-1.5;d=@7;u=%"%c3%a9";o=?0, "b""#], Some(&["a", "b"])),
            (&[r#""""#], Some(&[""])),
            (&["a"], None),
            (&[r#"("a")"#], None),
            (&[r#""a","#], None),
            (&[r#""a",,"b""#], None),
            (&[r#""a" "b""#], None),
            (&[r#""a"#], None),
            (&[r#""\a""#], None),
            (&["\"é\""], None),
            (&[r#""a";"#], None),
            (&[r#""a";X"#], None),
            (&[r#""a";x=1."#], None),
            (&[r#""a";x=:YQQ==:"#], None),
            (&[r#""a";x=%"%zz""#], None),
            (&[r#""a";x=%"%FF""#], None),
            (&[r#""a";x=%"%ff""#], None),
            (&["1"], None),
        ] {
            let read = sf_strings(values.iter().map(|v: &&str| v.as_bytes()));
            assert_eq!(
                read.as_deref(),
                strings.map(|s| s.iter().map(|s| s.to_string()).collect::<Vec<_>>()).as_deref(),
                "{values:?}"
            );
        }
    }

    #[test]
    fn a_dictionary_is_read_strictly_and_the_last_of_a_key_counts() {
        let integer = Item::Integer;
        let yes = Item::Boolean(true);
        for (values, members) in [
            (&[][..], Some(&[][..])),
            (&["max-age=60, no-store"], Some(&[("max-age", integer(60)), ("no-store", yes)])),
            (&["a=1;x=2;y", "b;q=?0,a=?0"], Some(&[("b", yes), ("a", Item::Boolean(false))])),
            (
                &["a=-7, b=\"x, y\", c=tok, d=1.5, e=(1 2;a \"z\");b, f=()"],
                Some(&[
                    ("a", integer(-7)),
                    ("b", Item::Other),
                    ("c", Item::Other),
                    ("d", Item::Other),
                    ("e", Item::Other),
                    ("f", Item::Other),
                ]),
            ),
            (&["MaX-aGe=60"], None),
            (&["max-age =60"], None),
            (&["max-age= 60"], None),
            (&["max-age=60, &&&"], None),
            (&["max-age=60,"], None),
            (&["max-age=60 b"], None),
            (&["max-age=1234567890123456"], None),
            (&["a=(1"], None),
            (&["a=(1\"x\")"], None),
            (&["a=@1.5"], None),
        ] {
            let read = sf_dictionary(values.iter().map(|v: &&str| v.as_bytes()));
            let expected = members.map(|m: &[(&str, Item)]| {
                m.iter().map(|(key, item)| (key.to_string(), *item)).collect::<Vec<_>>()
            });
            assert_eq!(read, expected, "{values:?}");
        }
    }

    #[test]
    fn a_string_that_is_not_ascii_is_not_written() {
        let mut out = b"x".to_vec();
        assert!(!write_sf_strings(&mut out, ["a", "é"]));
        assert_eq!(out, b"x");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(strings in prop::collection::vec("[ -~]{0,8}", 0..5)) {
            let mut out = vec![];
            prop_assert!(write_sf_strings(&mut out, &strings));
            prop_assert_eq!(sf_strings([&out[..]]), Some(strings));
        }

        #[test]
        fn no_value_makes_it_panic(value in prop::collection::vec(any::<u8>(), 0..64)) {
            sf_strings([&value[..]]);
            sf_dictionary([&value[..]]);
        }
    }
}

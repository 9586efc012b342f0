//! Where in the one ordered log of changes something was made: `<epoch>-<offset>`.
//!
//! A position is what an event carries as its id and what a client resumes from. The id of a variant that not everybody
//! gets carries a salt as well, `<epoch><salt>-<offset>`, so that an id taken from another user or another variant is
//! never mistaken for our own (security row 17). Nothing is known here about what the log holds.
//! Called by whoever writes or reads an event id, a `fresh-position` field or a monitor URL.
use std::fmt;

/// Longest text of a position: epoch, salt, hyphen and the 20 digits of the largest offset.
pub const MAX_TEXT_BYTES: usize = 8 + 8 + 1 + 20;

/// Which log. Drawn at random for each, so that an offset of one log never counts in another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch(u32);

impl Epoch {
    /// A new log's.
    ///
    /// # Panics
    /// If the operating system has no random bytes to give; this happens at start or never.
    pub fn random() -> Self {
        Self(getrandom::u32().expect("the operating system gives random bytes"))
    }

    /// The one that these bits stand for: for a log that outlives the process.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The bits behind the eight digits.
    pub const fn bits(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(digits(self.0, &mut [0; 8]))
    }
}

/// The eight hexadecimal digits of a number. Written for each answer, and `{:08x}` costs several times as much.
fn digits(bits: u32, buffer: &mut [u8; 8]) -> &str {
    for (at, digit) in buffer.iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[(bits >> (28 - 4 * at)) as usize & 15];
    }
    std::str::from_utf8(buffer).unwrap_or_default()
}

/// A place in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// Which log.
    pub epoch: Epoch,
    /// How many changes it had.
    pub offset: u64,
}

impl Position {
    /// The position as the variant with this salt writes it.
    pub fn salted(self, salt: Option<u32>) -> Salted {
        Salted { position: self, salt }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.salted(None).fmt(f)
    }
}

/// A position with the salt of the variant it belongs to: displays as an event id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Salted {
    /// The position.
    pub position: Position,
    /// See `VariantKey::salt`.
    pub salt: Option<u32>,
}

impl Salted {
    /// Its text, in pieces: for each answer that says a position, and quicker than displaying it.
    pub fn pieces<T>(&self, f: impl FnOnce(&[&str; 4]) -> T) -> T {
        let Position { epoch, offset } = self.position;
        let (mut epoch_text, mut salt_text, mut offset_text) = ([0; 8], [0; 8], itoa::Buffer::new());
        let salt = self.salt.map_or("", |salt| digits(salt, &mut salt_text));
        f(&[digits(epoch.0, &mut epoch_text), salt, "-", offset_text.format(offset)])
    }
}

impl fmt::Display for Salted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pieces(|pieces| pieces.iter().try_for_each(|piece| f.write_str(piece)))
    }
}

/// Take a position's text apart: epoch, salt, offset. Exactly what [`Salted`] writes is accepted, nothing else.
pub fn parse(text: &str) -> Option<(&str, Option<&str>, u64)> {
    if text.len() > MAX_TEXT_BYTES {
        return None;
    }
    let (hex, digits) = text.split_once('-')?;
    if !hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let (epoch, salt) = match hex.len() {
        8 => (hex, None),
        16 => (&hex[..8], Some(&hex[8..])),
        _ => return None,
    };
    let leading_zero = digits.len() > 1 && digits.starts_with('0');
    if leading_zero || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some((epoch, salt, digits.parse().ok()?))
}

/// The offset that `text` names, if it is an id of this log and of the variant with this salt.
pub fn own_offset(text: &str, epoch: Epoch, salt: Option<u32>) -> Option<u64> {
    let bits = |hex| u32::from_str_radix(hex, 16).ok();
    let (its_epoch, its_salt, offset) = parse(text)?;
    (bits(its_epoch) == Some(epoch.0) && its_salt.and_then(bits) == salt).then_some(offset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_back(bits: u32, salt: Option<u32>, offset: u64) {
            let epoch = Epoch::from_bits(bits);
            let text = Position { epoch, offset }.salted(salt).to_string();
            prop_assert!(text.len() <= MAX_TEXT_BYTES);
            let salt_text = salt.map(|salt| format!("{salt:08x}"));
            prop_assert_eq!(parse(&text), Some((&*epoch.to_string(), salt_text.as_deref(), offset)));
            prop_assert_eq!(own_offset(&text, epoch, salt), Some(offset));
        }

        #[test]
        fn what_is_read_is_what_would_be_written(text in "[0-9a-fA-F+]{0,17}-?[0-9+-]{0,21}|\\PC{0,40}") {
            if let Some((epoch, salt, offset)) = parse(&text) {
                prop_assert_eq!(format!("{epoch}{}-{offset}", salt.unwrap_or_default()), text);
            }
        }

        #[test]
        fn an_id_of_another_log_or_another_variant_is_not_ours(
            bits: u32, salt: Option<u32>, offset: u64, other_bits: u32, other_salt: Option<u32>,
        ) {
            prop_assume!((bits, salt) != (other_bits, other_salt));
            let theirs = Position { epoch: Epoch::from_bits(other_bits), offset }.salted(other_salt).to_string();
            prop_assert_eq!(own_offset(&theirs, Epoch::from_bits(bits), salt), None);
        }
    }

    #[test]
    fn anything_but_the_one_spelling_is_refused() {
        for text in [
            "",
            "-",
            "-1",
            "01234567",
            "01234567-",
            "01234567-01",
            "01234567-+1",
            "01234567- 1",
            "01234567-1 ",
            "01234567-1-2",
            "0123456-1",
            "012345678-1",
            "0123456789abcde-1",
            "0123456789abcdef0-1",
            "0123456A-1",
            "+1234567-1",
            "0123456é-1",
            "01234567-18446744073709551616",
            "01234567-000000000000000000000000000000",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse("01234567-0"), Some(("01234567", None, 0)));
        assert_eq!(parse("01234567-18446744073709551615").map(|p| p.2), Some(u64::MAX));
    }
}

//! What the values of request fields mean: lists (RFC 9110 §5.6.1), `Accept`, `Prefer` (RFC 7240), `If-None-Match`.
//!
//! `values` are the lines of one field in order. What cannot be read counts as not said: these fields are wishes, and
//! nothing here refuses a request. Structured fields and `Cache-Control` have modules of their own, re-exported here.
pub use crate::http::cache_control::{CacheControl, cache_control};
pub use crate::http::structured::{sf_strings, write_sf_strings};

/// The parts of `value` between separators that are not in a quoted string, trimmed; empty ones left out.
fn split(value: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        let text = rest?;
        let (mut quoted, mut escaped) = (false, false);
        let end = text.iter().position(|byte| {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                byte => return *byte == separator && !quoted,
            }
            false
        });
        rest = end.map(|end| &text[end + 1..]);
        Some(trim(&text[..end.unwrap_or(text.len())]))
    })
    .filter(|part| !part.is_empty())
}

/// Without optional white space (RFC 9110 §5.6.3) around it.
fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// The elements of a comma-separated list; a comma in a quoted string does not separate.
pub fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    split(value, b',')
}

/// Whether a list has this token, in any case.
pub fn has_token(value: &[u8], token: &str) -> bool {
    list(value).any(|element| element.eq_ignore_ascii_case(token.as_bytes()))
}

/// Name and value of a parameter or directive: value without quotes, empty if there is none.
pub(super) fn name_and_value(part: &[u8]) -> (&[u8], &[u8]) {
    let Some(equals) = part.iter().position(|b| *b == b'=') else { return (part, b"") };
    let value = trim(&part[equals + 1..]);
    let value = match value {
        [b'"', inner @ .., b'"'] => inner,
        value => value,
    };
    (trim(&part[..equals]), value)
}

/// Whether `Accept` names `text/event-stream` itself with a quality above 0: `*/*` is what every client says.
pub fn accepts_event_stream<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> bool {
    values.into_iter().flat_map(list).any(|range| {
        let mut parts = split(range, b';');
        parts.next().is_some_and(|media_type| media_type.eq_ignore_ascii_case(b"text/event-stream"))
            && parts
                .map(name_and_value)
                .find(|(name, _)| name.eq_ignore_ascii_case(b"q"))
                .is_none_or(|(_, quality)| is_above_zero(quality))
    })
}

/// Whether this is a quality value (RFC 9110 §12.4.2) other than 0.
fn is_above_zero(quality: &[u8]) -> bool {
    match quality {
        b"1" => true,
        [b'1', b'.', digits @ ..] => digits.len() <= 3 && digits.iter().all(|d| *d == b'0'),
        [b'0', b'.', digits @ ..] => {
            digits.len() <= 3 && digits.iter().all(u8::is_ascii_digit) && digits.iter().any(|d| *d != b'0')
        }
        _ => false,
    }
}

/// How many seconds `Prefer: wait` asks for; the first one counts (RFC 7240 §2, §4.3).
pub fn prefer_wait<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Option<u32> {
    let mut preferences = values.into_iter().flat_map(list).filter_map(|element| split(element, b';').next());
    let (_, seconds) =
        preferences.by_ref().map(name_and_value).find(|(name, _)| name.eq_ignore_ascii_case(b"wait"))?;
    delta_seconds(seconds).map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX))
}

/// A number of seconds (RFC 9111 §1.2.2); one that is too large is the largest.
pub(super) fn delta_seconds(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0u64, |n, d| n.saturating_mul(10).saturating_add(u64::from(d - b'0'))))
}

/// Whether `If-None-Match` or `If-Match` lists this entity tag, or is `*` (RFC 9110 §8.8.3, §13.1). `weak`: whether weak
/// tags match too, as they do for `If-None-Match`.
pub fn etag_matches<'a>(
    values: impl IntoIterator<Item = &'a [u8]>,
    etag: impl AsRef<[u8]>,
    weak: bool,
) -> bool {
    let etag = etag.as_ref();
    let opaque = |tag: &'a [u8]| tag.strip_prefix(b"W/").unwrap_or(tag);
    let wanted = etag.strip_prefix(b"W/").unwrap_or(etag);
    values.into_iter().any(|value| {
        trim(value) == b"*"
            || entity_tags(value)
                .any(|tag| if weak { opaque(tag) == wanted } else { tag == etag && tag == opaque(tag) })
    })
}

/// The entity tags of a list, up to the first that is not one. They may hold commas, and a backslash escapes nothing.
fn entity_tags(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = value;
    std::iter::from_fn(move || {
        while let [b' ' | b'\t' | b',', after @ ..] = rest {
            rest = after;
        }
        let start = if rest.starts_with(b"W/") { 2 } else { 0 };
        let inner = rest.get(start..)?.strip_prefix(b"\"")?;
        let end = start + 2 + inner.iter().position(|b| *b == b'"')?;
        let (tag, after) = rest.split_at(end);
        rest = match trim(after) {
            after @ ([] | [b',', ..]) => after,
            _ => return None,
        };
        Some(tag)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_split_at_commas_outside_quotes() {
        let elements: Vec<_> = list(b" a ,, \"b,\\\",c\" ;x,\td\t,").collect();
        assert_eq!(elements, [&b"a"[..], b"\"b,\\\",c\" ;x", b"d"]);
        assert_eq!(list(b"").count(), 0);
        assert_eq!(list(b"\"open, to the end").count(), 1);
        assert!(has_token(b"keep-alive, Upgrade", "upgrade") && !has_token(b"upgrades", "upgrade"));
    }

    #[test]
    fn only_who_names_event_streams_gets_one() {
        for (accept, wanted) in [
            ("text/event-stream", true),
            ("TEXT/Event-Stream;charset=utf-8, */*;q=0.1", true),
            ("text/html, text/event-stream ; q=0.001", true),
            ("text/event-stream;q=1.000", true),
            ("text/event-stream;q=0", false),
            ("text/event-stream;q=0.000", false),
            ("text/event-stream;q=2", false),
            ("text/event-stream;q=x", false),
            ("*/*", false),
            ("text/*", false),
            ("text/event-streams", false),
            ("application/json;x=\",text/event-stream,\"", false),
            ("", false),
        ] {
            assert_eq!(accepts_event_stream([accept.as_bytes()]), wanted, "{accept}");
        }
        assert!(accepts_event_stream([&b"text/html"[..], b"text/event-stream"]));
    }

    #[test]
    fn the_first_wait_that_is_preferred_counts() {
        for (prefer, seconds) in [
            ("wait=25", Some(25)),
            ("respond-async, Wait = \"10\";x=1, wait=99", Some(10)),
            ("wait=0", Some(0)),
            ("wait=99999999999999999999999", Some(u32::MAX)),
            ("wait=-1", None),
            ("wait", None),
            ("wait=1.5", None),
            ("waiting=1", None),
        ] {
            assert_eq!(prefer_wait([prefer.as_bytes()]), seconds, "{prefer}");
        }
    }

    #[test]
    fn entity_tags_match_strongly_or_weakly() {
        // RFC 9110 §8.8.3.2, and what lists of them look like.
        for (values, etag, strong, weak) in [
            ("W/\"1\"", "W/\"1\"", false, true),
            ("W/\"1\"", "W/\"2\"", false, false),
            ("W/\"1\"", "\"1\"", false, true),
            ("\"1\"", "W/\"1\"", false, true),
            ("\"1\"", "\"1\"", true, true),
            ("*", "\"1\"", true, true),
            (" \"0\" , \"1\"", "\"1\"", true, true),
            (",\"0\",,W/\"1\",", "\"1\"", false, true),
            ("\"a,b\\\", \"1\"", "\"1\"", true, true),
            ("\"a, \"1\", b\"", "\"1\"", false, false),
            ("1", "1", false, false),
            ("\"0\" \"1\"", "\"1\"", false, false),
            ("w/\"1\"", "\"1\"", false, false),
            ("\"1", "\"1", false, false),
            ("*, \"2\"", "\"1\"", false, false),
            ("", "\"1\"", false, false),
        ] {
            let values = [values.as_bytes()];
            assert_eq!(etag_matches(values, etag, false), strong, "{values:?} {etag} strong");
            assert_eq!(etag_matches(values, etag, true), weak, "{values:?} {etag} weak");
        }
    }
}

//! Byte ranges of a copy (RFC 9110 §14): which part a request wants, where that can be said without the application.
//!
//! Only one range, and only of a representation that is there whole. Anything else (several ranges, another unit, one
//! behind the end, an `if-range` that is a date) is for the application to answer.
//! Called for a GET with `range` for which there is a fresh copy.
use super::representation::Representation;
use crate::http::fields::Fields;
use std::ops::Range;

/// The bytes that the request wants; `None`: ask the application.
pub fn wanted(request: &Fields, copy: &Representation) -> Option<Range<usize>> {
    let mut lines = request.all("range");
    let (line, another) = (lines.next()?, lines.next());
    let mut conditions = request.all("if-range");
    let condition = conditions.next();
    // RFC 9110 §13.1.5: compared strongly.
    let is_this = condition.is_none_or(|etag| !copy.weak && etag.trim_ascii() == copy.etag.as_bytes());
    if another.is_some() || conditions.next().is_some() || !is_this || copy.status != 200 {
        return None;
    }
    bytes(std::str::from_utf8(line).ok()?.trim(), copy.body.len())
}

/// `bytes=first-last`, `bytes=first-` or `bytes=-length` (RFC 9110 §14.1.2), of so many bytes.
fn bytes(range: &str, length: usize) -> Option<Range<usize>> {
    let (unit, set) = range.split_once('=')?;
    let (first, last) = set.trim().split_once('-')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let number = |digits: &str| {
        let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| digits.parse().unwrap_or(usize::MAX))
    };
    let part = match (first, last) {
        ("", suffix) => length.saturating_sub(number(suffix)?)..length,
        (first, "") => number(first)?..length,
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return None;
            }
            first..last.saturating_add(1).min(length)
        }
    };
    (part.start < part.end).then_some(part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::representation::fixture;
    use proptest::prelude::*;

    #[test]
    fn one_range_within_the_bytes_is_understood_and_nothing_else() {
        for (range, part) in [
            ("bytes=0-1", Some(0..2)),
            ("Bytes=3-", Some(3..10)),
            ("bytes=-2", Some(8..10)),
            ("bytes=-99", Some(0..10)),
            ("bytes=8-99999999999999999999999", Some(8..10)),
            ("bytes=9-9", Some(9..10)),
            ("bytes=10-", None),
            ("bytes=-0", None),
            ("bytes=2-1", None),
            ("bytes=-", None),
            ("bytes=0-1,3-4", None),
            ("bytes=+1-2", None),
            ("bytes", None),
            ("lines=0-1", None),
        ] {
            assert_eq!(bytes(range, 10), part, "{range}");
        }
    }

    #[test]
    fn a_part_is_only_of_what_the_client_has_a_part_of() {
        let mut copy = fixture("0123456789", &[], 1, None);
        let part = |copy: &Representation, lines: &[(&str, &str)]| {
            let mut fields: Fields = lines.iter().copied().collect();
            fields.push("range", "bytes=0-0");
            wanted(&fields, copy)
        };
        let etag = copy.etag.to_string();
        assert_eq!(part(&copy, &[]), Some(0..1));
        assert_eq!(part(&copy, &[("if-range", &etag)]), Some(0..1));
        assert_eq!(part(&copy, &[("if-range", "\"other\"")]), None);
        assert_eq!(part(&copy, &[("if-range", "Sun, 06 Nov 1994 08:49:37 GMT")]), None);
        assert_eq!(part(&copy, &[("range", "bytes=0-1")]), None);
        copy.weak = true;
        assert_eq!(part(&copy, &[("if-range", &etag)]), None);
        copy.status = 404;
        assert_eq!(part(&copy, &[]), None);
    }

    proptest! {
        #[test]
        fn a_part_is_never_empty_and_never_beyond_the_end(range in "bytes=[0-9]{0,3}-[0-9]{0,3}|\\PC{0,20}", length in 0usize..50) {
            if let Some(part) = bytes(&range, length) {
                prop_assert!(part.start < part.end && part.end <= length);
            }
        }
    }
}

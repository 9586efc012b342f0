//! One form for every spelling of a path (RFC 3986 §6.2.2), for the router and the cache key alike, so that neither is
//! led around the other.
//!
//! Dot-segments go, also encoded ones; escapes of unreserved characters are decoded, the others get capital digits and
//! stay: `%2f`, `%5c` and `%00` are never decoded. The query stays as it was sent, and empty segments stay.
use std::borrow::Cow;

/// Whether a `%` is not followed by two hexadecimal digits.
pub fn has_broken_escape(path: &str) -> bool {
    let bytes = path.as_bytes();
    memchr::memchr_iter(b'%', bytes).any(|i| escape(&bytes[i..]).is_none())
}

/// The byte that the escape at the front means.
fn escape(bytes: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = bytes else { return None };
    let digit = |b: &u8| (*b as char).to_digit(16);
    u8::try_from(digit(high)? << 4 | digit(low)?).ok()
}

/// The normal form of a path with an optional query. What is not a path, or has a broken escape, is returned as it is:
/// a head never has it.
pub fn normalise(path_and_query: &str) -> Cow<'_, str> {
    if memchr::memchr2(b'%', b'.', path_and_query.as_bytes()).is_none() {
        return Cow::Borrowed(path_and_query);
    }
    let end = path_and_query.find('?').unwrap_or(path_and_query.len());
    let (path, query) = path_and_query.split_at(end);
    if !path.starts_with('/') || !path.contains('%') && !path.contains("/.") || has_broken_escape(path) {
        return Cow::Borrowed(path_and_query);
    }
    let normal = without_dot_segments(&with_plain_escapes(path)) + query;
    if normal == path_and_query { Cow::Borrowed(path_and_query) } else { Cow::Owned(normal) }
}

fn with_plain_escapes(path: &str) -> String {
    let mut plain = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        plain.push_str(&rest[..at]);
        let (sent, after) = rest[at..].split_at_checked(3).unwrap_or((&rest[at..], ""));
        match escape(sent.as_bytes()) {
            Some(byte) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => plain.push(byte as char),
            _ => plain.extend(sent.chars().map(|c| c.to_ascii_uppercase())),
        }
        rest = after;
    }
    plain + rest
}

/// RFC 3986 §5.2.4, for a path that begins with a slash.
fn without_dot_segments(path: &str) -> String {
    let mut kept = String::with_capacity(path.len());
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "." => {}
            ".." => kept.truncate(kept.rfind('/').unwrap_or(0)),
            _ => {
                kept.push('/');
                kept.push_str(segment);
                continue;
            }
        }
        if segments.peek().is_none() {
            kept.push('/');
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_spelling_of_a_path_has_one_form() {
        for (sent, normal) in [
            ("/", "/"),
            ("*", "*"),
            ("/a/b?x=/../%7e", "/a/b?x=/../%7e"),
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/a/%2e%2E/b", "/b"),
            ("/a/.%2e/b", "/b"),
            ("/a/..", "/"),
            ("/a/.", "/a/"),
            ("/..", "/"),
            ("/../../a", "/a"),
            ("/.", "/"),
            ("/a/b/..?q", "/a/?q"),
            ("/a//../b", "/a/b"),
            ("/a//b/", "/a//b/"),
            ("/...", "/..."),
            ("/.well-known/x", "/.well-known/x"),
            ("/%7Eme/%41", "/~me/A"),
            ("/a%2fb%5c%00%c3%a9", "/a%2Fb%5C%00%C3%A9"),
            ("/a/..%2fb", "/a/..%2Fb"),
            ("/%252e%252e/a", "/%252e%252e/a"),
            ("/me;x/..;/a", "/me;x/..;/a"),
            ("/a%zz/../b", "/a%zz/../b"),
        ] {
            assert_eq!(normalise(sent), normal, "{sent}");
        }
    }

    #[test]
    fn an_ordinary_path_is_not_copied() {
        assert!(matches!(normalise("/matches/7?x=%41"), Cow::Borrowed(_)));
        assert!(matches!(normalise("/.fresh/watch"), Cow::Borrowed(_)));
    }

    proptest! {
        #[test]
        fn a_normal_form_is_its_own_normal_form(
            path in r"/?(\.|\.\.|%2e|%2E|%2f|%25|%5c|%00|%41|%|/|a|\?|é){0,12}",
        ) {
            let once = normalise(&path).into_owned();
            prop_assert_eq!(normalise(&once), once.as_str());
        }

        #[test]
        fn no_dot_segment_survives(path in r"(/(\.|\.\.|%2e|%2E%2e|\.%2e|a|%2f){0,2}){1,8}") {
            let normal = normalise(&path);
            prop_assert!(normal.starts_with('/'));
            prop_assert!(!normal.split('/').any(|s| s == "." || s == ".."), "{}", normal);
        }
    }
}

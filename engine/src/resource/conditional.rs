//! Conditional requests (RFC 9110 §13): whether a client that has a copy needs another.
//!
//! Only what a cache may evaluate (RFC 9111 §4.3.2); requests for which [`for_origin`] holds go to the application.
//! Called for a GET or HEAD that could be answered from a representation.
use super::policy::http_date;
use super::representation::Representation;
use crate::http::fields::Fields;
use crate::http::lists::etag_matches;

/// What a conditional request is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// 304: the client has it.
    NotModified,
    /// The representation.
    Full,
}

/// Whether the request sets a condition that only the application may evaluate.
pub fn for_origin(request: &Fields) -> bool {
    request.iter().any(|(name, _)| matches!(name, b"if-match" | b"if-unmodified-since"))
}

/// Evaluate the conditions of a GET or HEAD, in the order of RFC 9110 §13.2.2. Conditions bear on a successful answer
/// only (§13.2.1).
pub fn evaluate(request: &Fields, rep: &Representation) -> Outcome {
    let not_modified = if !(200..300).contains(&rep.status) {
        false
    } else if request.get("if-none-match").is_some() {
        etag_matches(request.all("if-none-match"), rep.etag.as_bytes(), true)
    } else {
        let since = one(request, "if-modified-since").and_then(http_date);
        let modified = one(&rep.fields, "last-modified").and_then(http_date);
        matches!((modified, since), (Some(modified), Some(since)) if modified <= since)
    };
    if not_modified { Outcome::NotModified } else { Outcome::Full }
}

/// The application's fields that a 304 carries; `etag` and what else Freshwire adds come on top.
///
/// RFC 9110 §15.4.5 names those it must have and asks that metadata of the content be left out. The rest goes along: a
/// browser checks `access-control-*` on a 304 as on any other response.
pub fn not_modified_fields(rep: &Representation) -> Fields {
    rep.fields.without(|name| {
        matches!(
            name,
            b"content-type" | b"content-encoding" | b"content-language" | b"content-range" | b"last-modified"
        )
    })
}

/// The value of a field that has exactly one line.
fn one<'a>(fields: &'a Fields, name: &'a str) -> Option<&'a [u8]> {
    let mut lines = fields.all(name);
    lines.next().filter(|_| lines.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::representation::fixture;
    use proptest::prelude::*;

    const OLD: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const NEW: &str = "Mon, 07 Nov 1994 08:49:37 GMT";

    fn rep(etag: &str) -> Representation {
        let mut rep = fixture("x", &[], 1, None);
        rep.etag = etag.into();
        rep.fields.push("last-modified", OLD);
        rep
    }

    fn not_modified(rep: &Representation, lines: &[(&str, &str)]) -> bool {
        evaluate(&lines.iter().copied().collect(), rep) == Outcome::NotModified
    }

    #[test]
    fn if_none_match_compares_weakly_with_each_tag_listed() {
        for line in
            ["\"a\"", "W/\"a\"", "\"b\", \"a\"", "\"b\" ,,W/\"a\"", ", ,\"a\",", "*", " * ", "\"b,\",\"a\""]
        {
            assert!(not_modified(&rep("\"a\""), &[("if-none-match", line)]), "{line}");
            assert!(not_modified(&rep("W/\"a\""), &[("if-none-match", line)]), "{line}");
        }
        for line in ["", "a", "\"b\"", "\"a", "a\"", "w/\"a\"", "\"b,\"a\"", "\"b\", *", "x \"a\"", "\"a\"x"]
        {
            assert!(!not_modified(&rep("\"a\""), &[("if-none-match", line)]), "{line}");
        }
        assert!(not_modified(&rep("\"a\""), &[("if-none-match", "\"b\""), ("if-none-match", "\"a\"")]));
        assert!(not_modified(&rep("\"a,b\""), &[("if-none-match", "\"c\", \"a,b\"")]));
    }

    #[test]
    fn if_modified_since_counts_only_without_if_none_match() {
        let rep = rep("\"a\"");
        assert!(not_modified(&rep, &[("if-modified-since", OLD)]));
        assert!(not_modified(&rep, &[("if-modified-since", NEW)]));
        assert!(!not_modified(&rep, &[("if-modified-since", "Sat, 05 Nov 1994 08:49:37 GMT")]));
        assert!(!not_modified(&rep, &[("if-modified-since", "yesterday")]));
        assert!(!not_modified(&rep, &[("if-modified-since", OLD), ("if-modified-since", OLD)]));
        assert!(!not_modified(&rep, &[("if-modified-since", NEW), ("if-none-match", "\"b\"")]));
        assert!(!not_modified(&fixture("x", &[], 1, None), &[("if-modified-since", NEW)]));
        assert!(!not_modified(&rep, &[]));
    }

    #[test]
    fn conditions_do_not_bear_on_an_answer_that_is_no_success() {
        let mut gone = rep("\"a\"");
        gone.status = 404;
        assert!(!not_modified(&gone, &[("if-none-match", "*")]));
    }

    #[test]
    fn a_304_says_nothing_of_the_content() {
        let mut rep = rep("\"a\"");
        for name in
            ["cache-control", "vary", "content-location", "access-control-allow-origin", "content-encoding"]
        {
            rep.fields.push(name, "x");
        }
        let fields = not_modified_fields(&rep);
        let names: Vec<_> = fields.iter().map(|(name, _)| str::from_utf8(name).unwrap()).collect();
        assert_eq!(names, ["cache-control", "vary", "content-location", "access-control-allow-origin"]);
    }

    #[test]
    fn conditions_for_the_application_alone_are_known() {
        for (name, is) in [("if-match", true), ("if-unmodified-since", true), ("if-none-match", false)] {
            assert_eq!(for_origin(&[(name, "x")].into_iter().collect()), is);
        }
    }

    proptest! {
        #[test]
        fn a_list_of_tags_names_those_in_it_and_no_others(
            tags in proptest::collection::vec("[ab,]{0,3}", 1..5), wanted in "[ab,]{0,3}", weak: bool,
        ) {
            let list = tags.iter().map(|t| format!("{}\"{t}\"", if weak { "W/" } else { "" })).collect::<Vec<_>>();
            let named = not_modified(&rep(&format!("\"{wanted}\"")), &[("if-none-match", &list.join(", "))]);
            prop_assert_eq!(named, tags.contains(&wanted));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(line: Vec<u8>) {
            evaluate(&[("if-none-match", line)].into_iter().collect(), &rep("\"a\""));
        }
    }
}

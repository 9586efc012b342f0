//! Asking the application about a stale copy (RFC 9111 §4.3): what is asked, and what a 304 makes of the copy.
//!
//! Called by the shard that forwards a request for which there is a copy that is no longer fresh.
use super::policy::http_date;
use super::representation::Representation;
use crate::app::ResponseHead;
use crate::http::fields::Fields;
use crate::http::response::is_framing_field;

/// What describes the copy's own bytes: that a 304 says otherwise makes them no other ones (RFC 9111 §3.2).
fn belongs_to_content(name: &[u8]) -> bool {
    is_framing_field(name)
        || matches!(name, b"content-encoding" | b"content-range" | b"content-md5" | b"etag" | b"trailer")
}

/// The conditions of the application's own validators (RFC 9111 §4.3.1); none if it gave none.
pub fn conditions(copy: &Representation) -> Vec<(&'static str, &[u8])> {
    let etag = copy.own_etag.then_some(("if-none-match", copy.etag.as_bytes()));
    let modified = copy.fields.get("last-modified").filter(|value| http_date(value).is_some());
    etag.into_iter().chain(modified.map(|value| ("if-modified-since", value))).collect()
}

/// The request that asks about the copy: without the client's own conditions, which the answer is to be held against
/// afterwards.
pub fn conditional(request: &Fields, copy: &Representation) -> Option<Fields> {
    let conditions = conditions(copy);
    if conditions.is_empty() {
        return None;
    }
    let mut asked = request.without(|name| name.starts_with(b"if-") || matches!(name, b"range" | b"prefer"));
    conditions.into_iter().for_each(|(name, value)| asked.push(name, value));
    Some(asked)
}

/// The answer that the application would have given in full, had it not been spared the body: the copy's, with the fields
/// of the 304 in the place of the old ones (RFC 9111 §3.2, §4.3.4). Tags that it does not repeat stay.
pub fn freshened(copy: &Representation, said: ResponseHead) -> ResponseHead {
    let ResponseHead { fields: new, mut tags, .. } = said;
    let tagged = !tags.is_empty() || new.get("cache-groups").is_some();
    // Without one of its own it is from now (RFC 9110 §6.6.1).
    let replaced = |name: &[u8]| {
        name == b"date" || (!belongs_to_content(name) && new.iter().any(|(replacing, _)| replacing == name))
    };
    let mut fields = copy.fields.without(replaced);
    for (name, value) in new.iter().filter(|(name, _)| !belongs_to_content(name)) {
        fields.push(name, value);
    }
    if copy.own_etag {
        fields.push("etag", copy.etag.as_bytes());
    }
    if !tagged {
        tags = copy.groups.to_vec();
    }
    ResponseHead { status: copy.status, fields, tags, content_length: Some(copy.body.len() as u64) }
}

/// Whether an answer means that asking failed (RFC 5861 §4).
pub fn is_error(status: u16) -> bool {
    matches!(status, 500 | 502 | 503 | 504)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::representation::fixture;

    const OLD: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    fn copy(lines: &[(&str, &str)]) -> Representation {
        let mut copy = fixture("x", &["a", "ä"], 1, Some(1));
        lines.iter().for_each(|(name, value)| copy.fields.push(name, value));
        copy
    }

    fn said(lines: &[(&str, &str)], tags: &[&str]) -> ResponseHead {
        let tags = tags.iter().map(|tag| (*tag).into()).collect();
        ResponseHead { status: 304, fields: lines.iter().copied().collect(), tags, content_length: None }
    }

    #[test]
    fn only_the_applications_own_validators_are_asked_about() {
        assert!(conditional(&Fields::default(), &copy(&[("last-modified", "today")])).is_none());
        let mut own = copy(&[("last-modified", OLD)]);
        (own.own_etag, own.etag) = (true, "\"v\"".into());
        let client = [("if-none-match", "\"mine\""), ("host", "h"), ("range", "bytes=0-1")];
        let asked = conditional(&client.into_iter().collect(), &own).unwrap();
        let expected: Fields =
            [("host", "h"), ("if-none-match", "\"v\""), ("if-modified-since", OLD)].into_iter().collect();
        assert_eq!(asked, expected);
    }

    #[test]
    fn a_304_replaces_what_it_repeats_but_nothing_that_belongs_to_the_bytes() {
        let mut copy = copy(&[("a", "1"), ("b", "1"), ("content-encoding", "gzip"), ("date", OLD)]);
        (copy.own_etag, copy.etag) = (true, "\"v\"".into());
        let new =
            [("a", "2"), ("a", "3"), ("content-encoding", "br"), ("etag", "\"w\""), ("content-length", "9")];
        let head = freshened(&copy, said(&new, &[]));
        let expected: Fields = [
            ("content-type", "text/plain"),
            ("b", "1"),
            ("content-encoding", "gzip"),
            ("a", "2"),
            ("a", "3"),
            ("etag", "\"v\""),
        ]
        .into_iter()
        .collect();
        assert_eq!((head.status, head.content_length, &head.fields), (200, Some(1), &expected));
    }

    #[test]
    fn tags_stay_unless_the_304_names_some() {
        let names = |head: ResponseHead| head.tags.iter().map(|tag| tag.to_string()).collect::<Vec<_>>();
        assert_eq!(names(freshened(&copy(&[]), said(&[], &[]))), ["a", "ä"]);
        assert_eq!(names(freshened(&copy(&[]), said(&[], &["b"]))), ["b"]);
        let listed = freshened(&copy(&[]), said(&[("cache-groups", "\"c\"")], &[]));
        assert!(listed.tags.is_empty() && listed.fields.get("cache-groups").is_some());
    }
}

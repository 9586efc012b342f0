//! The canonical request: what a read for others repeats of the request that made it necessary.
//!
//! Who may be given its answer, and what chooses it, is named by `key`. Called by whoever reads for watchers, for waits
//! or to refresh a copy.
use crate::http::fields::Fields;

/// The fields of a re-read: `host`, those that `vary` names, for a private variant its credentials, `accept` unless
/// `vary` names that, and `accept-encoding: identity`, because a compressed body cannot be an event. Nothing else of any
/// client's reaches the application (security row 24).
pub fn canonical_fields(request: &Fields, vary: &[Box<str>], private: bool, accept: Option<&str>) -> Fields {
    let named = |name: &[u8]| vary.iter().any(|v| v.as_bytes() == name);
    let credential = |name: &[u8]| matches!(name, b"authorization" | b"cookie");
    let mut fields: Fields = request
        .iter()
        .filter(|(name, _)| {
            *name == b"host" || (private && credential(name)) || (named(name) && !never_repeated(name))
        })
        .collect();
    fields.push("accept-encoding", "identity");
    if let Some(accept) = accept.filter(|_| !named(b"accept")) {
        fields.push("accept", accept);
    }
    fields
}

/// Fields that frame one message, or ask for something other than the whole representation, whatever `vary` says.
fn never_repeated(name: &[u8]) -> bool {
    name.starts_with(b"if-")
        || name.starts_with(b"proxy-")
        || matches!(
            name,
            b"accept-encoding"
                | b"connection"
                | b"content-length"
                | b"expect"
                | b"keep-alive"
                | b"range"
                | b"te"
                | b"trailer"
                | b"transfer-encoding"
                | b"upgrade"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_re_read_carries_nothing_of_the_client_that_it_need_not() {
        let request: Fields = [
            ("host", "h"),
            ("accept", "a/b"),
            ("accept-language", "de"),
            ("cookie", "c=1"),
            ("authorization", "Bearer t"),
            ("x-forwarded-host", "evil"),
            ("range", "bytes=0-1"),
        ]
        .into_iter()
        .collect();
        let names = |fields: Fields| {
            fields.iter().map(|(n, _)| String::from_utf8(n.to_vec()).unwrap()).collect::<Vec<_>>().join(" ")
        };
        let vary: &[Box<str>] = &["accept-language".into(), "range".into()];
        assert_eq!(
            names(canonical_fields(&request, vary, false, None)),
            "host accept-language accept-encoding"
        );
        assert_eq!(
            names(canonical_fields(&request, &[], true, Some("*/*"))),
            "host cookie authorization accept-encoding accept"
        );
        let accept = canonical_fields(&request, &["accept".into()], false, Some("*/*"));
        assert_eq!(accept.all("accept").collect::<Vec<_>>(), [b"a/b"]);
    }
}

//! What `Cache-Control`, `Accept`, `Prefer` and `Vary` say, and what follows for a response that says it.
use freshwire_engine::app::ResponseHead;
use freshwire_engine::http::fields::Fields;
use freshwire_engine::http::lists::{
    CacheControl, accepts_event_stream, cache_control, has_token, list, prefer_wait,
};
use freshwire_engine::resource::invalidation::{invalidated, is_safe};
use freshwire_engine::resource::key::{ResourceKey, Vary};
use freshwire_engine::resource::policy::{Seen, Sharing, decide};

/// The stricter of two.
fn both(a: &CacheControl, b: &CacheControl) -> CacheControl {
    let shorter = |a: Option<u64>, b: Option<u64>| a.into_iter().chain(b).min();
    CacheControl {
        max_age: shorter(a.max_age, b.max_age),
        s_maxage: shorter(a.s_maxage, b.s_maxage),
        stale_while_revalidate: shorter(a.stale_while_revalidate, b.stale_while_revalidate),
        stale_if_error: shorter(a.stale_if_error, b.stale_if_error),
        no_store: a.no_store | b.no_store,
        no_cache: a.no_cache | b.no_cache,
        private: a.private | b.private,
        public: a.public | b.public,
        must_revalidate: a.must_revalidate | b.must_revalidate,
        proxy_revalidate: a.proxy_revalidate | b.proxy_revalidate,
        must_understand: a.must_understand | b.must_understand,
        no_transform: a.no_transform | b.no_transform,
        immutable: a.immutable | b.immutable,
        only_if_cached: a.only_if_cached | b.only_if_cached,
    }
}

/// Lists split where they must and nowhere else; a directive is never lost behind another; what is private or must not
/// be stored is not, whatever else is said.
pub fn fields(data: &[u8]) {
    let mut lines = data.split(|b| *b == b'\n');
    let (a, b) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    for element in list(a) {
        assert!(!element.is_empty());
        assert!(!element.starts_with(b" ") && !element.ends_with(b"\t"));
        assert!(element.contains(&b'"') || !element.contains(&b','));
    }
    if !a.contains(&b'"') {
        assert_eq!(
            list(a).count(),
            a.split(|b| *b == b',').filter(|e| !e.iter().all(|b| b" \t".contains(b))).count()
        );
    }
    let said = cache_control([a, b]);
    assert_eq!(said, cache_control([b, a]));
    assert_eq!(said, both(&cache_control([a]), &cache_control([b])));
    if !a.contains(&b'"') {
        assert_eq!(said, cache_control([&[a, b", ", b].concat()[..]]));
        assert_eq!(said.no_store, has_token_or_value([a, b], "no-store"));
    }
    assert_eq!(accepts_event_stream([a, b]), accepts_event_stream([a]) || accepts_event_stream([b]));
    assert_eq!(prefer_wait([a, b]), prefer_wait([a]).or_else(|| later_wait(a, b)));
    decision(a, b);
    invalidation(a, b);
}

/// Whether a directive is there, with a value or without.
fn has_token_or_value(lines: [&[u8]; 2], token: &str) -> bool {
    lines.iter().any(|line| {
        has_token(line, token)
            || list(line).any(|e| {
                let name = e.split(|b| *b == b'=').next().unwrap_or_default();
                e.contains(&b'=') && name.trim_ascii().eq_ignore_ascii_case(token.as_bytes())
            })
    })
}

/// The first `wait` counts, also if it cannot be read.
fn later_wait(before: &[u8], line: &[u8]) -> Option<u32> {
    let named = list(before).any(|e| {
        let name = e.split(|b| matches!(b, b'=' | b';')).next().unwrap_or_default();
        name.trim_ascii().eq_ignore_ascii_case(b"wait")
    });
    if named { None } else { prefer_wait([line]) }
}

fn decision(a: &[u8], b: &[u8]) {
    let said = cache_control([a]);
    for (credentials, cookie, tagged, status) in [
        (false, false, true, 200),
        (true, false, true, 200),
        (false, true, false, 404),
        (true, true, true, 206),
    ] {
        let mut fields = Fields::from_iter([("cache-control", a), ("vary", b), ("age", b), ("expires", b)]);
        if cookie {
            fields.push("set-cookie", "a=b");
        }
        let head = ResponseHead { status, fields, ..ResponseHead::default() };
        let seen = Seen {
            method: "GET",
            credentials,
            head: &head,
            cache_control: &said,
            targeted: false,
            tagged,
            received_unix_s: 1_800_000_000,
        };
        let decision = decide(&seen);
        let explicit = said.public || said.s_maxage.is_some();
        let personal = said.private || (credentials || cookie) && !explicit;
        assert_eq!(decision.audience == Sharing::Private, personal);
        assert!(!decision.storable || (decision.reusable || decision.validate) && !personal);
        assert!(!(decision.reusable && decision.validate));
        let may_store = !said.no_store || said.must_understand;
        let kept = decision.reusable || decision.validate;
        assert!(!kept || may_store && status != 206 && decision.vary != Vary::Any);
        assert!(!decision.reusable || tagged || decision.lifetime_ms.is_some(), "no lifetime is guessed");
        assert!(decision.lifetime_ms.is_none_or(|ms| (1..=1000 << 31).contains(&ms)));
        if let Vary::Names(names) = &decision.vary {
            assert!(names.len() <= 32 && names.is_sorted());
            assert!(names.iter().all(|name| **name == name.to_ascii_lowercase()));
        }
    }
}

/// A write changes its target and nothing of another origin.
fn invalidation(location: &[u8], content_location: &[u8]) {
    let target = ResourceKey::new("http", "Example.com:80", "/a/b?c");
    let head = Fields::from_iter([("location", location), ("content-location", content_location)]);
    for (method, status) in [("POST", 201), ("PATCH", 302), ("GET", 200), ("PUT", 404)] {
        let normalise = |path: &str| Some(freshwire_engine::http::path::normalise(path).into_owned());
        let changed = invalidated(method, &target, status, &head, vec![], normalise);
        if is_safe(method) || status == 404 {
            assert!(changed.is_empty());
            continue;
        }
        assert_eq!(changed.resources[0], target);
        assert!(changed.resources.len() <= 3);
        for resource in &changed.resources {
            assert_eq!(resource.origin(), "http://example.com");
            assert!(resource.path_and_query().starts_with('/'));
            let path = resource.path_and_query().split('?').next().unwrap_or_default();
            assert!(!path.contains('#') && !path.split('/').any(|s| matches!(s, "." | "..")), "{resource}");
        }
    }
}

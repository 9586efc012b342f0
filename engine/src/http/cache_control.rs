//! `Cache-Control` (RFC 9111 §5.2, RFC 5861, RFC 8246), of requests and responses.
//!
//! What a copy may be used for is decided in `resource`. Here doubt is resolved to the stricter side: a number that is
//! none is 0, of two numbers the smaller counts, `no-cache` and `private` that name fields count for everything.
use crate::http::lists::{delta_seconds, list, name_and_value};

/// The directives; those with a number in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheControl {
    /// Fresh for so long.
    pub max_age: Option<u64>,
    /// The same for shared caches.
    pub s_maxage: Option<u64>,
    /// May be used for so long after that while it is asked for again.
    pub stale_while_revalidate: Option<u64>,
    /// May be used for so long after that when asking fails.
    pub stale_if_error: Option<u64>,
    /// Must not be kept.
    pub no_store: bool,
    /// Must not be used without asking.
    pub no_cache: bool,
    /// Is for one user.
    pub private: bool,
    /// Is for everyone, also if the request had credentials.
    pub public: bool,
    /// Must not be used stale.
    pub must_revalidate: bool,
    /// The same for shared caches.
    pub proxy_revalidate: bool,
    /// Must not be kept if the status is not understood.
    pub must_understand: bool,
    /// Must not be changed on the way.
    pub no_transform: bool,
    /// Does not change while fresh.
    pub immutable: bool,
    /// Of a request: only from a cache.
    pub only_if_cached: bool,
}

/// Read the field's lines.
pub fn cache_control<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> CacheControl {
    let mut said = CacheControl::default();
    for (name, value) in values.into_iter().flat_map(list).map(name_and_value) {
        let shorter = |before: Option<u64>| {
            let seconds = delta_seconds(value).unwrap_or(0);
            Some(before.map_or(seconds, |before| before.min(seconds)))
        };
        match name.to_ascii_lowercase().as_slice() {
            b"max-age" => said.max_age = shorter(said.max_age),
            b"s-maxage" => said.s_maxage = shorter(said.s_maxage),
            b"stale-while-revalidate" => said.stale_while_revalidate = shorter(said.stale_while_revalidate),
            b"stale-if-error" => said.stale_if_error = shorter(said.stale_if_error),
            b"no-store" => said.no_store = true,
            b"no-cache" => said.no_cache = true,
            b"private" => said.private = true,
            b"public" => said.public = true,
            b"must-revalidate" => said.must_revalidate = true,
            b"proxy-revalidate" => said.proxy_revalidate = true,
            b"must-understand" => said.must_understand = true,
            b"no-transform" => said.no_transform = true,
            b"immutable" => said.immutable = true,
            b"only-if-cached" => said.only_if_cached = true,
            _ => {}
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_are_read_in_any_case_from_all_lines() {
        let said = cache_control([
            &b"Public, MAX-AGE=60 , x=\"no-store, private\""[..],
            b"s-maxage=\"5\",must-revalidate",
        ]);
        let expected = CacheControl {
            public: true,
            max_age: Some(60),
            s_maxage: Some(5),
            must_revalidate: true,
            ..Default::default()
        };
        assert_eq!(said, expected);
    }

    #[test]
    fn doubt_is_resolved_to_the_stricter_side() {
        let said = cache_control([
            &b"max-age=60, max-age=10, s-maxage=x, stale-if-error=-1, stale-while-revalidate"[..],
            b"no-cache=\"set-cookie\", private=x, max-age=99999999999999999999999",
        ]);
        assert_eq!((said.max_age, said.s_maxage), (Some(10), Some(0)));
        assert_eq!((said.stale_if_error, said.stale_while_revalidate), (Some(0), Some(0)));
        assert!(said.no_cache && said.private && !said.public && !said.no_store);
    }
}

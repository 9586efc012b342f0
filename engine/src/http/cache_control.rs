//! `Cache-Control` (RFC 9111 §5.2, RFC 5861, RFC 8246), of requests and responses, and targeted fields (RFC 9213), which
//! say the same to some caches only.
//!
//! What a copy may be used for is decided in `resource`. Here doubt is resolved to the stricter side: a number that is
//! none is 0, of two numbers the smaller counts, `no-cache` and `private` that name fields count for everything.
use crate::http::fields::Fields;
use crate::http::lists::{delta_seconds, list, name_and_value};
use crate::http::structured::{Item, sf_dictionary};

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

/// What is wrong with a directive.
struct WrongType;

impl CacheControl {
    /// Take a directive (in lower case) into account. `seconds`: its value, if it is to have one.
    fn note(
        &mut self,
        name: &[u8],
        seconds: impl FnOnce() -> Result<u64, WrongType>,
    ) -> Result<(), WrongType> {
        let limit = match name {
            b"max-age" => &mut self.max_age,
            b"s-maxage" => &mut self.s_maxage,
            b"stale-while-revalidate" => &mut self.stale_while_revalidate,
            b"stale-if-error" => &mut self.stale_if_error,
            _ => {
                let flag = match name {
                    b"no-store" => &mut self.no_store,
                    b"no-cache" => &mut self.no_cache,
                    b"private" => &mut self.private,
                    b"public" => &mut self.public,
                    b"must-revalidate" => &mut self.must_revalidate,
                    b"proxy-revalidate" => &mut self.proxy_revalidate,
                    b"must-understand" => &mut self.must_understand,
                    b"no-transform" => &mut self.no_transform,
                    b"immutable" => &mut self.immutable,
                    b"only-if-cached" => &mut self.only_if_cached,
                    _ => return Ok(()),
                };
                *flag = true;
                return Ok(());
            }
        };
        let seconds = seconds()?;
        *limit = Some(limit.map_or(seconds, |before| before.min(seconds)));
        Ok(())
    }
}

/// Read the field's lines.
pub fn cache_control<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> CacheControl {
    let mut said = CacheControl::default();
    for (name, value) in values.into_iter().flat_map(list).map(name_and_value) {
        let _ = said.note(&name.to_ascii_lowercase(), || Ok(delta_seconds(value).unwrap_or(0)));
    }
    said
}

impl CacheControl {
    /// As strict as `Surrogate-Control` (W3C edge-arch 1.0) asks of every surrogate: it may forbid to keep a response, and
    /// shorten its lifetime, but says nothing that it says to one of them only. It never allows more: whoever wrote it
    /// may have meant a cache that is purged in other ways.
    pub fn stricter<'a>(&mut self, surrogate_control: impl IntoIterator<Item = &'a [u8]>) {
        for (name, value) in surrogate_control.into_iter().flat_map(list).map(name_and_value) {
            match name.to_ascii_lowercase().as_slice() {
                b"no-store" => self.no_store = true,
                b"max-age" => {
                    let limit = delta_seconds(value).unwrap_or(u64::MAX);
                    for lifetime in [&mut self.max_age, &mut self.s_maxage] {
                        *lifetime = lifetime.map(|seconds| seconds.min(limit));
                    }
                    if limit == 0 {
                        // Also where the lifetime comes from `expires`.
                        self.max_age = Some(0);
                    }
                }
                _ => {}
            }
        }
    }
}

/// What a response says to a cache with this target list (RFC 9213 §2.2): the first of the fields that is there, good
/// and not empty; `Cache-Control` and `Expires` say nothing then. `names` are in lower case.
pub fn targeted<S: AsRef<str>>(fields: &Fields, names: &[S]) -> Option<CacheControl> {
    names.iter().map(AsRef::as_ref).filter(|name| fields.get(name).is_some()).find_map(|name| {
        let members = sf_dictionary(fields.all(name)).filter(|members| !members.is_empty())?;
        let mut said = CacheControl::default();
        for (directive, item) in &members {
            if *item == Item::Boolean(false) {
                continue;
            }
            let seconds = || match item {
                Item::Integer(seconds) => Ok(u64::try_from(*seconds).unwrap_or(0)),
                _ => Err(WrongType),
            };
            said.note(directive.as_bytes(), seconds).ok()?;
        }
        Some(said)
    })
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

    #[test]
    fn surrogate_control_makes_stricter_and_never_more_generous() {
        let stricter = |said: &str, surrogate: &str| {
            let mut said = cache_control([said.as_bytes()]);
            said.stricter([surrogate.as_bytes()]);
            said
        };
        let said = stricter("max-age=60, s-maxage=600", "max-age=300, content=\"ESI/1.0\"");
        assert_eq!((said.max_age, said.s_maxage), (Some(60), Some(300)));
        assert!(
            stricter("max-age=60", "no-store").no_store && !stricter("max-age=60", "no-store;other").no_store
        );
        assert_eq!(stricter("no-cache", "max-age=60").max_age, None);
        assert_eq!(stricter("", "max-age=0").max_age, Some(0));
        assert_eq!(stricter("max-age=60", "max-age=5;other").max_age, Some(60));
    }

    #[test]
    fn the_first_targeted_field_that_is_good_and_not_empty_counts() {
        let read = |lines: &[(&str, &str)]| {
            let fields: Fields = lines.iter().copied().collect();
            targeted(&fields, &["freshwire-cache-control", "cdn-cache-control"])
        };
        let age = |seconds| Some(CacheControl { max_age: Some(seconds), ..Default::default() });
        assert_eq!(read(&[("cache-control", "max-age=1")]), None);
        assert_eq!(read(&[("cdn-cache-control", "max-age=7, foobar, public=?0")]), age(7));
        assert_eq!(
            read(&[("cdn-cache-control", "max-age=7"), ("freshwire-cache-control", "max-age=9")]),
            age(9)
        );
        for bad in ["", "max-age=7,", "MAX-AGE=7", "max-age=\"7\"", "max-age", "max-age=7.5", "max-age=7, &"]
        {
            assert_eq!(read(&[("cdn-cache-control", bad)]), None, "{bad}");
            assert_eq!(read(&[("freshwire-cache-control", bad), ("cdn-cache-control", "max-age=5")]), age(5));
        }
        assert_eq!(read(&[("cdn-cache-control", "max-age=-7")]), age(0));
        let flags = read(&[("cdn-cache-control", "no-store, private=\"x\"")]).unwrap();
        assert!(flags.no_store && flags.private);
    }
}

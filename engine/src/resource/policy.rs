//! What may be done with a response: shared with whom, kept for how long, watched or not (RFC 9111 §3, stricter).
//!
//! A response that could be somebody's own is private unless the application says `public` or `s-maxage` (security row
//! 25). Nothing is kept without a lifetime or tags, and no lifetime is ever guessed. Where tags were given, comparing
//! positions *is* the validation that `no-cache` and a lifetime of zero ask for.
//! Called once for each response head, before the body is buffered.
use super::key::{self, Vary};
use crate::app::ResponseHead;
pub use crate::http::cache_control::CacheControl;
use crate::http::fields::Fields;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A response as it comes in, beside what of its request matters.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The request's method.
    pub method: &'a str,
    /// The request carried `authorization` or `cookie`.
    pub credentials: bool,
    /// Status and fields.
    pub head: &'a ResponseHead,
    /// What those fields say to this cache.
    pub cache_control: &'a CacheControl,
    /// A targeted field said it, so that `expires` says nothing (RFC 9213 §2.2).
    pub targeted: bool,
    /// The application gave tags, by `cache-groups` or beside the head, and all of them are good.
    pub tagged: bool,
    /// When it came, seconds since 1970: stands in for a missing `date`.
    pub received_unix_s: u64,
}

/// Who may share a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// More than who asked.
    Shared {
        /// The application said so: everyone. Otherwise: whoever has no credentials.
        explicit: bool,
    },
    /// Who asked.
    Private,
}

/// What may be done with a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Who may share it.
    pub audience: Sharing,
    /// It is to be kept for later requests, watched or not. Implies `reusable` or `validate`; never true of a private one.
    pub storable: bool,
    /// While it is kept and fresh, a later GET of the variant may be answered from it. A private one is kept only while it
    /// is watched.
    pub reusable: bool,
    /// How long it stays fresh from now: `s-maxage` over `max-age` over `expires` less `date`, less `age`. `None`: until a
    /// tag changes.
    pub lifetime_ms: Option<u64>,
    /// It can be the first of a watch.
    pub watchable: bool,
    /// What chose it.
    pub vary: Vary,
    /// What is kept may answer a later request only if the application has said again that it is good, each time.
    pub validate: bool,
    /// How long it may be used after its lifetime (never after a change of a tag).
    pub stale: Stale,
    /// A tag changed while the application made it: nobody may keep it for long.
    pub late: bool,
}

/// For how long after the end of its lifetime a copy may still be used (RFC 5861), milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stale {
    /// While it is asked for again.
    pub while_revalidate_ms: u64,
    /// When asking failed.
    pub if_error_ms: u64,
}

impl Decision {
    /// Who may be given the response to this request.
    pub fn audience_of(&self, request: &Fields) -> key::Audience {
        match self.audience {
            Sharing::Shared { explicit: true } => key::Audience::Public,
            Sharing::Shared { explicit: false } => key::Audience::Anonymous,
            Sharing::Private => key::Audience::private(request),
        }
    }
}

/// What the application said about how long its response stays fresh.
enum Lifetime {
    /// Nothing.
    Undeclared,
    /// Zero: it must be validated each time.
    Zero,
    /// It was fresh once, in another cache, and is no longer.
    Over,
    /// Milliseconds.
    Left(u64),
}

/// Longest lifetime, seconds (RFC 9111 §1.2.2).
const MAX_LIFETIME_S: u64 = 1 << 31;

/// Decide.
pub fn decide(seen: &Seen<'_>) -> Decision {
    let Seen { head, cache_control: said, tagged, .. } = *seen;
    let explicit = said.public || said.s_maxage.is_some();
    let personal = seen.credentials || head.fields.get("set-cookie").is_some();
    let audience = match (said.private, explicit, personal) {
        (true, ..) | (_, false, true) => Sharing::Private,
        (false, explicit, _) => Sharing::Shared { explicit },
    };
    let vary = Vary::of(&head.fields);
    let lifetime = lifetime(seen, audience);
    let validates = match lifetime {
        Lifetime::Over => false,
        Lifetime::Left(_) => tagged || !said.no_cache,
        Lifetime::Zero | Lifetime::Undeclared => tagged,
    };
    let get = seen.method == "GET" && vary != Vary::Any && !is_event_stream(&head.fields);
    // RFC 9111 §5.2.2.3.
    let understood = is_understood(head.status);
    let may_store = get
        && if said.must_understand { understood } else { !said.no_store }
        && (cacheable(head.status) || (matches!(lifetime, Lifetime::Left(_)) && !is_partial(head.status)));
    let reusable = may_store && validates;
    // Worth keeping to spare the application the body.
    let validate = may_store
        && !validates
        && !matches!(lifetime, Lifetime::Undeclared if !said.no_cache)
        && head.status == 200
        && has_validator(&head.fields);
    Decision {
        audience,
        storable: (reusable || validate) && audience != Sharing::Private,
        reusable,
        lifetime_ms: if let Lifetime::Left(ms) = lifetime { Some(ms) } else { None },
        watchable: get && is_representation(head.status),
        vary,
        validate,
        stale: stale(said),
        late: false,
    }
}

/// RFC 5861, unless stale copies are forbidden (RFC 9111 §4.2.4). `s-maxage` alone forbids them too, but not to an
/// application that says both.
fn stale(said: &CacheControl) -> Stale {
    if said.must_revalidate || said.proxy_revalidate || said.no_cache {
        return Stale::default();
    }
    let ms = |seconds: Option<u64>| seconds.unwrap_or(0).min(MAX_LIFETIME_S) * 1000;
    Stale { while_revalidate_ms: ms(said.stale_while_revalidate), if_error_ms: ms(said.stale_if_error) }
}

/// The application can say of it later, without sending it, that it is still good (RFC 9110 §8.8).
fn has_validator(fields: &Fields) -> bool {
    fields.get("etag").is_some() || fields.get("last-modified").and_then(http_date).is_some()
}

/// A status whose meaning for a cache is known here.
fn is_understood(status: u16) -> bool {
    !crate::http::response::reason_phrase(status).is_empty() && !is_partial(status)
}

/// Answers that are no whole of their own.
fn is_partial(status: u16) -> bool {
    matches!(status, 100..=199 | 206 | 304)
}

/// The statuses that are kept, given tags or a lifetime. Any other final one, but not 206, needs a lifetime.
fn cacheable(status: u16) -> bool {
    matches!(status, 200 | 203 | 204 | 301 | 308 | 404 | 410)
}

/// The answers to GET that are the resource as it is. Not 206, a part of it, and not 204 and 205: that there is nothing
/// is how an event stream is told not to come back (HTML standard §9.2.1).
pub fn is_representation(status: u16) -> bool {
    matches!(status, 200..=299) && !matches!(status, 204..=206)
}

/// Whether an answer to GET can be followed: it is a representation, of something that a later request can ask for.
pub fn is_watchable(status: u16, fields: &Fields) -> bool {
    is_representation(status) && !is_event_stream(fields) && Vary::of(fields) != Vary::Any
}

fn is_event_stream(fields: &Fields) -> bool {
    let media_type =
        fields.get("content-type").and_then(|v| v.split(|&b| b == b';').next()).unwrap_or_default();
    media_type.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
}

/// RFC 9111 §4.2.1, without §4.2.2. `s-maxage` says nothing about a private copy.
fn lifetime(seen: &Seen<'_>, audience: Sharing) -> Lifetime {
    let fields = &seen.head.fields;
    let shared = seen.cache_control.s_maxage.filter(|_| audience != Sharing::Private);
    let expires = || if seen.targeted { None } else { until_expires(fields, seen.received_unix_s) };
    match shared.or(seen.cache_control.max_age).or_else(expires) {
        None => Lifetime::Undeclared,
        Some(0) => Lifetime::Zero,
        Some(declared) => match declared.min(MAX_LIFETIME_S).saturating_sub(age_s(fields)) {
            0 => Lifetime::Over,
            left => Lifetime::Left(left * 1000),
        },
    }
}

/// Seconds from `date` to `expires`. An `expires` that is no date has passed (RFC 9111 §5.3).
fn until_expires(fields: &Fields, received_unix_s: u64) -> Option<u64> {
    let expires = fields.get("expires")?;
    let Some(expires) = http_date(expires) else { return Some(0) };
    let received = || UNIX_EPOCH.checked_add(Duration::from_secs(received_unix_s));
    let Some(date) = fields.get("date").and_then(http_date).or_else(received) else { return Some(0) };
    Some(expires.duration_since(date).map_or(0, |left| left.as_secs()))
}

/// An HTTP date (RFC 9110 §5.6.7).
pub(super) fn http_date(value: &[u8]) -> Option<SystemTime> {
    httpdate::parse_http_date(std::str::from_utf8(value).ok()?.trim()).ok()
}

/// Seconds that a response has already spent in other caches (RFC 9111 §5.1): of a list the first counts, and a value
/// that is no number is ignored.
pub(super) fn age_s(fields: &Fields) -> u64 {
    let first = fields.get("age").and_then(|value| value.split(|b| *b == b',').next()).unwrap_or_default();
    let digits = first.trim_ascii();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return 0;
    }
    let seconds = digits.iter().fold(0u64, |n, d| n.saturating_mul(10).saturating_add((d - b'0').into()));
    seconds.min(MAX_LIFETIME_S)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SHARED: Sharing = Sharing::Shared { explicit: true };
    const ANONYMOUS: Sharing = Sharing::Shared { explicit: false };

    fn said() -> CacheControl {
        CacheControl::default()
    }

    fn age_of(max_age: u64) -> CacheControl {
        CacheControl { max_age: Some(max_age), ..said() }
    }

    /// A GET answered with 200, and what is different about it.
    fn decided(
        cache_control: CacheControl,
        lines: &[(&str, &str)],
        change: impl Fn(&mut Seen<'_>, &mut u16),
    ) -> Decision {
        let mut head =
            ResponseHead { status: 200, fields: lines.iter().copied().collect(), ..Default::default() };
        let mut status = 200;
        let blank = ResponseHead::default();
        let mut seen = Seen {
            method: "GET",
            credentials: false,
            head: &blank,
            cache_control: &cache_control,
            targeted: false,
            tagged: false,
            received_unix_s: 784_111_777,
        };
        change(&mut seen, &mut status);
        head.status = status;
        decide(&Seen { head: &head, ..seen })
    }

    fn plain(cache_control: CacheControl, lines: &[(&str, &str)]) -> Decision {
        decided(cache_control, lines, |_, _| {})
    }

    fn tagged(cache_control: CacheControl) -> Decision {
        decided(cache_control, &[], |seen, _| seen.tagged = true)
    }

    #[test]
    fn what_could_be_somebodys_own_is_private_unless_the_application_says_otherwise() {
        let asked_by_user = |cc| decided(cc, &[], |seen, _| seen.credentials = true).audience;
        let sets_cookie = |cc| plain(cc, &[("set-cookie", "a=1")]).audience;
        for audience in [asked_by_user, sets_cookie] as [fn(CacheControl) -> Sharing; 2] {
            assert_eq!(audience(age_of(60)), Sharing::Private);
            assert_eq!(audience(CacheControl { must_revalidate: true, ..age_of(60) }), Sharing::Private);
            assert_eq!(audience(CacheControl { public: true, ..said() }), SHARED);
            assert_eq!(audience(CacheControl { s_maxage: Some(0), ..said() }), SHARED);
            assert_eq!(audience(CacheControl { public: true, private: true, ..said() }), Sharing::Private);
        }
        assert_eq!(plain(said(), &[]).audience, ANONYMOUS);
        assert_eq!(plain(CacheControl { private: true, ..said() }, &[]).audience, Sharing::Private);
    }

    #[test]
    fn a_private_response_is_reusable_while_watched_and_never_kept_otherwise() {
        let private = plain(CacheControl { private: true, s_maxage: Some(9), ..age_of(60) }, &[]);
        assert_eq!((private.storable, private.reusable, private.lifetime_ms), (false, true, Some(60_000)));
    }

    #[test]
    fn nothing_is_kept_without_a_lifetime_or_tags() {
        assert!(!plain(said(), &[("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT")]).storable);
        assert!(!plain(CacheControl { public: true, ..said() }, &[]).storable);
        assert!(plain(age_of(1), &[]).storable);
        assert!(tagged(said()).storable);
        assert!(!plain(CacheControl { no_store: true, ..age_of(60) }, &[]).reusable);
        assert!(!tagged(CacheControl { no_store: true, ..said() }).reusable);
    }

    #[test]
    fn with_tags_the_position_is_the_validation_that_no_cache_asks_for() {
        let no_cache = CacheControl { no_cache: true, ..age_of(60) };
        assert!(!plain(no_cache, &[]).reusable && tagged(no_cache).storable);
        assert!(!plain(age_of(0), &[]).reusable);
        assert_eq!((tagged(age_of(0)).storable, tagged(age_of(0)).lifetime_ms), (true, None));
    }

    #[test]
    fn what_must_be_validated_is_kept_only_if_it_can_be() {
        let etag = [("etag", "\"a\"")];
        let no_cache = CacheControl { no_cache: true, ..said() };
        for said in [no_cache, age_of(0), CacheControl { no_cache: true, ..age_of(60) }] {
            let kept = plain(said, &etag);
            assert_eq!((kept.storable, kept.reusable, kept.validate), (true, false, true));
            assert!(!plain(said, &[]).storable);
        }
        assert!(plain(no_cache, &[("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT")]).validate);
        assert!(!plain(no_cache, &[("last-modified", "today")]).validate);
        assert!(!plain(said(), &etag).validate && !plain(age_of(60), &etag).validate);
        assert!(!plain(CacheControl { no_store: true, ..no_cache }, &etag).storable);
        assert!(!plain(CacheControl { private: true, ..no_cache }, &etag).storable);
    }

    #[test]
    fn a_copy_may_be_used_stale_as_long_as_the_application_said_and_never_if_it_forbade_that() {
        let windows = CacheControl {
            stale_while_revalidate: Some(30),
            stale_if_error: Some(u64::MAX),
            s_maxage: Some(5),
            ..said()
        };
        let expected = Stale { while_revalidate_ms: 30_000, if_error_ms: (1 << 31) * 1000 };
        assert_eq!(plain(windows, &[]).stale, expected);
        for forbids in [
            CacheControl { must_revalidate: true, ..windows },
            CacheControl { proxy_revalidate: true, ..windows },
            CacheControl { no_cache: true, ..windows },
            age_of(60),
        ] {
            assert_eq!(plain(forbids, &[]).stale, Stale::default());
        }
    }

    #[test]
    fn who_must_understand_a_status_keeps_none_that_is_unknown_and_then_no_store_says_nothing() {
        let must = CacheControl { must_understand: true, no_store: true, ..age_of(60) };
        let storable = |code: u16| decided(must, &[], |_, status| *status = code).storable;
        assert!(storable(200) && storable(404) && !storable(599) && !storable(206));
    }

    #[test]
    fn a_targeted_field_takes_the_word_from_expires() {
        let future = [("expires", "Sun, 06 Nov 1994 08:50:37 GMT")];
        assert!(plain(said(), &future).storable);
        assert!(!decided(said(), &future, |seen, _| seen.targeted = true).storable);
    }

    #[test]
    fn the_lifetime_is_the_first_declared_less_the_age() {
        let expires = ("expires", "Sun, 06 Nov 1994 08:50:37 GMT");
        let date = ("date", "Sun, 06 Nov 1994 08:50:07 GMT");
        let lifetime = |cc, lines: &[_]| plain(cc, lines).lifetime_ms;
        assert_eq!(lifetime(CacheControl { s_maxage: Some(5), ..age_of(60) }, &[]), Some(5_000));
        assert_eq!(lifetime(age_of(60), &[expires, ("age", "20")]), Some(40_000));
        assert_eq!(lifetime(said(), &[expires]), Some(60_000));
        assert_eq!(lifetime(said(), &[expires, date, ("age", "x")]), Some(30_000));
        assert_eq!(lifetime(said(), &[("expires", "0")]), None);
        assert_eq!(lifetime(age_of(u64::MAX), &[]), Some((1 << 31) * 1000));
        assert_eq!(lifetime(age_of(60), &[("age", "20, 0")]), Some(40_000));
        let over = plain(age_of(60), &[("age", "99999999999999999999")]);
        assert!(!over.reusable && over.lifetime_ms.is_none());
        assert!(!decided(age_of(60), &[("age", "60")], |seen, _| seen.tagged = true).reusable);
    }

    #[test]
    fn only_whole_answers_to_get_are_kept_or_watched() {
        let status = |code: u16| {
            let decision = decided(age_of(60), &[], |_, status| *status = code);
            (decision.storable, decision.watchable)
        };
        for (code, expected) in [
            (200, (true, true)),
            (201, (true, true)),
            (204, (true, false)),
            (205, (true, false)),
            (206, (false, false)),
            (301, (true, false)),
            (302, (true, false)),
            (404, (true, false)),
            (500, (true, false)),
            (599, (true, false)),
        ] {
            assert_eq!(status(code), expected, "{code}");
        }
        let without_lifetime =
            |code: u16| decided(said(), &[], |seen, status| (seen.tagged, *status) = (true, code)).storable;
        assert!(without_lifetime(404) && !without_lifetime(500) && !without_lifetime(302));
        for method in ["HEAD", "POST", "get"] {
            let decision = decided(age_of(60), &[], |seen, _| seen.method = method);
            assert!(!decision.storable && !decision.watchable);
        }
        for line in [("content-type", "Text/Event-Stream; charset=utf-8"), ("vary", "*")] {
            let decision = plain(age_of(60), &[line]);
            assert!(!decision.storable && !decision.watchable, "{line:?}");
        }
        assert!(plain(CacheControl { no_store: true, ..said() }, &[]).watchable);
    }

    proptest! {
        #[test]
        fn what_is_kept_is_shared_and_has_a_lifetime_or_tags(
            credentials: bool, tags: bool, code in prop::sample::select(vec![200u16, 206, 301, 404, 500]),
            max_age: Option<u64>, s_maxage: Option<u64>, flags in any::<[bool; 5]>(),
            lines in proptest::collection::vec(("(vary|age|date|expires|set-cookie|content-type)", "\\PC{0,12}"), 0..4),
        ) {
            let [no_store, no_cache, private, public, must_revalidate] = flags;
            let cc = CacheControl { max_age, s_maxage, no_store, no_cache, private, public, must_revalidate, ..said() };
            let lines: Vec<_> = lines.iter().map(|(n, v)| (&**n, &**v)).collect();
            let decision = decided(cc, &lines, |seen, status| {
                (seen.credentials, seen.tagged) = (credentials, tags);
                *status = code;
            });
            if decision.storable && decision.validate {
                prop_assert!(!decision.reusable && !no_store && !private && code == 200);
            } else if decision.storable {
                prop_assert!(decision.reusable && !no_store && !private && (tags || decision.lifetime_ms.is_some()));
                prop_assert!(!credentials || public || s_maxage.is_some());
            }
            prop_assert!(decision.lifetime_ms != Some(0));
        }
    }
}

//! The fields that Freshwire adds to a response: `etag`, `fresh-position`, `age`, `cache-status`; see `outgoing` for those
//! that speak of its tags and lifetimes.
//!
//! Each function appends one line. They are not kept in a representation, because they differ from one response to the
//! next or because the application's own line was replaced.
//! Called by whoever writes the head of a response.
use super::conditional::not_modified_fields;
use super::outgoing::without_lines;
use super::position::Salted;
use super::representation::Representation;
use crate::http::fields::Fields;

/// The name this cache has in `cache-status`.
const CACHE: &str = "freshwire";

/// `etag`.
pub fn etag(fields: &mut Fields, rep: &Representation) {
    fields.push("etag", &*rep.etag);
}

/// `fresh-position`: the position from which the client can watch what it was given.
pub fn fresh_position(fields: &mut Fields, position: Salted) {
    position.pieces(|pieces| fields.push_pieces("fresh-position", pieces));
}

/// The application's fields of a representation, and ours that do not depend on the request.
pub fn fields(rep: &Representation) -> Fields {
    annotated(rep, rep.fields.clone())
}

/// The same for a 304 (RFC 9110 §15.4.5).
pub fn not_modified(rep: &Representation) -> Fields {
    annotated(rep, not_modified_fields(rep))
}

fn annotated(rep: &Representation, said: Fields) -> Fields {
    let mut fields = without_lines(said, &rep.lines);
    if rep.counts_from_now {
        // The head gets today's.
        fields = fields.without(|name| name == b"date");
    }
    fields.reserve(rep.lines.len() + 5, 192);
    etag(&mut fields, rep);
    rep.lines.iter().for_each(|(name, value)| fields.push(name, value));
    fresh_position(&mut fields, rep.id());
    fields
}

/// Seconds for `age` (RFC 9111 §5.1), for a response that was not just made.
pub fn age_s(rep: &Representation, now_ms: u64) -> u64 {
    if rep.counts_from_now {
        return 0;
    }
    rep.initial_age_s.saturating_add(now_ms.saturating_sub(rep.created_ms) / 1000)
}

/// `age`.
pub fn age(fields: &mut Fields, rep: &Representation, now_ms: u64) {
    fields.push("age", itoa::Buffer::new().format(age_s(rep, now_ms)));
}

/// Why a request went on to the application (RFC 9211 §2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forward {
    /// This cache does not handle such requests.
    Bypass,
    /// The request's method.
    Method,
    /// Nothing was kept for the resource.
    UriMiss,
    /// Nothing was kept that the request selects.
    VaryMiss,
    /// Either of these.
    Miss,
    /// What was kept is not fresh.
    Stale,
    /// The request asked for it.
    Request,
}

impl Forward {
    fn token(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Miss => "miss",
            Self::Stale => "stale",
            Self::Request => "request",
        }
    }
}

/// How this cache handled a request (RFC 9211).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheStatus {
    /// Answered from a copy.
    Hit,
    /// Answered from a copy whose lifetime ended so many seconds ago, while it is asked for again.
    StaleHit(u64),
    /// Forwarded in vain, and answered from a copy whose lifetime has ended.
    StaleIfError,
    /// Forwarded, and the answer not kept.
    Forwarded(Forward),
    /// Forwarded, and the answer kept.
    Stored(Forward),
    /// Answered with what an earlier request had been forwarded for.
    Collapsed(Forward),
}

impl CacheStatus {
    /// In one word, for the access log.
    pub fn word(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::StaleHit(_) | Self::StaleIfError => "stale",
            Self::Forwarded(why) => why.token(),
            Self::Stored(_) => "stored",
            Self::Collapsed(_) => "collapsed",
        }
    }
}

/// `cache-status`, after those of the caches nearer to the application.
pub fn cache_status(fields: &mut Fields, status: CacheStatus) {
    let mut seconds_text = itoa::Buffer::new();
    let (outcome, detail, more) = match status {
        CacheStatus::Hit => ("hit", "", ""),
        CacheStatus::StaleHit(seconds) => ("hit", "; ttl=-", seconds_text.format(seconds)),
        CacheStatus::StaleIfError => ("fwd=", Forward::Stale.token(), "; detail=stale-if-error"),
        CacheStatus::Forwarded(why) => ("fwd=", why.token(), ""),
        CacheStatus::Stored(why) => ("fwd=", why.token(), "; stored"),
        CacheStatus::Collapsed(why) => ("fwd=", why.token(), "; collapsed"),
    };
    fields.push_pieces("cache-status", &[CACHE, "; ", outcome, detail, more]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_how_the_cache_handled_a_request_in_the_words_of_rfc_9211() {
        let mut fields = Fields::default();
        for status in [
            CacheStatus::Hit,
            CacheStatus::StaleHit(7),
            CacheStatus::StaleIfError,
            CacheStatus::Forwarded(Forward::Bypass),
            CacheStatus::Stored(Forward::Miss),
            CacheStatus::Collapsed(Forward::Stale),
        ] {
            cache_status(&mut fields, status);
        }
        let lines: Vec<_> = fields.all("cache-status").map(|v| str::from_utf8(v).unwrap()).collect();
        let expected = [
            "freshwire; hit",
            "freshwire; hit; ttl=-7",
            "freshwire; fwd=stale; detail=stale-if-error",
            "freshwire; fwd=bypass",
            "freshwire; fwd=miss; stored",
            "freshwire; fwd=stale; collapsed",
        ];
        assert_eq!(lines, expected);
    }
}

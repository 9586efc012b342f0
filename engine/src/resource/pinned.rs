//! Pinned reads: `?fresh=<position>` asks for the representation at that position or later.
//!
//! No stale copy can satisfy such a URL, so a cache may keep the answer for long: a purge is an optimisation. The
//! parameter is no part of the resource's address: neither the cache's key nor the application sees it.
//! Called by whoever reads a request, and by whoever writes the head of its answer.
use super::position::{Epoch, Position, parse};
use super::tags::TagHash;
use crate::http::fields::Fields;
use crate::http::lists::cache_control;
use std::borrow::Cow;

/// The name of the parameter.
const PARAMETER: &str = "fresh";
/// The offset that stands for a position of another log: there is no such one in ours.
pub const ELSEWHERE: u64 = u64::MAX;

/// A path and query without the parameter, and the newest offset that it named. A value that is no position is the
/// application's own.
pub fn strip(path_and_query: &str, epoch: Epoch) -> (Cow<'_, str>, Option<u64>) {
    let Some((path, query)) = path_and_query.split_once('?') else { return (path_and_query.into(), None) };
    if !query.contains(PARAMETER) {
        return (path_and_query.into(), None);
    }
    let own = epoch.to_string();
    let mut pinned = None;
    let mut kept = String::with_capacity(path_and_query.len());
    kept.push_str(path);
    let mut separator = '?';
    for pair in query.split('&') {
        let value = pair.strip_prefix(PARAMETER).and_then(|rest| rest.strip_prefix('=')).and_then(parse);
        match value {
            Some((its_epoch, _, offset)) => {
                let offset = if its_epoch == own { offset } else { ELSEWHERE };
                pinned = pinned.max(Some(offset));
            }
            None => {
                kept.push(separator);
                kept.push_str(pair);
                separator = '&';
            }
        }
    }
    if pinned.is_none() { (path_and_query.into(), None) } else { (kept.into(), pinned) }
}

/// The URL of a resource, pinned to a position.
pub fn url(path_and_query: &str, position: Position) -> String {
    let separator = if path_and_query.contains('?') { '&' } else { '?' };
    format!("{path_and_query}{separator}{PARAMETER}={position}")
}

/// What there is to know of an answer before its lifetime can be said.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// Its status.
    pub status: u16,
    /// It belongs to who asked.
    pub private: bool,
    /// What it depends on: its own URI first.
    pub tags: &'a [TagHash],
    /// None of them has changed since it was made.
    pub current: bool,
}

/// Say in an answer to a pinned read how long caches may keep it: for `max_age_s` seconds, unless the application said
/// anything about that itself; not at all if it is private; hardly, if it has been overtaken.
pub fn lifetime(fields: &mut Fields, answer: Answer<'_>, max_age_s: u64) {
    let said = cache_control(fields.all("cache-control"));
    if answer.private {
        if !(said.private || said.no_store) {
            add(fields, "private");
        }
        return;
    }
    let limited = said.max_age.is_some() || said.s_maxage.is_some() || fields.get("expires").is_some();
    let ruled_out = said.no_store || said.no_cache || said.private;
    // What has no tags may change without a word, and no lifetime is ever guessed.
    if limited || ruled_out || !(200..300).contains(&answer.status) || answer.tags.len() < 2 {
        return;
    }
    if answer.current {
        add(fields, &format!("max-age={max_age_s}, immutable"));
    } else {
        add(fields, "max-age=1");
    }
    if !said.public {
        // It is what anybody gets who does not say who he is; others may get something else.
        fields.push("vary", "authorization, cookie");
    }
}

/// Add to what `Cache-Control` says.
fn add(fields: &mut Fields, directives: &str) {
    fields.push("cache-control", directives);
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPOCH: Epoch = Epoch::from_bits(0x01234567);

    #[test]
    fn the_parameter_is_taken_out_and_nothing_else() {
        let strip = |target| {
            let (kept, pinned) = strip(target, EPOCH);
            (kept.into_owned(), pinned)
        };
        let is = |kept: &str, pinned| (kept.to_owned(), pinned);
        assert_eq!(strip("/x?fresh=01234567-7"), is("/x", Some(7)));
        assert_eq!(strip("/x?a=1&fresh=01234567-7"), is("/x?a=1", Some(7)));
        assert_eq!(strip("/x?fresh=01234567-7&a=%20&b"), is("/x?a=%20&b", Some(7)));
        assert_eq!(strip("/x?fresh=01234567-7&fresh=01234567-9"), is("/x", Some(9)));
        assert_eq!(strip("/x?fresh=0123456789abcdef-7"), is("/x", Some(7)), "with a salt");
        assert_eq!(strip("/x?fresh=76543210-7"), is("/x", Some(ELSEWHERE)));
        for own in [
            "/x",
            "/x?",
            "/x?fresh",
            "/x?fresh=",
            "/x?fresh=1",
            "/x?refresh=01234567-7",
            "/x?fresh=01234567-07",
        ] {
            assert_eq!(strip(own), is(own, None));
        }
    }

    #[test]
    fn a_pinned_url_is_taken_apart_again() {
        let position = Position { epoch: EPOCH, offset: 12 };
        for target in ["/x", "/x?a=1"] {
            assert_eq!(strip(&url(target, position), EPOCH), (target.into(), Some(12)));
        }
    }

    #[test]
    fn only_what_the_application_left_open_is_said() {
        let tags = [TagHash::of("/"), TagHash::of("t")];
        let said = |lines: &[(&str, &str)], change: fn(&mut Answer<'_>)| {
            let mut fields: Fields = lines.iter().copied().collect();
            let mut answer = Answer { status: 200, private: false, tags: &tags, current: true };
            change(&mut answer);
            lifetime(&mut fields, answer, 60);
            let lines: Vec<_> =
                fields.iter().map(|(n, v)| [n, v].map(String::from_utf8_lossy).join(": ")).collect();
            lines.join("\n")
        };
        let cc = |value| [("cache-control", value)];
        assert_eq!(
            said(&cc("public"), |_| ()),
            "cache-control: public\ncache-control: max-age=60, immutable"
        );
        assert_eq!(said(&[], |_| ()), "cache-control: max-age=60, immutable\nvary: authorization, cookie");
        assert_eq!(
            said(&cc("public"), |a| a.current = false),
            "cache-control: public\ncache-control: max-age=1"
        );
        for own in ["no-store", "no-cache", "private", "max-age=0", "s-maxage=7", "public, max-age=5"] {
            assert_eq!(said(&cc(own), |_| ()), format!("cache-control: {own}"));
        }
        assert_eq!(said(&[("expires", "0")], |_| ()), "expires: 0");
        assert_eq!(said(&[], |a| a.private = true), "cache-control: private");
        assert_eq!(
            said(&cc("private, max-age=5"), |a| a.private = true),
            "cache-control: private, max-age=5"
        );
        assert_eq!(
            said(&cc("max-age=5"), |a| a.private = true),
            "cache-control: max-age=5\ncache-control: private"
        );
        assert_eq!(said(&[], |a| a.status = 404), "");
        assert_eq!(said(&[], |a| a.tags = &a.tags[..1]), "");
    }
}

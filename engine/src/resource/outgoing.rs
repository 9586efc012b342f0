//! What a response says to the caches in front beyond what the application said: its tags, and for how long a cache that
//! is purged may keep it.
//!
//! These lines replace the application's of the same name. They are made once for a representation and sent with each of
//! its responses, a 304 too; what the application itself said stays beside them, since it alone is what the node's own
//! cache goes by.
//! Called when the application's answer is there.
use super::policy::{Decision, Sharing};
use super::surrogate::Surrogates;
use crate::http::cache_control::cache_control;
use crate::http::fields::Fields;
use crate::limits::Options;

/// For this cache alone: it never goes further.
const OWN_FIELD: &[u8] = b"freshwire-cache-control";

/// What to say.
#[derive(Clone)]
pub struct Outgoing {
    surrogates: Surrogates,
    /// Seconds; 0: say nothing.
    max_age_s: u64,
    stale_while_revalidate_s: u64,
    stale_if_error_s: u64,
}

impl Outgoing {
    /// As the options say. An error says which option is wrong.
    pub fn new(options: &Options) -> Result<Self, String> {
        Ok(Self {
            surrogates: Surrogates::new(options)?,
            max_age_s: options.cdn_max_age_s,
            stale_while_revalidate_s: options.cdn_stale_while_revalidate_s,
            stale_if_error_s: options.cdn_stale_if_error_s,
        })
    }

    /// The lines of an answer to GET whose application said `said`: of the resource `uri`, dependent on `groups`.
    pub fn lines(&self, said: &Fields, decision: &Decision, uri: &str, groups: &[Box<str>]) -> Fields {
        let mut lines = Fields::default();
        self.surrogates.write_groups(&mut lines, groups);
        if decision.audience != Sharing::Private {
            self.surrogates.write_keys(&mut lines, uri, groups);
        }
        if !groups.is_empty() {
            self.write_lifetimes(&mut lines, said, decision);
        }
        lines
    }

    /// `cdn-cache-control` (RFC 9213) for caches that are purged, and `cache-control: no-cache` for browsers, which are
    /// not; each unless the application said how long itself. Only where everybody may have the response.
    fn write_lifetimes(&self, lines: &mut Fields, said: &Fields, decision: &Decision) {
        let public = decision.audience == Sharing::Shared { explicit: true };
        if self.max_age_s == 0
            || !public
            || !decision.reusable
            || decision.late
            || said.get("cdn-cache-control").is_some()
        {
            return;
        }
        let until_change = decision.lifetime_ms.is_none();
        let declared_s = decision.lifetime_ms.map_or(u64::MAX, |ms| ms / 1000);
        // It is counted from when the application made it, and `age` says how long ago that was.
        let mut value = format!("max-age={}", self.max_age_s.min(declared_s));
        let own = cache_control(said.all("cache-control"));
        let stale = [
            ("stale-while-revalidate", own.stale_while_revalidate, self.stale_while_revalidate_s),
            ("stale-if-error", own.stale_if_error, self.stale_if_error_s),
        ];
        for (directive, own_s, seconds) in stale {
            let seconds = own_s.unwrap_or(if until_change { seconds } else { 0 });
            if seconds > 0 && !(own.must_revalidate || own.proxy_revalidate) {
                value.push_str(&format!(", {directive}={seconds}"));
            }
        }
        lines.push("cdn-cache-control", value);
        let browsers_know = own.max_age.is_some() || own.no_cache || own.no_store || own.immutable;
        if !browsers_know && said.get("expires").is_none() {
            let mut value = said.all("cache-control").collect::<Vec<_>>().join(&b", "[..]);
            value.extend_from_slice(if value.is_empty() { b"no-cache" } else { b", no-cache" });
            lines.push("cache-control", value);
        }
    }

    /// On the answer to an unsafe request: what it invalidates, in the words of the other lines.
    pub fn write_invalidation(&self, fields: &mut Fields) {
        self.surrogates.write_invalidation(fields);
    }
}

/// Whether the node says this field itself, or one of these `lines` does.
fn is_replaced(name: &[u8], lines: &Fields) -> bool {
    matches!(name, OWN_FIELD | b"cache-groups") || lines.iter().any(|(line, _)| line == name)
}

/// The application's fields as they leave the node, where they are not replaced by `lines`.
pub fn without_lines(said: Fields, lines: &Fields) -> Fields {
    let differs = said.iter().any(|(name, _)| is_replaced(name, lines));
    if differs { said.without(|name| is_replaced(name, lines)) } else { said }
}

/// The same, and `lines` behind them, with room for what the node adds to any answer.
pub fn with_lines(said: Fields, lines: &Fields) -> Fields {
    let mut fields = without_lines(said, lines);
    fields.reserve(lines.len() + 4, 256);
    lines.iter().for_each(|(name, value)| fields.push(name, value));
    fields
}

/// Whether these lines let a cache in front keep the response until a tag changes. Such a copy is known to be good each
/// time that it is sent, so that its age counts from then (RFC 9111 §5.1: "or successfully validated").
pub fn counts_from_now(lines: &Fields, lifetime_ms: Option<u64>) -> bool {
    lifetime_ms.is_none() && lines.get("cdn-cache-control").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::key::Vary;
    use crate::resource::policy::Stale;

    const PUBLIC: Sharing = Sharing::Shared { explicit: true };

    fn outgoing(max_age_s: u64) -> Outgoing {
        let options = Options {
            cdn_max_age_s: max_age_s,
            cdn_stale_while_revalidate_s: 5,
            cdn_stale_if_error_s: 6,
            ..Options::default()
        };
        Outgoing::new(&options).unwrap()
    }

    fn decision(audience: Sharing, lifetime_ms: Option<u64>) -> Decision {
        Decision {
            audience,
            storable: true,
            reusable: true,
            lifetime_ms,
            watchable: true,
            vary: Vary::Names(vec![]),
            validate: false,
            stale: Stale::default(),
            late: false,
        }
    }

    fn lines(
        out: &Outgoing,
        said: &[(&str, &str)],
        decision: &Decision,
        groups: &[&str],
    ) -> Vec<(String, String)> {
        let groups: Vec<Box<str>> = groups.iter().map(|group| (*group).into()).collect();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let lines = out.lines(&said.iter().copied().collect(), decision, "http://h/", &groups);
        lines.iter().map(|(name, value)| (text(name), text(value))).collect()
    }

    fn value(lines: &[(String, String)], name: &str) -> Option<String> {
        lines.iter().find(|(line, _)| line == name).map(|(_, value)| value.clone())
    }

    #[test]
    fn a_public_response_with_tags_may_stay_in_caches_that_are_purged_and_browsers_ask() {
        let out = outgoing(60);
        let all = lines(&out, &[("cache-control", "public")], &decision(PUBLIC, None), &["a"]);
        let cdn = "max-age=60, stale-while-revalidate=5, stale-if-error=6";
        assert_eq!(value(&all, "cdn-cache-control").as_deref(), Some(cdn));
        assert_eq!(value(&all, "cache-control").as_deref(), Some("public, no-cache"));
        assert_eq!(value(&all, "cache-groups").as_deref(), Some("\"a\""));
    }

    #[test]
    fn what_the_application_said_of_a_lifetime_bounds_it_and_goes_to_browsers_as_it_is() {
        let out = outgoing(60);
        let said = [("cache-control", "public, max-age=9, stale-if-error=3")];
        let all = lines(&out, &said, &decision(PUBLIC, Some(9_000)), &["a"]);
        assert_eq!(value(&all, "cdn-cache-control").as_deref(), Some("max-age=9, stale-if-error=3"));
        assert_eq!(value(&all, "cache-control"), None);
        let said = [("cache-control", "s-maxage=900, must-revalidate")];
        let all = lines(&out, &said, &decision(PUBLIC, Some(900_000)), &["a"]);
        assert_eq!(value(&all, "cdn-cache-control").as_deref(), Some("max-age=60"));
        assert_eq!(value(&all, "cache-control").as_deref(), Some("s-maxage=900, must-revalidate, no-cache"));
    }

    #[test]
    fn nothing_is_said_of_lifetimes_where_not_everybody_may_have_it_or_nobody_purges() {
        let cdn = |out: &Outgoing, said: &[(&str, &str)], decision: &Decision, groups: &[&str]| {
            value(&lines(out, said, decision, groups), "cdn-cache-control")
        };
        let out = outgoing(60);
        let public = decision(PUBLIC, None);
        assert_eq!(cdn(&outgoing(0), &[], &public, &["a"]), None);
        assert_eq!(cdn(&out, &[], &public, &[]), None);
        assert_eq!(cdn(&out, &[("cdn-cache-control", "no-store")], &public, &["a"]), None);
        assert_eq!(cdn(&out, &[], &decision(Sharing::Shared { explicit: false }, None), &["a"]), None);
        assert_eq!(cdn(&out, &[], &decision(Sharing::Private, None), &["a"]), None);
        assert_eq!(cdn(&out, &[], &Decision { reusable: false, ..public }, &["a"]), None);
    }

    #[test]
    fn lines_replace_those_of_the_application_and_what_is_for_this_cache_stays_here() {
        let said = [
            ("cache-control", "public"),
            ("freshwire-cache-control", "max-age=9"),
            ("a", "b"),
            ("xkey", "k"),
        ];
        let lines: Fields = [("cache-control", "no-cache"), ("xkey", "x")].into_iter().collect();
        let fields = with_lines(said.into_iter().collect(), &lines);
        let expected: Fields =
            [("a", "b"), ("cache-control", "no-cache"), ("xkey", "x")].into_iter().collect();
        assert_eq!(fields, expected);
    }
}

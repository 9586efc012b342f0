//! What may be done with an answer, and what follows from it for others: kept, reported to watchers, or a change.
use super::Shard;
use super::work::Work;
use crate::app::ResponseHead;
use crate::http::cache_control::{CacheControl, cache_control, targeted};
use crate::http::fields::Fields;
use crate::http::lists::sf_strings;
use crate::http::path::normalise;
use crate::net::slab::Key;
use crate::resource::invalidation::invalidated;
use crate::resource::key::{Audience, Selectors, VariantKey};
use crate::resource::policy::{Decision, Seen, decide};
use crate::resource::representation::Representation;
use crate::resource::tags::{Tags, all_tags};
use std::sync::Arc;

impl Shard {
    /// The tags of a response: those given beside its head, and those in `cache-groups`. `None`: not all are good.
    pub(super) fn groups_of(&self, head: &ResponseHead) -> Option<Vec<Box<str>>> {
        if head.tags.is_empty() && head.fields.get("cache-groups").is_none() {
            return Some(vec![]);
        }
        let listed = sf_strings(head.fields.all("cache-groups")).unwrap_or_default();
        let all = head.tags.iter().map(|tag| &**tag).chain(listed.iter().map(String::as_str));
        let checked = self.shared.resources.check(all);
        if checked.is_err() {
            self.shared.metrics.refused("tags");
        }
        checked.ok()
    }

    /// What may be done with a response to a GET, and its tags.
    pub(super) fn judge(&self, head: &ResponseHead, credentials: bool) -> (Decision, Vec<Box<str>>) {
        let groups = self.groups_of(head);
        let for_us = targeted(&head.fields, &self.shared.target_list);
        let said = for_us.unwrap_or_else(|| {
            let mut said = cache_control(head.fields.all("cache-control"));
            said.stricter(head.fields.all("surrogate-control"));
            said
        });
        let mut decision = decide(&Seen {
            method: "GET",
            credentials,
            head,
            cache_control: &said,
            targeted: for_us.is_some(),
            tagged: groups.as_ref().is_some_and(|groups| !groups.is_empty()),
            received_unix_s: self.unix_s,
        });
        if groups.is_none() {
            (decision.storable, decision.reusable, decision.validate) = (false, false, false);
        }
        (decision, groups.unwrap_or_default())
    }

    /// Keep a representation for later GETs if it may be, and let the variant's watch know of it in any case: a client
    /// has it now, under its position. Nothing of this for an answer that others would not have got.
    pub(super) fn keep(
        &self,
        key: Key,
        vary: &[Box<str>],
        audience: Audience,
        rep: &Arc<Representation>,
        storable: bool,
    ) {
        if let Some(work) = self.conns.get(key).and_then(|conn| conn.work.as_deref()) {
            self.keep_read(work, vary, audience, rep, storable);
        }
    }

    /// The same for a request without a connection.
    pub(super) fn keep_read(
        &self,
        work: &Work,
        vary: &[Box<str>],
        audience: Audience,
        rep: &Arc<Representation>,
        storable: bool,
    ) {
        let Some(resource) = work.resource.clone().filter(|_| work.asks_as_anybody()) else { return };
        let variant = VariantKey { resource, audience, selectors: Selectors::of(&work.fields, vary) };
        self.shared.resources.given(variant, vary, rep, storable);
    }

    /// What a GET's representation would depend on.
    pub(super) fn tags_of(&self, key: Key, groups: &[Box<str>]) -> Tags {
        let resource = self.conns.get(key).and_then(|conn| conn.work.as_deref()?.resource.as_ref());
        all_tags(resource, groups)
    }

    /// A successful unsafe request changes what it names, before its answer goes out (RFC 9111 §4.4, RFC 9875).
    pub(super) fn write_invalidates(&mut self, key: Key, head: &ResponseHead) {
        let Some(work) = self.conns.get_mut(key).and_then(|conn| conn.work.as_deref_mut()) else { return };
        let Some(resource) = &work.resource else { return };
        let groups = sf_strings(head.fields.all("cache-group-invalidation")).unwrap_or_default();
        let normalised = |path: &str| Some(normalise(path).into_owned());
        let changed = invalidated(&work.method, resource, head.status, &head.fields, groups, normalised);
        if changed.is_empty() {
            return;
        }
        let groups = match self.shared.resources.check(changed.tags.iter().map(String::as_str)) {
            Ok(groups) => groups,
            Err(_) => {
                self.shared.metrics.refused("tags");
                vec![]
            }
        };
        work.position = self.shared.resources.changed(&groups, &changed.resources);
    }
}

/// Whether the node gives it a strong validator (RFC 9110 §8.8.3).
pub(super) fn gets_etag(head: &ResponseHead) -> bool {
    head.status == 200
        && head.fields.get("etag").is_none()
        && !cache_control(head.fields.all("cache-control")).no_store
}

/// A response whose tags changed while it was made may be reused by nobody for long: no field lets any cache keep it for
/// more than a second. `anybody`: caches may keep it without being told how long, so they are told.
pub(super) fn late_fill(fields: &mut Fields, anybody: bool) {
    let controls: Vec<String> = fields.iter().filter_map(|(name, _)| lifetime_field(name)).collect();
    let silent = controls.is_empty() && fields.get("expires").is_none();
    let mut shortened = vec![];
    for name in controls {
        let said = cache_control(fields.all(&name));
        let seconds = [said.max_age, said.s_maxage, said.stale_while_revalidate, said.stale_if_error]
            .into_iter()
            .flatten();
        if seconds.max().is_some_and(|seconds| seconds > 1) && !shortened.iter().any(|(n, _)| *n == name) {
            shortened.push((name, short(&said)));
        }
    }
    let expires = fields.get("expires").is_some();
    if expires || !shortened.is_empty() || fields.get("x-accel-expires").is_some() {
        let goes = |name: &[u8]| {
            matches!(name, b"expires" | b"x-accel-expires")
                || shortened.iter().any(|(short, _)| short.as_bytes() == name)
        };
        *fields = fields.without(goes);
        shortened.iter().for_each(|(name, value)| fields.push(name, value));
    }
    let has_age = cache_control(fields.all("cache-control")).max_age.is_some();
    if (expires && !has_age) || (silent && anybody) {
        let said = cache_control(fields.all("cache-control"));
        *fields = fields.without(|name| name == b"cache-control");
        fields.push("cache-control", short(&said));
    }
}

/// The name of a field that says for how long some caches may keep a response, in the manner of `cache-control`.
fn lifetime_field(name: &[u8]) -> Option<String> {
    let is = matches!(name, b"cache-control" | b"surrogate-control" | b"edge-control")
        || name.ends_with(b"-cache-control");
    is.then(|| String::from_utf8_lossy(name).into_owned())
}

/// What was said, for a second.
fn short(said: &CacheControl) -> String {
    let still = [
        (said.public, "public, "),
        (said.private, "private, "),
        (said.no_store, "no-store, "),
        (said.no_cache, "no-cache, "),
        (said.must_revalidate, "must-revalidate, "),
        (said.proxy_revalidate, "proxy-revalidate, "),
        (said.must_understand, "must-understand, "),
        (said.no_transform, "no-transform, "),
    ];
    let still: String = still.iter().filter(|(said, _)| *said).map(|(_, directive)| *directive).collect();
    format!("{still}max-age=1")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn late(lines: &[(&str, &str)], anybody: bool) -> Vec<(String, String)> {
        let mut fields: Fields = lines.iter().copied().collect();
        late_fill(&mut fields, anybody);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        fields.iter().map(|(name, value)| (text(name), text(value))).collect()
    }

    #[test]
    fn no_field_lets_any_cache_keep_a_late_answer_for_long() {
        let one = |name: &str| (name.to_owned(), "max-age=1".to_owned());
        let lines = [
            ("cdn-cache-control", "max-age=60, stale-while-revalidate=9"),
            ("cloudflare-cdn-cache-control", "max-age=60"),
            ("surrogate-control", "max-age=60"),
            ("x-accel-expires", "60"),
            ("edge-control", "no-store"),
            ("expires", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ];
        let mut names = late(&lines, true);
        names.sort();
        let mut expected: Vec<_> =
            ["cache-control", "cdn-cache-control", "cloudflare-cdn-cache-control", "surrogate-control"]
                .map(one)
                .into();
        expected.push(("edge-control".into(), "no-store".into()));
        expected.sort();
        assert_eq!(names, expected);
    }

    #[test]
    fn caches_that_would_guess_are_told_a_second() {
        assert_eq!(late(&[("a", "b")], true)[1].1, "max-age=1");
        assert_eq!(late(&[("a", "b")], false).len(), 1);
        let asks = [("cache-control", "no-cache")];
        assert_eq!(late(&asks, true), [("cache-control".to_owned(), "no-cache".to_owned())]);
    }

    #[test]
    fn a_late_answer_keeps_what_it_says_but_its_lifetime() {
        let late = |said: &str| {
            let mut fields: Fields = [("cache-control", said)].into_iter().collect();
            late_fill(&mut fields, true);
            String::from_utf8(fields.get("cache-control").unwrap().to_vec()).unwrap()
        };
        assert_eq!(late("max-age=60"), "max-age=1");
        assert_eq!(late("public, s-maxage=60, must-revalidate"), "public, must-revalidate, max-age=1");
        assert_eq!(late("private, max-age=60, no-transform"), "private, no-transform, max-age=1");
        assert_eq!(late("public, max-age=60, stale-while-revalidate=600, immutable"), "public, max-age=1");
        assert_eq!(late("must-revalidate, max-age=1"), "must-revalidate, max-age=1");
    }
}

//! What may be done with an answer, and what follows from it for others: kept, reported to watchers, or a change.
use super::Shard;
use crate::app::ResponseHead;
use crate::http::fields::Fields;
use crate::http::lists::{cache_control, sf_strings};
use crate::http::path::normalise;
use crate::net::slab::Key;
use crate::resource::invalidation::invalidated;
use crate::resource::key::{Audience, Selectors, VariantKey};
use crate::resource::policy::{Decision, Seen, decide};
use crate::resource::representation::Representation;
use crate::resource::tags::{TagHash, uri_tag};
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
        let said = cache_control(head.fields.all("cache-control"));
        let mut decision = decide(&Seen {
            method: "GET",
            credentials,
            head,
            cache_control: &said,
            tagged: groups.as_ref().is_some_and(|groups| !groups.is_empty()),
            received_unix_s: self.unix_s,
        });
        if groups.is_none() {
            (decision.storable, decision.reusable) = (false, false);
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
        let Some(work) = self.conns.get(key).and_then(|conn| conn.work.as_deref()) else { return };
        let Some(resource) = work.resource.clone().filter(|_| work.asks_as_anybody()) else { return };
        let variant = VariantKey { resource, audience, selectors: Selectors::of(&work.fields, vary) };
        let resources = &self.shared.resources;
        let newest = resources.watches.saw(&variant, rep, |rep| resources.newest_change(&rep.tags));
        if storable && newest {
            resources.cache.insert(variant, vary, rep.clone());
        }
    }

    /// What a GET's representation would depend on.
    pub(super) fn tags_of(&self, key: Key, groups: &[Box<str>]) -> Vec<TagHash> {
        let resource = self.conns.get(key).and_then(|conn| conn.work.as_deref()?.resource.as_ref());
        resource.map(uri_tag).into_iter().chain(groups.iter().map(|group| TagHash::of(group))).collect()
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

/// A response whose tags changed while it was made may be reused by nobody for long.
pub(super) fn late_fill(fields: &mut Fields) {
    let said = cache_control(fields.all("cache-control"));
    if said.max_age.is_some_and(|age| age > 1)
        || said.s_maxage.is_some_and(|age| age > 1)
        || fields.get("expires").is_some()
    {
        *fields = fields.without(|name| matches!(name, b"cache-control" | b"expires"));
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
        fields.push("cache-control", format!("{still}max-age=1"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_answer_keeps_what_it_says_but_its_lifetime() {
        let late = |said: &str| {
            let mut fields: Fields = [("cache-control", said)].into_iter().collect();
            late_fill(&mut fields);
            String::from_utf8(fields.get("cache-control").unwrap().to_vec()).unwrap()
        };
        assert_eq!(late("max-age=60"), "max-age=1");
        assert_eq!(late("public, s-maxage=60, must-revalidate"), "public, must-revalidate, max-age=1");
        assert_eq!(late("private, max-age=60, no-transform"), "private, no-transform, max-age=1");
        assert_eq!(late("public, max-age=60, stale-while-revalidate=600, immutable"), "public, max-age=1");
        assert_eq!(late("must-revalidate, max-age=1"), "must-revalidate, max-age=1");
    }
}

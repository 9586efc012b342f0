//! What changes sets, and what of a set has changed.
use super::Sets;
use crate::net::slab::Key;
use crate::resource::few::Few;
use crate::resource::key::ResourceKey;
use crate::resource::set::{Kind, Set};
use crate::resource::tags::TagHash;
use hashbrown::{HashMap, HashSet};
use std::sync::atomic::Ordering::Relaxed;

impl Sets {
    /// The resources of a set that changed after `since`, each with the offset of its newest change.
    pub fn changes(&self, key: Key, since: u64) -> Vec<(ResourceKey, u64)> {
        let changed = |set: &Set| match &set.kind {
            Kind::One { resource, .. } if set.newest > since => Some((resource.clone(), set.newest)),
            _ => None,
        };
        self.member_keys(key).into_iter().filter_map(|key| self.sets.get(key).and_then(changed)).collect()
    }

    /// When the first lifetime in a set ends, monotonic.
    pub fn expires_at_ms(&self, key: Key) -> Option<u64> {
        self.member_keys(key).into_iter().filter_map(|key| self.sets.get(key)?.expires_at_ms()).min()
    }

    /// What of a set has reached the end of its lifetime counts as changed, at the offset that `advance` takes: the sets
    /// that somebody waits on and that this concerns.
    pub fn expire(&mut self, key: Key, now_ms: u64, advance: impl FnOnce() -> u64) -> Vec<Key> {
        let over = |set: &Set| set.expires_at_ms().is_some_and(|at| at <= now_ms);
        let ones: Vec<Key> =
            self.member_keys(key).into_iter().filter(|key| self.sets.get(*key).is_some_and(over)).collect();
        if ones.is_empty() {
            return vec![];
        }
        let offset = advance();
        for one in &ones {
            if let Some(Set { kind: Kind::One { expires, .. }, .. }) = self.sets.get_mut(*one) {
                *expires = None;
            }
        }
        self.touch(ones.into_iter(), offset)
    }

    /// These tags changed at `offset`: the sets that somebody waits on and that this concerns.
    pub fn changed(&mut self, tags: &[TagHash], offset: u64) -> Vec<Key> {
        let ones: HashSet<Key> =
            tags.iter().filter_map(|tag| self.by_tag.get(tag)).flat_map(Few::iter).collect();
        self.touch(ones.into_iter(), offset)
    }

    /// These sets of one changed, and those that they are in.
    fn touch(&mut self, ones: impl Iterator<Item = Key>, offset: u64) -> Vec<Key> {
        let mut concerned: HashSet<Key> = HashSet::new();
        for one in ones {
            concerned.insert(one);
            if let Some(Set { kind: Kind::One { parents, .. }, .. }) = self.sets.get(one) {
                concerned.extend(parents.iter());
            }
        }
        let mut readers: HashMap<Key, u32> = HashMap::new();
        for key in &concerned {
            let Some(set) = self.sets.get(*key) else { continue };
            let own = set.ticket.readers.swap(0, Relaxed);
            if let Kind::One { parents, .. } = &set.kind
                && own > 0
            {
                parents.iter().for_each(|parent| {
                    let most = readers.entry(parent).or_default();
                    *most = own.max(*most);
                });
                readers.insert(*key, own);
            }
        }
        let per_s = self.bounds.max_rereads_per_s;
        concerned.retain(|key| {
            let Some(set) = self.sets.get_mut(*key) else { return false };
            set.newest = set.newest.max(offset);
            if set.ticket.private && per_s > 0 {
                // Behind a cache one wait stands for many; each of those was given what changed.
                let readers = readers.get(key).copied().unwrap_or_default().max(set.held);
                set.spread_s = readers as f32 / per_s as f32;
            }
            set.held > 0
        });
        concerned.into_iter().collect()
    }

    /// Over how many seconds readers better spread their re-reads after the newest change.
    pub fn spread_s(&self, key: Key) -> f32 {
        self.sets.get(key).map_or(0.0, |set| set.spread_s)
    }
}

//! One shard of the cache: representations by variant, and for each resource the `Vary` of what is kept of it.
//!
//! A hash table of indices into a dense list, which the hand of a clock walks for eviction: a hit needs a shared
//! reference and sets one bit. Not here: locks, the bound on bytes (see `cache`), freshness.
//! Used by `cache` alone.
use super::key::{Audience, ResourceKey, Selectors, VariantKey, has_credentials};
use super::representation::Representation;
use crate::http::fields::Fields;
use hashbrown::{HashMap, HashTable};
use smallvec::SmallVec;
use std::hash::{BuildHasher, RandomState};
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a resource's kept representations were chosen by. Usually a resource has one of these.
#[derive(Debug)]
struct Varied {
    names: Arc<[Box<str>]>,
    /// Representations kept with it.
    variants: u32,
    /// Those of them that are private: without any, a request's credentials need not be looked at.
    private: u32,
}

/// A representation in its place.
#[derive(Debug)]
struct Slot {
    key: VariantKey,
    hash: u64,
    /// The `names` of the resource's [`Varied`] it counts in.
    vary: Arc<[Box<str>]>,
    rep: Arc<Representation>,
    /// Looked up since the hand was here.
    used: AtomicBool,
}

impl Slot {
    /// Bytes it takes, about: always the same for as long as it keeps its representation.
    fn weight(&self) -> usize {
        self.rep.weight() + self.key.weight()
    }
}

/// A part of the cache.
#[derive(Debug, Default)]
pub(super) struct Shard {
    /// By the hash of the variant; where in `slots`.
    table: HashTable<u32>,
    slots: Vec<Slot>,
    resources: HashMap<ResourceKey, SmallVec<[Varied; 1]>, RandomState>,
    hasher: RandomState,
    /// The next slot to be asked whether it was used.
    hand: usize,
}

impl Shard {
    /// Different `Vary` of one resource at once; the one added longest ago makes room.
    const MAX_VARIED: usize = 4;

    /// The newest representation that a request selects (RFC 9111 §4.1).
    pub(super) fn lookup(
        &self,
        resource: &ResourceKey,
        request: &Fields,
        credentials: bool,
    ) -> Option<Arc<Representation>> {
        let mut found: Option<&Slot> = None;
        for varied in self.resources.get(resource)? {
            let selectors = Selectors::of(request, &varied.names);
            let mut consider = |audience: &Audience| {
                let slot =
                    self.find(self.hash(resource, audience, &selectors), resource, audience, &selectors);
                let newest =
                    |slot: &&Slot| found.is_none_or(|f| f.rep.position.offset <= slot.rep.position.offset);
                found = slot.map(|index| &self.slots[index]).filter(newest).or(found);
            };
            consider(&Audience::Public);
            if !credentials {
                consider(&Audience::Anonymous);
            } else if varied.private > 0 && has_credentials(request) {
                consider(&Audience::private(request));
            }
        }
        let slot = found?;
        if !slot.used.load(Ordering::Relaxed) {
            slot.used.store(true, Ordering::Relaxed);
        }
        Some(slot.rep.clone())
    }

    /// The `Vary` that the resource was last kept with.
    pub(super) fn vary(&self, resource: &ResourceKey) -> Option<Arc<[Box<str>]>> {
        Some(self.resources.get(resource)?.last()?.names.clone())
    }

    /// Keep a representation, unless a newer one of the variant is kept. Returns the bytes added and those given up.
    pub(super) fn insert(
        &mut self,
        key: VariantKey,
        vary: &[Box<str>],
        rep: Arc<Representation>,
    ) -> (usize, usize) {
        let bytes = rep.weight() + key.weight();
        let hash = self.hash(&key.resource, &key.audience, &key.selectors);
        if let Some(index) = self.find(hash, &key.resource, &key.audience, &key.selectors) {
            let slot = &mut self.slots[index];
            let (old, new) = (slot.rep.position, rep.position);
            if old.epoch == new.epoch && old.offset > new.offset {
                return (0, 0);
            }
            let freed = slot.weight();
            slot.rep = rep;
            return (bytes, freed);
        }
        let freed = self.make_room_to_vary(&key.resource, vary);
        let vary = self.count_in(&key, vary);
        let index = self.slots.len() as u32;
        self.slots.push(Slot { key, hash, vary, rep, used: AtomicBool::new(false) });
        self.table.insert_unique(hash, index, |&i| self.slots[i as usize].hash);
        (bytes, freed)
    }

    /// Give up a representation if `which` says so. Returns its bytes.
    pub(super) fn remove(
        &mut self,
        key: &VariantKey,
        which: impl FnOnce(&Representation) -> bool,
    ) -> Option<usize> {
        let hash = self.hash(&key.resource, &key.audience, &key.selectors);
        let index = self.find(hash, &key.resource, &key.audience, &key.selectors)?;
        which(&self.slots[index].rep).then(|| self.remove_slot(index))
    }

    /// Give up the next one that was not used since the hand last came by. Returns its bytes; `None` if all were used, and
    /// count as unused from now on.
    pub(super) fn evict_one(&mut self) -> Option<usize> {
        for _ in 0..self.slots.len() {
            if self.hand >= self.slots.len() {
                self.hand = 0;
            }
            let used = self.slots.get_mut(self.hand)?.used.get_mut();
            if !mem::take(used) {
                return Some(self.remove_slot(self.hand));
            }
            self.hand += 1;
        }
        None
    }

    /// Give up everything. Returns its bytes.
    pub(super) fn clear(&mut self) -> usize {
        self.table.clear();
        self.resources.clear();
        self.hand = 0;
        mem::take(&mut self.slots).iter().map(Slot::weight).sum()
    }

    fn hash(&self, resource: &ResourceKey, audience: &Audience, selectors: &Selectors) -> u64 {
        self.hasher.hash_one((resource, audience, selectors))
    }

    /// Where the variant is in `slots`: the names are compared, whatever the hash.
    fn find(
        &self,
        hash: u64,
        resource: &ResourceKey,
        audience: &Audience,
        selectors: &Selectors,
    ) -> Option<usize> {
        let same = |&index: &u32| {
            let key = &self.slots[index as usize].key;
            key.audience == *audience && key.selectors == *selectors && key.resource == *resource
        };
        self.table.find(hash, same).map(|&index| index as usize)
    }

    /// Before a further `Vary` of a resource is added: give up what was kept with the oldest. Looks at every slot, which
    /// an application has to provoke with five different `Vary` for one resource.
    fn make_room_to_vary(&mut self, resource: &ResourceKey, vary: &[Box<str>]) -> usize {
        let Some(varied) = self.resources.get(resource) else { return 0 };
        if varied.len() < Self::MAX_VARIED || varied.iter().any(|v| *v.names == *vary) {
            return 0;
        }
        let oldest = varied[0].names.clone();
        let mut freed = 0;
        for index in (0..self.slots.len()).rev() {
            let slot = &self.slots[index];
            if slot.key.resource == *resource && Arc::ptr_eq(&slot.vary, &oldest) {
                freed += self.remove_slot(index);
            }
        }
        freed
    }

    /// Count one more variant of its resource.
    fn count_in(&mut self, key: &VariantKey, vary: &[Box<str>]) -> Arc<[Box<str>]> {
        let varied = self.resources.entry(key.resource.clone()).or_default();
        match varied.iter().position(|v| *v.names == *vary) {
            Some(at) => varied[at..].rotate_left(1),
            None => {
                // Most do not vary, and need no memory to say so.
                let names = if vary.is_empty() { Arc::default() } else { vary.into() };
                varied.push(Varied { names, variants: 0, private: 0 });
            }
        }
        let last = varied.len() - 1;
        varied[last].variants += 1;
        varied[last].private += u32::from(matches!(key.audience, Audience::Private(_)));
        varied[last].names.clone()
    }

    /// Take a slot out of the list, the table and its resource's counts; the last slot moves into its place.
    fn remove_slot(&mut self, index: usize) -> usize {
        let moved = self.slots.len() - 1;
        if let Ok(entry) = self.table.find_entry(self.slots[index].hash, |&i| i as usize == index) {
            entry.remove();
        }
        if let Some(i) = self.table.find_mut(self.slots[moved].hash, |&i| i as usize == moved) {
            *i = index as u32;
        }
        let slot = self.slots.swap_remove(index);
        if let Some(varied) = self.resources.get_mut(&slot.key.resource) {
            if let Some(at) = varied.iter().position(|v| Arc::ptr_eq(&v.names, &slot.vary)) {
                varied[at].variants -= 1;
                varied[at].private -= u32::from(matches!(slot.key.audience, Audience::Private(_)));
                if varied[at].variants == 0 {
                    varied.remove(at);
                }
            }
            if varied.is_empty() {
                self.resources.remove(&slot.key.resource);
            }
        }
        slot.weight()
    }
}

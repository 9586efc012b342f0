//! Sets: what a monitor URL stands for. A set is one resource with its tags, or many of those; its name is a keyed hash
//! of what is in it, so that everybody who was given the same representation waits on the same URL.
//!
//! The table knows of each set the offset of its newest change, which is the canonical position of whoever has seen all
//! of it. It is bounded in sets and bytes: what nobody waits on goes first, and what is not in it counts as gone. A
//! private set ends after a while; a revoked one ends at once, and its contents get another name from then on.
//! What a change does is in `changes`, what sets consist of in `many`.
//! Pure: no lock, no clock (`now_ms` is handed in, monotonic). Called by `monitors` under its lock.
use super::few::Few;
use super::set::{Contents, Kind, NEVER, Name, Set, Ticket, id_of_one, revocable, weight, weight_of_one};
use super::tags::{TagHash, TagTable, Tags};
use crate::net::slab::{Key, Slab};
use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

mod changes;
mod many;

pub use many::NotUnited;

/// Bounds of the table; see the options of these names.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Sets.
    pub max_sets: usize,
    /// What they take, about.
    pub max_set_bytes: usize,
    /// Resources in one.
    pub max_set_resources: usize,
    /// How long a private set can be waited on: at least so long, at most twice.
    pub private_ms: u64,
    /// So many re-reads a second are enough.
    pub max_rereads_per_s: u32,
}

/// What there is to know about a set that can be waited on.
#[derive(Clone, Debug)]
pub struct Registered {
    /// Where it is in the table.
    pub key: Key,
    /// Its name in URLs.
    pub name: Name,
    /// The offset of its newest change.
    pub newest: u64,
    /// Says whether it still is in the table.
    pub ticket: Arc<Ticket>,
}

/// Places that the hand looks at before an addition is given up.
const HAND_STEPS: usize = 64;

/// All sets of a node.
pub struct Sets {
    key: [u8; 32],
    bounds: Bounds,
    sets: Slab<Set>,
    by_name: HashTable<Key>,
    /// Sets of one, by their contents.
    by_contents: HashTable<Key>,
    by_tag: HashMap<TagHash, Few<Key>>,
    /// When each tag, and each id, was last revoked; counts in names.
    revoked: TagTable,
    revocations: u64,
    hand: u32,
    bytes: usize,
    /// Of what is hashed already, under a seed.
    hasher: DefaultHashBuilder,
}

impl Sets {
    /// None yet; `key` makes the names.
    pub fn new(key: [u8; 32], bounds: Bounds) -> Self {
        Self {
            key,
            bounds,
            sets: Slab::default(),
            by_name: HashTable::new(),
            by_contents: HashTable::new(),
            by_tag: HashMap::new(),
            revoked: TagTable::new(bounds.max_sets),
            revocations: 0,
            hand: 0,
            bytes: 0,
            hasher: DefaultHashBuilder::default(),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.sets.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    /// Bytes they take, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The set of this resource, added if need be; then `newest` gives the newest change of its tags. `None`: there is no
    /// room.
    pub fn register(
        &mut self,
        contents: Contents<'_>,
        now_ms: u64,
        newest: impl FnOnce() -> u64,
    ) -> Option<Registered> {
        let mut tags = Tags::from(contents.tags);
        tags.sort_unstable();
        // Counted in whole periods, so that all who come in one period get the same name.
        let private_ms = self.bounds.private_ms;
        let ends_at_ms = if contents.private { (now_ms / private_ms + 2) * private_ms } else { NEVER };
        let hash = self.hasher.hash_one((contents.resource, &*tags, ends_at_ms));
        let same = |key: &Key| {
            self.sets.get(*key).is_some_and(|set| {
                set.ends_at_ms == ends_at_ms
                    && matches!(&set.kind, Kind::One { resource, tags: its, .. } if *its == tags && resource == contents.resource)
            })
        };
        if let Some(key) = self.by_contents.find(hash, same).copied() {
            if let Some(Set { kind: Kind::One { expires, .. }, newest, .. }) = self.sets.get_mut(key) {
                // Who has one from before the newest change is told of that.
                let of_before = expires.filter(|of_before| of_before.position >= *newest);
                *expires = of_before.into_iter().chain(contents.expires()).min_by_key(|it| it.at_ms);
            }
            return self.registered(key);
        }
        let id = id_of_one(&contents, ends_at_ms);
        let generation = tags.iter().map(|tag| self.revoked.last_change(*tag)).max().unwrap_or(0);
        let revocable = revocable(&id);
        let name = self.name(&id, generation.max(self.revoked.last_change(revocable)));
        let weight = weight_of_one(contents.resource, tags.len());
        if !self.make_room(weight, now_ms) {
            return None;
        }
        let resource = contents.resource.clone();
        let expires = contents.expires();
        let kind = Kind::One { resource, tags, parents: Few::None, expires };
        let key = self.insert(name, revocable, ends_at_ms, kind, newest());
        for tag in contents.tags {
            self.by_tag.entry(*tag).or_default().insert(key);
        }
        let Self { by_contents, sets, hasher, .. } = self;
        by_contents.insert_unique(hash, key, |key| hash_of(sets, hasher, *key));
        self.registered(key)
    }

    /// The set of this name, if it can still be waited on; it counts as used.
    pub fn find(&mut self, name: Name, now_ms: u64) -> Option<Key> {
        let key = self.named(name)?;
        let set = self.sets.get_mut(key)?;
        if set.ends_at_ms <= now_ms {
            return None;
        }
        set.used = true;
        Some(key)
    }

    /// The name of a set.
    pub fn name_of(&self, key: Key) -> Option<Name> {
        self.sets.get(key).map(|set| set.ticket.name)
    }

    /// The offset of its newest change.
    pub fn newest(&self, key: Key) -> u64 {
        self.sets.get(key).map_or(0, |set| set.newest)
    }

    /// One wait more, or less, is held on a set: it is not given up while there is one.
    pub fn hold(&mut self, key: Key, waits: i32) {
        if let Some(set) = self.sets.get_mut(key) {
            set.held = set.held.saturating_add_signed(waits);
        }
    }

    /// Nobody may wait on this set any more; its contents are called something else from now on. What ended, with it.
    pub fn revoke(&mut self, name: Name) -> Vec<Key> {
        let Some(key) = self.named(name) else { return vec![] };
        let Some(set) = self.sets.get(key) else { return vec![] };
        self.revocations += 1;
        self.revoked.changed(set.revocable, self.revocations);
        self.remove(key)
    }

    /// The same for every set that depends on this tag, also for those that are not known at present.
    pub fn revoke_tag(&mut self, tag: TagHash) -> Vec<Key> {
        self.revocations += 1;
        self.revoked.changed(tag, self.revocations);
        let ones: Vec<Key> = self.by_tag.get(&tag).into_iter().flat_map(Few::iter).collect();
        ones.into_iter().flat_map(|key| self.remove(key)).collect()
    }

    /// The set of this name, also if it has ended.
    fn named(&self, name: Name) -> Option<Key> {
        let same = |key: &Key| self.name_of(*key) == Some(name);
        self.by_name.find(self.hasher.hash_one(name), same).copied()
    }

    fn registered(&self, key: Key) -> Option<Registered> {
        let set = self.sets.get(key)?;
        Some(Registered { key, name: set.ticket.name, newest: set.newest, ticket: set.ticket.clone() })
    }

    fn name(&self, id: &[u8; 32], generation: u64) -> Name {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(id).update(&generation.to_be_bytes());
        let mut name = [0; 16];
        name.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Name(name)
    }

    fn insert(&mut self, name: Name, revocable: TagHash, ends_at_ms: u64, kind: Kind, newest: u64) -> Key {
        let private = ends_at_ms < NEVER;
        let renew_at_ms = if private { ends_at_ms - self.bounds.private_ms / 2 } else { NEVER };
        let (listed, readers) = (AtomicBool::new(true), AtomicU32::new(0));
        let ticket = Arc::new(Ticket { name, listed, renew_at_ms, private, readers });
        self.bytes += weight(&kind);
        let set = Set { revocable, ends_at_ms, kind, newest, held: 0, spread_s: 0.0, used: false, ticket };
        let key = self.sets.insert(set);
        let Self { by_name, sets, hasher, .. } = self;
        let hash_of = |key: &Key| sets.get(*key).map_or(0, |set| hasher.hash_one(set.ticket.name));
        by_name.insert_unique(hasher.hash_one(name), key, hash_of);
        key
    }

    /// Take a set out of the table, and those that it is in. Which these are.
    fn remove(&mut self, key: Key) -> Vec<Key> {
        let hash = hash_of(&self.sets, &self.hasher, key);
        let Some(set) = self.sets.remove(key) else { return vec![] };
        set.ticket.listed.store(false, Relaxed);
        if let Ok(entry) =
            self.by_name.find_entry(self.hasher.hash_one(set.ticket.name), |other| *other == key)
        {
            entry.remove();
        }
        self.bytes -= weight(&set.kind);
        let mut removed = vec![key];
        match set.kind {
            Kind::One { tags, parents, .. } => {
                if let Ok(entry) = self.by_contents.find_entry(hash, |other| *other == key) {
                    entry.remove();
                }
                for tag in &tags {
                    if let Some(keys) = self.by_tag.get_mut(tag) {
                        keys.remove(key);
                        if keys.is_empty() {
                            self.by_tag.remove(tag);
                        }
                    }
                }
                removed.extend(parents.iter().flat_map(|parent| self.remove(parent)));
            }
            Kind::Many(members) => {
                for member in &members {
                    if let Some(Set { kind: Kind::One { parents, .. }, .. }) = self.sets.get_mut(*member) {
                        parents.remove(key);
                    }
                }
            }
        }
        removed
    }

    /// See that there is room for a set of this weight; false if what is there is in use.
    fn make_room(&mut self, weight: usize, now_ms: u64) -> bool {
        let mut steps = HAND_STEPS;
        while self.sets.len() >= self.bounds.max_sets || self.bytes + weight > self.bounds.max_set_bytes {
            let Some(left) = steps.checked_sub(1) else { return false };
            steps = left;
            self.hand = (self.hand + 1) % (self.sets.slots().max(1));
            let Some(key) = self.sets.key(self.hand) else { continue };
            let Some(set) = self.sets.get_mut(key) else { continue };
            let over = set.ends_at_ms <= now_ms;
            let free = matches!(&set.kind, Kind::Many(_))
                || matches!(&set.kind, Kind::One { parents, .. } if parents.is_empty());
            if set.held == 0 && (over || (free && !std::mem::take(&mut set.used))) {
                // What it is in ends no later than it, so that nothing in use goes with it.
                self.remove(key);
            }
        }
        true
    }
}

fn hash_of(sets: &Slab<Set>, hasher: &DefaultHashBuilder, key: Key) -> u64 {
    match sets.get(key) {
        Some(Set { kind: Kind::One { resource, tags, .. }, ends_at_ms, .. }) => {
            hasher.hash_one((resource, &**tags, ends_at_ms))
        }
        _ => 0,
    }
}

//! Sets: what a monitor URL stands for. A set is one resource with its tags, or many of those; its name is a keyed hash
//! of what is in it, so that everybody who was given the same representation waits on the same URL.
//!
//! The table knows of each set the offset of its newest change, which is the canonical position of whoever has seen all
//! of it. It is bounded in sets and bytes: what nobody waits on goes first, and what is not in it counts as gone. A
//! private set ends after a while; a revoked one ends at once, and its contents get another name from then on.
//! Pure: no lock, no clock (`now_ms` is handed in, monotonic). Called by `monitors` under its lock.
use super::key::ResourceKey;
use super::tags::{TagHash, TagTable};
use crate::net::slab::{Key, Slab};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hashbrown::{HashMap, HashSet, HashTable};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// The name of a set: 128 bits that nobody without the key can make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name([u8; 16]);

impl Name {
    /// Characters of its text.
    pub const TEXT_BYTES: usize = 22;

    /// From the text in a URL; exactly what [`fmt::Display`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 16];
        let whole = text.len() == Self::TEXT_BYTES;
        (whole && URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()? == 16).then_some(Self(bytes))
    }

    /// Some of its bits.
    pub(super) fn number(self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; Self::TEXT_BYTES];
        // It fits exactly.
        let _ = URL_SAFE_NO_PAD.encode_slice(self.0, &mut text);
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

/// What a representation's `Link` depends on beside the representation: whether the set is still in the table.
#[derive(Debug)]
pub struct Ticket {
    listed: AtomicBool,
    /// Better registered anew from then on: the set ends not long after.
    renew_at_ms: u64,
}

impl Ticket {
    /// Whether the set can be waited on.
    pub fn is_good(&self, now_ms: u64) -> bool {
        self.listed.load(Relaxed) && now_ms < self.renew_at_ms
    }
}

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
}

/// A resource with what its representation depends on.
#[derive(Clone, Copy, Debug)]
pub struct Contents<'a> {
    /// What it is a representation of.
    pub resource: &'a ResourceKey,
    /// Its own URI and the tags that the application gave.
    pub tags: &'a [TagHash],
    /// The names of the latter.
    pub groups: &'a [Box<str>],
    /// Not everybody is given it.
    pub private: bool,
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

/// Why sets cannot be made one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotUnited {
    /// These are not known, by their place in the list.
    Gone(Vec<usize>),
    /// More resources than this (`max_set_resources`).
    TooMany(usize),
    /// Everything in the table is in use (`max_sets`, `max_set_bytes`).
    Full,
}

enum Kind {
    One {
        resource: ResourceKey,
        /// Sorted.
        tags: Box<[TagHash]>,
        /// The sets of many that it is in.
        parents: HashSet<Key>,
    },
    Many(Box<[Key]>),
}

struct Set {
    name: Name,
    /// The contents without what revoking them changes.
    id: [u8; 32],
    /// Of a private set: when it ends, monotonic.
    ends_at_ms: Option<u64>,
    kind: Kind,
    newest: u64,
    /// Waits that are held.
    held: u32,
    /// Waited on since the hand was here.
    used: bool,
    ticket: Arc<Ticket>,
}

/// Places that the hand looks at before an addition is given up.
const HAND_STEPS: usize = 64;

/// All sets of a node.
pub struct Sets {
    key: [u8; 32],
    bounds: Bounds,
    sets: Slab<Set>,
    by_name: HashMap<Name, Key, RandomState>,
    /// Sets of one, by their contents.
    by_contents: HashTable<Key>,
    by_tag: HashMap<TagHash, HashSet<Key>>,
    /// When each tag, and each id, was last revoked; counts in names.
    revoked: TagTable,
    revocations: u64,
    hand: u32,
    bytes: usize,
    hasher: RandomState,
}

impl Sets {
    /// None yet; `key` makes the names.
    pub fn new(key: [u8; 32], bounds: Bounds) -> Self {
        Self {
            key,
            bounds,
            sets: Slab::default(),
            by_name: HashMap::default(),
            by_contents: HashTable::new(),
            by_tag: HashMap::new(),
            revoked: TagTable::new(bounds.max_sets),
            revocations: 0,
            hand: 0,
            bytes: 0,
            hasher: RandomState::new(),
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

    /// The set of this resource, added if need be; then `newest` gives the newest change of its tags. `None`: there is no
    /// room.
    pub fn register(
        &mut self,
        contents: Contents<'_>,
        now_ms: u64,
        newest: impl FnOnce() -> u64,
    ) -> Option<Registered> {
        let mut tags: Box<[TagHash]> = contents.tags.into();
        tags.sort_unstable();
        // Counted in whole periods, so that all who come in one period get the same name.
        let ends_at_ms =
            contents.private.then(|| (now_ms / self.bounds.private_ms + 2) * self.bounds.private_ms);
        let hash = self.hasher.hash_one((contents.resource, &tags, ends_at_ms));
        let same = |key: &Key| {
            self.sets.get(*key).is_some_and(|set| {
                set.ends_at_ms == ends_at_ms
                    && matches!(&set.kind, Kind::One { resource, tags: its, .. } if *its == tags && resource == contents.resource)
            })
        };
        if let Some(key) = self.by_contents.find(hash, same).copied() {
            return self.registered(key);
        }
        let id = id_of_one(&contents, ends_at_ms);
        let generation = tags.iter().map(|tag| self.revoked.last_change(*tag)).max().unwrap_or(0);
        let name = self.name(&id, generation);
        let weight = weight_of_one(contents.resource, tags.len());
        if !self.make_room(weight, now_ms) {
            return None;
        }
        let resource = contents.resource.clone();
        let kind = Kind::One { resource, tags: tags.clone(), parents: HashSet::new() };
        let key = self.insert(name, id, ends_at_ms, kind, newest());
        for tag in &tags {
            self.by_tag.entry(*tag).or_default().insert(key);
        }
        let Self { by_contents, sets, hasher, .. } = self;
        by_contents.insert_unique(hash, key, |key| hash_of(sets, hasher, *key));
        self.registered(key)
    }

    /// A set of all the resources of these, each with the position up to which a client has seen it; and the position
    /// from which waiting on it misses nothing.
    pub fn unite(&mut self, monitors: &[(Name, u64)], now_ms: u64) -> Result<(Registered, u64), NotUnited> {
        let mut members: Vec<(Key, u64)> = vec![];
        let mut gone = vec![];
        let mut ends_at_ms: Option<u64> = None;
        for (at, (name, offset)) in monitors.iter().enumerate() {
            let Some(key) = self.find(*name, now_ms) else {
                gone.push(at);
                continue;
            };
            let Some(set) = self.sets.get(key) else { continue };
            ends_at_ms = ends_at_ms.into_iter().chain(set.ends_at_ms).min();
            match &set.kind {
                Kind::One { .. } => members.push((key, *offset)),
                Kind::Many(of) => members.extend(of.iter().map(|key| (*key, *offset))),
            }
            if members.len() > self.bounds.max_set_resources * 8 {
                return Err(NotUnited::TooMany(self.bounds.max_set_resources));
            }
        }
        if !gone.is_empty() {
            return Err(NotUnited::Gone(gone));
        }
        members.sort_unstable();
        members.dedup_by_key(|(key, _)| *key);
        if members.len() > self.bounds.max_set_resources {
            return Err(NotUnited::TooMany(self.bounds.max_set_resources));
        }
        let newest = |key: Key| self.sets.get(key).map_or(0, |set| set.newest);
        let missed =
            members.iter().filter(|(key, offset)| newest(*key) > *offset).map(|(key, _)| newest(*key)).min();
        let all = members.iter().map(|(key, _)| newest(*key)).max().unwrap_or(0);
        let since = missed.map_or(all, |first| first - 1);
        let keys: Box<[Key]> = members.iter().map(|(key, _)| *key).collect();
        if let [one] = *keys {
            return self.registered(one).map(|one| (one, since)).ok_or(NotUnited::Full);
        }
        let id = self.id_of_many(&keys);
        let name = self.name(&id, 0);
        let key = match self.by_name.get(&name) {
            Some(key) => *key,
            None => {
                // They are in use from here on: what makes room is not one of them.
                let room = self.with_held(&keys, |sets| sets.make_room(weight_of_many(keys.len()), now_ms));
                if !room {
                    return Err(NotUnited::Full);
                }
                let key = self.insert(name, id, ends_at_ms, Kind::Many(keys.clone()), all);
                for member in &keys {
                    if let Some(Set { kind: Kind::One { parents, .. }, .. }) = self.sets.get_mut(*member) {
                        parents.insert(key);
                    }
                }
                key
            }
        };
        self.registered(key).map(|many| (many, since)).ok_or(NotUnited::Full)
    }

    /// The set of this name, if it can still be waited on; it counts as used.
    pub fn find(&mut self, name: Name, now_ms: u64) -> Option<Key> {
        let key = *self.by_name.get(&name)?;
        let set = self.sets.get_mut(key)?;
        if set.ends_at_ms.is_some_and(|at| at <= now_ms) {
            return None;
        }
        set.used = true;
        Some(key)
    }

    /// The name of a set.
    pub fn name_of(&self, key: Key) -> Option<Name> {
        self.sets.get(key).map(|set| set.name)
    }

    /// The offset of its newest change.
    pub fn newest(&self, key: Key) -> u64 {
        self.sets.get(key).map_or(0, |set| set.newest)
    }

    /// The resources of a set that changed after `since`, each with the offset of its newest change.
    pub fn changes(&self, key: Key, since: u64) -> Vec<(ResourceKey, u64)> {
        let one = |key: Key| match self.sets.get(key)? {
            Set { kind: Kind::One { resource, .. }, newest, .. } if *newest > since => {
                Some((resource.clone(), *newest))
            }
            _ => None,
        };
        match self.sets.get(key).map(|set| &set.kind) {
            Some(Kind::Many(members)) => members.iter().filter_map(|key| one(*key)).collect(),
            Some(Kind::One { .. }) => one(key).into_iter().collect(),
            None => vec![],
        }
    }

    /// These tags changed at `offset`: the sets that somebody waits on and that this concerns.
    pub fn changed(&mut self, tags: &[TagHash], offset: u64) -> Vec<Key> {
        let mut concerned: HashSet<Key> = HashSet::new();
        for ones in tags.iter().filter_map(|tag| self.by_tag.get(tag)) {
            for key in ones {
                concerned.insert(*key);
                if let Some(Set { kind: Kind::One { parents, .. }, .. }) = self.sets.get(*key) {
                    concerned.extend(parents.iter().copied());
                }
            }
        }
        concerned.retain(|key| {
            let Some(set) = self.sets.get_mut(*key) else { return false };
            set.newest = set.newest.max(offset);
            set.held > 0
        });
        concerned.into_iter().collect()
    }

    /// One wait more, or less, is held on a set: it is not given up while there is one.
    pub fn hold(&mut self, key: Key, waits: i32) {
        if let Some(set) = self.sets.get_mut(key) {
            set.held = set.held.saturating_add_signed(waits);
        }
    }

    /// Nobody may wait on this set any more; its contents are called something else from now on. What ended, with it.
    pub fn revoke(&mut self, name: Name) -> Vec<Key> {
        let Some(key) = self.by_name.get(&name).copied() else { return vec![] };
        let Some(set) = self.sets.get(key) else { return vec![] };
        self.revocations += 1;
        self.revoked.changed(revocable(&set.id), self.revocations);
        self.remove(key)
    }

    /// The same for every set that depends on this tag, also for those that are not known at present.
    pub fn revoke_tag(&mut self, tag: TagHash) -> Vec<Key> {
        self.revocations += 1;
        self.revoked.changed(tag, self.revocations);
        let ones: Vec<Key> = self.by_tag.get(&tag).into_iter().flatten().copied().collect();
        ones.into_iter().flat_map(|key| self.remove(key)).collect()
    }

    fn registered(&self, key: Key) -> Option<Registered> {
        let set = self.sets.get(key)?;
        Some(Registered { key, name: set.name, newest: set.newest, ticket: set.ticket.clone() })
    }

    fn name(&self, id: &[u8; 32], generation: u64) -> Name {
        let generation = generation.max(self.revoked.last_change(revocable(id)));
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(id).update(&generation.to_be_bytes());
        let mut name = [0; 16];
        name.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Name(name)
    }

    /// What is in a set of many is said by the names of those: so revoking one of them renames it too.
    fn id_of_many(&self, members: &[Key]) -> [u8; 32] {
        let mut names: Vec<Name> = members.iter().filter_map(|key| self.name_of(*key)).collect();
        names.sort_unstable();
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"many");
        for name in &names {
            hasher.update(&name.0);
        }
        *hasher.finalize().as_bytes()
    }

    fn insert(&mut self, name: Name, id: [u8; 32], ends_at_ms: Option<u64>, kind: Kind, newest: u64) -> Key {
        let renew_at_ms = ends_at_ms.map_or(u64::MAX, |at| at - self.bounds.private_ms / 2);
        let ticket = Arc::new(Ticket { listed: AtomicBool::new(true), renew_at_ms });
        self.bytes += weight(&kind);
        let key = self.sets.insert(Set { name, id, ends_at_ms, kind, newest, held: 0, used: false, ticket });
        self.by_name.insert(name, key);
        key
    }

    /// Take a set out of the table, and those that it is in. Which these are.
    fn remove(&mut self, key: Key) -> Vec<Key> {
        let hash = hash_of(&self.sets, &self.hasher, key);
        let Some(set) = self.sets.remove(key) else { return vec![] };
        set.ticket.listed.store(false, Relaxed);
        self.by_name.remove(&set.name);
        self.bytes -= weight(&set.kind);
        let mut removed = vec![key];
        match set.kind {
            Kind::One { tags, parents, .. } => {
                if let Ok(entry) = self.by_contents.find_entry(hash, |other| *other == key) {
                    entry.remove();
                }
                for tag in &tags {
                    if let Some(keys) = self.by_tag.get_mut(tag) {
                        keys.remove(&key);
                        if keys.is_empty() {
                            self.by_tag.remove(tag);
                        }
                    }
                }
                removed.extend(parents.into_iter().flat_map(|parent| self.remove(parent)));
            }
            Kind::Many(members) => {
                for member in &members {
                    if let Some(Set { kind: Kind::One { parents, .. }, .. }) = self.sets.get_mut(*member) {
                        parents.remove(&key);
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
            let over = set.ends_at_ms.is_some_and(|at| at <= now_ms);
            let free = matches!(&set.kind, Kind::Many(_))
                || matches!(&set.kind, Kind::One { parents, .. } if parents.is_empty());
            if set.held == 0 && (over || (free && !std::mem::take(&mut set.used))) {
                // What it is in ends no later than it, so that nothing in use goes with it.
                self.remove(key);
            }
        }
        true
    }

    fn with_held<T>(&mut self, keys: &[Key], f: impl FnOnce(&mut Self) -> T) -> T {
        keys.iter().for_each(|key| self.hold(*key, 1));
        let done = f(self);
        keys.iter().for_each(|key| self.hold(*key, -1));
        done
    }
}

/// What stands for a set in the table of what was revoked.
fn revocable(id: &[u8; 32]) -> TagHash {
    TagHash::of(&URL_SAFE_NO_PAD.encode(id))
}

fn id_of_one(contents: &Contents<'_>, ends_at_ms: Option<u64>) -> [u8; 32] {
    let mut groups: Vec<&str> = contents.groups.iter().map(|group| &**group).collect();
    groups.sort_unstable();
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"one").update(&ends_at_ms.unwrap_or(0).to_be_bytes());
    for part in std::iter::once(contents.resource.as_str()).chain(groups) {
        hasher.update(&(part.len() as u64).to_be_bytes()).update(part.as_bytes());
    }
    *hasher.finalize().as_bytes()
}

fn hash_of(sets: &Slab<Set>, hasher: &RandomState, key: Key) -> u64 {
    match sets.get(key) {
        Some(Set { kind: Kind::One { resource, tags, .. }, ends_at_ms, .. }) => {
            hasher.hash_one((resource, tags, ends_at_ms))
        }
        _ => 0,
    }
}

/// Bytes that a set takes, with its entries in the indices, about.
fn weight(kind: &Kind) -> usize {
    match kind {
        Kind::One { resource, tags, .. } => weight_of_one(resource, tags.len()),
        Kind::Many(members) => weight_of_many(members.len()),
    }
}

fn weight_of_one(resource: &ResourceKey, tags: usize) -> usize {
    size_of::<Set>() + 128 + resource.as_str().len() + tags * 80
}

fn weight_of_many(members: usize) -> usize {
    size_of::<Set>() + 128 + members * 32
}

//! Sets of many, and what sets consist of.
use super::{Registered, Sets};
use crate::net::slab::Key;
use crate::resource::key::ResourceKey;
use crate::resource::set::{Kind, NEVER, Name, Set, revocable, weight_of_many};

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

impl Sets {
    /// A set of all the resources of these, each with the position up to which a client has seen it; and the position
    /// from which waiting on it misses nothing.
    pub fn unite(&mut self, monitors: &[(Name, u64)], now_ms: u64) -> Result<(Registered, u64), NotUnited> {
        let mut members: Vec<(Key, u64)> = vec![];
        let mut gone = vec![];
        let mut ends_at_ms = NEVER;
        for (at, (name, offset)) in monitors.iter().enumerate() {
            let Some(key) = self.find(*name, now_ms) else {
                gone.push(at);
                continue;
            };
            let Some(set) = self.sets.get(key) else { continue };
            ends_at_ms = ends_at_ms.min(set.ends_at_ms);
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
        let revocable = revocable(&id);
        let name = self.name(&id, self.revoked.last_change(revocable));
        let key = match self.named(name) {
            Some(key) => key,
            None => {
                // They are in use from here on: what makes room is not one of them.
                let room = self.with_held(&keys, |sets| sets.make_room(weight_of_many(keys.len()), now_ms));
                if !room {
                    return Err(NotUnited::Full);
                }
                let key = self.insert(name, revocable, ends_at_ms, Kind::Many(keys.clone()), all);
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

    /// The resources of a set that everybody may read.
    pub fn public_resources(&self, key: Key) -> Vec<ResourceKey> {
        let public = |key: &Key| match self.sets.get(*key)? {
            Set { kind: Kind::One { resource, .. }, ends_at_ms: NEVER, .. } => Some(resource.clone()),
            _ => None,
        };
        self.member_keys(key).iter().filter_map(public).collect()
    }

    /// The sets of one that a set consists of.
    pub(super) fn member_keys(&self, key: Key) -> Vec<Key> {
        match self.sets.get(key).map(|set| &set.kind) {
            Some(Kind::Many(members)) => members.to_vec(),
            Some(Kind::One { .. }) => vec![key],
            None => vec![],
        }
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

    fn with_held<T>(&mut self, keys: &[Key], f: impl FnOnce(&mut Self) -> T) -> T {
        keys.iter().for_each(|key| self.hold(*key, 1));
        let done = f(self);
        keys.iter().for_each(|key| self.hold(*key, -1));
        done
    }
}

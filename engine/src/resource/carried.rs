//! Small public bodies that ride in the answers to waits: which resources of a set are read for that, and whether an
//! answer still waits for such a read.
//!
//! While somebody waits on a set, its public resources are watched like those of any watcher, so that a change has each
//! read once; the answer to the wait goes out with what that read brought. Pure; called by `monitors` under its lock.
use super::key::ResourceKey;
use super::representation::Representation;
use crate::hub::TopicId;
use hashbrown::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A resource whose body rides along.
#[derive(Debug)]
pub struct Carry {
    /// The watch that reads it.
    pub topic: TopicId,
    /// The shard through which it is watched.
    pub shard: u8,
    /// What is read.
    pub resource: ResourceKey,
    /// What the last read brought.
    pub latest: Arc<Representation>,
    /// What was there before that.
    pub before: Option<Arc<Representation>>,
}

/// A body for an answer.
#[derive(Clone, Debug)]
pub struct Body {
    /// Whose.
    pub resource: ResourceKey,
    /// What it is now.
    pub read: Arc<Representation>,
    /// What it was before.
    pub before: Option<Arc<Representation>>,
}

impl PartialEq for Body {
    fn eq(&self, other: &Self) -> bool {
        self.resource == other.resource && self.read.etag == other.read.etag
    }
}

/// What is carried for one set.
#[derive(Debug, Default)]
pub(super) struct Carried {
    carries: Vec<Carry>,
    /// Reads that an answer waits for.
    pending: HashSet<TopicId>,
    /// When the change happened that it is the answer to.
    pub(super) since: Option<Instant>,
}

impl Carried {
    pub(super) fn add(&mut self, carry: Carry) {
        self.carries.push(carry);
    }

    /// Nobody waits any more: what is no longer carried.
    pub(super) fn into_watches(self) -> impl Iterator<Item = (u8, TopicId)> {
        self.carries.into_iter().map(|carry| (carry.shard, carry.topic))
    }

    /// The resources among these have just changed. Whether their answer waits.
    pub(super) fn changed(&mut self, changes: &[(ResourceKey, u64)], announced: Instant) -> bool {
        let carries = |resource: &ResourceKey| self.carries.iter().find(|carry| carry.resource == *resource);
        let reads: Vec<TopicId> =
            changes.iter().filter_map(|(resource, _)| carries(resource)).map(|carry| carry.topic).collect();
        self.pending.extend(&reads);
        if !reads.is_empty() {
            self.since.get_or_insert(announced);
        }
        !reads.is_empty()
    }

    /// A read has ended with this, or with nothing. `newest`: when each resource of the set last changed. Whether nothing
    /// is waited for any more.
    pub(super) fn landed(
        &mut self,
        topic: TopicId,
        read: Option<&Arc<Representation>>,
        newest: &[(ResourceKey, u64)],
    ) -> bool {
        if let Some(carry) = self.carries.iter_mut().find(|carry| carry.topic == topic)
            && let Some(read) = read
        {
            if read.etag != carry.latest.etag {
                carry.before = Some(std::mem::replace(&mut carry.latest, read.clone()));
            } else {
                carry.latest = read.clone();
            }
            let changed = newest.iter().find(|(resource, _)| *resource == carry.resource);
            if changed.is_some_and(|(_, offset)| read.position.offset < *offset) {
                // It changed again meanwhile, and is read again.
                return false;
            }
        }
        self.pending.remove(&topic) && self.pending.is_empty()
    }

    /// Whether an answer waits, and whether it has waited for longer than `longest`: then it waits no more.
    pub(super) fn is_late(&mut self, now: Instant, longest: Duration) -> (bool, bool) {
        let waits = !self.pending.is_empty();
        let late = waits && self.since.is_none_or(|since| now.saturating_duration_since(since) >= longest);
        if late {
            self.pending.clear();
        }
        (waits, late)
    }

    /// The bodies of what changed, as far as they show it.
    pub(super) fn bodies(&self, changes: &[(ResourceKey, u64)]) -> Vec<Body> {
        let body = |(resource, offset): &(ResourceKey, u64)| {
            let carry = self.carries.iter().find(|carry| carry.resource == *resource)?;
            let shown = carry.latest.position.offset >= *offset;
            let (read, before) = (carry.latest.clone(), carry.before.clone());
            shown.then(|| Body { resource: resource.clone(), read, before })
        };
        changes.iter().filter_map(body).collect()
    }
}

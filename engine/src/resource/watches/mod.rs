//! Watched variants: which there are, what their newest representation is, and when they must be read again.
//!
//! A variant is read again exactly when a cache would have to: one of its tags changed after it was read, or its
//! lifetime ended. One read of a variant runs at a time, however many changes there are; a change that comes during a
//! read makes one more read after it, so the last state always arrives. A read that failed is tried again later.
//!
//! Pure state under one lock: who reads, and who is told, is the shards' business ([`Reader`], [`Hub`]). Here is what is
//! looked up; one file each for: who watches, the changes that watches hear of, and the reads that show them.
mod changes;
mod reads;
mod watchers;

use super::key::{ResourceKey, VariantKey};
use super::representation::Representation;
use super::watch::{Notices, Reader};
use super::watched::State;
use crate::hub::{Hub, TopicId};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// All watched variants of a node.
pub struct Watches {
    state: Mutex<State>,
    hub: Arc<Hub>,
    reader: Arc<dyn Reader>,
    notices: Arc<dyn Notices>,
    max_watched: usize,
    /// Watchers are told of no change after this one: those wait until the caches in front have been purged.
    announced: AtomicU64,
}

impl Watches {
    /// None yet.
    pub fn new(
        hub: Arc<Hub>,
        reader: Arc<dyn Reader>,
        notices: Arc<dyn Notices>,
        max_watched: usize,
    ) -> Self {
        let announced = AtomicU64::new(u64::MAX);
        Self { state: Mutex::default(), hub, reader, notices, max_watched, announced }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many variants are watched.
    pub fn len(&self) -> usize {
        self.state().watches.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// By what the watched variants of a resource are chosen.
    pub fn vary(&self, resource: &ResourceKey) -> Option<Arc<[Box<str>]>> {
        self.state().vary.get(resource).map(|(vary, _)| vary.clone())
    }

    /// Whether the resource is watched, or was not long ago.
    pub fn knows(&self, resource: &ResourceKey) -> bool {
        let state = self.state();
        state.vary.contains_key(resource) || state.ghosts.knows(resource)
    }

    /// The newest representation of a variant, if it is watched.
    pub fn newest(&self, key: &VariantKey) -> Option<Arc<Representation>> {
        let state = self.state();
        state.watches.get(state.by_key.get(key)?).map(|watch| watch.current.clone())
    }

    /// The newest representation of a watched variant, under its key.
    pub fn current(&self, topic: TopicId) -> Option<(VariantKey, Arc<Representation>)> {
        self.state().watches.get(&topic).map(|watch| (watch.key.clone(), watch.current.clone()))
    }
}

//! What is known of each watched variant, and by what it is found.
//! Used by `watches` alone, under its lock.
use super::flights::Waiter;
use super::ghosts::Ghosts;
use super::key::{ResourceKey, VariantKey};
use super::landed::Landed;
use super::representation::Representation;
use super::tags::TagHash;
use super::watch::Source;
use crate::hub::TopicId;
use hashbrown::{HashMap, HashSet};
use std::collections::BTreeMap;
use std::hash::RandomState;
use std::sync::Arc;
use std::time::Instant;

/// One watched variant.
pub(super) struct Watch {
    pub(super) key: VariantKey,
    pub(super) source: Arc<Source>,
    /// The shard that reads it.
    pub(super) home: u8,
    pub(super) current: Arc<Representation>,
    /// Position of the newest read that succeeded.
    pub(super) read_at: u64,
    /// Offset of the newest change that concerns it.
    pub(super) needed: u64,
    /// When the oldest change that no read has reflected was announced.
    pub(super) announced: Option<Instant>,
    /// Watchers are told of `current` when the changes up to this one have left the caches in front.
    pub(super) untold: Option<u64>,
    pub(super) reading: bool,
    /// Changes need not be told any more until its read begins, which will show them all.
    pub(super) deaf: bool,
    /// Position of the newest read that began.
    pub(super) began_at: u64,
    /// When its home will see whether its lifetime has ended.
    pub(super) look_at_ms: Option<u64>,
    pub(super) failures: u32,
    pub(super) watchers: u32,
    /// Who waits for the read under way.
    pub(super) waiters: Vec<Waiter>,
}

impl Watch {
    /// Somebody was given something else at this position: who resumes from there, or from before, may not have what is
    /// current.
    pub(super) fn doubt(&mut self, offset: u64) {
        if offset >= self.current.since {
            let mut current = self.current.copy();
            current.since = offset + 1;
            self.current = Arc::new(current);
        }
    }
}

/// All of them.
#[derive(Default)]
pub(super) struct State {
    pub(super) watches: HashMap<TopicId, Watch>,
    pub(super) by_key: HashMap<VariantKey, TopicId, RandomState>,
    /// What must be told of a change of each tag.
    pub(super) by_tag: HashMap<TagHash, HashSet<TopicId>>,
    /// By what a resource's variants are chosen, and how many of them are watched.
    pub(super) vary: HashMap<ResourceKey, Varied, RandomState>,
    pub(super) ghosts: Ghosts,
    pub(super) landed: Landed,
    /// The watches that have something untold, by when it is told.
    pub(super) untold: BTreeMap<u64, Vec<TopicId>>,
}

/// The names of the fields, and how many variants chosen by them are watched.
pub(super) type Varied = (Arc<[Box<str>]>, usize);

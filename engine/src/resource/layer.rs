//! The resource layer of a node as one thing: its log, its tags, its cache, its watches and flights.
use super::cache::Cache;
use super::flights::Flights;
use super::freshness;
use super::position::{Epoch, Position};
use super::representation::Representation;
use super::tags::{BadTag, TagHash, TagTable, check_tags};
use super::watch::{Notices, Reader};
use super::watches::Watches;
use crate::broker::memory::Log;
use crate::hub::Hub;
use crate::limits::Options;
use crate::metrics::Metrics;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

/// What decides whether a copy is fresh, and knows who has one.
pub struct Resources {
    /// Which log the positions belong to: another one at every start.
    pub epoch: Epoch,
    /// Keys the salts of variants' positions.
    pub salt_key: [u8; 32],
    /// The order of changes.
    pub log: Log,
    tags: RwLock<TagTable>,
    /// Representations kept for later GETs.
    pub cache: Cache,
    /// Watched variants.
    pub watches: Watches,
    /// Reads that others wait for.
    pub flights: Flights,
    metrics: Arc<Metrics>,
    max_tags: usize,
    max_tag_bytes: usize,
}

impl Resources {
    /// Nothing known yet.
    pub fn new(
        options: &Options,
        epoch: Epoch,
        salt_key: [u8; 32],
        hub: Arc<Hub>,
        reader: Arc<dyn Reader>,
        notices: Arc<dyn Notices>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            epoch,
            salt_key,
            log: Log::default(),
            tags: RwLock::new(TagTable::new(options.max_known_tags)),
            cache: Cache::new(options.max_cache_bytes),
            watches: Watches::new(hub, reader, notices, options.max_watched),
            flights: Flights::default(),
            metrics,
            max_tags: options.max_tags,
            max_tag_bytes: options.max_tag_bytes,
        }
    }

    /// An offset of this log as a position.
    pub fn position(&self, offset: u64) -> Position {
        Position { epoch: self.epoch, offset }
    }

    /// The tags of one response or one change, checked against the limits.
    pub fn check<'a>(&self, tags: impl IntoIterator<Item = &'a str>) -> Result<Vec<Box<str>>, BadTag> {
        check_tags(tags, self.max_tags, self.max_tag_bytes)
    }

    /// These tags changed: copies that depend on them are no longer fresh, and watched ones are read again.
    pub fn changed(&self, tags: &[TagHash]) -> u64 {
        let now = Instant::now();
        let offset = self.log.append(|offset| {
            let mut table = self.tags.write().unwrap_or_else(PoisonError::into_inner);
            tags.iter().for_each(|tag| table.changed(*tag, offset));
        });
        self.watches.changed(tags, offset, now);
        self.metrics.changes.fetch_add(1, Relaxed);
        offset
    }

    /// Whether a copy may be used.
    pub fn is_fresh(&self, representation: &Representation, now_ms: u64) -> bool {
        if freshness::known_fresh(representation, self.log.last_change(), now_ms) {
            return true;
        }
        let table = self.tags.read().unwrap_or_else(PoisonError::into_inner);
        freshness::fresh(representation, &table, now_ms)
    }

    /// Whether a copy that is no longer fresh is so because its lifetime ended, and nothing else.
    pub fn is_unchanged(&self, representation: &Representation) -> bool {
        let table = self.tags.read().unwrap_or_else(PoisonError::into_inner);
        freshness::unchanged(representation, &table)
    }

    /// The newest change of any of these tags.
    pub fn newest_change(&self, tags: &[TagHash]) -> u64 {
        let table = self.tags.read().unwrap_or_else(PoisonError::into_inner);
        tags.iter().map(|tag| table.last_change(*tag)).max().unwrap_or(0)
    }
}

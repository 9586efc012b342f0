//! The resource layer of a node as one thing: its log, its tags, its cache, its watches and flights.
use super::cache::Cache;
use super::flights::Flights;
use super::freshness;
use super::key::{ResourceKey, VariantKey};
use super::monitors::{Link, Monitors};
use super::policy;
use super::position::{Epoch, Position};
use super::purges::{Due, Held, Purges, Wake};
use super::representation::Representation;
use super::set::Contents;
use super::sets::Bounds;
use super::tags::{BadTag, TagHash, TagTable, check_tags, uri_tag};
use super::watch::{Notices, Reader};
use super::watches::Watches;
use crate::broker::memory::Log;
use crate::http::fields::Fields;
use crate::hub::Hub;
use crate::limits::Options;
use crate::metrics::Metrics;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

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
    /// What is waited on by its set.
    pub monitors: Monitors,
    /// Reads that others wait for.
    pub flights: Flights,
    /// What must leave the caches in front, if anybody purges them.
    purges: OnceLock<Purges>,
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
        let bounds = Bounds {
            max_sets: options.max_sets,
            max_set_bytes: options.max_set_bytes,
            max_set_resources: options.max_set_resources,
            max_rereads_per_s: options.max_rereads_per_s,
            private_ms: (options.private_set_s * 1000.0).max(1000.0) as u64,
        };
        // Whom nothing is pinned for must find everything in the caches as it is.
        let carry = (options.notice_body_bytes > 0 && options.pin)
            .then(|| Duration::try_from_secs_f64(options.notice_timeout_s).unwrap_or_default());
        Self {
            epoch,
            salt_key,
            log: Log::default(),
            tags: RwLock::new(TagTable::new(options.max_known_tags)),
            cache: Cache::new(options.max_cache_bytes),
            monitors: Monitors::new(salt_key, bounds, hub.clone(), notices.clone(), carry),
            watches: Watches::new(hub, reader, notices, options.max_watched),
            flights: Flights::default(),
            purges: OnceLock::new(),
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

    /// These tags and resources changed: copies that depend on them are no longer fresh, and watched ones are read
    /// again, at once or when they have been purged from the caches in front.
    pub fn changed<T: AsRef<str>>(&self, tags: &[T], resources: &[ResourceKey]) -> u64 {
        let now = Instant::now();
        let hashes = || resources.iter().map(uri_tag).chain(tags.iter().map(|tag| TagHash::of(tag.as_ref())));
        let hashes: Vec<TagHash> = hashes().collect();
        let purges = self.purges.get();
        let mut overflowed = None;
        let offset = self.log.append(|offset| {
            overflowed = purges.and_then(|purges| purges.enter(tags, resources, &hashes, offset, now));
            let mut table = self.tags.write().unwrap_or_else(PoisonError::into_inner);
            hashes.iter().for_each(|tag| table.changed(*tag, offset));
        });
        self.metrics.changes.fetch_add(1, Relaxed);
        match (purges, overflowed) {
            (Some(_), Some(held)) => self.announce(vec![held]),
            (Some(_), None) => {}
            (None, _) => self.tell(&hashes, offset, now),
        }
        offset
    }

    /// From now on, collect what must leave the caches in front; `wake` is called when there is something. Only the
    /// first call counts.
    pub fn purge_with(&self, options: &Options, wake: Wake) {
        let purges = self.purges.get_or_init(|| Purges::new(options, wake));
        if purges.holds() {
            self.watches.hold_after(self.log.head());
        }
    }

    /// Take what must leave the caches in front; `None`: nobody purges them.
    pub fn purges_due(&self) -> Option<Due> {
        self.purges.get().map(Purges::take)
    }

    /// All changes up to `offset` have left the caches in front, or will not for all waiting.
    pub fn purged(&self, offset: u64) {
        self.announce(self.purges.get().map(|purges| purges.release(offset)).unwrap_or_default());
    }

    /// Announce what has waited for its purge for too long.
    pub fn announce_overdue(&self) {
        let overdue = self.purges.get().map(|purges| purges.overdue(Instant::now())).unwrap_or_default();
        self.metrics.purges_overdue.fetch_add(overdue.len() as u64, Relaxed);
        self.announce(overdue);
    }

    /// Tell of changes, in their order.
    fn announce(&self, changes: Vec<Held>) {
        for Held { tags, offset, since } in changes {
            self.tell(&tags, offset, since);
        }
    }

    fn tell(&self, tags: &[TagHash], offset: u64, since: Instant) {
        // First those who may wait for what a watch reads: it may be read at once.
        self.monitors.changed(tags, offset, since);
        self.watches.changed(tags, offset, since);
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

    /// A client was given this outside of a watch: who watches hears of it, and later GETs get it if it is `storable` and
    /// nothing newer was given out. `vary` is what the variant's selectors were taken by.
    pub fn given(&self, variant: VariantKey, vary: &[Box<str>], read: &Arc<Representation>, storable: bool) {
        match self.watches.saw(&variant, read, |read| self.newest_change(&read.tags)) {
            Some(newest) if storable => self.cache.insert(variant, vary, newest),
            Some(_) => {}
            // What is kept may be older all the same than what this client has now.
            None => {
                self.cache.remove_if(&variant, |kept| kept.position.offset < read.position.offset);
            }
        }
    }

    /// What is kept of a resource, if it may ride in the answer to a wait: public, one for all, and small.
    pub fn riding(&self, resource: &ResourceKey, max_bytes: usize) -> Option<Arc<Representation>> {
        let kept = self.cache.lookup(resource, &Fields::default(), false)?;
        let one_for_all = self.cache.vary(resource).is_some_and(|vary| vary.is_empty());
        let small = kept.text && kept.body.len() <= max_bytes;
        (kept.status == 200 && kept.reusable && !kept.is_private() && one_for_all && small).then_some(kept)
    }

    /// From where a representation can be waited on.
    pub fn link(&self, contents: Contents<'_>, now_ms: u64) -> Option<Link> {
        // What is not announced yet will be, to whoever has its link from here.
        let newest = || self.newest_change(contents.tags).min(self.watches.announced());
        self.monitors.link(contents, now_ms, newest)
    }

    /// Hand the link of a representation to `write`, if it can be waited on; another one if that of before has ended.
    pub fn with_link<T>(
        &self,
        representation: &Representation,
        resource: &ResourceKey,
        now_ms: u64,
        write: impl FnOnce(&Link) -> T,
    ) -> Option<T> {
        if !policy::is_representation(representation.status) {
            return None;
        }
        let good = |link: &&Link| link.ticket.is_good(now_ms);
        // Nothing is written to what all threads read: this is on the way of every hit.
        if let Some(link) = representation.link.get().filter(good) {
            return Some(write(link));
        }
        let mut relinked = representation.relinked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(link) = relinked.as_deref().filter(good) {
            return Some(write(link));
        }
        let Representation { tags, groups, position, expires_at_ms, .. } = representation;
        let (private, position, expires_at_ms) =
            (representation.is_private(), position.offset, *expires_at_ms);
        let contents = Contents { resource, tags, groups, private, position, expires_at_ms };
        let link = self.link(contents, now_ms)?;
        let written = write(&link);
        if let Err(link) = representation.link.set(link) {
            *relinked = Some(link.into());
        }
        Some(written)
    }
}

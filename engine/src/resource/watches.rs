//! Watched variants: which there are, what their newest representation is, and when they must be read again.
//!
//! A variant is read again exactly when a cache would have to: one of its tags changed after it was read, or its
//! lifetime ended. One read of a variant runs at a time, however many changes there are; a change that comes during a
//! read makes one more read after it, so the last state always arrives. A read that failed is tried again later.
//!
//! Pure state under one lock: who reads, and who is told, is the shards' business ([`Reader`], [`Hub`]).
use super::flights::Waiter;
use super::key::{ResourceKey, VariantKey};
use super::policy::is_representation;
use super::representation::Representation;
use super::tags::TagHash;
use super::watch::{Landing, Next, Notices, Opened, Outcome, Reader, Source};
use super::watched::{State, Watch};
use crate::hub::{Hub, TopicId};
use hashbrown::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Nobody is told to look later than this, milliseconds: what is to be done is kept until then, also for a watch that has
/// gone.
const LONGEST_LOOK_MS: u64 = 60_000;

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

    /// A client was given this representation outside of a watch: whoever watches the variant gets it too, and if it
    /// differs from what a watcher that left may have, that watcher no longer counts as up to date. False: something
    /// else was given out at a later position, so that nobody else should get this.
    pub fn saw(
        &self,
        key: &VariantKey,
        read: &Representation,
        changed: impl FnOnce(&Representation) -> u64,
    ) -> bool {
        let mut state = self.state();
        let topic = state.by_key.get(key).copied();
        let Some((topic, watch)) = topic.and_then(|topic| Some((topic, state.watches.get_mut(&topic)?)))
        else {
            state.ghosts.saw(key, read);
            return state.landed.note(&key.resource, read, read.position.offset);
        };
        let newest = read.position.offset >= watch.read_at || read.same_as(&watch.current);
        // What is a refusal, or a way to somewhere else: whether the watch ends is for its own re-read to find out.
        if !is_representation(read.status) {
            watch.doubt(read.position.offset);
        } else {
            self.absorb(&mut state, topic, read.copy(), changed);
            self.see_to(&mut state, topic);
        }
        newest
    }

    /// The newest representation of a watched variant, under its key.
    pub fn current(&self, topic: TopicId) -> Option<(VariantKey, Arc<Representation>)> {
        self.state().watches.get(&topic).map(|watch| (watch.key.clone(), watch.current.clone()))
    }

    /// Wait for the read of a watched variant that is under way, or about to be; false if there is none. `reusing`: only
    /// a representation that may be reused is of use.
    pub fn await_read(&self, key: &VariantKey, waiter: Waiter, reusing: bool) -> bool {
        let mut state = self.state();
        let Some(topic) = state.by_key.get(key).copied() else { return false };
        let Some(watch) = state.watches.get_mut(&topic) else { return false };
        let coming = watch.reading || (watch.needed > watch.read_at && watch.failures == 0);
        if !coming || (reusing && !watch.current.reusable) {
            return false;
        }
        watch.waiters.push(waiter);
        true
    }

    /// Join a watch that exists, if `fresh` says that its representation may be used.
    pub fn join(
        &self,
        shard: u8,
        key: &VariantKey,
        fresh: impl FnOnce(&Representation) -> bool,
    ) -> Option<Opened> {
        let mut state = self.state();
        let topic = *state.by_key.get(key)?;
        let watch = state.watches.get_mut(&topic)?;
        if watch.current.since > watch.read_at || !fresh(&watch.current) {
            return None;
        }
        watch.watchers += 1;
        let version = self.hub.join(topic, shard as usize);
        Some(Opened { topic, version, current: watch.current.clone(), created: false })
    }

    /// Watch a variant that was just read. `changed` gives the newest change of the representation's tags: whatever
    /// came during the read is seen either there or by [`Watches::changed`]. `None`: too many are watched.
    pub fn open(
        &self,
        shard: u8,
        key: &VariantKey,
        vary: &[Box<str>],
        source: Source,
        mut read: Representation,
        changed: impl FnOnce(&Representation) -> u64,
    ) -> Option<Opened> {
        let mut state = self.state();
        if let Some(&topic) = state.by_key.get(key) {
            self.absorb(&mut state, topic, read, changed);
            self.see_to(&mut state, topic);
            let watch = state.watches.get_mut(&topic)?;
            watch.watchers += 1;
            let version = self.hub.join(topic, shard as usize);
            return Some(Opened { topic, version, current: watch.current.clone(), created: false });
        }
        if state.watches.len() >= self.max_watched {
            return None;
        }
        if let Some(since) = state.ghosts.revive(key, &read) {
            read.since = since;
        }
        state.landed.settle(&key.resource, &mut read);
        let topic = self.hub.create();
        let current = Arc::new(read);
        let watch = Watch {
            key: key.clone(),
            source: Arc::new(source),
            home: shard,
            read_at: current.position.offset,
            needed: changed(&current).max(current.since.saturating_sub(1)),
            current: current.clone(),
            announced: None,
            untold: None,
            reading: false,
            deaf: false,
            began_at: 0,
            look_at_ms: None,
            failures: 0,
            watchers: 1,
            waiters: vec![],
        };
        if watch.needed > watch.read_at {
            self.reader.read_again(shard, topic);
        }
        for tag in &current.tags {
            state.by_tag.entry(*tag).or_default().insert(topic);
        }
        state.watches.insert(topic, watch);
        let entry = state.vary.entry(key.resource.clone()).or_insert_with(|| (vary.into(), 0));
        if *entry.0 != *vary {
            entry.0 = vary.into();
        }
        entry.1 += 1;
        state.by_key.insert(key.clone(), topic);
        self.hub.publish(topic, false, None, self.notices.representation(current.clone()));
        let version = self.hub.join(topic, shard as usize);
        Some(Opened { topic, version, current, created: true })
    }

    /// A watcher has gone. The key of the variant if it was the last one; while it is being read it goes on being
    /// watched by nobody, so that who comes back does not have it read twice at a time.
    pub fn leave(&self, shard: u8, topic: TopicId) -> Option<VariantKey> {
        self.hub.leave(topic, shard as usize);
        let mut state = self.state();
        let watch = state.watches.get_mut(&topic)?;
        watch.watchers -= 1;
        if watch.watchers > 0 || watch.reading {
            return None;
        }
        self.bury(&mut state, topic)
    }

    /// Forget a watch that nobody is left of, but for what a watcher that comes back may have.
    fn bury(&self, state: &mut State, topic: TopicId) -> Option<VariantKey> {
        let watch = self.remove(state, topic)?;
        state.ghosts.remember(watch.key.clone(), &watch.current);
        Some(watch.key)
    }

    /// Changes after `offset` are announced when [`Watches::changed`] is told of them, and not before: not even by a
    /// client's own read, which shows them at once.
    pub fn hold_after(&self, offset: u64) {
        self.announced.store(offset, SeqCst);
    }

    /// The newest change that was announced; larger than any if none is held.
    pub fn announced(&self) -> u64 {
        self.announced.load(SeqCst)
    }

    fn holds(&self) -> bool {
        self.announced.load(SeqCst) != u64::MAX
    }

    /// These tags changed at `offset`: see that whatever depends on them is read again. Changes come in order.
    pub fn changed(&self, tags: &[TagHash], offset: u64, now: Instant) {
        self.announced.fetch_max(offset, SeqCst);
        let mut state = self.state();
        let State { watches, by_tag, untold, .. } = &mut *state;
        while let Some(entry) = untold.first_entry().filter(|entry| *entry.key() <= offset) {
            let (shows, topics) = entry.remove_entry();
            for topic in topics {
                let Some(watch) = watches.get_mut(&topic) else { continue };
                if watch.untold.take_if(|untold| *untold == shows).is_some() {
                    let payload = self.notices.representation(watch.current.clone());
                    self.hub.publish(topic, false, Some(now), payload);
                }
            }
        }
        for tag in tags {
            let Some(topics) = by_tag.get_mut(tag) else { continue };
            topics.retain(|topic| {
                let Some(watch) = watches.get_mut(topic) else { return false };
                if watch.read_at >= offset {
                    return true;
                }
                let asked = watch.needed > watch.read_at;
                if watch.needed < offset {
                    watch.needed = offset;
                    watch.announced.get_or_insert(now);
                    if !asked && !watch.reading {
                        self.reader.read_again(watch.home, *topic);
                    }
                }
                // Whatever changes until its next read begins, that read will show it: a tag that changes a thousand
                // times a second is not looked through a thousand times.
                watch.deaf = true;
                false
            });
            if topics.is_empty() {
                by_tag.remove(tag);
            }
        }
    }

    /// It hears of changes again.
    fn listen(by_tag: &mut HashMap<TagHash, HashSet<TopicId>>, topic: TopicId, watch: &mut Watch) {
        if std::mem::take(&mut watch.deaf) {
            for tag in &watch.current.tags {
                by_tag.entry(*tag).or_default().insert(topic);
            }
        }
    }

    /// When the home shard must see whether a variant's lifetime has ended, unless it will do so before.
    pub fn next_look(&self, topic: TopicId, now_ms: u64) -> Option<u64> {
        let mut state = self.state();
        let watch = state.watches.get_mut(&topic)?;
        let at = watch.current.expires_at_ms?.min(now_ms + LONGEST_LOOK_MS);
        if watch.look_at_ms.is_some_and(|before| before <= at) {
            return None;
        }
        watch.look_at_ms = Some(at);
        Some(at)
    }

    /// The home shard looks, as [`Watches::next_look`] told it to: whether the lifetime has ended. `None`: there is no
    /// need to look any more.
    pub fn look(&self, topic: TopicId, at_ms: u64, now_ms: u64) -> Option<bool> {
        let mut state = self.state();
        let watch = state.watches.get_mut(&topic)?;
        if watch.look_at_ms != Some(at_ms) {
            return None;
        }
        watch.look_at_ms = None;
        Some(watch.current.expires_at_ms.is_some_and(|at| at <= now_ms))
    }

    /// Whether a read that failed must still be tried again: a client's own may have done instead.
    pub fn wants_retry(&self, topic: TopicId) -> bool {
        self.state().watches.get(&topic).is_some_and(|watch| watch.failures > 0)
    }

    /// The home shard begins a read: how, and at the position that it takes. `None`: one is under way, or the watch has
    /// gone.
    pub fn begin_read(&self, topic: TopicId, position: impl FnOnce() -> u64) -> Option<(Arc<Source>, u64)> {
        let mut state = self.state();
        let State { watches, by_tag, .. } = &mut *state;
        let watch = watches.get_mut(&topic)?;
        if std::mem::replace(&mut watch.reading, true) {
            return None;
        }
        Self::listen(by_tag, topic, watch);
        watch.began_at = position();
        Some((watch.source.clone(), watch.began_at))
    }

    /// A read has ended: tell the watchers if the representation differs, and say what is next, and who waited for it.
    pub fn end_read(
        &self,
        topic: TopicId,
        outcome: Outcome,
        changed: impl FnOnce(&Representation) -> u64,
    ) -> (Next, Landing) {
        let mut state = self.state();
        let Some(watch) = state.watches.get_mut(&topic) else { return (Next::Over, Landing::default()) };
        watch.reading = false;
        let landing = Landing {
            waiters: std::mem::take(&mut watch.waiters),
            alone: matches!(outcome, Outcome::Failed),
        };
        (self.conclude(&mut state, topic, outcome, changed), landing)
    }

    fn conclude(
        &self,
        state: &mut State,
        topic: TopicId,
        outcome: Outcome,
        changed: impl FnOnce(&Representation) -> u64,
    ) -> Next {
        let Some(watch) = state.watches.get_mut(&topic) else { return Next::Over };
        let (payload, announced) = match outcome {
            // What a client was answered since is newer.
            Outcome::Gone(..) | Outcome::Reset if watch.began_at < watch.read_at && watch.watchers > 0 => {
                return Next::Again;
            }
            Outcome::Failed if watch.watchers > 0 => {
                watch.failures = watch.failures.saturating_add(1);
                return Next::Pause(watch.failures);
            }
            Outcome::Read(read) => {
                watch.failures = 0;
                self.absorb(state, topic, *read, changed);
                return match state.watches.get(&topic) {
                    Some(watch) if watch.watchers == 0 => {
                        self.bury(state, topic);
                        Next::Over
                    }
                    Some(watch) if watch.needed > watch.read_at => Next::Again,
                    Some(_) => Next::Rest,
                    None => Next::Over,
                };
            }
            Outcome::Failed => {
                self.bury(state, topic);
                return Next::Over;
            }
            Outcome::Gone(status, detail) => (self.notices.gone(status, &detail), watch.announced),
            Outcome::Reset => (self.notices.reset(), watch.announced),
        };
        self.hub.publish(topic, true, announced, payload);
        // Its watchers leave one by one, and find it gone.
        self.remove(state, topic);
        Next::Over
    }

    /// Take a newer read of a watched variant: what differs is published, what does not only moves the position.
    /// `changed` gives the newest change of its tags: it may have tags that nobody looked out for while it was read.
    fn absorb(
        &self,
        state: &mut State,
        topic: TopicId,
        mut read: Representation,
        changed: impl FnOnce(&Representation) -> u64,
    ) {
        let State { watches, by_tag, landed, untold, .. } = state;
        let Some(watch) = watches.get_mut(&topic) else { return };
        if read.position.offset <= watch.read_at {
            if !read.same_as(&watch.current) {
                watch.doubt(read.position.offset);
            }
            return;
        }
        // Also a client's own read shows that reads work again.
        (watch.read_at, watch.failures) = (read.position.offset, 0);
        let announced = if watch.needed <= watch.read_at { watch.announced.take() } else { watch.announced };
        let same = read.same_as(&watch.current);
        if same {
            read.since = watch.current.since;
        } else {
            landed.settle(&watch.key.resource, &mut read);
            watch.needed = watch.needed.max(read.since - 1);
        }
        let before = std::mem::replace(&mut watch.current, Arc::new(read));
        let current = watch.current.clone();
        let retagged = before.tags != current.tags;
        let newest = if retagged || watch.deaf || self.holds() { changed(&current) } else { 0 };
        if retagged || watch.deaf {
            self.index(by_tag, topic, &before.tags, &current.tags);
            watch.deaf = false;
            watch.needed = watch.needed.max(newest);
        }
        if same && watch.untold.is_none() {
            return;
        }
        let shows = newest.min(watch.read_at);
        if shows > self.announced.load(SeqCst) {
            watch.untold = Some(shows);
            untold.entry(shows).or_default().push(topic);
        } else {
            watch.untold = None;
            self.hub.publish(topic, false, announced, self.notices.representation(current));
        }
    }

    /// A watch has a representation that was not read for it: have it read again if it needs it, at the end of its
    /// lifetime at last.
    fn see_to(&self, state: &mut State, topic: TopicId) {
        let Some(watch) = state.watches.get_mut(&topic).filter(|watch| !watch.reading) else { return };
        if watch.needed > watch.read_at {
            self.reader.read_again(watch.home, topic);
        } else if let Some(at) = watch.current.expires_at_ms
            && watch.look_at_ms.is_none_or(|before| before > at)
        {
            self.reader.look(watch.home, topic);
        }
    }

    fn index(
        &self,
        by_tag: &mut HashMap<TagHash, HashSet<TopicId>>,
        topic: TopicId,
        before: &[TagHash],
        after: &[TagHash],
    ) {
        for tag in before {
            if let Some(topics) = by_tag.get_mut(tag) {
                topics.remove(&topic);
                if topics.is_empty() {
                    by_tag.remove(tag);
                }
            }
        }
        for tag in after {
            by_tag.entry(*tag).or_default().insert(topic);
        }
    }

    fn remove(&self, state: &mut State, topic: TopicId) -> Option<Watch> {
        let watch = state.watches.remove(&topic)?;
        watch.waiters.iter().for_each(|waiter| self.reader.landed(*waiter, false));
        state.by_key.remove(&watch.key);
        if let Some(entry) = state.vary.get_mut(&watch.key.resource) {
            entry.1 -= 1;
            if entry.1 == 0 {
                state.vary.remove(&watch.key.resource);
            }
        }
        state.landed.note(&watch.key.resource, &watch.current, watch.read_at);
        self.index(&mut state.by_tag, topic, &watch.current.tags, &[]);
        self.hub.retire(topic);
        Some(watch)
    }
}

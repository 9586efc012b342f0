//! Reads of watched variants: when they are due, who waits for them, how they begin and end, and what of what they
//! yield the watchers are told. A client's own read counts as one too.
//!
//! Called by the variant's home shard, and by whoever answers a GET of what is watched.
use super::Watches;
use crate::hub::TopicId;
use crate::resource::flights::Waiter;
use crate::resource::key::VariantKey;
use crate::resource::policy::is_representation;
use crate::resource::representation::Representation;
use crate::resource::watch::{Landing, Next, Outcome, Source};
use crate::resource::watched::State;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

/// Nobody is told to look later than this, milliseconds: what is to be done is kept until then, also for a watch that has
/// gone.
const LONGEST_LOOK_MS: u64 = 60_000;

impl Watches {
    /// A client was given this representation outside of a watch: whoever watches the variant gets it too, and if it
    /// differs from what a watcher that left may have, that watcher no longer counts as up to date. What others may get
    /// from now on, if anything: this, or what is watched if that is the same and newer; nothing if something else was given
    /// out at a later position.
    pub(in crate::resource) fn saw(
        &self,
        key: &VariantKey,
        read: &Arc<Representation>,
        changed: impl FnOnce(&Representation) -> u64,
    ) -> Option<Arc<Representation>> {
        let mut state = self.state();
        let topic = state.by_key.get(key).copied();
        let Some((topic, watch)) = topic.and_then(|topic| Some((topic, state.watches.get_mut(&topic)?)))
        else {
            state.ghosts.saw(key, read);
            return state.landed.note(&key.resource, read, read.position.offset).then(|| read.clone());
        };
        let newest = match read.position.offset >= watch.read_at {
            true => Some(read.clone()),
            false => read.same_as(&watch.current).then(|| watch.current.clone()),
        };
        // What is a refusal, or a way to somewhere else: whether the watch ends is for its own re-read to find out.
        if !is_representation(read.status) {
            watch.doubt(read.position.offset);
        } else {
            self.absorb(&mut state, topic, read.copy(), changed);
            self.see_to(&mut state, topic);
        }
        newest
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
    pub(super) fn absorb(
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
    pub(super) fn see_to(&self, state: &mut State, topic: TopicId) {
        let Some(watch) = state.watches.get_mut(&topic).filter(|watch| !watch.reading) else { return };
        if watch.needed > watch.read_at {
            self.reader.read_again(watch.home, topic);
        } else if let Some(at) = watch.current.expires_at_ms
            && watch.look_at_ms.is_none_or(|before| before > at)
        {
            self.reader.look(watch.home, topic);
        }
    }
}

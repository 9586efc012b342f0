//! Monitors: the waits on sets that any cache can collapse, because everything that matters is in their URL.
//!
//! Each URL that is waited on (set, position, cycle) is a topic while somebody holds it, so that all who do get one
//! answer, encoded once. A change is looked for and the wait begun under one lock, after the tag table has the change:
//! so there is no moment in which one is lost between the two. Who is told, and in which words, is the hub's and the
//! dialect's business; when a wait ends in vain, the shard's that holds it.
use super::key::ResourceKey;
use super::position::Epoch;
use super::sets::{Bounds, Contents, Name, NotUnited, Registered, Sets, Ticket};
use super::tags::TagHash;
use super::watch::Notices;
use crate::hub::{Hub, TopicId};
use crate::net::slab::Key;
use hashbrown::HashMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// What a wait is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// The set.
    pub set: Name,
    /// The position of whoever has read all of these.
    pub offset: u64,
    /// What changed after the position that was asked for, each with the offset of its newest change.
    pub changes: Vec<(ResourceKey, u64)>,
    /// The cycle that was asked for.
    pub cycle: u64,
}

/// The `Link` of a representation, but for the cycle.
#[derive(Debug)]
pub struct Link {
    /// Says whether it is still of use.
    pub ticket: Arc<Ticket>,
    /// `</.fresh/watch/<set>/<position>?c=`
    pub start: Box<str>,
    /// The set.
    pub set: Name,
}

/// What a monitor URL asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The set.
    pub set: Name,
    /// Changes after this offset.
    pub since: u64,
    /// Until the end of this cycle.
    pub cycle: u64,
    /// As an event stream, which goes on after the first change.
    pub events: bool,
}

/// How a wait goes on.
#[derive(Debug, PartialEq, Eq)]
pub enum Waited {
    /// There is no such set.
    Gone,
    /// This is the answer. Without changes: nothing has changed yet, and there is no time left to wait.
    News(News),
    /// Subscribe to this topic, of which this version is known.
    Held(TopicId, u64),
}

/// A URL that is waited on.
struct Held {
    set: Key,
    asked: Asked,
    waits: u32,
}

struct State {
    sets: Sets,
    held: HashMap<TopicId, Held>,
    by_set: HashMap<Key, Vec<TopicId>>,
}

/// The sets of a node, and the waits on them.
pub struct Monitors {
    state: Mutex<State>,
    hub: Arc<Hub>,
    notices: Arc<dyn Notices>,
    prefix: Box<str>,
    epoch: Epoch,
}

impl Monitors {
    /// None yet.
    pub fn new(
        key: [u8; 32],
        bounds: Bounds,
        prefix: &str,
        epoch: Epoch,
        hub: Arc<Hub>,
        notices: Arc<dyn Notices>,
    ) -> Self {
        let state = State { sets: Sets::new(key, bounds), held: HashMap::new(), by_set: HashMap::new() };
        Self { state: Mutex::new(state), hub, notices, prefix: prefix.into(), epoch }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many sets there are.
    pub fn len(&self) -> usize {
        self.state().sets.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The link from which a representation made at `position` can be waited on. `newest` gives the newest change of its
    /// tags, and is asked when changes from now on will be heard of. `None`: there is no room for its set.
    pub fn link(
        &self,
        contents: Contents<'_>,
        position: u64,
        now_ms: u64,
        newest: impl FnOnce() -> u64,
    ) -> Option<Link> {
        let Registered { name, newest, ticket, .. } = self.state().sets.register(contents, now_ms, newest)?;
        // Everybody whose representation shows the newest change has the same URL.
        let since = newest.min(position);
        let mut start = String::with_capacity(96);
        let _ = write!(start, "<{}watch/{name}/{}-{since}?c=", self.prefix, self.epoch);
        Some(Link { ticket, start: start.into(), set: name })
    }

    /// One set of many: its name, and the position from which waiting on it misses nothing.
    pub fn unite(&self, monitors: &[(Name, u64)], now_ms: u64) -> Result<(Name, u64), NotUnited> {
        self.state().sets.unite(monitors, now_ms).map(|(set, since)| (set.name, since))
    }

    /// Begin to wait for a change of a set. `over`: the cycle has ended.
    pub fn wait(&self, shard: u8, asked: Asked, over: bool, now_ms: u64) -> Waited {
        let mut state = self.state();
        let Some(set) = state.sets.find(asked.set, now_ms) else { return Waited::Gone };
        let newest = state.sets.newest(set);
        if newest > asked.since || over {
            let changes = state.sets.changes(set, asked.since);
            let offset = newest.max(asked.since);
            return Waited::News(News { set: asked.set, offset, changes, cycle: asked.cycle });
        }
        let State { sets, held, by_set } = &mut *state;
        let topics = by_set.entry(set).or_default();
        let same =
            topics.iter().copied().find(|topic| held.get(topic).is_some_and(|held| held.asked == asked));
        let topic = same.unwrap_or_else(|| {
            let topic = self.hub.create();
            let nothing = News { set: asked.set, offset: asked.since, changes: vec![], cycle: asked.cycle };
            self.hub.publish(topic, false, None, self.notices.news(nothing));
            held.insert(topic, Held { set, asked, waits: 0 });
            topics.push(topic);
            topic
        });
        if let Some(held) = held.get_mut(&topic) {
            held.waits += 1;
        }
        sets.hold(set, 1);
        Waited::Held(topic, self.hub.join(topic, shard as usize))
    }

    /// A wait has ended.
    pub fn leave(&self, shard: u8, topic: TopicId) {
        self.hub.leave(topic, shard as usize);
        let mut state = self.state();
        let State { sets, held, by_set } = &mut *state;
        let Some(entry) = held.get_mut(&topic) else { return };
        sets.hold(entry.set, -1);
        entry.waits -= 1;
        if entry.waits > 0 {
            return;
        }
        if let Some(topics) = by_set.get_mut(&entry.set) {
            topics.retain(|other| *other != topic);
            if topics.is_empty() {
                by_set.remove(&entry.set);
            }
        }
        held.remove(&topic);
        self.hub.retire(topic);
    }

    /// These tags changed at `offset`, which the tag table knows: tell who waits for that.
    pub fn changed(&self, tags: &[TagHash], offset: u64, announced: Instant) {
        let mut state = self.state();
        let State { sets, held, by_set } = &mut *state;
        for set in sets.changed(tags, offset) {
            let (Some(name), Some(topics)) = (sets.name_of(set), by_set.get(&set)) else { continue };
            for topic in topics {
                // Who was given a copy since it changed knows of it already.
                let Some(Held { asked, .. }) = held.get(topic).filter(|held| held.asked.since < offset)
                else {
                    continue;
                };
                // All since the position in the URL, not since the last news: who was behind gets only this.
                let changes = sets.changes(set, asked.since);
                let news = News { set: name, offset, changes, cycle: asked.cycle };
                self.hub.publish(*topic, false, Some(announced), self.notices.news(news));
            }
        }
    }

    /// Nobody may wait on these sets, or on any that depends on these tags, any more. How many there were.
    pub fn revoke(&self, names: &[Name], tags: &[TagHash]) -> usize {
        let mut state = self.state();
        let mut removed: Vec<Key> = names.iter().flat_map(|name| state.sets.revoke(*name)).collect();
        removed.extend(tags.iter().flat_map(|tag| state.sets.revoke_tag(*tag)).collect::<Vec<_>>());
        for topic in removed.iter().filter_map(|set| state.by_set.get(set)).flatten() {
            self.hub.publish(*topic, true, None, self.notices.revoked());
        }
        removed.len()
    }
}

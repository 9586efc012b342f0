//! Monitors: the waits on sets that any cache can collapse, because everything that matters is in their URL.
//!
//! Each URL that is waited on (set, position, cycle) is a topic while somebody holds it, so that all who do get one
//! answer, encoded once. A change is looked for and the wait begun under one lock, after the tag table has the change:
//! so there is no moment in which one is lost between the two. Who is told, and in which words, is the hub's and the
//! dialect's business; when a wait ends in vain, the shard's that holds it.
use super::carried::{Body, Carried, Carry};
use super::key::ResourceKey;
use super::representation::Representation;
use super::set::{Contents, Name, Ticket};
use super::sets::{Bounds, NotUnited, Registered, Sets};
use super::tags::TagHash;
use super::watch::Notices;
use crate::hub::{Hub, TopicId};
use crate::net::slab::Key;
use hashbrown::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Resources of one set that are carried at most; those of a larger one are not.
const MAX_CARRIED: usize = 32;

/// What a wait is answered with.
#[derive(Clone, Debug, PartialEq)]
pub struct News {
    /// The set.
    pub set: Name,
    /// The position of whoever has read all of these.
    pub offset: u64,
    /// What changed after the position that was asked for, each with the offset of its newest change.
    pub changes: Vec<(ResourceKey, u64)>,
    /// The cycle that was asked for.
    pub cycle: u64,
    /// Over how many seconds readers better spread their re-reads.
    pub spread_s: f32,
    /// Of what changed, as far as they are small, public and there.
    pub bodies: Vec<Body>,
}

/// The `Link` of a representation, but for the cycle.
#[derive(Debug)]
pub struct Link {
    /// Which set, and whether that is still of use.
    pub ticket: Arc<Ticket>,
    /// Changes after this offset.
    pub since: u64,
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
#[derive(Debug, PartialEq)]
pub enum Waited {
    /// There is no such set.
    Gone,
    /// This is the answer. Without changes: nothing has changed yet, and there is no time left to wait.
    News(News),
    /// Subscribe to this topic.
    Held(Hold),
}

/// A wait that is held.
#[derive(Debug, PartialEq, Eq)]
pub struct Hold {
    /// What to subscribe to.
    pub topic: TopicId,
    /// The version that is known of it.
    pub version: u64,
    /// See then whether a lifetime has ended: when (monotonic), and of which set.
    pub look: Option<(u64, Key)>,
    /// Have these resources of the set carried: it is the first wait on it.
    pub carry: Option<(Key, Vec<ResourceKey>)>,
}

/// A URL that is waited on.
struct Held {
    set: Key,
    asked: Asked,
    waits: u32,
}

/// What is held of a set.
#[derive(Default)]
struct OnSet {
    topics: Vec<TopicId>,
    /// When somebody will see whether a lifetime in it has ended.
    look_at_ms: Option<u64>,
    carried: Carried,
}

struct State {
    sets: Sets,
    held: HashMap<TopicId, Held>,
    by_set: HashMap<Key, OnSet>,
    /// The sets whose answers carry what a watch reads.
    carried: HashMap<TopicId, Vec<Key>>,
    /// The sets with an answer that waits for a read.
    late: Vec<Key>,
}

/// The sets of a node, and the waits on them.
pub struct Monitors {
    state: Mutex<State>,
    hub: Arc<Hub>,
    notices: Arc<dyn Notices>,
    /// How long an answer waits for what it carries; `None`: nothing is carried.
    carry: Option<Duration>,
}

impl Monitors {
    /// None yet.
    pub fn new(
        key: [u8; 32],
        bounds: Bounds,
        hub: Arc<Hub>,
        notices: Arc<dyn Notices>,
        carry: Option<Duration>,
    ) -> Self {
        let state = State {
            sets: Sets::new(key, bounds),
            held: HashMap::new(),
            by_set: HashMap::new(),
            carried: HashMap::new(),
            late: vec![],
        };
        Self { state: Mutex::new(state), hub, notices, carry }
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

    /// The link from which a representation can be waited on. `newest` gives the newest change of its
    /// tags, and is asked when changes from now on will be heard of. `None`: there is no room for its set.
    pub fn link(&self, contents: Contents<'_>, now_ms: u64, newest: impl FnOnce() -> u64) -> Option<Link> {
        let position = contents.position;
        let Registered { newest, ticket, .. } = self.state().sets.register(contents, now_ms, newest)?;
        // Everybody whose representation shows the newest change has the same URL.
        Some(Link { ticket, since: newest.min(position) })
    }

    /// One set of many: its name, and the position from which waiting on it misses nothing.
    pub fn unite(&self, monitors: &[(Name, u64)], now_ms: u64) -> Result<(Name, u64), NotUnited> {
        self.state().sets.unite(monitors, now_ms).map(|(set, since)| (set.name, since))
    }

    /// Begin to wait for a change of a set, for `left_ms` at most; `None`: there is no time left. `advance` takes a
    /// position for what has reached the end of its lifetime: that counts as a change. `kept` gives what anybody may be
    /// given of a resource, if it shows the change of this offset.
    pub fn wait(
        &self,
        shard: u8,
        asked: Asked,
        left_ms: Option<u64>,
        now_ms: u64,
        advance: impl FnOnce() -> u64,
        kept: impl Fn(&ResourceKey, u64) -> Option<Arc<Representation>>,
    ) -> Waited {
        let mut state = self.state();
        let Some(set) = state.sets.find(asked.set, now_ms) else { return Waited::Gone };
        self.expire(&mut state, set, now_ms, advance);
        let State { sets, held, by_set, .. } = &mut *state;
        let newest = sets.newest(set);
        let left_ms = match left_ms.filter(|_| newest <= asked.since) {
            Some(left_ms) => left_ms,
            None => {
                let changes = sets.changes(set, asked.since);
                let offset = newest.max(asked.since);
                let spread_s = if changes.is_empty() { 0.0 } else { sets.spread_s(set) };
                let public = if self.carry.is_some() { sets.public_resources(set) } else { vec![] };
                let body = |(resource, offset): &(ResourceKey, u64)| {
                    let read = public.contains(resource).then(|| kept(resource, *offset))??;
                    Some(Body { resource: resource.clone(), read, before: None })
                };
                let bodies = changes.iter().filter_map(body).collect();
                return Waited::News(News {
                    set: asked.set,
                    offset,
                    changes,
                    cycle: asked.cycle,
                    spread_s,
                    bodies,
                });
            }
        };
        let on_set = by_set.entry(set).or_default();
        let first = on_set.topics.is_empty() && self.carry.is_some();
        let carry =
            first.then(|| (set, sets.public_resources(set))).filter(|(_, some)| some.len() <= MAX_CARRIED);
        let is_asked = |topic: &TopicId| held.get(topic).is_some_and(|held| held.asked == asked);
        let same = on_set.topics.iter().copied().find(is_asked);
        let topic = same.unwrap_or_else(|| {
            let topic = self.hub.create();
            let Asked { set: name, since: offset, cycle, .. } = asked;
            let nothing = News { set: name, offset, changes: vec![], cycle, spread_s: 0.0, bodies: vec![] };
            self.hub.publish(topic, false, None, self.notices.news(nothing));
            held.insert(topic, Held { set, asked, waits: 0 });
            on_set.topics.push(topic);
            topic
        });
        if let Some(held) = held.get_mut(&topic) {
            held.waits += 1;
        }
        sets.hold(set, 1);
        let due = sets.expires_at_ms(set).filter(|at| *at < now_ms + left_ms);
        let look = due.filter(|at| on_set.look_at_ms.is_none_or(|before| *at < before));
        on_set.look_at_ms = look.or(on_set.look_at_ms);
        let version = self.hub.join(topic, shard as usize);
        Waited::Held(Hold { topic, version, look: look.map(|at| (at, set)), carry })
    }

    /// Look whether a lifetime in a set has ended, as a wait on it was told to.
    pub fn look(&self, set: Key, at_ms: u64, now_ms: u64, advance: impl FnOnce() -> u64) {
        let mut state = self.state();
        let Some(on_set) = state.by_set.get_mut(&set).filter(|on_set| on_set.look_at_ms == Some(at_ms))
        else {
            return;
        };
        on_set.look_at_ms = None;
        self.expire(&mut state, set, now_ms, advance);
    }

    fn expire(&self, state: &mut State, set: Key, now_ms: u64, advance: impl FnOnce() -> u64) {
        if state.sets.expires_at_ms(set).is_none_or(|at| at > now_ms) {
            return;
        }
        let concerned = state.sets.expire(set, now_ms, advance);
        self.tell(state, &concerned, Instant::now());
    }

    /// A wait has ended. The watches of what is no longer carried, and their shards.
    #[must_use]
    pub fn leave(&self, shard: u8, topic: TopicId) -> Vec<(u8, TopicId)> {
        self.hub.leave(topic, shard as usize);
        let mut state = self.state();
        let State { sets, held, by_set, carried, .. } = &mut *state;
        let Some(entry) = held.get_mut(&topic) else { return vec![] };
        let set = entry.set;
        sets.hold(set, -1);
        entry.waits -= 1;
        if entry.waits > 0 {
            return vec![];
        }
        let mut over = vec![];
        if let Some(on_set) = by_set.get_mut(&set) {
            on_set.topics.retain(|other| *other != topic);
            if on_set.topics.is_empty()
                && let Some(on_set) = by_set.remove(&set)
            {
                over = on_set.carried.into_watches().collect();
            }
        }
        for (_, watch) in &over {
            if let Some(sets) = carried.get_mut(watch) {
                sets.retain(|other| *other != set);
                if sets.is_empty() {
                    carried.remove(watch);
                }
            }
        }
        held.remove(&topic);
        self.hub.retire(topic);
        over
    }

    /// A resource of a set is watched for those who wait on it. False: nobody does any more.
    pub fn carry(&self, set: Key, carry: Carry) -> bool {
        let mut state = self.state();
        let State { by_set, carried, .. } = &mut *state;
        let Some(on_set) = by_set.get_mut(&set) else { return false };
        carried.entry(carry.topic).or_default().push(set);
        on_set.carried.add(carry);
        true
    }

    /// A watch has been read, or could not be: answers that waited for it go out.
    pub fn landed(&self, topic: TopicId, read: Option<&Arc<Representation>>) {
        if self.carry.is_none() {
            return;
        }
        let mut state = self.state();
        let State { sets, by_set, carried, .. } = &mut *state;
        let mut ready = vec![];
        for set in carried.get(&topic).into_iter().flatten() {
            let Some(on_set) = by_set.get_mut(set) else { continue };
            if on_set.carried.landed(topic, read, &sets.changes(*set, 0)) {
                ready.push((*set, on_set.carried.since.take()));
            }
        }
        for (set, since) in ready {
            self.tell(&mut state, &[set], since.unwrap_or_else(Instant::now));
        }
    }

    /// Answers that have waited for a read for too long go out without it.
    pub fn give_up(&self, now: Instant) {
        let Some(longest) = self.carry else { return };
        let mut state = self.state();
        let mut late = std::mem::take(&mut state.late);
        late.retain(|set| {
            let Some(on_set) = state.by_set.get_mut(set) else { return false };
            let (waits, is_late) = on_set.carried.is_late(now, longest);
            if is_late {
                let since = on_set.carried.since.take().unwrap_or(now);
                self.tell(&mut state, &[*set], since);
            }
            waits && !is_late
        });
        state.late.append(&mut late);
    }

    /// These tags changed at `offset`, which the tag table knows: tell who waits for that.
    pub fn changed(&self, tags: &[TagHash], offset: u64, announced: Instant) {
        let mut state = self.state();
        let mut concerned = state.sets.changed(tags, offset);
        let State { sets, by_set, late, .. } = &mut *state;
        concerned.retain(|set| {
            let Some(on_set) = by_set.get_mut(set) else { return true };
            let before = on_set.carried.since.is_some();
            let waits = on_set.carried.changed(&sets.changes(*set, offset - 1), announced);
            if waits && !before {
                late.push(*set);
            }
            !waits
        });
        self.tell(&mut state, &concerned, announced);
    }

    /// Tell those who wait on these sets what has changed.
    fn tell(&self, state: &mut State, concerned: &[Key], announced: Instant) {
        let State { sets, held, by_set, .. } = state;
        for set in concerned {
            let (Some(name), Some(on_set)) = (sets.name_of(*set), by_set.get(set)) else { continue };
            for topic in &on_set.topics {
                // Who was given a copy since it changed knows of it already.
                let behind = |held: &&Held| held.asked.since < sets.newest(*set);
                let Some(Held { asked, .. }) = held.get(topic).filter(behind) else { continue };
                // All since the position in the URL, not since the last news: who was behind gets only this.
                let changes = sets.changes(*set, asked.since);
                let (offset, cycle, spread_s) = (sets.newest(*set), asked.cycle, sets.spread_s(*set));
                let bodies = on_set.carried.bodies(&changes);
                let news = News { set: name, offset, changes, cycle, spread_s, bodies };
                self.hub.publish(*topic, false, Some(announced), self.notices.news(news));
            }
        }
    }

    /// Nobody may wait on these sets, or on any that depends on these tags, any more. How many there were.
    pub fn revoke(&self, names: &[Name], tags: &[TagHash]) -> usize {
        let mut state = self.state();
        let mut removed: Vec<Key> = names.iter().flat_map(|name| state.sets.revoke(*name)).collect();
        removed.extend(tags.iter().flat_map(|tag| state.sets.revoke_tag(*tag)).collect::<Vec<_>>());
        for topic in removed.iter().filter_map(|set| state.by_set.get(set)).flat_map(|on_set| &on_set.topics)
        {
            self.hub.publish(*topic, true, None, self.notices.revoked());
        }
        removed.len()
    }
}

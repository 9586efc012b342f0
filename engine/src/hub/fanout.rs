//! A shard's subscribers, and the walk over them when something is published.
//!
//! A subscription is a 32-byte entry in one table, linked into its topic and into its connection. It holds a cursor, not
//! a queue: a subscriber that could not be written to is skipped, and gets the newest message when it can be written to
//! again. A walk is cut into bounded pieces so that a large topic starves nobody; what is published to a topic during
//! its walk replaces what was being walked with. A topic that changes faster than its subscribers can be told rests after
//! each walk for as long as that took: the states between are never sent, and half of the thread is left for others.
use super::message::Message;
use super::topics::TopicId;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The end of a list of entries.
pub const NONE: u32 = u32::MAX;

struct Entry {
    /// Slot of the connection.
    conn: u32,
    /// Slot of the topic.
    topic: u32,
    /// Neighbours among the topic's subscribers.
    previous: u32,
    next: u32,
    /// The connection's next subscription, or the next free entry.
    sibling: u32,
    /// The newest version that the connection has.
    cursor: u64,
}

/// What this shard knows of a topic.
#[derive(Clone, Copy)]
struct Local {
    generation: u32,
    first: u32,
    last: u32,
    /// Index of the walk under way, or NONE.
    walk: u32,
}

struct Walk {
    topic: u32,
    /// The next entry to serve.
    at: u32,
    message: Arc<Message>,
    /// `message` changed after the walk had begun: go round once more.
    again: bool,
    /// When its first piece was served.
    began: Option<Instant>,
}

/// A topic whose walk took more than a piece.
struct Rest {
    topic: TopicId,
    until: Instant,
    /// What was published since.
    message: Option<Arc<Message>>,
}

/// What became of one delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The connection has the message (or will have: it is being written).
    Sent,
    /// The connection cannot take anything now.
    Later,
}

/// The subscribers of one shard.
#[derive(Default)]
pub struct FanOut {
    entries: Vec<Entry>,
    /// First free entry (through `sibling`), NONE if there is none.
    free: u32,
    /// By slot of the topic.
    topics: Vec<Local>,
    walks: Vec<Option<Walk>>,
    /// Unused indices of `walks`.
    idle: Vec<u32>,
    /// Walks that wait for their next piece.
    queue: VecDeque<u32>,
    /// Few: only topics with more subscribers than a piece has.
    rests: Vec<Rest>,
    subscriptions: usize,
}

impl FanOut {
    /// Nobody.
    pub fn new() -> Self {
        Self { free: NONE, ..Self::default() }
    }

    /// Subscriptions in all.
    pub fn len(&self) -> usize {
        self.subscriptions
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.subscriptions == 0
    }

    /// Subscribe a connection that has everything up to `cursor`; `sibling` is the head of its list so far. The new
    /// head of its list.
    pub fn subscribe(&mut self, conn: u32, topic: TopicId, cursor: u64, sibling: u32) -> u32 {
        let at = topic.slot as usize;
        let blank = Local { generation: topic.generation, first: NONE, last: NONE, walk: NONE };
        if self.topics.len() <= at {
            self.topics.resize(at + 1, blank);
        }
        if self.topics[at].generation != topic.generation && self.topics[at].first == NONE {
            let walk = self.topics[at].walk;
            if let Some(Some(walk)) = self.walks.get_mut(walk as usize) {
                // What is left of a walk of the topic that had this slot before: its message is not for the new one.
                walk.again = false;
            }
            self.topics[at] = Local { walk, ..blank };
        }
        let last = self.topics[at].last;
        let entry = Entry { conn, topic: topic.slot, previous: last, next: NONE, sibling, cursor };
        let index = if self.free != NONE {
            let index = self.free;
            self.free = self.entries[index as usize].sibling;
            self.entries[index as usize] = entry;
            index
        } else {
            self.entries.push(entry);
            self.entries.len() as u32 - 1
        };
        match last {
            NONE => self.topics[at].first = index,
            last => self.entries[last as usize].next = index,
        }
        self.topics[at].last = index;
        self.subscriptions += 1;
        index
    }

    /// End a connection's subscriptions, given the head of its list; the topics it left.
    pub fn unsubscribe(&mut self, mut head: u32) -> Vec<TopicId> {
        let mut left = vec![];
        while head != NONE {
            let Entry { topic, previous, next, sibling, .. } = self.entries[head as usize];
            let local = &mut self.topics[topic as usize];
            if let Some(Some(walk)) = self.walks.get_mut(local.walk as usize)
                && walk.at == head
            {
                walk.at = next;
            }
            match previous {
                NONE => local.first = next,
                previous => self.entries[previous as usize].next = next,
            }
            match next {
                NONE => local.last = previous,
                next => self.entries[next as usize].previous = previous,
            }
            left.push(TopicId { slot: topic, generation: local.generation });
            self.entries[head as usize].sibling = self.free;
            self.free = head;
            self.subscriptions -= 1;
            head = sibling;
        }
        left
    }

    /// A topic has a new message: begin to walk its subscribers, or go on with this one.
    pub fn publish(&mut self, message: Arc<Message>) {
        let slot = message.topic.slot;
        let Some(local) = self.topics.get_mut(slot as usize) else { return };
        if local.first == NONE || local.generation != message.topic.generation {
            return;
        }
        if let Some(Some(walk)) = self.walks.get_mut(local.walk as usize) {
            walk.again |= walk.at != local.first;
            walk.message = message;
            return;
        }
        let first = local.first;
        if let Some(rest) = self.rests.iter_mut().find(|rest| rest.topic == message.topic) {
            rest.message = Some(message);
            return;
        }
        let walk = Walk { topic: slot, at: first, message, again: false, began: None };
        let index = self.idle.pop().unwrap_or_else(|| {
            self.walks.push(None);
            self.walks.len() as u32 - 1
        });
        self.walks[index as usize] = Some(walk);
        self.topics[slot as usize].walk = index;
        self.queue.push_back(index);
    }

    /// Whether some walk is not at its end.
    pub fn is_walking(&self) -> bool {
        !self.queue.is_empty()
    }

    /// When a topic that rests has something to walk with.
    pub fn rests_until(&self) -> Option<Instant> {
        self.rests.iter().filter(|rest| rest.message.is_some()).map(|rest| rest.until).min()
    }

    /// End the rests that are over.
    fn rested(&mut self, now: Instant) {
        for rest in self.rests.extract_if(.., |rest| rest.until <= now).collect::<Vec<_>>() {
            rest.message.into_iter().for_each(|message| self.publish(message));
        }
    }

    /// Serve up to `budget` subscribers. `deliver` writes to the connection in a slot; it must not subscribe or
    /// unsubscribe anybody.
    pub fn walk(
        &mut self,
        now: Instant,
        mut budget: usize,
        mut deliver: impl FnMut(u32, &Message) -> Delivery,
    ) {
        self.rested(now);
        while budget > 0
            && let Some(index) = self.queue.pop_front()
        {
            let Some(walk) = &mut self.walks[index as usize] else { continue };
            let took = now.saturating_duration_since(*walk.began.get_or_insert(now));
            while budget > 0 {
                let Some(entry) = self.entries.get_mut(walk.at as usize).filter(|_| walk.at != NONE) else {
                    break;
                };
                walk.at = entry.next;
                if entry.cursor < walk.message.version {
                    budget -= 1;
                    if deliver(entry.conn, &walk.message) == Delivery::Sent {
                        entry.cursor = walk.message.version;
                    }
                }
            }
            if walk.at == NONE && took > Duration::ZERO {
                let message = std::mem::take(&mut walk.again).then(|| walk.message.clone());
                self.rests.push(Rest { topic: walk.message.topic, until: now + took, message });
            } else if walk.at == NONE && walk.again {
                walk.again = false;
                walk.at = self.topics[walk.topic as usize].first;
            }
            if walk.at == NONE {
                self.topics[walk.topic as usize].walk = NONE;
                self.walks[index as usize] = None;
                self.idle.push(index);
            } else {
                self.queue.push_back(index);
            }
        }
        if self.queue.is_empty() && self.walks.len() > 1024 {
            (self.walks, self.idle, self.queue) = Default::default();
        }
    }

    /// The first subscription at or after `head` that is behind, with the topic and cursor: what a connection that can
    /// be written to again goes through.
    pub fn subscription(&self, head: u32) -> Option<(TopicId, u64, u32)> {
        let entry = self.entries.get(head as usize)?;
        let generation = self.topics[entry.topic as usize].generation;
        Some((TopicId { slot: entry.topic, generation }, entry.cursor, entry.sibling))
    }

    /// A connection has been brought up to `version` outside of a walk.
    pub fn caught_up(&mut self, head: u32, version: u64) {
        if let Some(entry) = self.entries.get_mut(head as usize) {
            entry.cursor = version;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::{Encode, Form};

    struct Nothing;

    impl Encode for Nothing {
        fn encode(&self, _: Form) -> Vec<u8> {
            vec![]
        }
    }

    fn message(topic: TopicId, version: u64) -> Arc<Message> {
        Arc::new(Message::new(topic, version, false, None, Arc::new(Nothing)))
    }

    /// Serve up to `budget` subscribers: the connections that were given something, and which version.
    fn walk(fanout: &mut FanOut, budget: usize) -> Vec<(u32, u64)> {
        walk_at(fanout, Instant::now(), budget)
    }

    fn walk_at(fanout: &mut FanOut, now: Instant, budget: usize) -> Vec<(u32, u64)> {
        let mut given = vec![];
        fanout.walk(now, budget, |conn, message| {
            given.push((conn, message.version));
            Delivery::Sent
        });
        given
    }

    #[test]
    fn everybody_gets_the_newest_however_the_walk_is_cut() {
        let mut fanout = FanOut::new();
        let topic = TopicId { slot: 3, generation: 1 };
        (0..5).for_each(|conn| {
            fanout.subscribe(conn, topic, 1, NONE);
        });
        fanout.publish(message(topic, 2));
        let now = Instant::now();
        assert_eq!(walk_at(&mut fanout, now, 2), [(0, 2), (1, 2)]);
        fanout.publish(message(topic, 3));
        assert_eq!(walk_at(&mut fanout, now, 9), [(2, 3), (3, 3), (4, 3), (0, 3), (1, 3)]);
        assert!(!fanout.is_walking());
    }

    #[test]
    fn a_topic_rests_for_as_long_as_its_walk_took_and_goes_on_with_the_newest() {
        let mut fanout = FanOut::new();
        let topic = TopicId { slot: 0, generation: 1 };
        let heads: Vec<u32> = (0..3).map(|conn| fanout.subscribe(conn, topic, 1, NONE)).collect();
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        fanout.publish(message(topic, 2));
        assert_eq!(walk_at(&mut fanout, at(0), 2), [(0, 2), (1, 2)]);
        fanout.publish(message(topic, 3));
        assert_eq!(walk_at(&mut fanout, at(10), 9), [(2, 3)]);
        assert!(!fanout.is_walking());
        assert_eq!(fanout.rests_until(), Some(at(20)));
        fanout.publish(message(topic, 4));
        assert_eq!(walk_at(&mut fanout, at(19), 9), []);
        assert_eq!(walk_at(&mut fanout, at(20), 9), [(0, 4), (1, 4), (2, 4)]);
        assert_eq!((fanout.is_walking(), fanout.rests_until()), (false, None));
        // Served in one piece: no rest.
        fanout.publish(message(topic, 5));
        assert_eq!(walk_at(&mut fanout, at(21), 9).len(), 3);
        // Another topic in its place does not rest.
        fanout.publish(message(topic, 6));
        assert_eq!(walk_at(&mut fanout, at(22), 1).len(), 1);
        assert_eq!(walk_at(&mut fanout, at(40), 9).len(), 2);
        fanout.publish(message(topic, 7));
        heads.into_iter().for_each(|head| drop(fanout.unsubscribe(head)));
        let after = TopicId { slot: 0, generation: 2 };
        fanout.subscribe(7, after, 1, NONE);
        fanout.publish(message(after, 2));
        assert_eq!(walk_at(&mut fanout, at(41), 9), [(7, 2)]);
        assert_eq!(walk_at(&mut fanout, at(99), 9), []);
        assert_eq!(fanout.rests_until(), None);
    }

    #[test]
    fn a_topic_in_the_place_of_another_gets_nothing_of_what_was_left_of_its_walk() {
        let mut fanout = FanOut::new();
        let (before, after) = (TopicId { slot: 0, generation: 1 }, TopicId { slot: 0, generation: 2 });
        let heads: Vec<u32> = (0..3).map(|conn| fanout.subscribe(conn, before, 1, NONE)).collect();
        fanout.publish(message(before, 8));
        walk(&mut fanout, 1);
        fanout.publish(message(before, 9));
        heads.into_iter().for_each(|head| drop(fanout.unsubscribe(head)));
        fanout.subscribe(7, after, 1, NONE);
        assert_eq!(walk(&mut fanout, 9), []);
        fanout.publish(message(after, 2));
        assert_eq!(walk(&mut fanout, 9), [(7, 2)]);
    }
}

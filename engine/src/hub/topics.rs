//! The one place where publications are ordered: version, newest message and the shards' inboxes change together, under
//! one lock, so that every shard sees one order.
use super::message::{Encode, Message};
use crate::net::slab::{Key, Slab};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Names a topic for its whole life.
pub type TopicId = Key;

/// The way into a shard.
pub trait Inlet: Send + Sync {
    /// A topic that this shard has subscribers of has a new message.
    fn published(&self, message: Arc<Message>);
}

struct Topic {
    newest: Option<Arc<Message>>,
    version: u64,
    /// Subscribers in each shard; a shard without any is not told.
    subscribers: Box<[u32]>,
    /// Goes with its last subscriber.
    retired: bool,
}

/// All topics of a node.
pub struct Hub {
    topics: Mutex<Slab<Topic>>,
    shards: Vec<Arc<dyn Inlet>>,
}

impl Hub {
    /// No topics yet, and these shards.
    pub fn new(shards: Vec<Arc<dyn Inlet>>) -> Self {
        Self { topics: Mutex::default(), shards }
    }

    fn topics(&self) -> MutexGuard<'_, Slab<Topic>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new topic, with nothing in it.
    pub fn create(&self) -> TopicId {
        let subscribers = vec![0; self.shards.len()].into();
        self.topics().insert(Topic { newest: None, version: 0, subscribers, retired: false })
    }

    /// Nothing more will be published: forget the topic once its last subscriber, who may still be behind, has left.
    pub fn retire(&self, topic: TopicId) {
        let mut topics = self.topics();
        let Some(entry) = topics.get_mut(topic) else { return };
        entry.retired = true;
        if entry.subscribers.iter().all(|n| *n == 0) {
            topics.remove(topic);
        }
    }

    /// A shard gets one more subscriber; the version that it joins at: it will hear everything after.
    pub fn join(&self, topic: TopicId, shard: usize) -> u64 {
        self.topics().get_mut(topic).map_or(0, |t| {
            t.subscribers[shard] += 1;
            t.version
        })
    }

    /// A shard has one subscriber less.
    pub fn leave(&self, topic: TopicId, shard: usize) {
        let mut topics = self.topics();
        let Some(entry) = topics.get_mut(topic) else { return };
        entry.subscribers[shard] = entry.subscribers[shard].saturating_sub(1);
        if entry.retired && entry.subscribers.iter().all(|n| *n == 0) {
            topics.remove(topic);
        }
    }

    /// The newest message, which is all that a topic keeps.
    pub fn newest(&self, topic: TopicId) -> Option<Arc<Message>> {
        self.topics().get(topic)?.newest.clone()
    }

    /// Publish; nothing happens if the topic has gone.
    pub fn publish(&self, topic: TopicId, last: bool, announced: Option<Instant>, payload: Arc<dyn Encode>) {
        let mut topics = self.topics();
        let Some(entry) = topics.get_mut(topic) else { return };
        entry.version += 1;
        let message = Arc::new(Message::new(topic, entry.version, last, announced, payload));
        entry.newest = Some(message.clone());
        for (shard, _) in entry.subscribers.iter().enumerate().filter(|(_, n)| **n > 0) {
            self.shards[shard].published(message.clone());
        }
    }
}

//! Watchers come and go: a variant is watched from the first of them until the last has left.
//!
//! Called by the shards whose connections watch; what ends a watch under its watchers is in `reads`.
use super::Watches;
use crate::hub::TopicId;
use crate::resource::key::VariantKey;
use crate::resource::representation::Representation;
use crate::resource::watch::{Opened, Source};
use crate::resource::watched::{State, Watch};
use std::sync::Arc;

impl Watches {
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
    pub(super) fn bury(&self, state: &mut State, topic: TopicId) -> Option<VariantKey> {
        let watch = self.remove(state, topic)?;
        state.ghosts.remember(watch.key.clone(), &watch.current);
        Some(watch.key)
    }

    pub(super) fn remove(&self, state: &mut State, topic: TopicId) -> Option<Watch> {
        let watch = state.watches.remove(&topic)?;
        watch.waiters.iter().for_each(|waiter| self.reader.landed(*waiter, false));
        state.by_key.remove(&watch.key);
        if let Some(entry) = state.vary.get_mut(&watch.key.resource) {
            entry.1 -= 1;
            if entry.1 == 0 {
                state.vary.remove(&watch.key.resource);
            }
        }
        state.landed.left(&watch.key.resource, &watch.current, watch.read_at);
        self.index(&mut state.by_tag, topic, &watch.current.tags, &[]);
        self.hub.retire(topic);
        Some(watch)
    }
}

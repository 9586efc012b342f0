//! Changes: which watches hear of one, so that they are read again, and since when watchers may be told what it shows.
//!
//! Called by whoever announces changes, in their order. What a read shows of them is in `reads`.
use super::Watches;
use crate::hub::TopicId;
use crate::resource::tags::TagHash;
use crate::resource::watched::{State, Watch};
use hashbrown::{HashMap, HashSet};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Instant;

impl Watches {
    /// Changes after `offset` are announced when [`Watches::changed`] is told of them, and not before: not even by a
    /// client's own read, which shows them at once.
    pub fn hold_after(&self, offset: u64) {
        self.announced.store(offset, SeqCst);
    }

    /// The newest change that was announced; larger than any if none is held.
    pub fn announced(&self) -> u64 {
        self.announced.load(SeqCst)
    }

    pub(super) fn holds(&self) -> bool {
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
    pub(super) fn listen(by_tag: &mut HashMap<TagHash, HashSet<TopicId>>, topic: TopicId, watch: &mut Watch) {
        if std::mem::take(&mut watch.deaf) {
            for tag in &watch.current.tags {
                by_tag.entry(*tag).or_default().insert(topic);
            }
        }
    }

    pub(super) fn index(
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
}

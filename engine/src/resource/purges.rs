//! What must leave the caches in front of the node, and the announcements that wait until it has.
//!
//! With a purger, every change is collected here by name, under the log's lock, for whoever purges. With `pin` off its
//! announcement is held too: notices name no pinned URL then, so that who is told of a change must find no old copy
//! (own cache, purge, notice). Changes are announced in their order: when the purger says that all up to one have left,
//! when there is no use in waiting, or when they have waited for `purge_timeout_s`.
//! Called by `layer`; the purger itself is the host's.
use super::key::ResourceKey;
use super::tags::TagHash;
use crate::limits::Options;
use hashbrown::HashSet;
use std::collections::VecDeque;
use std::hash::RandomState;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Wakes the purger: from any thread, also under the log's lock.
pub type Wake = Box<dyn Fn() + Send + Sync>;

/// What must leave the caches in front.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// What depends on these tags.
    pub tags: Vec<Box<str>>,
    /// These resources.
    pub resources: Vec<ResourceKey>,
    /// Everything: more than `max_purges` were due at once, and which they were is not known any more.
    pub everything: bool,
    /// The newest change that is part of it.
    pub offset: u64,
}

/// A change that is not announced yet.
#[derive(Debug)]
pub struct Held {
    /// What changed.
    pub tags: Box<[TagHash]>,
    /// When it did, in the log.
    pub offset: u64,
    /// When it did, for the delay of its delivery.
    pub since: Instant,
}

/// Between the log and the purger.
pub struct Purges {
    state: Mutex<State>,
    wake: Wake,
    /// How long an announcement may wait; `None`: none does.
    hold: Option<Duration>,
    max: usize,
}

#[derive(Default)]
struct State {
    tags: HashSet<Box<str>, RandomState>,
    resources: HashSet<ResourceKey>,
    everything: bool,
    newest: u64,
    /// The purger has been woken and has not looked.
    woken: bool,
    held: VecDeque<Held>,
}

impl Purges {
    /// Nothing is due; `wake` is called when something is.
    pub fn new(options: &Options, wake: Wake) -> Self {
        let hold =
            (!options.pin).then(|| Duration::try_from_secs_f64(options.purge_timeout_s).unwrap_or_default());
        Self { state: Mutex::default(), wake, hold, max: options.max_purges.max(1) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A change is being entered in the log. What to announce now instead of keeping it; `None`: it is held.
    pub fn enter<T: AsRef<str>>(
        &self,
        tags: &[T],
        resources: &[ResourceKey],
        hashes: &[TagHash],
        offset: u64,
        now: Instant,
    ) -> Option<Held> {
        let mut state = self.state();
        let State { tags: due_tags, resources: due_resources, everything, newest, woken, held } = &mut *state;
        *newest = offset;
        if !*everything {
            tags.iter().for_each(|tag| _ = due_tags.insert(tag.as_ref().into()));
            due_resources.extend(resources.iter().cloned());
            if due_tags.len() + due_resources.len() > self.max {
                due_tags.clear();
                due_resources.clear();
                *everything = true;
            }
        }
        let change = Held { tags: hashes.into(), offset, since: now };
        let announce = if self.hold.is_some() {
            held.push_back(change);
            // Nothing grows without limit: the oldest has waited longest.
            if held.len() > self.max { held.pop_front() } else { None }
        } else {
            Some(change)
        };
        let wake = !std::mem::replace(woken, true);
        drop(state);
        if wake {
            (self.wake)();
        }
        announce
    }

    /// Take what is due.
    pub fn take(&self) -> Due {
        let mut state = self.state();
        state.woken = false;
        Due {
            tags: state.tags.drain().collect(),
            resources: state.resources.drain().collect(),
            everything: std::mem::take(&mut state.everything),
            offset: state.newest,
        }
    }

    /// The announcements that wait for changes up to `offset`: nothing of those is in the way any more.
    pub fn release(&self, offset: u64) -> Vec<Held> {
        let mut state = self.state();
        let ready = state.held.partition_point(|held| held.offset <= offset);
        state.held.drain(..ready).collect()
    }

    /// The announcements that have waited long enough.
    pub fn overdue(&self, now: Instant) -> Vec<Held> {
        let Some(hold) = self.hold else { return vec![] };
        let mut state = self.state();
        let ready = state.held.partition_point(|held| now.saturating_duration_since(held.since) >= hold);
        state.held.drain(..ready).collect()
    }

    /// Whether announcements wait.
    pub fn holds(&self) -> bool {
        self.hold.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    fn purges(options: Options) -> (Purges, Arc<AtomicUsize>) {
        let wakes = Arc::new(AtomicUsize::new(0));
        let counter = wakes.clone();
        (Purges::new(&options, Box::new(move || _ = counter.fetch_add(1, SeqCst))), wakes)
    }

    fn enter(purges: &Purges, tag: &str, offset: u64, now: Instant) -> Option<u64> {
        purges.enter(&[tag], &[], &[TagHash::of(tag)], offset, now).map(|held| held.offset)
    }

    #[test]
    fn what_is_due_is_collected_once_each_and_wakes_the_purger_once() {
        let (purges, wakes) = purges(Options::default());
        let now = Instant::now();
        for offset in 1..=3 {
            assert_eq!(enter(&purges, "a", offset, now), Some(offset));
        }
        assert_eq!(wakes.load(SeqCst), 1);
        let resource = ResourceKey::new("http", "h", "/x");
        purges.enter::<&str>(&[], &[resource.clone(), resource.clone()], &[], 4, now);
        let due = purges.take();
        assert_eq!((due.tags, due.resources, due.offset), (vec!["a".into()], vec![resource], 4));
        assert!(purges.take().tags.is_empty());
        enter(&purges, "a", 5, now);
        assert_eq!(wakes.load(SeqCst), 2);
    }

    #[test]
    fn more_than_the_limit_is_everything_until_it_is_taken() {
        let (purges, _) = purges(Options { max_purges: 2, ..Options::default() });
        for (offset, tag) in ["a", "b", "c", "d"].iter().enumerate() {
            enter(&purges, tag, offset as u64 + 1, Instant::now());
        }
        let due = purges.take();
        assert_eq!((due.everything, due.tags.len(), due.offset), (true, 0, 4));
        assert!(!purges.take().everything);
    }

    #[test]
    fn announcements_wait_in_order_for_the_purge_or_the_deadline_or_the_limit() {
        let options = Options { pin: false, purge_timeout_s: 5.0, max_purges: 3, ..Options::default() };
        let (purges, _) = purges(options);
        let now = Instant::now();
        let offsets = |held: Vec<Held>| held.iter().map(|held| held.offset).collect::<Vec<_>>();
        for offset in 1..=3 {
            assert_eq!(enter(&purges, "a", offset, now + Duration::from_secs(offset)), None);
        }
        assert_eq!(enter(&purges, "a", 4, now + Duration::from_secs(4)), Some(1));
        assert_eq!(offsets(purges.release(2)), [2]);
        assert!(purges.overdue(now + Duration::from_secs(7)).is_empty());
        assert_eq!(offsets(purges.overdue(now + Duration::from_secs(8))), [3]);
        assert_eq!(offsets(purges.release(u64::MAX)), [4]);
    }
}

//! Where other threads leave work for a shard: a mutex and a parked flag.
//!
//! A producer wakes the shard only if the shard said that it is about to sleep; the shard looks once more after saying
//! so. Nothing cleverer is needed: the lock is held for a push or a swap. A producer that can do the work itself claims
//! it instead, and says for the shard that it sleeps on (`shard::help`).
use super::sync::{AtomicBool, Mutex, MutexGuard, Ordering::SeqCst, WakeFd};
use std::io;
use std::sync::PoisonError;

/// Commands of one kind for one shard.
pub struct Inbox<T> {
    queue: Mutex<Vec<T>>,
    parked: AtomicBool,
    /// Readable when a parked shard has work.
    pub wake: WakeFd,
}

impl<T> Inbox<T> {
    /// An empty one.
    pub fn new() -> io::Result<Self> {
        Ok(Self { queue: Mutex::new(vec![]), parked: AtomicBool::new(false), wake: WakeFd::new()? })
    }

    fn queue(&self) -> MutexGuard<'_, Vec<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leave work and see that it is done soon.
    pub fn push(&self, work: T) {
        self.queue().push(work);
        if self.parked.swap(false, SeqCst) {
            self.wake.signal();
        }
    }

    /// Leave work that may wait for a [`Inbox::flush`].
    pub fn push_quietly(&self, work: T) {
        self.queue().push(work);
    }

    /// Answer for the work of a shard that sleeps: what `look` says of it. Whoever is told something wakes the shard, or does
    /// its work and parks it again. `None`: there is none, or the shard sees to it.
    pub fn claim<L>(&self, look: impl FnOnce(&[T]) -> L) -> Option<L> {
        if !self.parked.load(SeqCst) {
            return None;
        }
        let looked = match &**self.queue() {
            [] => return None,
            work => look(work),
        };
        self.parked.swap(false, SeqCst).then_some(looked)
    }

    /// Wake the shard if it sleeps and has work.
    pub fn flush(&self) {
        if self.claim(|_| ()).is_some() {
            self.wake.signal();
        }
    }

    /// Take everything, leaving `empty` in its place.
    pub fn take(&self, empty: &mut Vec<T>) {
        std::mem::swap(empty, &mut *self.queue());
    }

    /// The shard wants to sleep. False: something is there, do not.
    pub fn park(&self) -> bool {
        self.parked.store(true, SeqCst);
        let empty = self.queue().is_empty();
        if !empty {
            self.parked.store(false, SeqCst);
        }
        empty
    }

    /// The shard is awake.
    pub fn unpark(&self) {
        self.parked.store(false, SeqCst);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::net::sys::{EPOLLIN, Poller, Ready};
    use std::sync::Arc;

    #[test]
    fn no_push_is_slept_through() {
        let inbox = Arc::new(Inbox::new().unwrap());
        let poller = Poller::new().unwrap();
        poller.add(inbox.wake.fd(), EPOLLIN, 0).unwrap();
        let producer = {
            let inbox = inbox.clone();
            std::thread::spawn(move || (0..20_000u32).for_each(|n| inbox.push(n)))
        };
        let (mut seen, mut work) = (0, vec![]);
        while seen < 20_000 {
            if inbox.park() {
                let n = poller.wait(&mut [Ready { events: 0, u64: 0 }; 1], 5_000);
                assert_eq!(n, 1, "slept through a push");
                inbox.wake.clear();
            }
            inbox.unpark();
            inbox.take(&mut work);
            for n in work.drain(..) {
                assert_eq!(n, seen);
                seen += 1;
            }
        }
        producer.join().unwrap();
    }
}

//! The ring from the engine's threads to the event loop: a queue, a flag that says whether the loop sleeps, and an
//! eventfd that wakes it.
//!
//! It knows no Python. Producers push and then wake, which costs a system call only if the consumer declared itself
//! parked; the consumer takes a bounded batch, parks, and looks once more, so that nothing pushed in between is lost.
use super::sync::{AtomicBool, Ordering, SegQueue, WakeFd, fence};
use std::io;
use std::os::fd::RawFd;

/// Many producers, one consumer.
pub struct Ring<T> {
    /// What waits, in order.
    queue: SegQueue<T>,
    /// The consumer sleeps, or will before it looks at the queue again: whoever clears this flag must wake it.
    parked: AtomicBool,
    /// Readable when the consumer should look.
    event: WakeFd,
}

impl<T> Ring<T> {
    /// An empty ring whose consumer sleeps.
    pub fn new() -> io::Result<Self> {
        Ok(Self { queue: SegQueue::new(), parked: AtomicBool::new(true), event: WakeFd::new()? })
    }

    /// What the consumer's poller watches.
    pub fn fileno(&self) -> RawFd {
        self.event.fd()
    }

    /// The eventfd itself.
    #[cfg(loom)]
    pub fn event(&self) -> &WakeFd {
        &self.event
    }

    /// Add an item. It may stay unseen until [`Ring::wake`].
    pub fn push(&self, item: T) {
        self.queue.push(item);
    }

    /// Wake the consumer if it sleeps; once after many pushes is enough.
    pub fn wake(&self) {
        // Orders the pushes before the look at the flag, as `park` orders the flag before the look at the queue: one
        // of the two sides sees the other.
        fence(Ordering::SeqCst);
        if self.parked.load(Ordering::Relaxed) && self.parked.swap(false, Ordering::AcqRel) {
            self.event.signal();
        }
    }

    /// Take up to `limit` items. If more may be waiting when the limit is reached, the eventfd stays readable, so that
    /// the loop comes back after other work; else the consumer is parked.
    pub fn drain(&self, limit: usize, mut take: impl FnMut(T)) {
        let mut taken = 0;
        loop {
            while let Some(item) = self.queue.pop() {
                take(item);
                taken += 1;
                if taken == limit {
                    // The eventfd may have been read by an earlier turn of this loop.
                    self.event.signal();
                    return;
                }
            }
            self.event.clear();
            if self.park() {
                return;
            }
        }
    }

    /// Declare that the consumer sleeps. False: something came in meanwhile, and nobody else will wake it.
    fn park(&self) -> bool {
        self.parked.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        self.queue.is_empty() || !self.parked.swap(false, Ordering::AcqRel)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::net::sys::{EPOLLIN, Poller, Ready};
    use std::sync::Arc;

    fn readable(ring: &Ring<u32>, timeout_ms: i32) -> bool {
        let poller = Poller::new().unwrap();
        poller.add(ring.fileno(), EPOLLIN, 0).unwrap();
        poller.wait(&mut [Ready { events: 0, u64: 0 }; 1], timeout_ms) == 1
    }

    fn take(ring: &Ring<u32>, limit: usize) -> Vec<u32> {
        let mut taken = vec![];
        ring.drain(limit, |item| taken.push(item));
        taken
    }

    #[test]
    fn a_full_batch_leaves_the_descriptor_readable_and_an_empty_ring_does_not() {
        let ring = Ring::new().unwrap();
        assert!(!readable(&ring, 0));
        (0..5).for_each(|i| ring.push(i));
        ring.wake();
        assert!(readable(&ring, 0));
        assert_eq!(take(&ring, 3), [0, 1, 2]);
        assert!(readable(&ring, 0));
        assert_eq!(take(&ring, 3), [3, 4]);
        assert!(!readable(&ring, 0));
    }

    #[test]
    fn no_item_of_any_producer_is_left_behind_by_a_sleeping_consumer() {
        let ring = Arc::new(Ring::new().unwrap());
        let producers: Vec<_> = (0..4u32)
            .map(|p| {
                let ring = ring.clone();
                std::thread::spawn(move || {
                    for i in 0..20_000 {
                        ring.push(p << 16 | i);
                        if i % 3 == 0 {
                            ring.wake();
                        }
                    }
                    ring.wake();
                })
            })
            .collect();
        let mut next = [0u32; 4];
        while next.iter().sum::<u32>() < 80_000 {
            assert!(readable(&ring, 5_000), "the consumer sleeps while {:?} were taken", next);
            ring.drain(256, |item| {
                let (p, i) = ((item >> 16) as usize, item & 0xffff);
                assert_eq!(next[p], i);
                next[p] += 1;
            });
        }
        producers.into_iter().for_each(|p| p.join().unwrap());
    }
}

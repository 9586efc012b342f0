//! What the shards have for one thread: a queue, and a flag that says whether the thread sleeps.
//!
//! The engine's ring, with tokio's own way to wake a task: producers push and then wake, which costs a system call only
//! if the thread declared itself parked.
use crossbeam_queue::SegQueue;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use tokio::sync::Notify;

/// Many producers, one consumer.
pub struct Mailbox<T> {
    queue: SegQueue<T>,
    /// The consumer sleeps, or will before it looks at the queue again: whoever clears this flag must wake it.
    parked: AtomicBool,
    notify: Notify,
}

impl<T> Default for Mailbox<T> {
    fn default() -> Self {
        Self { queue: SegQueue::new(), parked: AtomicBool::new(false), notify: Notify::new() }
    }
}

impl<T> Mailbox<T> {
    /// Add an item. It may stay unseen until [`Mailbox::wake`].
    pub fn push(&self, item: T) {
        self.queue.push(item);
    }

    /// Wake the consumer if it sleeps; once after many pushes is enough.
    pub fn wake(&self) {
        // Orders the pushes before the look at the flag, as `arrived` orders the flag before the look at the queue.
        fence(Ordering::SeqCst);
        if self.parked.load(Ordering::Relaxed) && self.parked.swap(false, Ordering::AcqRel) {
            self.notify.notify_one();
        }
    }

    /// Take an item that is there.
    pub fn take(&self) -> Option<T> {
        self.queue.pop()
    }

    /// Wait until there may be one.
    pub async fn arrived(&self) {
        self.parked.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        if self.queue.is_empty() || !self.parked.swap(false, Ordering::AcqRel) {
            // A wake that came first has left a permit.
            self.notify.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn nothing_is_left_behind_by_a_consumer_that_sleeps() {
        let mailbox = Arc::new(Mailbox::default());
        let producers: Vec<_> = (0..3u32)
            .map(|p| {
                let mailbox = mailbox.clone();
                std::thread::spawn(move || {
                    for i in 0..20_000 {
                        mailbox.push((p, i));
                        if i % 3 == 0 {
                            mailbox.wake();
                        }
                    }
                    mailbox.wake();
                })
            })
            .collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut next = [0; 3];
            while next.iter().sum::<u32>() < 60_000 {
                while let Some((p, i)) = mailbox.take() {
                    assert_eq!(next[p as usize], i);
                    next[p as usize] += 1;
                }
                if next.iter().sum::<u32>() < 60_000 {
                    mailbox.arrived().await;
                }
            }
        });
        producers.into_iter().for_each(|producer| producer.join().unwrap());
    }
}

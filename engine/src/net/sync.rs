//! What `inbox` and `ring` are made of: the real things, or, under `--cfg loom`, models of them that try every order of
//! steps and every value that a weak memory may show (`tests/loom.rs`).
#[cfg(not(loom))]
pub use super::sys::WakeFd;
#[cfg(not(loom))]
pub use crossbeam_queue::SegQueue;
#[cfg(not(loom))]
pub use std::sync::atomic::{AtomicBool, Ordering, fence};
#[cfg(not(loom))]
pub use std::sync::{Mutex, MutexGuard};

#[cfg(loom)]
pub use self::models::{AtomicBool, SegQueue, WakeFd};
#[cfg(loom)]
pub use loom::sync::atomic::{Ordering, fence};
#[cfg(loom)]
pub use loom::sync::{Mutex, MutexGuard};

#[cfg(loom)]
mod models {
    use loom::sync::atomic::{self, AtomicUsize, Ordering};
    use std::os::fd::RawFd;

    /// A flag. Loom lets a swap read a value that another thread's store has already followed, which no memory does, so
    /// that a store is a swap here, which orders nothing more: its reading half is relaxed.
    #[derive(Debug)]
    pub struct AtomicBool(atomic::AtomicBool);

    impl AtomicBool {
        pub fn new(value: bool) -> Self {
            Self(atomic::AtomicBool::new(value))
        }
        pub fn load(&self, order: Ordering) -> bool {
            self.0.load(order)
        }
        pub fn store(&self, value: bool, order: Ordering) {
            let order = if order == Ordering::Relaxed { order } else { Ordering::Release };
            self.0.swap(value, order);
        }
        pub fn swap(&self, value: bool, order: Ordering) -> bool {
            self.0.swap(value, order)
        }
    }

    /// An eventfd and who polls it. The kernel's own order: every step reads what is newest.
    #[derive(Debug)]
    pub struct WakeFd(AtomicUsize);

    impl WakeFd {
        pub fn new() -> std::io::Result<Self> {
            Ok(Self(AtomicUsize::new(0)))
        }
        pub fn signal(&self) {
            self.0.fetch_add(1, Ordering::AcqRel);
        }
        pub fn clear(&self) {
            self.0.swap(0, Ordering::AcqRel);
        }
        /// Signals since the last [`WakeFd::clear`].
        pub fn signals(&self) -> usize {
            self.0.fetch_add(0, Ordering::AcqRel)
        }
        /// Sleep until it is readable: a sleep without end exceeds the branches that loom allows.
        pub fn wait(&self) {
            while self.signals() == 0 {
                loom::thread::yield_now();
            }
        }
        pub fn fd(&self) -> RawFd {
            -1
        }
    }

    /// A queue that orders no more than any queue must: an item that is taken was put before. Looking whether it is empty
    /// orders nothing, so that whoever relies on that must see to it.
    pub struct SegQueue<T> {
        /// Whether a slot is full, and what it holds, which is not looked at otherwise.
        slots: Vec<(atomic::AtomicBool, std::sync::Mutex<Option<T>>)>,
        reserved: AtomicUsize,
        taken: AtomicUsize,
    }

    impl<T> SegQueue<T> {
        /// Room for what a model puts in.
        const SLOTS: usize = 4;

        pub fn new() -> Self {
            let slots =
                (0..Self::SLOTS).map(|_| (atomic::AtomicBool::new(false), Default::default())).collect();
            Self { slots, reserved: AtomicUsize::new(0), taken: AtomicUsize::new(0) }
        }
        pub fn push(&self, item: T) {
            let (full, slot) = &self.slots[self.reserved.fetch_add(1, Ordering::Relaxed)];
            *slot.lock().unwrap() = Some(item);
            full.store(true, Ordering::Release);
        }
        pub fn pop(&self) -> Option<T> {
            let at = self.taken.load(Ordering::Relaxed);
            let (full, slot) = self.slots.get(at)?;
            if !full.load(Ordering::Acquire) {
                return None;
            }
            self.taken.store(at + 1, Ordering::Relaxed);
            slot.lock().unwrap().take()
        }
        pub fn is_empty(&self) -> bool {
            let slot = self.slots.get(self.taken.load(Ordering::Relaxed));
            slot.is_none_or(|(full, _)| !full.load(Ordering::Relaxed))
        }
    }
}

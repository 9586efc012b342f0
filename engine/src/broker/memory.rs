//! The order of changes of one process: an offset under a lock.
//!
//! A change becomes visible (in [`Log::head`]) only after whoever appended it has entered it everywhere, so that no
//! copy is called fresh at a position whose change it lacks.
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};

/// Offsets from 1; 0 is before everything.
#[derive(Default)]
pub struct Log {
    append: Mutex<()>,
    head: AtomicU64,
    changed: AtomicU64,
}

impl Log {
    /// The newest position.
    pub fn head(&self) -> u64 {
        self.head.load(SeqCst)
    }

    /// The position of the newest change; positions after it were only taken by readers.
    pub fn last_change(&self) -> u64 {
        self.changed.load(SeqCst)
    }

    /// Append a change: `enter` records it under the lock, then it is visible.
    pub fn append(&self, enter: impl FnOnce(u64)) -> u64 {
        let _order = self.append.lock().unwrap_or_else(PoisonError::into_inner);
        let offset = self.head.load(SeqCst) + 1;
        enter(offset);
        self.changed.store(offset, SeqCst);
        self.head.store(offset, SeqCst);
        offset
    }

    /// Take a position of one's own, after every change so far: two reads at different positions can be told apart.
    pub fn advance(&self) -> u64 {
        let _order = self.append.lock().unwrap_or_else(PoisonError::into_inner);
        self.head.fetch_add(1, SeqCst) + 1
    }
}

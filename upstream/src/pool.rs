//! The connections of one thread to one upstream: idle ones first, new ones up to a limit, and who waits for either.
use crate::connection::Connection;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Each request holds a permit, and an idle connection goes to the next request before a new one is made: so there are
/// never more connections than permits.
pub struct Pool {
    idle: Mutex<VecDeque<Idle>>,
    permits: Arc<Semaphore>,
}

struct Idle {
    connection: Connection,
    until: Instant,
}

impl Pool {
    /// An empty one for so many connections.
    pub fn new(connections: usize) -> Self {
        Self { idle: Mutex::default(), permits: Arc::new(Semaphore::new(connections)) }
    }

    /// Wait until a connection may be used; who came first goes first.
    pub async fn admit(&self) -> Option<OwnedSemaphorePermit> {
        // It is never closed.
        self.permits.clone().acquire_owned().await.ok()
    }

    /// The idle connection that was used last.
    pub fn take(&self) -> Option<Connection> {
        let now = Instant::now();
        let mut dead = vec![];
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let found = loop {
            match idle.pop_back() {
                Some(entry) if entry.until > now && entry.connection.sender.is_ready() => {
                    break Some(entry.connection);
                }
                Some(entry) => dead.push(entry),
                None => break None,
            }
        };
        drop(idle);
        found
    }

    /// Keep a connection for the next request.
    pub fn give(&self, connection: Connection, keep: Duration) {
        let until = Instant::now() + keep;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push_back(Idle { connection, until });
    }

    /// Close what has been idle for too long.
    pub fn sweep(&self) {
        let now = Instant::now();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let (kept, ended): (VecDeque<_>, Vec<_>) = {
            let all = std::mem::take(&mut *idle);
            let mut ended = vec![];
            let mut kept = VecDeque::with_capacity(all.len());
            for entry in all {
                if entry.until > now && !entry.connection.sender.is_closed() {
                    kept.push_back(entry);
                } else {
                    ended.push(entry);
                }
            }
            (kept, ended)
        };
        *idle = kept;
        drop(idle);
        drop(ended);
    }
}

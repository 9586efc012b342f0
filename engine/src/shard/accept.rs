//! Accepting: shard 0 watches the listeners and gives each connection to the least loaded shard.
//!
//! SO_REUSEPORT would only be a hash, and skew among long-lived connections is permanent. What is over a limit is
//! answered with a 503 before anything else is done for it.
use super::conn::{Conn, Peer};
use super::shared::Command;
use super::{LISTENER, Shard};
use crate::http::refusal::Refusal;
use crate::net::slab::Key;
use crate::net::sys;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::Ordering::Relaxed;

/// Connections accepted before the others' turn.
const BATCH: usize = 64;

impl Shard {
    pub(super) fn listen(&mut self) -> std::io::Result<()> {
        for (index, listener) in self.listeners.iter().enumerate() {
            let key = Key { slot: index as u32, generation: LISTENER };
            self.poller.add(listener.as_raw_fd(), sys::EPOLLIN, key.pack())?;
        }
        Ok(())
    }

    pub(super) fn unlisten(&mut self) {
        for listener in &self.listeners {
            self.poller.remove(listener.as_raw_fd());
        }
    }

    pub(super) fn accept(&mut self, index: u8) {
        let Some(listener) = self.listeners.get(index as usize).map(AsRawFd::as_raw_fd) else { return };
        for _ in 0..BATCH {
            match sys::accept(listener) {
                Ok(Some((fd, address))) => self.accepted(fd, Peer::new(address), index),
                Ok(None) => return,
                Err(error) => {
                    // Out of descriptors or memory: the listener stays readable, so look away for a tick.
                    if !matches!(error.raw_os_error(), Some(libc::ECONNABORTED)) {
                        self.shared.metrics.refused("accept_failed");
                        self.unlisten();
                        self.accept_paused = true;
                        return;
                    }
                }
            }
        }
    }

    fn accepted(&mut self, fd: RawFd, peer: Peer, door: u8) {
        self.shared.metrics.accepted.fetch_add(1, Relaxed);
        let refusal = if self.shared.connections() >= self.shared.max_connections {
            Some(Refusal::new(
                503,
                "max_connections",
                "the node has as many connections as it may (max_connections)",
            ))
        } else if !self.shared.admit(&peer) {
            let limit = self.shared.options.max_connections_per_address;
            let detail =
                format!("{limit} connections from one address are allowed (max_connections_per_address)");
            Some(Refusal::new(503, "max_connections_per_address", detail))
        } else {
            None
        };
        if let Some(refusal) = refusal {
            let retry_after = self.retry_after();
            let mut out = vec![];
            self.refuse(&mut out, &refusal, &[("retry-after", &retry_after)]);
            let _ = sys::send(fd, &out);
            sys::shutdown_write(fd);
            // What it has sent is read, so that the kernel does not reset the connection before it reads the 503.
            let _ = sys::recv(fd, &mut self.scratch);
            return sys::close(fd);
        }
        let loads = self.shared.loads.iter().map(|n| n.load(Relaxed)).enumerate();
        let shard = loads.min_by_key(|(_, load)| *load).map_or(0, |(shard, _)| shard);
        self.shared.loads[shard].fetch_add(1, Relaxed);
        self.shared.metrics.connections.fetch_add(1, Relaxed);
        if shard == self.id as usize {
            self.adopt(fd, peer, door);
        } else {
            self.shared.inboxes.0[shard].push(Command::Adopt(fd, peer, door));
        }
    }

    pub(super) fn adopt(&mut self, fd: RawFd, peer: Peer, door: u8) {
        let key = self.conns.insert(Conn::new(fd, peer, door, self.wheel.now()));
        let events = sys::EPOLLIN | sys::EPOLLOUT | sys::EPOLLRDHUP | sys::EPOLLET;
        if self.poller.add(fd, events, key.pack()).is_err() {
            return self.close(key);
        }
        self.arm(key);
        if self.draining {
            self.rest_in_drain(key);
        }
    }
}

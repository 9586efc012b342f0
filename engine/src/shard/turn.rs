//! The loop of a shard: it takes what is in the inbox, walks a piece of what was published, serves connections with more
//! input, tells the application once, and then asks the poller, without the shard's lock.
use super::shared::Command;
use super::{LISTENER, Shard, WAKE};
use crate::net::inbox::Inbox;
use crate::net::slab::Key;
use crate::net::sys::{self, Ready};
use crate::net::wheel::TICK_MS;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A panic ends a connection and leaves the shard as good as it was: see [`Shard::guard`].
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shard {
    /// Serve until told to stop. Whoever has its lock may do what it does; it is asleep without.
    pub fn run(shard: &Mutex<Self>) {
        let mut ready = vec![Ready { events: 0, u64: 0 }; 512];
        let mut this = lock(shard);
        let (shared, poller) = (this.shared.clone(), this.poller.clone());
        let inbox = shared.inboxes.0[this.id as usize].clone();
        this.clock();
        while !this.stopped {
            this.work_off(&inbox);
            this.guard(None, Self::walk);
            for key in std::mem::take(&mut this.again) {
                this.guard(Some(key), |shard| shard.read_on(key));
            }
            this.flush_log();
            let told = std::mem::take(&mut this.told);
            let timeout = if this.is_busy() || !inbox.park() { 0 } else { this.sleep_ms() };
            drop(this);
            // Now: where both share a core, the application answers before the next line.
            if told && let Some(app) = shared.app.get() {
                app.wake();
            }
            let n = poller.wait(&mut ready, timeout);
            inbox.unpark();
            this = lock(shard);
            this.clock();
            for Ready { events, u64: bits } in ready[..n].iter().copied() {
                let key = Key::unpack(bits);
                if bits == WAKE {
                    inbox.wake.clear();
                } else if key.generation == LISTENER {
                    this.guard(None, |shard| shard.accept(key.slot as u8));
                } else {
                    this.guard(Some(key), |shard| shard.ready(key, events as i32));
                }
            }
            this.guard(None, Self::tick);
        }
        this.end();
    }

    /// Do what others have left to do.
    pub(super) fn work_off(&mut self, inbox: &Inbox<Command>) {
        let mut commands = std::mem::take(&mut self.commands);
        inbox.take(&mut commands);
        for command in commands.drain(..) {
            self.guard(None, |shard| shard.command(command));
        }
        if commands.capacity() <= 4096 {
            self.commands = commands;
        }
    }

    /// Whether there is something to do before anything comes.
    pub(super) fn is_busy(&self) -> bool {
        self.stopped || self.fanout.is_walking() || !self.again.is_empty()
    }

    /// Close what is left, and say so if all shards have ended.
    fn end(&mut self) {
        let keys: Vec<Key> = self.conns.iter().map(|(key, _)| key).collect();
        keys.into_iter().for_each(|key| self.close(key));
        self.flush_log();
        if let Some(app) = self.shared.app.get() {
            app.wake();
        }
        if self.shared.ended.fetch_add(1, SeqCst) + 1 == self.shared.inboxes.0.len() as u32 {
            if let Some(output) = self.shared.output.get() {
                output.end();
            }
            let on_end = self.shared.on_end.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(on_end) = on_end {
                on_end();
            }
        }
    }

    /// How long there is nothing to do if nothing comes.
    fn sleep_ms(&self) -> i32 {
        let rest = self.fanout.rests_until().map(|until| until.saturating_duration_since(Instant::now()));
        rest.map_or(TICK_MS, |rest| (rest.as_millis() as u64 + 1).min(TICK_MS)) as i32
    }

    pub(super) fn clock(&mut self) {
        self.now_ms = sys::now_ms();
        self.unix_ms =
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        self.unix_s = self.unix_ms / 1000;
    }

    /// A panic costs the connection it happened in, and nothing else.
    pub(super) fn guard(&mut self, key: Option<Key>, f: impl FnOnce(&mut Self)) {
        if catch_unwind(AssertUnwindSafe(|| f(self))).is_ok() {
            return;
        }
        self.shared.metrics.panics.fetch_add(1, Relaxed);
        self.scratch.resize(64 * 1024, 0);
        self.turn = None;
        self.out.clear();
        if let Some(key) = key {
            self.close(key);
        }
    }
}

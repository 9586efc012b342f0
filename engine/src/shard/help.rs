//! An answer on its way out: by the shard, or, while the shard sleeps, by the thread that has the answer.
//!
//! To be woken by another core takes longer than to send a small answer. So who answers the only request that there is,
//! and finds the shard asleep, does the shard's work for it, and the shard sleeps on. With more to answer the shard is
//! woken: it sends while the application goes on.
use super::shared::{Command, Inboxes, Shared};
use crate::app::{Answer, Answers, ExchangeId, Message};
use crate::net::inbox::Inbox;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};

/// What a small answer comes in, at most, and the bytes of each: with more its thread is better off going on.
const FEW: usize = 4;
const FEW_BYTES: usize = 8 * 1024;

/// Where the application leaves its answers.
pub struct Outlet {
    /// Of all shards.
    pub inboxes: Arc<Inboxes>,
    /// Not for as long as the application has this: it is one of those that are shared.
    pub shared: Weak<Shared>,
}

impl Answers for Outlet {
    fn answer(&self, id: ExchangeId, answer: Answer) {
        if let Some(inbox) = self.inboxes.0.get(id.shard()) {
            inbox.push_quietly(Command::Answer(id, answer));
        }
    }

    fn flush(&self) {
        for (id, inbox) in self.inboxes.0.iter().enumerate() {
            let Some(small) = inbox.claim(is_small) else { continue };
            if !(small && self.shared.upgrade().is_some_and(|shared| help(&shared, id, inbox))) {
                inbox.wake.signal();
            }
        }
    }
}

/// Whether this is quickly done, and nothing but what the application says.
fn is_small(work: &[Command]) -> bool {
    let bytes = |command: &Command| match command {
        Command::Answer(_, Answer::Start { body: data, .. } | Answer::Data { data, .. }) => data.len(),
        Command::Answer(_, Answer::Message(Message::Text(data) | Message::Binary(data))) => data.len(),
        Command::Answer(..) => 0,
        _ => usize::MAX,
    };
    work.len() <= FEW && work.iter().all(|command| bytes(command) <= FEW_BYTES)
}

/// Do what is in a sleeping shard's inbox. False: it must be woken, because it is not asleep, or there is more to do.
fn help(shared: &Shared, id: usize, inbox: &Inbox<Command>) -> bool {
    if shared.in_application.load(Relaxed) > 1 {
        return false;
    }
    let Some(shard) = shared.shards.get(id).and_then(|shard| shard.get()?.upgrade()) else { return false };
    let Ok(mut shard) = shard.try_lock() else { return false };
    shard.clock();
    shard.work_off(inbox);
    shard.flush_log();
    if std::mem::take(&mut shard.told)
        && let Some(app) = shared.app.get()
    {
        app.wake();
    }
    !shard.is_busy() && shard.fanout.rests_until().is_none() && inbox.park()
}

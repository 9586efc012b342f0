//! One exchange as its task sees it: what it says to the engine, and what it waits for there.
use crate::ears::Ears;
use crate::thread::Thread;
use freshwire_engine::app::{Answer, ExchangeId, Flow, HIGH_WATER, LOW_WATER, Message};
use freshwire_engine::http::refusal::Refusal;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed, Ordering::SeqCst};
use std::time::Duration;

/// How long an upstream may be silent once a client has ended its side: most have left, few still read.
const LEAVING_PATIENCE: Duration = Duration::from_secs(1);

/// See the module.
pub struct Exchange {
    /// Named in each answer.
    pub id: ExchangeId,
    /// Shared with the shard.
    pub flow: Arc<Flow>,
    /// What the engine has said.
    pub ears: Ears,
    /// The upstream would go on if the client sent more of its body.
    pub awaits_client: AtomicBool,
    /// Grows with each piece of either body.
    progress: AtomicU32,
    thread: Arc<Thread>,
}

impl Exchange {
    /// Before anything is said.
    pub fn new(id: ExchangeId, flow: Arc<Flow>, thread: Arc<Thread>) -> Self {
        Self {
            id,
            flow,
            ears: Ears::default(),
            awaits_client: AtomicBool::new(false),
            progress: AtomicU32::new(0),
            thread,
        }
    }

    /// Say something, and count its bytes until the socket has taken them.
    pub fn answer(&self, answer: Answer) {
        let bytes = match &answer {
            Answer::Start { body, .. } => body.len(),
            Answer::Data { data, .. } => data.len(),
            Answer::Message(Message::Text(data) | Message::Binary(data)) => data.len(),
            _ => 0,
        };
        if bytes > 0 {
            self.flow.buffered.fetch_add(bytes, SeqCst);
        }
        self.thread.outbox.put(self.id, answer);
    }

    /// There will be no answer, or no more of it.
    pub fn refuse(&self, refusal: Refusal) {
        self.answer(Answer::Refused(Box::new(refusal)));
    }

    /// A piece of either body has come.
    pub fn progressed(&self) {
        self.progress.fetch_add(1, Relaxed);
    }

    /// How many have.
    pub fn progress(&self) -> u32 {
        self.progress.load(Relaxed)
    }

    /// Wait until the client has taken enough of what was sent.
    pub async fn drained(&self) {
        if self.flow.buffered.load(SeqCst) <= HIGH_WATER {
            return;
        }
        self.thread.outbox.flush();
        loop {
            self.flow.wants_drain.store(true, SeqCst);
            // The shard may have got there before it could see the wish.
            if self.flow.buffered.load(SeqCst) <= LOW_WATER {
                return self.flow.wants_drain.store(false, SeqCst);
            }
            poll_fn(|cx| self.ears.poll_drained(cx)).await;
        }
    }

    /// Done when nobody will take what is still said. One that has only ended its side may read on (and has a right to
    /// what its unsafe request does); it is given up when a read brings nothing for a while.
    pub async fn gone(&self, reads: bool) {
        let mut departures = 0;
        loop {
            departures = poll_fn(|cx| self.ears.poll_departure(departures, cx)).await;
            while !self.flow.disconnected.load(SeqCst) {
                let before = self.progress();
                let again = poll_fn(|cx| self.ears.poll_departure(departures, cx));
                match tokio::time::timeout(LEAVING_PATIENCE, again).await {
                    Ok(count) => departures = count,
                    Err(_) if reads && self.progress() == before => return,
                    Err(_) => {}
                }
            }
            if self.flow.disconnected.load(SeqCst) {
                return;
            }
        }
    }
}

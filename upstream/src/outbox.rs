//! Answers on their way to the shards, which are woken once for many of them: when the thread is about to sleep.
use freshwire_engine::app::{Answer, Answers, ExchangeId};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Answers after which the shards are woken although the thread has more to do.
const FLUSH_EVERY: usize = 32;

/// One thread's way to the shards.
pub struct Outbox {
    answers: Arc<dyn Answers>,
    /// Answers that no shard was woken for.
    waiting: AtomicUsize,
}

impl Outbox {
    /// In front of the engine's own.
    pub fn new(answers: Arc<dyn Answers>) -> Self {
        Self { answers, waiting: AtomicUsize::new(0) }
    }

    /// Leave an answer; it is seen at the latest when the thread sleeps.
    pub fn put(&self, id: ExchangeId, answer: Answer) {
        self.answers.answer(id, answer);
        if self.waiting.fetch_add(1, Relaxed) + 1 >= FLUSH_EVERY {
            self.flush();
        }
    }

    /// Wake the shards if there is something for them.
    pub fn flush(&self) {
        if self.waiting.swap(0, Relaxed) > 0 {
            self.answers.flush();
        }
    }
}

//! Both directions between the engine and the event loop, without Python: the engine's calls go into the [`Ring`],
//! the application's answers go out through the [`Outbox`].
use freshwire_engine::app::{Answer, Answers, App, Event, ExchangeId, Request};
use freshwire_engine::net::ring::Ring;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What waits for the event loop.
pub enum Item {
    /// An exchange begins.
    Request(Box<Request>),
    /// Something happened to one.
    Event(ExchangeId, Event),
    /// The engine holds no connection any more.
    Ended,
    /// The operator will not wait for the application any longer.
    Hurry,
}

/// The application as the engine sees it.
pub struct Bridge {
    /// Everything the event loop has yet to see.
    pub ring: Ring<Item>,
}

impl Bridge {
    /// With nothing in it.
    pub fn new() -> io::Result<Self> {
        Ok(Self { ring: Ring::new()? })
    }

    /// Push an item that does not come from a shard, which would wake the loop before it sleeps.
    pub fn push(&self, item: Item) {
        self.ring.push(item);
        self.ring.wake();
    }
}

impl App for Bridge {
    fn request(&self, request: Request) {
        self.ring.push(Item::Request(Box::new(request)));
    }

    fn event(&self, id: ExchangeId, event: Event) {
        self.ring.push(Item::Event(id, event));
    }

    fn wake(&self) {
        self.ring.wake();
    }
}

/// Where the application's answers go. Inside a batch the shards are woken at its end, else at once.
pub struct Outbox {
    /// The engine's end.
    answers: Arc<dyn Answers>,
    /// A batch is being worked on; its end will flush.
    batching: AtomicBool,
    /// There are answers that no shard was woken for.
    dirty: AtomicBool,
}

impl Outbox {
    /// In front of the engine's own.
    pub fn new(answers: Arc<dyn Answers>) -> Self {
        Self { answers, batching: AtomicBool::new(false), dirty: AtomicBool::new(false) }
    }

    /// Leave an answer; [`Outbox::settle`] must follow.
    pub fn put(&self, id: ExchangeId, answer: Answer) {
        self.answers.answer(id, answer);
        self.dirty.store(true, Ordering::Relaxed);
    }

    /// Wake the shards, unless the end of a batch will.
    pub fn settle(&self) {
        if !self.batching.load(Ordering::Relaxed) {
            self.flush();
        }
    }

    /// Wake the shards now.
    pub fn flush(&self) {
        if self.dirty.swap(false, Ordering::Relaxed) {
            self.answers.flush();
        }
    }

    /// From here on [`Outbox::settle`] leaves it to [`Outbox::end_batch`].
    pub fn begin_batch(&self) {
        self.batching.store(true, Ordering::Relaxed);
    }

    /// Wake the shards that have answers of this batch.
    pub fn end_batch(&self) {
        self.batching.store(false, Ordering::Relaxed);
        self.flush();
    }
}

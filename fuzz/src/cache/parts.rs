//! What the model is made of: what can happen, who asks, and what stands in for the shard.
use arbitrary::Arbitrary;
use freshwire_engine::hub::{Encode, Form, Inlet, Message, TopicId};
use freshwire_engine::resource::flights::Waiter;
use freshwire_engine::resource::monitors::News;
use freshwire_engine::resource::representation::Representation;
use freshwire_engine::resource::watch::{Notices, Reader};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

#[derive(Arbitrary, Debug)]
pub(super) enum Step {
    /// The application's data changes, and nobody is told yet.
    Commit(u8),
    /// The change of a tag is announced.
    Announce(u8),
    /// A client asks for a resource.
    Get(u8, u8),
    /// A client watches what it asked for last, from what it has.
    Watch(u8),
    Leave(u8),
    /// The application reads its data for a request that it has.
    Capture(u8),
    /// It answers one: well, not at all, or that it is gone.
    Finish(u8, u8),
    /// The shard does what it was told.
    Work,
    /// One message is walked.
    Deliver,
    Tick(u8),
    Retry,
    /// The cache gives something up.
    Forget(u8),
}

#[derive(Clone, Copy)]
pub(super) enum For {
    Client(usize),
    Watcher(usize),
    Watchers(TopicId),
}

/// A request that the application has.
pub(super) struct Asked {
    pub(super) by: For,
    pub(super) resource: usize,
    pub(super) position: u64,
    /// The number of commits when it looked.
    pub(super) seen: Option<u64>,
}

/// A representation as a client has it.
#[derive(Clone, Debug)]
pub(super) struct Has {
    pub(super) body: u64,
    pub(super) id: String,
    /// The number of commits that it reflects, which only the model knows.
    pub(super) commits: u64,
}

impl Has {
    pub(super) fn of(rep: &Representation) -> Self {
        let number = |text: &[u8]| str::from_utf8(text).unwrap().parse().unwrap();
        let commits = number(rep.fields.get("x-commits").unwrap());
        Self { body: number(&rep.body), id: rep.id().to_string(), commits }
    }
}

#[derive(Default)]
pub(super) struct Client {
    pub(super) resource: usize,
    /// What it was given last.
    pub(super) has: Option<Has>,
    /// The topic it follows, and the version it has.
    pub(super) follows: Option<(TopicId, u64)>,
    /// It waits for an answer.
    pub(super) waits: bool,
}

#[derive(Clone, Copy)]
pub(super) enum Told {
    Read(TopicId),
    Look(TopicId),
}

#[derive(Default)]
pub(super) struct Inbox {
    pub(super) told: Mutex<VecDeque<Told>>,
    pub(super) published: Mutex<VecDeque<Arc<Message>>>,
}

impl Reader for Inbox {
    fn read_again(&self, _: u8, topic: TopicId) {
        self.told.lock().unwrap().push_back(Told::Read(topic));
    }
    fn look(&self, _: u8, topic: TopicId) {
        self.told.lock().unwrap().push_back(Told::Look(topic));
    }
    fn landed(&self, _: Waiter, _: bool) {}
}

impl Inlet for Inbox {
    fn published(&self, message: Arc<Message>) {
        self.published.lock().unwrap().push_back(message);
    }
}

/// A message in the only form that this model knows: position, body, commits.
pub(super) struct Said(String);

impl Encode for Said {
    fn encode(&self, _: Form) -> Vec<u8> {
        self.0.clone().into_bytes()
    }
}

pub(super) struct Words;

impl Notices for Words {
    fn representation(&self, rep: Arc<Representation>) -> Arc<dyn Encode> {
        let Has { body, id, commits } = Has::of(&rep);
        Arc::new(Said(format!("{id} {body} {commits}")))
    }
    fn gone(&self, _: u16, _: &str) -> Arc<dyn Encode> {
        Arc::new(Said(String::new()))
    }
    fn reset(&self) -> Arc<dyn Encode> {
        Arc::new(Said(String::new()))
    }
    fn news(&self, _: News) -> Arc<dyn Encode> {
        Arc::new(Said(String::new()))
    }
    fn revoked(&self) -> Arc<dyn Encode> {
        Arc::new(Said(String::new()))
    }
}

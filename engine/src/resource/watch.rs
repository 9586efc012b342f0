//! What stands around a watch: how its variant is read again, who does that, what a read may end in, and what watchers
//! are told. The state between them is `watches`.
use super::flights::Waiter;
use super::monitors::News;
use super::representation::Representation;
use crate::hub::{Encode, TopicId};
use std::sync::Arc;

/// How to read a variant again.
#[derive(Debug)]
pub struct Source {
    /// `http` or `https`.
    pub scheme: &'static str,
    /// Path and query.
    pub target: Arc<str>,
    /// The canonical request: nothing of any client's but what `Vary` and, for a private variant, the credentials name.
    pub fields: Arc<crate::http::fields::Fields>,
    /// When the token that opened the watch ends, and the watch with it; `None`: it has none, or the application took it
    /// although it had ended, which only the application can take back.
    pub token_ends_unix_s: Option<u64>,
    /// The listener through which it was first asked for (says what the application sees as its own address).
    pub listener: u8,
}

/// Who is told to read a variant again: the shard it lives on.
pub trait Reader: Send + Sync {
    /// Read this variant now.
    fn read_again(&self, home: u8, topic: TopicId);
    /// See when this variant's lifetime ends: it is another than it was.
    fn look(&self, home: u8, topic: TopicId);
    /// The read that this one waited for is over; `alone`: it was of no use.
    fn landed(&self, waiter: Waiter, alone: bool);
}

/// What watchers are told.
pub trait Notices: Send + Sync {
    /// The resource has this representation now.
    fn representation(&self, representation: Arc<Representation>) -> Arc<dyn Encode>;
    /// The answer has become this one: the watch is over.
    fn gone(&self, status: u16, detail: &str) -> Arc<dyn Encode>;
    /// The watch must be opened anew: what it stood for is chosen differently now.
    fn reset(&self) -> Arc<dyn Encode>;
    /// What a wait on a set is answered with.
    fn news(&self, news: News) -> Arc<dyn Encode>;
    /// The set that was waited on has been revoked.
    fn revoked(&self) -> Arc<dyn Encode>;
}

/// How a read ended.
pub enum Outcome {
    /// A representation of the same variant.
    Read(Box<Representation>),
    /// 401, 403, 404, 410, or another answer that is no representation.
    Gone(u16, String),
    /// The answer is of another variant now (shared or private, other `Vary`).
    Reset,
    /// 5xx, a timeout, an abort.
    Failed,
}

/// Who waited for a read, to be told when what it yielded is where they will look.
#[derive(Debug, Default)]
pub struct Landing {
    /// They look again.
    pub waiters: Vec<Waiter>,
    /// It was of no use to them.
    pub alone: bool,
}

/// What the home shard does after a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing, until its lifetime ends.
    Rest,
    /// Read again now.
    Again,
    /// Read again after a pause: this many reads have failed in a row.
    Pause(u32),
    /// The watch is over.
    Over,
}

/// A subscription to a watched variant.
pub struct Opened {
    /// What to subscribe to.
    pub topic: TopicId,
    /// The version that `current` is.
    pub version: u64,
    /// The newest representation.
    pub current: Arc<Representation>,
    /// The watch is new here: arm its lifetime.
    pub created: bool,
}

//! A message with its wire forms, each encoded at most once whatever the number of subscribers and shards.
use super::topics::TopicId;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// How a message is framed for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Form {
    /// A server-sent event in one HTTP/1.1 chunk.
    Sse,
    /// A server-sent event as it is, for HTTP/1.0.
    SseUnchunked,
    /// A WebSocket frame.
    WebSocket,
    /// A WebSocket frame for a connection with permessage-deflate.
    WebSocketDeflate,
    /// A whole HTTP/1.1 response.
    Poll,
}

const FORMS: usize = 5;

/// What is published.
pub trait Encode: Send + Sync {
    /// The bytes that go to a connection of this form.
    fn encode(&self, form: Form) -> Vec<u8>;

    /// What a connection of this form that has this and waited in vain is told at the end; empty if nothing.
    fn unchanged(&self, _: Form) -> Arc<[u8]> {
        Arc::default()
    }
}

/// One publication to one topic.
pub struct Message {
    /// Where it was published.
    pub topic: TopicId,
    /// Its place in the topic, from 1.
    pub version: u64,
    /// Whether the topic ends with it: a connection that got it is told goodbye.
    pub last: bool,
    /// When what it reports was announced, for the delay figures.
    pub announced: Option<Instant>,
    /// What it says.
    pub payload: Arc<dyn Encode>,
    forms: [OnceLock<Arc<[u8]>>; FORMS],
}

impl Message {
    /// A message that no form has been made of yet.
    pub fn new(
        topic: TopicId,
        version: u64,
        last: bool,
        announced: Option<Instant>,
        payload: Arc<dyn Encode>,
    ) -> Self {
        Self { topic, version, last, announced, payload, forms: Default::default() }
    }

    /// Its bytes in one form.
    pub fn wire(&self, form: Form) -> &Arc<[u8]> {
        self.forms[form as usize].get_or_init(|| self.payload.encode(form).into())
    }
}

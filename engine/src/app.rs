//! The one seam to the application: a request goes in, answers come out, streamed both ways.
//!
//! A shard calls [`App`] and never waits for it; the application answers from any thread through
//! [`Answers`]. ASGI behind the Python bridge is one implementation, an HTTP upstream another, and nothing above this
//! file knows which.
use crate::http::fields::Fields;
use crate::http::refusal::Refusal;
use bytes::Bytes;
use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};

/// Names one exchange for its whole life: shard in the top 8 bits, generation in the middle 32, slot in the low 24.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ExchangeId(pub u64);

impl ExchangeId {
    /// Put together the three parts.
    pub fn new(shard: u8, generation: u32, slot: u32) -> Self {
        debug_assert!(slot < 1 << 24);
        Self((shard as u64) << 56 | (generation as u64) << 24 | slot as u64)
    }
    /// Which shard's inbox takes the answers.
    pub fn shard(self) -> usize {
        (self.0 >> 56) as usize
    }
    /// Which use of the slot is meant.
    pub fn generation(self) -> u32 {
        (self.0 >> 24) as u32
    }
    /// The slot in that shard's table of exchanges.
    pub fn slot(self) -> u32 {
        self.0 as u32 & 0xff_ffff
    }
}

/// What either side may look at without a message.
#[derive(Debug, Default)]
pub struct Flow {
    /// The client has gone: nothing that is sent will arrive.
    pub disconnected: AtomicBool,
    /// Bytes that the application has sent and the socket has not taken. The application adds, the shard subtracts.
    pub buffered: AtomicUsize,
    /// The application waits for `buffered` to fall to [`LOW_WATER`] and wants an [`Event::Drained`].
    pub wants_drain: AtomicBool,
}

/// Above this many buffered bytes the application should wait.
pub const HIGH_WATER: usize = 256 * 1024;
/// At this many buffered bytes it may go on.
pub const LOW_WATER: usize = 64 * 1024;

/// What protocol the client wants to speak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An ordinary request.
    Http,
    /// A WebSocket handshake, already checked; the subprotocols it offers, in order.
    WebSocket(Vec<String>),
}

/// The address of one end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// TCP.
    Ip(SocketAddr),
    /// A Unix socket, with its path where it has one.
    Unix(Option<Arc<str>>),
}

/// A request for the application.
#[derive(Debug)]
pub struct Request {
    /// To be named in each [`Answer`].
    pub id: ExchangeId,
    /// HTTP or WebSocket.
    pub kind: Kind,
    /// Method, as sent.
    pub method: Cow<'static, str>,
    /// `http`, `https`, `ws` or `wss`.
    pub scheme: &'static str,
    /// Path and query in origin form, percent-encoded, normalised (see `http::path`); begins with `/` (or is `*`).
    pub target: Arc<str>,
    /// Minor version of HTTP/1.
    pub minor: u8,
    /// Field lines, names in lower case.
    pub fields: Arc<Fields>,
    /// The peer, or who a trusted proxy says it is. `None`: the node itself reads this for its watchers.
    pub client: Option<Address>,
    /// The local end.
    pub server: Address,
    /// The body as far as it has arrived.
    pub body: Bytes,
    /// More of the body follows, each piece asked for with [`Answer::Want`].
    pub more_body: bool,
    /// Shared with the shard.
    pub flow: Arc<Flow>,
}

/// What happens to an exchange after its request.
#[derive(Debug)]
pub enum Event {
    /// More of the request's body.
    Body {
        /// The bytes; may be empty at the end.
        data: Bytes,
        /// More follows.
        more: bool,
    },
    /// The client has gone, or the answer is complete and the connection has moved on.
    Disconnect,
    /// `Flow::buffered` has fallen to [`LOW_WATER`].
    Drained,
    /// A WebSocket message.
    Message(Message),
    /// The WebSocket is closed: code (RFC 6455 §7.4; 1005 and 1006 where there was none) and reason.
    Closed(u16, String),
}

/// A WebSocket message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// UTF-8, checked.
    Text(Bytes),
    /// Anything.
    Binary(Bytes),
}

/// The head of a response, as the application gave it: names and values checked (no CR, LF, NUL), no
/// `transfer-encoding`, no `connection`.
#[derive(Clone, Debug, Default)]
pub struct ResponseHead {
    /// 200 to 999 (RFC 9110 §15).
    pub status: u16,
    /// Field lines.
    pub fields: Fields,
    /// Tags that the representation depends on, beside those in a `cache-groups` field.
    pub tags: Vec<Box<str>>,
    /// The `content-length` it declared; the application is held to it on its own side of the seam.
    pub content_length: Option<u64>,
}

/// What the application says about an exchange.
#[derive(Debug)]
pub enum Answer {
    /// 103 Early Hints (RFC 8297) with these fields.
    EarlyHints(Fields),
    /// The head, and the body as far as it is there. `more`: [`Answer::Data`] follows.
    Start {
        /// Status and fields.
        head: Box<ResponseHead>,
        /// First bytes of the body.
        body: Bytes,
        /// More follows.
        more: bool,
    },
    /// More of the body.
    Data {
        /// The bytes.
        data: Bytes,
        /// More follows.
        more: bool,
    },
    /// Trailer fields, after the last `Data` (which then said `more: true`); ends the response.
    Trailers(Fields),
    /// The application failed: 500 if no head has gone out, else the body is cut short so that the client can see it.
    Failed,
    /// The application cannot be asked, or its answer not be used: this is the answer if no head has gone out, else as
    /// [`Answer::Failed`].
    Refused(Box<Refusal>),
    /// The application asks for more of the request's body; on a WebSocket, it has taken a message or the end.
    Want,
    /// Take the WebSocket, with this subprotocol and these additional fields. (A denial is a `Start`.)
    Accept {
        /// One of those offered.
        subprotocol: Option<Box<str>>,
        /// More field lines for the 101.
        fields: Fields,
    },
    /// Send a WebSocket message.
    Message(Message),
    /// Close the WebSocket: before `Accept` that is a 403, after it a close frame.
    Close {
        /// RFC 6455 §7.4.
        code: u16,
        /// At most 123 bytes of UTF-8.
        reason: Box<str>,
    },
}

/// The application, as a shard sees it. No method may block.
pub trait App: Send + Sync + 'static {
    /// Begin an exchange.
    fn request(&self, request: Request);
    /// Something happened to an exchange.
    fn event(&self, id: ExchangeId, event: Event);
    /// A shard is about to sleep, or has handed over many: wake whoever answers.
    fn wake(&self);
}

/// Where the application leaves its answers; any thread.
pub trait Answers: Send + Sync {
    /// Leave an answer. It is seen at the latest after [`Answers::flush`].
    fn answer(&self, id: ExchangeId, answer: Answer);
    /// Wake the shards that have answers waiting.
    fn flush(&self);
}

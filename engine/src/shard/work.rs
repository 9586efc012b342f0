//! A request in hand: what was asked, what for, and how far the answer is.
use crate::app::{Address, Flow};
use crate::http::body::Body;
use crate::http::fields::Fields;
use crate::http::head::Framing;
use crate::net::slab::Key;
use crate::resource::conditional;
use crate::resource::key::ResourceKey;
use crate::resource::representation::Representation;
use crate::transport::websocket::handshake::Handshake;
use std::borrow::Cow;
use std::sync::Arc;

/// What a GET is for.
pub enum Intent {
    /// The representation, once.
    Once,
    /// An event stream; with the `Last-Event-ID`.
    Events(Option<Box<str>>),
    /// A WebSocket with subprotocol `freshwire.v1`; with the `Last-Event-ID`, if a client can send one.
    Socket(Box<Handshake>, Option<Box<str>>),
    /// A WebSocket for the application.
    Application(Box<Handshake>),
    /// `Prefer: wait`, seconds; the request has an `If-None-Match`.
    Wait(u32),
}

impl Intent {
    /// Whether the resource is to be followed.
    pub fn watches(&self) -> bool {
        !matches!(self, Self::Once | Self::Application(_))
    }
}

/// How the body of the response is being framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sending {
    /// No head has gone out.
    Nothing,
    /// A declared length.
    Length,
    /// Chunks.
    Chunks,
    /// Until the connection closes.
    UntilClose,
    /// The head goes out, the body does not (HEAD, 204, 304).
    HeadOnly,
}

/// A request in hand.
pub struct Work {
    /// Method as sent.
    pub method: Cow<'static, str>,
    /// Normalised path and query, without what pins it.
    pub target: Arc<str>,
    /// The representation at this offset or later is asked for.
    pub pinned: Option<u64>,
    /// HTTP minor version.
    pub minor: u8,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// The request's fields, where they are still needed.
    pub fields: Arc<Fields>,
    /// Who asks.
    pub client: Address,
    /// What for.
    pub intent: Intent,
    /// The resource, if it is a GET or HEAD of one.
    pub resource: Option<ResourceKey>,
    /// The request carries `Authorization` or `Cookie`.
    pub credentials: bool,
    /// The application is to be asked for this request alone.
    pub alone: bool,
    /// It waits for a read of somebody else's, since this position: what was read after it is as fresh as its own would
    /// be.
    pub waits_since: Option<u64>,
    /// There is a copy, but it is stale.
    pub stale: Option<Arc<Representation>>,
    /// The application is asked whether that is still good.
    pub asked_about: bool,
    /// The flight that this request leads.
    pub flight: Option<Box<str>>,
    /// The exchange with the application.
    pub exchange: Option<Key>,
    /// What is left of the request's body.
    pub body: Body,
    /// Pieces of the body that the application has asked for.
    pub wanted: u32,
    /// The client waits for 100 (Continue).
    pub expects_continue: bool,
    /// Bytes of the body so far.
    pub body_bytes: u64,
    /// The body of a request that the node itself answers.
    pub gathered: Option<Vec<u8>>,
    /// The head of the response is held back for the rest of a short body.
    pub awaits_rest: bool,
    /// When the request was read, milliseconds.
    pub started_ms: u64,
    /// How the response is being sent.
    pub sending: Sending,
    /// Status that went out.
    pub status: u16,
    /// Bytes of the response's body so far.
    pub sent_bytes: u64,
    /// What the application has sent and the kernel has not taken.
    pub owed: usize,
    /// For the access log.
    pub cache: &'static str,
    /// For the access log.
    pub position: u64,
    /// It came through the operator's listener.
    pub admin: bool,
    /// Shared with the application, once it is asked.
    pub flow: Option<Arc<Flow>>,
}

impl Work {
    /// Whether it asks for the resource as anybody would, so that the answer may be of use to others: no body, no part
    /// of it, no condition that only the application evaluates.
    pub fn asks_as_anybody(&self) -> bool {
        &*self.method == "GET"
            && self.body.done()
            && self.body_bytes == 0
            && self.fields.get("range").is_none()
            && !conditional::for_origin(&self.fields)
    }

    /// A request without a body, of which nothing has been done.
    pub fn new(
        method: &str,
        target: &str,
        scheme: &'static str,
        fields: impl Into<Arc<Fields>>,
        client: Address,
        started_ms: u64,
    ) -> Self {
        Self {
            method: owned_method(method),
            target: target.into(),
            pinned: None,
            minor: 1,
            scheme,
            fields: fields.into(),
            client,
            intent: Intent::Once,
            resource: None,
            credentials: false,
            alone: false,
            waits_since: None,
            stale: None,
            asked_about: false,
            flight: None,
            exchange: None,
            body: Body::new(Framing::None),
            wanted: 0,
            expects_continue: false,
            body_bytes: 0,
            gathered: None,
            awaits_rest: false,
            started_ms,
            sending: Sending::Nothing,
            status: 0,
            sent_bytes: 0,
            owed: 0,
            cache: "-",
            position: 0,
            admin: false,
            flow: None,
        }
    }

    /// Whether this was read after the request began to wait for it.
    pub fn waited_for(&self, read: &Representation) -> bool {
        !read.validate && self.waits_since.is_some_and(|since| read.position.offset > since)
    }
}

/// A method that outlives the request's bytes; the usual ones are not copied.
fn owned_method(method: &str) -> Cow<'static, str> {
    const USUAL: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    let usual = USUAL.into_iter().find(|usual| *usual == method);
    usual.map_or_else(|| method.to_owned().into(), Cow::Borrowed)
}

//! The response on its way to the client: its head checked, its body at the client's pace.
//!
//! What is short is held until it is whole; what is cut short is cut for the client too. Called by `http`, and by
//! `websocket` for a handshake that the upstream refuses.
use crate::balance::seconds;
use crate::exchange::Exchange;
use crate::fields;
use crate::lease::Lease;
use crate::thread::Thread;
use bytes::Bytes;
use freshwire_engine::app::{Answer, Request, ResponseHead};
use freshwire_engine::http::refusal::Refusal;
use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::{Body, Frame, Incoming};
use hyper::header::HeaderMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// A response up to this is waited for, so that it goes on in one piece.
const SHORT_BODY_BYTES: usize = 64 * 1024;
/// For so long.
const HOLD: Duration = Duration::from_millis(100);

/// Why a response is not passed on.
pub fn ambiguous(why: &str) -> Refusal {
    Refusal::new(502, "upstream_malformed", format!("the upstream's response is ambiguous: {why}"))
}

/// Pass the response on, and keep the connection if that went well.
pub async fn respond(
    thread: &Arc<Thread>,
    exchange: &Arc<Exchange>,
    request: &Request,
    lease: Lease,
    response: Response<Incoming>,
) -> Result<(), Refusal> {
    let to_head = &*request.method == "HEAD";
    let head =
        fields::response_head(response.status().as_u16(), response.headers(), to_head).map_err(ambiguous)?;
    let keep = keeps(thread, response.headers());
    let when = when(request, response.headers(), &head);
    pass(thread, exchange, head, response.into_body(), when).await?;
    // Of a request that was answered before it was sent, nothing more is sent.
    exchange.ears.close();
    lease.release(thread, keep).await;
    Ok(())
}

/// How long an idle connection is kept: a second less than the upstream says, if it says so.
fn keeps(thread: &Thread, headers: &HeaderMap) -> Duration {
    let own = seconds(thread.common.options.upstream_idle_timeout_s);
    fields::keeps_s(headers).map_or(own, |theirs| own.min(Duration::from_secs(theirs.saturating_sub(1))))
}

/// When a response goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// As it comes.
    AtOnce,
    /// Whole, if the rest of it comes in a moment.
    Whole,
}

/// Many servers do not declare the length of what is short and there at once; but only what is whole has an `ETag` of
/// the node's and can be compared. So the answer to a GET is waited for a moment, unless it says that it streams.
fn when(request: &Request, headers: &HeaderMap, head: &ResponseHead) -> When {
    const STREAMS: [&[u8]; 3] = [b"text/event-stream", b"application/x-ndjson", b"multipart/"];
    let says = |name: &str, value: &[u8]| {
        headers.get(name).is_some_and(|said| said.as_bytes().to_ascii_lowercase().starts_with(value))
    };
    let streams = STREAMS.iter().any(|kind| says("content-type", kind))
        || says("x-accel-buffering", b"no")
        || says("incremental", b"?1");
    let short = head.content_length.is_none_or(|length| length <= SHORT_BODY_BYTES as u64);
    if &*request.method == "GET" && short && !streams { When::Whole } else { When::AtOnce }
}

/// What an exchange says of its response: the head first, with what there is of the body.
struct Saying<'x> {
    exchange: &'x Exchange,
    head: Option<Box<ResponseHead>>,
    held: Vec<Bytes>,
}

impl Saying<'_> {
    fn hold(&mut self, data: Bytes) {
        self.held.push(data);
    }

    fn is_long(&self) -> bool {
        self.held.iter().map(Bytes::len).sum::<usize>() > SHORT_BODY_BYTES
    }

    /// Say what is held.
    fn say(&mut self, more: bool) {
        let data = match self.held.len() {
            0 | 1 => self.held.pop().unwrap_or_default(),
            _ => std::mem::take(&mut self.held).concat().into(),
        };
        self.exchange.answer(match self.head.take() {
            Some(head) => Answer::Start { head, body: data, more },
            None => Answer::Data { data, more },
        });
    }
}

/// Pass on head and body. The error, after its head or before it: the body does not come to its end.
pub async fn pass(
    thread: &Thread,
    exchange: &Exchange,
    head: ResponseHead,
    mut body: Incoming,
    when: When,
) -> Result<(), Refusal> {
    let limit_s = thread.common.options.upstream_read_timeout_s;
    let cut = |detail: String| Refusal::new(502, "upstream_cut", detail);
    let mut saying = Saying { exchange, head: Some(Box::new(head)), held: vec![] };
    if body.is_end_stream() {
        saying.say(false);
        return Ok(());
    }
    let mut holds_until = (when == When::Whole).then(|| Instant::now() + HOLD);
    let mut piece = match when {
        When::Whole => None,
        When::AtOnce => soon(&mut body).await,
    };
    loop {
        let next = match (piece.take(), holds_until) {
            (Some(next), _) => next,
            (None, Some(until)) => match timeout_at(until, body.frame()).await {
                Ok(next) => next,
                Err(_) => {
                    holds_until = None;
                    saying.say(true);
                    continue;
                }
            },
            (None, None) => {
                if saying.head.is_some() {
                    saying.say(true);
                }
                timeout(seconds(limit_s), body.frame()).await.map_err(|_| {
                    cut(format!("the upstream's response stopped for {limit_s} s (upstream_read_timeout_s)"))
                })?
            }
        };
        exchange.progressed();
        let Some(next) = next else {
            saying.say(false);
            return Ok(());
        };
        let next = next.map_err(|_| cut("the upstream's response is cut short".into()))?;
        match next.into_data() {
            Ok(data) => {
                saying.hold(data);
                let more = !body.is_end_stream();
                if more && holds_until.is_some() && !saying.is_long() {
                    continue;
                }
                holds_until = None;
                saying.say(more);
                if !more {
                    return Ok(());
                }
                exchange.drained().await;
            }
            Err(other) => {
                let trailers = other.into_trailers().unwrap_or_default();
                saying.say(true);
                exchange.answer(Answer::Trailers(fields::trailers(&trailers)));
                return Ok(());
            }
        }
    }
}

/// The first piece of a body, if it is there once hyper's task has been let run: then head and body go out in one.
async fn soon(body: &mut Incoming) -> Option<Option<Result<Frame<Bytes>, hyper::Error>>> {
    for turn in 0..2 {
        if turn > 0 {
            tokio::task::yield_now().await;
        }
        let polled = poll_fn(|cx| Poll::Ready(Pin::new(&mut *body).poll_frame(cx))).await;
        if let Poll::Ready(piece) = polled {
            return Some(piece);
        }
    }
    None
}

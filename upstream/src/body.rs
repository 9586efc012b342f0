//! A request's body on its way to the upstream: asked of the client piece by piece, as the upstream takes it.
use crate::exchange::Exchange;
use bytes::Bytes;
use freshwire_engine::app::Answer;
use hyper::body::{Body, Frame, SizeHint};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::time::Sleep;

/// How long an upstream may take to say 100 (Continue) before it gets the body without (RFC 9110 §10.1.1).
const CONTINUE_WAIT: Duration = Duration::from_secs(1);

/// See the module.
pub struct RequestBody {
    /// What came with the head.
    first: Bytes,
    /// More follows, asked for through this.
    rest: Option<Arc<Exchange>>,
    /// A piece has been asked for and has not come.
    asked: bool,
    /// All of it, if that is known.
    length: Option<u64>,
    gate: Option<Wait>,
}

/// The client's expectation of a 100, and how long that is waited for.
struct Wait {
    gate: Arc<Gate>,
    patience: Pin<Box<Sleep>>,
}

/// Opened when the upstream says that it will take the body.
#[derive(Default)]
pub struct Gate {
    open: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Gate {
    /// The upstream takes the body.
    pub fn open(&self) {
        self.open.store(true, Relaxed);
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
        waker.into_iter().for_each(Waker::wake);
    }
}

/// The exchange ended before the request did.
#[derive(Debug)]
pub struct CutShort;

impl fmt::Display for CutShort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request was cut short")
    }
}

impl std::error::Error for CutShort {}

impl RequestBody {
    /// No body.
    pub fn empty() -> Self {
        Self { first: Bytes::new(), rest: None, asked: false, length: Some(0), gate: None }
    }

    /// One that begins with `first`; with `rest`, more is asked for. `length`: of all of it.
    pub fn new(first: Bytes, rest: Option<Arc<Exchange>>, length: Option<u64>) -> Self {
        Self { first, rest, asked: false, length, gate: None }
    }

    /// Keep it back until the upstream asks for it.
    pub fn behind(self, gate: Arc<Gate>) -> Self {
        Self { gate: Some(Wait { gate, patience: Box::pin(tokio::time::sleep(CONTINUE_WAIT)) }), ..self }
    }

    /// Whether the upstream may have it now.
    fn poll_gate(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(wait) = &mut self.gate else { return Poll::Ready(()) };
        *wait.gate.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        if wait.gate.open.load(Relaxed) || wait.patience.as_mut().poll(cx).is_ready() {
            self.gate = None;
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = CutShort;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutShort>>> {
        let me = &mut *self;
        if me.poll_gate(cx).is_pending() {
            // The end of the exchange wakes its reader.
            return match me.rest.as_ref().map(|exchange| exchange.ears.poll_over(cx)) {
                Some(Poll::Ready(())) => Poll::Ready(Some(Err(CutShort))),
                _ => Poll::Pending,
            };
        }
        if !me.first.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut me.first)))));
        }
        loop {
            let Some(exchange) = &me.rest else { return Poll::Ready(None) };
            if !std::mem::replace(&mut me.asked, true) {
                exchange.awaits_client.store(true, Relaxed);
                exchange.answer(Answer::Want);
            }
            let Poll::Ready(piece) = exchange.ears.poll_body(cx) else { return Poll::Pending };
            me.asked = false;
            exchange.awaits_client.store(false, Relaxed);
            exchange.progressed();
            let Some((data, more)) = piece else { return Poll::Ready(Some(Err(CutShort))) };
            if !more {
                me.rest = None;
            }
            if !data.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_empty() && self.rest.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

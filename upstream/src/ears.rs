//! What an exchange has heard from the engine and not looked at: pieces of the request's body or messages, a drain, the
//! client's departure.
//!
//! The engine's events come in on the thread's own loop; two tasks listen: the exchange's, and hyper's for the body.
use bytes::Bytes;
use freshwire_engine::app::{Event, Message};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// See the module.
#[derive(Default)]
pub struct Ears(Mutex<Heard>);

#[derive(Default)]
struct Heard {
    body: VecDeque<(Bytes, bool)>,
    messages: VecDeque<Spoken>,
    /// How often the client was said to leave: once when it ends its side, once when it is gone.
    departures: u32,
    drained: bool,
    /// The exchange is over: nothing more is of use.
    over: bool,
    /// Of the exchange.
    waker: Option<Waker>,
    /// Of who reads the body.
    reader: Option<Waker>,
}

/// What a WebSocket's client says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spoken {
    /// A message.
    Message(Message),
    /// The end: code and reason.
    Closed(u16, String),
}

impl Ears {
    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The engine says something.
    pub fn hear(&self, event: Event) {
        let mut heard = self.lock();
        let waker = match event {
            Event::Body { data, more } => {
                heard.body.push_back((data, more));
                heard.reader.take()
            }
            Event::Message(message) => {
                heard.messages.push_back(Spoken::Message(message));
                heard.waker.take()
            }
            Event::Closed(code, reason) => {
                heard.messages.push_back(Spoken::Closed(code, reason));
                heard.waker.take()
            }
            Event::Drained => {
                heard.drained = true;
                heard.waker.take()
            }
            Event::Disconnect => {
                heard.departures += 1;
                heard.waker.take()
            }
        };
        drop(heard);
        waker.into_iter().for_each(Waker::wake);
    }

    /// The exchange is over: whoever reads the body hears that no more of it will come.
    pub fn close(&self) {
        let reader = {
            let mut heard = self.lock();
            heard.over = true;
            heard.reader.take()
        };
        reader.into_iter().for_each(Waker::wake);
    }

    /// The next piece of the body, and whether more follows; `None`: the exchange is over.
    pub fn poll_body(&self, cx: &mut Context<'_>) -> Poll<Option<(Bytes, bool)>> {
        let mut heard = self.lock();
        if heard.over {
            return Poll::Ready(None);
        }
        match heard.body.pop_front() {
            Some(piece) => Poll::Ready(Some(piece)),
            None => {
                heard.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Done when the exchange is over.
    pub fn poll_over(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut heard = self.lock();
        if heard.over {
            return Poll::Ready(());
        }
        heard.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// What a WebSocket's client says next.
    pub fn poll_spoken(&self, cx: &mut Context<'_>) -> Poll<Spoken> {
        let mut heard = self.lock();
        match heard.messages.pop_front() {
            Some(spoken) => Poll::Ready(spoken),
            None => {
                listen(&mut heard, cx);
                Poll::Pending
            }
        }
    }

    /// Done once the client has taken what it was sent; that is then forgotten.
    pub fn poll_drained(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut heard = self.lock();
        if std::mem::take(&mut heard.drained) {
            return Poll::Ready(());
        }
        listen(&mut heard, cx);
        Poll::Pending
    }

    /// Done once the client was said to leave more than `before` times; how often that was.
    pub fn poll_departure(&self, before: u32, cx: &mut Context<'_>) -> Poll<u32> {
        let mut heard = self.lock();
        if heard.departures > before {
            return Poll::Ready(heard.departures);
        }
        listen(&mut heard, cx);
        Poll::Pending
    }
}

/// All that the exchange waits for is one task.
fn listen(heard: &mut Heard, cx: &Context<'_>) {
    match &mut heard.waker {
        Some(waker) => waker.clone_from(cx.waker()),
        none => *none = Some(cx.waker().clone()),
    }
}

//! What is said and heard: the application's messages to the engine, the engine's events to whoever waits for them.
use super::{Exchange, Stage, State};
use crate::cycle::{Cycle, Peer};
use crate::message::Said;
use crate::send::Refusal;
use freshwire_engine::app::{Answer, Event, HIGH_WATER, LOW_WATER, Message};
use pyo3::create_exception;
use pyo3::exceptions::{PyConnectionResetError, PyRuntimeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyString};
use std::sync::atomic::Ordering;

create_exception!(
    freshwire._engine,
    PeerGone,
    PyConnectionResetError,
    "What `send` raises once nobody is there; an application that lets it pass has done nothing wrong."
);

/// What to do after a message was taken.
pub(super) enum Taken {
    /// Others may wait for a message that will never come.
    Last,
    /// The peer does not keep up.
    Slow,
    More,
}

impl Exchange {
    /// Leave an answer, and count its bytes until the socket has taken them.
    pub(super) fn put(&self, answer: Answer) {
        let bytes = match &answer {
            Answer::Start { body, .. } => body.len(),
            Answer::Data { data, .. } => data.len(),
            Answer::Message(Message::Text(data) | Message::Binary(data)) => data.len(),
            _ => 0,
        };
        self.flow.buffered.fetch_add(bytes, Ordering::AcqRel);
        self.application.outbox.put(self.id, answer);
    }

    pub(super) fn peer(&self, state: &State) -> Peer {
        match self.flow.disconnected.load(Ordering::Acquire) {
            true => Peer::Gone,
            false if state.left => Peer::Leaving,
            false => Peer::There,
        }
    }

    /// Something happened on the engine's side.
    pub fn event(slf: &Bound<'_, Self>, event: Event) -> PyResult<()> {
        let me = slf.get();
        {
            let mut state = me.lock();
            state.left |= matches!(event, Event::Disconnect);
            state.cycle.event(event);
        }
        me.wake(slf.py())
    }

    /// Tell everybody who waits to look again.
    pub(super) fn wake(&self, py: Python<'_>) -> PyResult<()> {
        let waiters = std::mem::take(&mut self.lock().waiters);
        for future in waiters {
            let future = future.bind(py);
            if !is_done(future)? {
                future.call_method1(intern!(py, "set_result"), (py.None(),))?;
            }
        }
        Ok(())
    }

    /// A future that is done when something has happened.
    pub fn wait<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let (py, me) = (slf.py(), slf.get());
        let future = me.application.create_future(py)?;
        Self::register(slf);
        let mut waiters = std::mem::take(&mut me.lock().waiters);
        if !waiters.is_empty() {
            // An application that waits with a timeout again and again leaves cancelled ones.
            waiters.retain(|waiter| !is_done(waiter.bind(py)).unwrap_or(true));
        }
        waiters.push(future.clone().unbind());
        me.lock().waiters = waiters;
        Ok(future)
    }

    /// What `receive` returns, if it is there.
    pub fn heard<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let me = slf.get();
        let heard = {
            let mut state = me.lock();
            let peer = if state.stage == Stage::Over { Peer::Gone } else { me.peer(&state) };
            state.cycle.heard(peer, &mut |answer| me.put(answer))
        };
        me.application.outbox.settle();
        heard.map(|heard| heard.into_dict(slf.py())).transpose()
    }

    /// Whether the peer has taken enough of what was sent. Raises once it has gone.
    pub fn drained(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let me = slf.get();
        if me.peer(&me.lock()) == Peer::Gone {
            return Err(PeerGone::new_err("the client has gone before it took what was sent"));
        }
        me.application.outbox.flush();
        me.flow.wants_drain.store(true, Ordering::SeqCst);
        // The shard may have got there before it could see the wish.
        let drained = me.flow.buffered.load(Ordering::SeqCst) <= LOW_WATER;
        if drained {
            me.flow.wants_drain.store(false, Ordering::SeqCst);
        }
        Ok(drained)
    }

    /// The application's message, checked, on its way.
    pub(super) fn say(&self, said: Said, kind: &Bound<'_, PyString>) -> PyResult<Taken> {
        let mut state = self.lock();
        let (peer, hold) = (self.peer(&state), state.stage == Stage::Stepping);
        let result = state.cycle.take(said, peer, &mut |answer| self.put(answer));
        state.name_tags();
        if !hold {
            state.cycle.release(&mut |answer| self.put(answer));
        }
        match result {
            Ok(()) if state.cycle.is_complete() => Ok(Taken::Last),
            Ok(()) if self.flow.buffered.load(Ordering::Acquire) > HIGH_WATER => Ok(Taken::Slow),
            Ok(()) => Ok(Taken::More),
            Err(refusal) => {
                drop(state);
                self.application.outbox.settle();
                Err(refused(kind, refusal))
            }
        }
    }
}

impl State {
    /// Move the tags into the head, if it is held.
    pub(super) fn name_tags(&mut self) {
        if let Cycle::Http { response, .. } = &mut self.cycle
            && let Some(head) = response.held()
        {
            head.tags.append(&mut self.tags);
        }
    }
}

fn is_done(future: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(future.call_method0(intern!(future.py(), "done"))?.cast::<PyBool>()?.is_true())
}

fn refused(kind: &Bound<'_, PyString>, refusal: Refusal) -> PyErr {
    match refusal {
        Refusal::Order(expected) => {
            PyRuntimeError::new_err(format!("unexpected ASGI message '{kind}', expected {expected}"))
        }
        Refusal::Content(text) => PyRuntimeError::new_err(text),
        Refusal::Gone(text) => PeerGone::new_err(text),
    }
}

//! One request as the application sees it: the coroutine that its task drives, and its `receive` and `send`.
//!
//! The object is itself the coroutine, around the application's own: it sees how the application ends and when it
//! suspends without a Python frame of its own, while `asyncio.Task` does what a task does (cancellation, timeouts,
//! `current_task`, task groups): `steps`. What is said and heard is `messages`; what may be said when, `cycle`.
//!
//! The state's lock is never held across a call into Python, nor while an object is dropped: either may run code that
//! comes back here, or hands the interpreter to a thread that waits for the lock.
mod messages;
mod steps;

use self::messages::Taken;
use crate::application::Application;
use crate::coroutine;
use crate::cycle::Cycle;
use crate::message;
use crate::ready::{ready, thrown};
use crate::waiting::{Purpose, Waiting};
use freshwire_engine::app::{ExchangeId, Flow, Request};
use pyo3::exceptions::{PyRuntimeError, PyStopIteration, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyString;
use pyo3::{PyTraverseError, PyVisit, intern};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// See the module.
#[pyclass(frozen, module = "freshwire._engine")]
pub struct Exchange {
    id: ExchangeId,
    flow: Arc<Flow>,
    application: Arc<Application>,
    state: Mutex<State>,
}

/// What changes.
struct State {
    stage: Stage,
    cycle: Cycle,
    /// Until the first step.
    request: Option<Box<Request>>,
    /// The application's, from the first step to the end.
    coroutine: Option<Py<PyAny>>,
    /// The task that drives this, while it is suspended.
    task: Option<Py<PyAny>>,
    /// Futures of those who wait for something to happen.
    waiters: Vec<Py<PyAny>>,
    /// The engine will find this for its events.
    registered: bool,
    /// The engine has spoken of a disconnect.
    left: bool,
    /// What the response depends on, besides what its head says.
    tags: Vec<Box<str>>,
}

/// Where the task stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    New,
    /// The application's own coroutine runs now.
    Stepping,
    Suspended,
    Over,
}

impl Exchange {
    /// Before its first step.
    pub fn new(application: Arc<Application>, mut request: Box<Request>) -> Self {
        let cycle = Cycle::new(&mut request);
        let state = State {
            stage: Stage::New,
            cycle,
            request: None,
            coroutine: None,
            task: None,
            waiters: Vec::new(),
            registered: false,
            left: false,
            tags: Vec::new(),
        };
        let (id, flow) = (request.id, request.flow.clone());
        Self { id, flow, application, state: Mutex::new(State { request: Some(request), ..state }) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Let the engine's events find it from now on.
    pub fn register(slf: &Bound<'_, Self>) {
        let me = slf.get();
        if !std::mem::replace(&mut me.lock().registered, true) {
            me.application.register(me.id, slf.clone().unbind());
        }
    }

    /// An attribute of the application's coroutine, for those who inspect tasks.
    fn inner(slf: &Bound<'_, Self>, name: &Bound<'_, PyString>) -> Option<Py<PyAny>> {
        let coroutine = slf.get().lock().coroutine.as_ref().map(|coroutine| coroutine.clone_ref(slf.py()))?;
        coroutine.bind(slf.py()).getattr(name).ok().map(Bound::unbind)
    }
}

#[pymethods]
impl Exchange {
    /// ASGI's `receive`.
    fn receive(slf: &Bound<'_, Self>) -> Waiting {
        Waiting::new(slf.clone().unbind(), Purpose::Receive)
    }

    /// ASGI's `send` (that name is the coroutine's).
    fn answer(slf: &Bound<'_, Self>, message: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let (py, me) = (slf.py(), slf.get());
        let (said, kind) = message::parse(message)?;
        let taken = me.say(said, &kind)?;
        me.application.outbox.settle();
        match taken {
            Taken::Slow => {
                let waiting = Waiting::new(slf.clone().unbind(), Purpose::Drain);
                return Ok(Py::new(py, waiting)?.into_any());
            }
            Taken::Last => me.wake(py)?,
            Taken::More => {}
        }
        ready(py)
    }

    /// Add tags to the response. Raises ValueError for a bad tag, RuntimeError once its head has been sent.
    fn depends_on(&self, tags: Vec<String>) -> PyResult<()> {
        let state = &mut *self.lock();
        let Cycle::Http { response, .. } = &mut state.cycle else {
            return Err(PyRuntimeError::new_err("a WebSocket is no representation: it depends on no tag"));
        };
        if response.head_sent() {
            return Err(PyRuntimeError::new_err(
                "the head of the response has been sent: name its tags before its body begins",
            ));
        }
        let known =
            response.held().map_or(&[][..], |head| &head.tags).iter().chain(&state.tags).map(|tag| &**tag);
        let all: Vec<&str> = known.chain(tags.iter().map(String::as_str)).collect();
        self.application.engine.check_tags(&all).map_err(PyValueError::new_err)?;
        state.tags.extend(tags.into_iter().map(String::into_boxed_str));
        state.name_tags();
        Ok(())
    }

    fn __await__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        Self::step(slf, coroutine::advance)
    }

    fn send<'py>(slf: &Bound<'py, Self>, value: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let stepped = match value.is_none() {
            true => Self::step(slf, coroutine::advance),
            false => Self::step(slf, |inner| coroutine::call(inner, intern!(inner.py(), "send"), value)),
        };
        stepped?.ok_or_else(|| PyStopIteration::new_err(()))
    }

    #[pyo3(signature = (kind, value=None, traceback=None))]
    fn throw<'py>(
        slf: &Bound<'py, Self>,
        kind: Bound<'py, PyAny>,
        value: Option<Bound<'py, PyAny>>,
        traceback: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        drop(traceback);
        let (py, error) = (slf.py(), thrown(kind, value));
        let unused = slf.get().lock().request.take();
        if unused.is_some() {
            // Cancelled before it began.
            Self::failed(slf, error)?;
            return Err(PyStopIteration::new_err(()));
        }
        let error = error.into_value(py).into_bound(py).into_any();
        Self::step(slf, |inner| coroutine::call(inner, intern!(py, "throw"), error))?
            .ok_or_else(|| PyStopIteration::new_err(()))
    }

    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        let coroutine = slf.get().lock().coroutine.as_ref().map(|coroutine| coroutine.clone_ref(slf.py()));
        if let Some(coroutine) = coroutine {
            coroutine.call_method0(slf.py(), intern!(slf.py(), "close"))?;
        }
        slf.get().lock().cycle.fail(&mut |answer| slf.get().put(answer));
        Self::end(slf)
    }

    #[getter]
    fn cr_running(&self) -> bool {
        self.lock().stage == Stage::Stepping
    }

    #[getter]
    fn cr_await(slf: &Bound<'_, Self>) -> Option<Py<PyAny>> {
        Self::inner(slf, intern!(slf.py(), "cr_await"))
    }

    #[getter]
    fn cr_frame(slf: &Bound<'_, Self>) -> Option<Py<PyAny>> {
        Self::inner(slf, intern!(slf.py(), "cr_frame"))
    }

    #[getter]
    fn cr_code(slf: &Bound<'_, Self>) -> Option<Py<PyAny>> {
        Self::inner(slf, intern!(slf.py(), "cr_code"))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Ok(state) = self.state.try_lock() {
            visit.call(&state.coroutine)?;
            visit.call(&state.task)?;
            state.waiters.iter().try_for_each(|waiter| visit.call(waiter))?;
        }
        Ok(())
    }

    fn __clear__(&self) {
        let taken = {
            let mut state = self.lock();
            (state.coroutine.take(), state.task.take(), std::mem::take(&mut state.waiters))
        };
        drop(taken);
    }
}

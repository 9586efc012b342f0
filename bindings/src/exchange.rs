//! One request as the application sees it: the coroutine that its task drives, and its `receive` and `send`.
//!
//! The object is itself the coroutine, around the application's own: it sees how the application ends and when it
//! suspends without a Python frame of its own, while `asyncio.Task` does what a task does (cancellation, timeouts,
//! `current_task`, task groups). What may be said when is for `send`, `receive` and `websocket`.
//!
//! The state's lock is never held across a call into Python, nor while an object is dropped: either may run code that
//! comes back here, or hands the interpreter to a thread that waits for the lock.
use crate::application::Application;
use crate::coroutine::{self, Step};
use crate::cycle::{Cycle, Peer};
use crate::message::{self, Said};
use crate::ready::{ready, thrown};
use crate::send::Refusal;
use crate::waiting::{Purpose, Waiting};
use freshwire_engine::app::{Answer, Event, ExchangeId, Flow, HIGH_WATER, LOW_WATER, Message, Request};
use pyo3::exceptions::{PyConnectionResetError, PyRuntimeError, PyStopIteration, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyString};
use pyo3::{PyTraverseError, PyVisit, intern};
use std::sync::atomic::Ordering;
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
    /// The client has gone, or the connection has moved on.
    gone: bool,
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
            gone: false,
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

    /// The task that drives it, to be cancelled if it will not end.
    pub fn set_task(&self, task: Py<PyAny>) {
        let mut state = self.lock();
        if state.stage != Stage::Over {
            state.task = Some(task);
        }
    }

    /// Cancel the task.
    pub fn cancel(&self, py: Python<'_>) -> PyResult<()> {
        let task = self.lock().task.as_ref().map(|task| task.clone_ref(py));
        task.map_or(Ok(()), |task| task.call_method0(py, intern!(py, "cancel")).map(drop))
    }

    /// Leave an answer, and count its bytes until the socket has taken them.
    fn put(&self, answer: Answer) {
        let bytes = match &answer {
            Answer::Start { body, .. } => body.len(),
            Answer::Data { data, .. } => data.len(),
            Answer::Message(Message::Text(data) | Message::Binary(data)) => data.len(),
            _ => 0,
        };
        self.flow.buffered.fetch_add(bytes, Ordering::AcqRel);
        self.application.outbox.put(self.id, answer);
    }

    fn peer(&self, state: &State) -> Peer {
        if state.gone || self.flow.disconnected.load(Ordering::Acquire) { Peer::Gone } else { Peer::There }
    }

    /// Something happened on the engine's side.
    pub fn event(slf: &Bound<'_, Self>, event: Event) -> PyResult<()> {
        let me = slf.get();
        {
            let mut state = me.lock();
            state.gone |= matches!(event, Event::Disconnect);
            state.cycle.event(event, &mut |answer| me.put(answer));
        }
        me.application.outbox.settle();
        me.wake(slf.py())
    }

    /// Tell everybody who waits to look again.
    fn wake(&self, py: Python<'_>) -> PyResult<()> {
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
            return Err(PyConnectionResetError::new_err("the client has gone before it took what was sent"));
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

    /// Call the application. None: its client left before it began, and nobody will miss a GET.
    fn begin<'py>(slf: &Bound<'py, Self>, request: &Request) -> PyResult<Option<Bound<'py, PyAny>>> {
        let (py, me) = (slf.py(), slf.get());
        if matches!(&*request.method, "GET" | "HEAD") && me.flow.disconnected.load(Ordering::Acquire) {
            return Ok(None);
        }
        coroutine::current(py)?.call_method1(intern!(py, "set"), (slf,))?;
        let scope = me.application.scopes.build(py, request)?;
        let (receive, send) = (slf.getattr(intern!(py, "receive"))?, slf.getattr(intern!(py, "answer"))?);
        let coroutine = coroutine::of(me.application.app.bind(py).call1((scope, receive, send))?)?;
        me.lock().coroutine = Some(coroutine.clone().unbind());
        Ok(Some(coroutine))
    }

    /// Let the application run until it suspends or ends.
    fn step<'py>(
        slf: &Bound<'py, Self>,
        drive: impl FnOnce(&Bound<'py, PyAny>) -> PyResult<Step<'py>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let (py, me) = (slf.py(), slf.get());
        let (request, coroutine) = {
            let mut state = me.lock();
            match state.stage {
                Stage::Over => return Err(PyRuntimeError::new_err("cannot reuse an exchange that is over")),
                Stage::Stepping => return Err(PyValueError::new_err("the exchange is already running")),
                Stage::New | Stage::Suspended => state.stage = Stage::Stepping,
            }
            (state.request.take(), state.coroutine.as_ref().map(|coroutine| coroutine.clone_ref(py)))
        };
        let stepped = match (request, coroutine) {
            (_, Some(coroutine)) => drive(coroutine.bind(py)),
            (Some(request), None) => match Self::begin(slf, &request) {
                Ok(Some(coroutine)) => drive(&coroutine),
                Ok(None) => {
                    Self::end(slf)?;
                    return Ok(None);
                }
                Err(error) => Err(error),
            },
            (None, None) => Err(PyRuntimeError::new_err("the exchange has no application to run")),
        };
        match stepped {
            Ok(Step::Yielded(future)) => {
                {
                    let mut state = me.lock();
                    state.stage = Stage::Suspended;
                    state.cycle.release(&mut |answer| me.put(answer));
                }
                me.application.outbox.settle();
                Self::register(slf);
                Ok(Some(future))
            }
            Ok(Step::Returned) => Self::finished(slf).map(|()| None),
            Err(error) => Self::failed(slf, error).map(|()| None),
        }
    }

    /// The application has returned.
    fn finished(slf: &Bound<'_, Self>) -> PyResult<()> {
        let me = slf.get();
        let without = {
            let mut state = me.lock();
            let peer = me.peer(&state);
            state.cycle.finish(&mut |answer| me.put(answer)).filter(|_| peer == Peer::There)
        };
        Self::end(slf)?;
        if let Some(what) = without {
            me.application.report(slf.py(), &format!("The application returned without {what}"), None);
        }
        Ok(())
    }

    /// The application has raised. What is returned goes on to the loop.
    fn failed(slf: &Bound<'_, Self>, error: PyErr) -> PyResult<()> {
        let (py, me) = (slf.py(), slf.get());
        let peer = {
            let mut state = me.lock();
            state.cycle.fail(&mut |answer| me.put(answer));
            me.peer(&state)
        };
        Self::end(slf)?;
        if coroutine::belongs_to_the_loop(py, &error)? {
            return Err(error);
        }
        if !(peer == Peer::Gone && coroutine::is_os_error(py, &error)?) {
            me.application.report(py, "Exception in the application", Some(error));
        }
        Ok(())
    }

    /// Nothing more comes from the application.
    fn end(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (py, me) = (slf.py(), slf.get());
        let (registered, ..) = {
            let mut state = me.lock();
            state.stage = Stage::Over;
            // Taken out here, dropped when the lock is free.
            (state.registered, state.coroutine.take(), state.task.take(), state.request.take())
        };
        me.application.outbox.settle();
        me.wake(py)?;
        if registered {
            me.application.forget(py, me.id);
        }
        Ok(())
    }

    /// An attribute of the application's coroutine, for those who inspect tasks.
    fn inner(slf: &Bound<'_, Self>, name: &Bound<'_, PyString>) -> Option<Py<PyAny>> {
        let coroutine = slf.get().lock().coroutine.as_ref().map(|coroutine| coroutine.clone_ref(slf.py()))?;
        coroutine.bind(slf.py()).getattr(name).ok().map(Bound::unbind)
    }

    /// The application's message, checked, on its way; true: and the application should wait.
    fn say(&self, said: Said, kind: &Bound<'_, PyString>) -> PyResult<Taken> {
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

/// What to do after a message was taken.
enum Taken {
    /// Others may wait for a message that will never come.
    Last,
    /// The peer does not keep up.
    Slow,
    More,
}

impl State {
    /// Move the tags into the head, if it is held.
    fn name_tags(&mut self) {
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
        Refusal::Gone(text) => PyConnectionResetError::new_err(text),
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
        let mut state = self.lock();
        let Cycle::Http { response, .. } = &mut state.cycle else {
            return Err(PyRuntimeError::new_err("a WebSocket is no representation: it depends on no tag"));
        };
        if response.head_sent() {
            return Err(PyRuntimeError::new_err(
                "the head of the response has been sent: name its tags before its body begins",
            ));
        }
        let known = response.held().map_or(0, |head| head.tags.len()) + state.tags.len();
        self.application.tag_limits.check(known, &tags).map_err(PyValueError::new_err)?;
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

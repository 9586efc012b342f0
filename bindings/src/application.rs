//! The application and its event loop: a task for each request, the engine's events to those that are suspended, and
//! an orderly end.
use crate::bridge::{Item, Outbox};
use crate::exchange::Exchange;
use crate::scope::Scopes;
use freshwire_engine::app::{Event, ExchangeId, Kind, Request};
use freshwire_engine::node::Node as Engine;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long handlers may go on at least once they have heard that the engine has ended.
const CANCEL_GRACE: Duration = Duration::from_millis(500);
/// How long a cancelled handler may still clean up.
const CLEANUP_GRACE_S: f64 = 1.0;

/// What `Node.start` is told.
pub struct Parts {
    pub app: Py<PyAny>,
    pub event_loop: Py<PyAny>,
    pub on_error: Py<PyAny>,
    pub state: Option<Py<PyAny>>,
    pub root_path: String,
    /// How long handlers, and what they do after their answers, may take at the end.
    pub drain_timeout: Duration,
}

/// Everything a request needs, made once.
pub struct Application {
    /// The ASGI application.
    pub app: Py<PyAny>,
    /// Scope templates.
    pub scopes: Scopes,
    /// Where answers go.
    pub outbox: Outbox,
    /// For the check of tags.
    pub engine: Arc<Engine>,
    /// Called with a sentence and an exception or None.
    on_error: Py<PyAny>,
    event_loop: Py<PyAny>,
    create_future: Py<PyAny>,
    /// Makes a task of a coroutine.
    make_task: Py<PyAny>,
    /// Tasks run their first step as they are made (Python 3.12).
    eager: bool,
    /// Exchanges that the engine may have something for.
    exchanges: Mutex<HashMap<ExchangeId, Py<Exchange>>>,
    drain_timeout: Duration,
    end: Mutex<End>,
}

/// How far the end has come.
#[derive(Default)]
struct End {
    /// To be called when it is over.
    done: Vec<Py<PyAny>>,
    /// When handlers have had their time.
    deadline: Option<Instant>,
    /// The engine has ended.
    ended: bool,
    /// Nobody waits for handlers any more.
    hurry: bool,
}

impl Application {
    /// On the loop's thread.
    pub fn new(py: Python<'_>, parts: Parts, engine: Arc<Engine>) -> PyResult<Self> {
        let event_loop = parts.event_loop.bind(py);
        let eager = py.version_info() >= (3, 12);
        // A plain task, not one of a pool or a hand-driven coroutine: everything that asks for the current task works.
        let (make_task, eager) = match event_loop.call_method0("get_task_factory")?.is_none() {
            false => (event_loop.getattr("create_task")?, false),
            true => {
                let kwargs = PyDict::new(py);
                kwargs.set_item("loop", event_loop)?;
                if eager {
                    kwargs.set_item("eager_start", true)?;
                } else {
                    // Before 3.12 a name of its own is printed for every task, which costs more than making it.
                    kwargs.set_item("name", "request")?;
                }
                let task = py.import("asyncio")?.getattr("Task")?;
                (py.import("functools")?.getattr("partial")?.call((task,), Some(&kwargs))?, eager)
            }
        };
        Ok(Self {
            scopes: Scopes::new(py, &parts.root_path, parts.state)?,
            outbox: Outbox::new(engine.answers()),
            engine,
            create_future: event_loop.getattr("create_future")?.unbind(),
            make_task: make_task.unbind(),
            eager,
            exchanges: Mutex::default(),
            drain_timeout: parts.drain_timeout,
            end: Mutex::default(),
            app: parts.app,
            on_error: parts.on_error,
            event_loop: parts.event_loop,
        })
    }

    /// A future of the loop.
    pub fn create_future<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.create_future.bind(py).call0()
    }

    /// Deliver one item. An error is for the loop (an interrupt), everything else is reported.
    pub fn deliver(self: &Arc<Self>, py: Python<'_>, item: Item) -> PyResult<()> {
        match item {
            Item::Request(request) => self.begin(py, request),
            Item::Event(id, event) => {
                let exchange = self.exchanges().get(&id).map(|exchange| exchange.clone_ref(py));
                exchange.map_or(Ok(()), |exchange| Exchange::event(exchange.bind(py), event))
            }
            Item::Ended => self.ended(py),
            Item::Hurry => self.hurry(py),
        }
    }

    /// Whether the tasks of a batch have yet to run when it has been delivered.
    pub fn runs_later(&self) -> bool {
        !self.eager
    }

    /// Call `callback` when the loop has run what is ready now.
    pub fn call_soon(&self, py: Python<'_>, callback: &Bound<'_, PyAny>) -> PyResult<()> {
        self.event_loop.call_method1(py, intern!(py, "call_soon"), (callback,)).map(drop)
    }

    fn begin(self: &Arc<Self>, py: Python<'_>, request: Box<Request>) -> PyResult<()> {
        let early = !self.eager || matches!(request.kind, Kind::WebSocket(_));
        let exchange = Bound::new(py, Exchange::new(self.clone(), request))?;
        if early {
            // It may be called, or told something, before it suspends for the first time.
            Exchange::register(&exchange);
        }
        // It gets a copy of the context that is current now: the one in which `drain` was given to the loop.
        match self.make_task.bind(py).call1((&exchange,)) {
            Ok(task) => {
                exchange.get().set_task(task.unbind());
                Ok(())
            }
            Err(error) => Exchange::abandoned(&exchange, error),
        }
    }

    /// Tell the operator. `error`: what was raised.
    pub fn report(&self, py: Python<'_>, text: &str, error: Option<PyErr>) {
        let error = error.map(|error| error.into_value(py));
        if let Err(failure) = self.on_error.call1(py, (text, error)) {
            failure.write_unraisable(py, Some(self.on_error.bind(py)));
        }
    }

    fn exchanges(&self) -> MutexGuard<'_, HashMap<ExchangeId, Py<Exchange>>> {
        self.exchanges.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) -> MutexGuard<'_, End> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Let the engine's events find an exchange.
    pub fn register(&self, id: ExchangeId, exchange: Py<Exchange>) {
        let replaced = self.exchanges().insert(id, exchange);
        drop(replaced);
    }

    /// An exchange is over.
    pub fn forget(&self, py: Python<'_>, id: ExchangeId) {
        let forgotten = self.exchanges().remove(&id);
        drop(forgotten);
        if self.end().ended && self.exchanges().is_empty() {
            self.call_done(py);
        }
    }

    /// Remember whom to call at the end; false: somebody is waiting already.
    pub fn when_done(&self, done: Py<PyAny>) -> bool {
        let mut end = self.end();
        end.deadline.get_or_insert_with(|| Instant::now() + self.drain_timeout);
        end.done.push(done);
        end.done.len() == 1
    }

    /// The engine has no connection any more. Handlers hear of it, and are cancelled when the drain is over.
    fn ended(self: &Arc<Self>, py: Python<'_>) -> PyResult<()> {
        let (hurry, deadline) = {
            let mut end = self.end();
            if std::mem::replace(&mut end.ended, true) {
                return Ok(());
            }
            (end.hurry, end.deadline)
        };
        for exchange in self.all(py) {
            Exchange::event(exchange.bind(py), Event::Disconnect)?;
        }
        if self.exchanges().is_empty() {
            self.call_done(py);
            return Ok(());
        }
        if hurry {
            return self.cancel_all(py);
        }
        let left = deadline.map_or(Duration::ZERO, |at| at.saturating_duration_since(Instant::now()));
        let me = self.clone();
        self.call_later(py, left.max(CANCEL_GRACE).as_secs_f64(), move |py| me.cancel_all(py))
    }

    fn hurry(self: &Arc<Self>, py: Python<'_>) -> PyResult<()> {
        let ended = {
            let mut end = self.end();
            end.hurry = true;
            end.ended
        };
        if ended { self.cancel_all(py) } else { Ok(()) }
    }

    fn cancel_all(self: &Arc<Self>, py: Python<'_>) -> PyResult<()> {
        for exchange in self.all(py) {
            exchange.get().cancel(py)?;
        }
        let me = self.clone();
        self.call_later(py, CLEANUP_GRACE_S, move |py| {
            me.call_done(py);
            Ok(())
        })
    }

    fn all(&self, py: Python<'_>) -> Vec<Py<Exchange>> {
        self.exchanges().values().map(|exchange| exchange.clone_ref(py)).collect()
    }

    fn call_done(&self, py: Python<'_>) {
        let done = std::mem::take(&mut self.end().done);
        for callback in done {
            if let Err(error) = callback.call0(py) {
                error.write_unraisable(py, Some(callback.bind(py)));
            }
        }
    }

    fn call_later(
        &self,
        py: Python<'_>,
        seconds: f64,
        callback: impl Fn(Python<'_>) -> PyResult<()> + Send + Sync + 'static,
    ) -> PyResult<()> {
        let callback = PyCFunction::new_closure(py, None, None, move |args, _| callback(args.py()))?;
        self.event_loop.call_method1(py, intern!(py, "call_later"), (seconds, callback)).map(drop)
    }
}

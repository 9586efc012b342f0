//! `Node`: the engine, its ring and the application behind it, as one Python object.
use crate::application::{Application, Parts};
use crate::bridge::{Bridge, Item};
use crate::engine::Engine;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Items that one call of `drain` delivers; other callbacks of the loop have their turn after that many.
const BATCH_ITEMS: usize = 256;
/// Requests of a batch after which the shards are woken without waiting for its end.
const FLUSH_EVERY: usize = 32;

/// See `_engine.pyi`.
#[pyclass(frozen, extends = Engine, module = "freshwire._engine")]
pub struct Node {
    bridge: Arc<Bridge>,
    drain_timeout: Duration,
    /// From `start` to `join`.
    application: Mutex<Option<Arc<Application>>>,
}

impl Node {
    fn application(&self) -> MutexGuard<'_, Option<Arc<Application>>> {
        self.application.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Node {
    #[new]
    fn new(options: &str, listeners: Vec<(RawFd, String, String)>) -> PyResult<PyClassInitializer<Self>> {
        let engine = Engine::new(options, listeners)?;
        let drain_timeout = Duration::try_from_secs_f64(engine.node.options().drain_timeout_s)
            .map_err(|error| PyValueError::new_err(format!("drain_timeout_s: {error}")))?;
        let node = Self { drain_timeout, bridge: Arc::new(Bridge::new()?), application: Mutex::default() };
        Ok(PyClassInitializer::from(engine).add_subclass(node))
    }

    #[pyo3(signature = (app, r#loop, on_error, state, root_path))]
    fn start(
        slf: &Bound<'_, Self>,
        app: Py<PyAny>,
        r#loop: Py<PyAny>,
        on_error: Py<PyAny>,
        state: Option<Py<PyAny>>,
        root_path: String,
    ) -> PyResult<()> {
        let (py, me, engine) = (slf.py(), slf.get(), slf.as_super().get().node.clone());
        let drain_timeout = me.drain_timeout;
        let parts = Parts { app, event_loop: r#loop, on_error, state, root_path, drain_timeout };
        let application = Arc::new(Application::new(py, parts, engine.clone())?);
        {
            let mut current = me.application();
            if current.is_some() {
                return Err(PyRuntimeError::new_err("the node has been started already"));
            }
            *current = Some(application);
        }
        Ok(engine.start(me.bridge.clone())?)
    }

    fn fileno(&self) -> RawFd {
        self.bridge.ring.fileno()
    }

    fn drain(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (py, me) = (slf.py(), slf.get());
        let application = me.application().clone();
        let Some(application) = application else {
            me.bridge.ring.drain(BATCH_ITEMS, drop);
            return Ok(());
        };
        let mut interrupt = Ok(());
        let mut requests = 0;
        application.outbox.begin_batch();
        me.bridge.ring.drain(BATCH_ITEMS, |item| {
            requests += usize::from(matches!(item, Item::Request(_)));
            if let Err(error) = application.deliver(py, item) {
                interrupt = Err(error);
            }
            if requests % FLUSH_EVERY == FLUSH_EVERY - 1 {
                application.outbox.flush();
            }
        });
        if application.runs_later() {
            // The tasks of this batch have been made and not run: its end is after them.
            application.call_soon(py, &slf.getattr(intern!(py, "_end_batch"))?)?;
        } else {
            application.outbox.end_batch();
        }
        interrupt
    }

    /// Wake the engine for the answers of a batch whose tasks ran after `drain`.
    fn _end_batch(&self) {
        let application = self.application().clone();
        if let Some(application) = application {
            application.outbox.end_batch();
        }
    }

    fn shutdown(slf: &Bound<'_, Self>, done: Py<PyAny>) -> PyResult<()> {
        let (py, me, engine) = (slf.py(), slf.get(), slf.as_super().get().node.clone());
        let application = me.application().clone();
        let Some(application) = application else {
            return done.call0(py).map(drop);
        };
        if !application.when_done(done) {
            me.bridge.push(Item::Hurry);
        }
        let bridge = me.bridge.clone();
        py.detach(|| engine.shutdown(Box::new(move || bridge.push(Item::Ended))));
        Ok(())
    }

    fn join(slf: &Bound<'_, Self>) {
        let (py, me, engine) = (slf.py(), slf.get(), slf.as_super().get().node.clone());
        py.detach(|| engine.join());
        let application = me.application().take();
        drop(application);
    }
}

//! `Node`: the engine, its ring and the application behind it, as one Python object.
use crate::application::{Application, Parts};
use crate::bridge::{Bridge, Item};
use freshwire_engine::limits::Options;
use freshwire_engine::net::sys::{WakeFd, own};
use freshwire_engine::node::{Listener, Node as Engine, Role};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// Items that one call of `drain` delivers; other callbacks of the loop have their turn after that many.
const BATCH_ITEMS: usize = 256;
/// Requests of a batch after which the shards are woken without waiting for its end.
const FLUSH_EVERY: usize = 32;

/// See `_engine.pyi`.
#[pyclass(frozen, module = "freshwire._engine")]
pub struct Node {
    engine: Arc<Engine>,
    bridge: Arc<Bridge>,
    drain_timeout: Duration,
    /// Readable when something must leave the caches in front.
    purge_wake: OnceLock<Arc<WakeFd>>,
    /// From `start` to `join`.
    application: Mutex<Option<Arc<Application>>>,
}

impl Node {
    fn application(&self) -> MutexGuard<'_, Option<Arc<Application>>> {
        self.application.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The options that Python hands over.
pub fn options(json: &str) -> PyResult<Options> {
    serde_json::from_str(json).map_err(|error| PyValueError::new_err(error.to_string()))
}

/// The listeners that Python hands over: descriptor, role, address.
pub fn listeners(described: Vec<(RawFd, String, String)>) -> PyResult<Vec<Listener>> {
    let listener = |(fd, role, address): (RawFd, String, String)| {
        let role = match &*role {
            "public" => Role::Public,
            "admin" => Role::Admin,
            other => {
                return Err(PyValueError::new_err(format!(
                    "a listener is \"public\" or \"admin\", not {other:?}"
                )));
            }
        };
        let fd = own(fd).map_err(|error| PyValueError::new_err(format!("listener {fd}: {error}")))?;
        Ok(Listener { fd, role, address })
    };
    described.into_iter().map(listener).collect()
}

#[pymethods]
impl Node {
    #[new]
    fn new(options: &str, listeners: Vec<(RawFd, String, String)>) -> PyResult<Self> {
        let (options, listeners) = (self::options(options)?, self::listeners(listeners)?);
        let drain_timeout = Duration::try_from_secs_f64(options.drain_timeout_s)
            .map_err(|error| PyValueError::new_err(format!("drain_timeout_s: {error}")))?;
        Ok(Self {
            drain_timeout,
            engine: Arc::new(Engine::new(options, listeners).map_err(PyValueError::new_err)?),
            bridge: Arc::new(Bridge::new()?),
            purge_wake: OnceLock::new(),
            application: Mutex::default(),
        })
    }

    #[pyo3(signature = (app, r#loop, on_error, state, root_path))]
    fn start(
        &self,
        py: Python<'_>,
        app: Py<PyAny>,
        r#loop: Py<PyAny>,
        on_error: Py<PyAny>,
        state: Option<Py<PyAny>>,
        root_path: String,
    ) -> PyResult<()> {
        let drain_timeout = self.drain_timeout;
        let parts = Parts { app, event_loop: r#loop, on_error, state, root_path, drain_timeout };
        let application = Arc::new(Application::new(py, parts, self.engine.clone())?);
        {
            let mut current = self.application();
            if current.is_some() {
                return Err(PyRuntimeError::new_err("the node has been started already"));
            }
            *current = Some(application);
        }
        Ok(self.engine.start(self.bridge.clone())?)
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

    fn changed(&self, tags: Vec<String>) -> PyResult<String> {
        let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
        self.engine.changed(&tags).map_err(PyValueError::new_err)
    }

    /// Collect what must leave the caches in front from now on; the eventfd that says when there is something.
    fn purging(&self) -> PyResult<RawFd> {
        if self.purge_wake.get().is_none() {
            let wake = Arc::new(WakeFd::new()?);
            let signal = wake.clone();
            self.engine.purge_with(Box::new(move || signal.signal()));
            let _ = self.purge_wake.set(wake);
        }
        Ok(self.purge_wake.get().map_or(-1, |wake| wake.fd()))
    }

    /// Tags, URIs, whether everything, and the offset of the newest change among them.
    fn purges_due(&self) -> (Vec<String>, Vec<String>, bool, u64) {
        if let Some(wake) = self.purge_wake.get() {
            wake.clear();
        }
        let due = self.engine.purges_due().unwrap_or_default();
        let tags = due.tags.into_iter().map(String::from).collect();
        let uris = due.resources.iter().map(|resource| resource.as_str().to_owned()).collect();
        (tags, uris, due.everything, due.offset)
    }

    fn purged(&self, py: Python<'_>, offset: u64) {
        py.detach(|| self.engine.purged(offset));
    }

    fn report_purges(&self, purges: u64, failures: u64, everything: u64, waiting: u64) {
        self.engine.report_purges(purges, failures, everything, waiting);
    }

    fn position(&self) -> String {
        self.engine.position()
    }

    fn stats(&self) -> String {
        self.engine.stats()
    }

    fn shutdown(&self, py: Python<'_>, done: Py<PyAny>) -> PyResult<()> {
        let application = self.application().clone();
        let Some(application) = application else {
            return done.call0(py).map(drop);
        };
        if !application.when_done(done) {
            self.bridge.push(Item::Hurry);
        }
        let bridge = self.bridge.clone();
        py.detach(|| self.engine.shutdown(Box::new(move || bridge.push(Item::Ended))));
        Ok(())
    }

    fn join(&self, py: Python<'_>) {
        py.detach(|| self.engine.join());
        let application = self.application().take();
        drop(application);
    }
}

//! `ProxyNode`: the engine before an HTTP upstream, as one Python object. No request ever comes to Python.
use crate::node::{listeners, options};
use freshwire_engine::node::Node as Engine;
use freshwire_upstream::Proxy;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use std::os::fd::RawFd;
use std::sync::Arc;

/// See `_engine.pyi`.
#[pyclass(frozen, module = "freshwire._engine")]
pub struct ProxyNode {
    engine: Engine,
    proxy: Arc<Proxy>,
}

#[pymethods]
impl ProxyNode {
    #[new]
    fn new(options: &str, listeners: Vec<(RawFd, String, String)>) -> PyResult<Self> {
        let (options, listeners) = (self::options(options)?, self::listeners(listeners)?);
        freshwire_upstream::check(&options).map_err(PyValueError::new_err)?;
        let engine = Engine::new(options, listeners).map_err(PyValueError::new_err)?;
        let proxy = Proxy::new(engine.options(), engine.shards(), &engine.answers(), &engine.metrics())
            .map_err(PyRuntimeError::new_err)?;
        Ok(Self { engine, proxy: Arc::new(proxy) })
    }

    fn start(&self) -> PyResult<()> {
        self.proxy.start()?;
        Ok(self.engine.start(self.proxy.clone())?)
    }

    fn fileno(&self) -> RawFd {
        self.proxy.fileno()
    }

    fn reports(&self) -> Vec<String> {
        self.proxy.reports()
    }

    fn changed(&self, tags: Vec<String>) -> PyResult<String> {
        let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
        self.engine.changed(&tags).map_err(PyValueError::new_err)
    }

    fn position(&self) -> String {
        self.engine.position()
    }

    fn stats(&self) -> String {
        self.engine.stats()
    }

    fn shutdown(&self, py: Python<'_>) {
        py.detach(|| self.engine.shutdown(Box::new(|| ())));
    }

    fn join(&self, py: Python<'_>) {
        py.detach(|| {
            self.engine.join();
            self.proxy.stop();
        });
    }
}

//! `ProxyNode`: the engine before an HTTP upstream, as one Python object. No request ever comes to Python.
use crate::engine::Engine;
use freshwire_upstream::Proxy;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use std::os::fd::RawFd;
use std::sync::Arc;

/// See `_engine.pyi`.
#[pyclass(frozen, extends = Engine, module = "freshwire._engine")]
pub struct ProxyNode {
    proxy: Arc<Proxy>,
}

#[pymethods]
impl ProxyNode {
    #[new]
    fn new(options: &str, listeners: Vec<(RawFd, String, String)>) -> PyResult<PyClassInitializer<Self>> {
        let engine = Engine::new(options, listeners)?;
        let node = &engine.node;
        freshwire_upstream::check(node.options()).map_err(PyValueError::new_err)?;
        let proxy = Proxy::new(node.options(), node.shards(), &node.answers(), &node.metrics())
            .map_err(PyRuntimeError::new_err)?;
        Ok(PyClassInitializer::from(engine).add_subclass(Self { proxy: Arc::new(proxy) }))
    }

    fn start(slf: &Bound<'_, Self>) -> PyResult<()> {
        let proxy = &slf.get().proxy;
        proxy.start()?;
        Ok(slf.as_super().get().node.start(proxy.clone())?)
    }

    fn fileno(&self) -> RawFd {
        self.proxy.fileno()
    }

    fn reports(&self) -> Vec<String> {
        self.proxy.reports()
    }

    fn shutdown(slf: &Bound<'_, Self>) {
        let node = slf.as_super().get().node.clone();
        slf.py().detach(|| node.shutdown(Box::new(|| ())));
    }

    fn join(slf: &Bound<'_, Self>) {
        let (node, proxy) = (slf.as_super().get().node.clone(), slf.get().proxy.clone());
        slf.py().detach(|| {
            node.join();
            proxy.stop();
        });
    }
}

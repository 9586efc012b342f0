//! `Purges`: what must leave the caches in front of a node, for who purges them; of both kinds of node.
use freshwire_engine::net::sys::WakeFd;
use freshwire_engine::node::Node as Engine;
use pyo3::prelude::*;
use std::os::fd::RawFd;
use std::sync::Arc;

/// See `_engine.pyi`.
#[pyclass(frozen, module = "freshwire._engine")]
pub struct Purges {
    engine: Arc<Engine>,
    /// Readable when something must leave.
    wake: Arc<WakeFd>,
}

impl Purges {
    /// From now on, an engine collects what changes.
    pub fn of(engine: &Arc<Engine>) -> PyResult<Self> {
        let wake = Arc::new(WakeFd::new()?);
        let signal = wake.clone();
        engine.purge_with(Box::new(move || signal.signal()));
        Ok(Self { engine: engine.clone(), wake })
    }
}

#[pymethods]
impl Purges {
    fn fileno(&self) -> RawFd {
        self.wake.fd()
    }

    fn due(&self) -> (Vec<String>, Vec<String>, bool, u64) {
        self.wake.clear();
        let due = self.engine.purges_due().unwrap_or_default();
        let tags = due.tags.into_iter().map(String::from).collect();
        let uris = due.resources.iter().map(|resource| resource.as_str().to_owned()).collect();
        (tags, uris, due.everything, due.offset)
    }

    fn purged(&self, py: Python<'_>, offset: u64) {
        py.detach(|| self.engine.purged(offset));
    }

    fn report(&self, purges: u64, failures: u64, everything: u64, waiting: u64) {
        self.engine.report_purges(purges, failures, everything, waiting);
    }
}

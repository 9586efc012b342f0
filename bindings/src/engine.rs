//! `Engine`: what a node is to Python, whatever application stands behind it (`node`, `proxy`).
use freshwire_engine::net::sys::{WakeFd, own};
use freshwire_engine::node::{Listener, Node, Role};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::os::fd::RawFd;
use std::sync::{Arc, OnceLock};

/// See `_engine.pyi`.
#[pyclass(frozen, subclass, module = "freshwire._engine")]
pub struct Engine {
    /// The engine itself.
    pub node: Arc<Node>,
    /// Readable when something must leave the caches in front.
    purge_wake: OnceLock<Arc<WakeFd>>,
}

impl Engine {
    /// Take over listeners (descriptor, role, address), with options as JSON. Raises ValueError.
    pub fn new(options: &str, listeners: Vec<(RawFd, String, String)>) -> PyResult<Self> {
        let options =
            serde_json::from_str(options).map_err(|error| PyValueError::new_err(error.to_string()))?;
        let listeners = listeners.into_iter().map(listener).collect::<PyResult<Vec<_>>>()?;
        let node = Arc::new(Node::new(options, listeners).map_err(PyValueError::new_err)?);
        Ok(Self { node, purge_wake: OnceLock::new() })
    }
}

fn listener((fd, role, address): (RawFd, String, String)) -> PyResult<Listener> {
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
}

#[pymethods]
impl Engine {
    fn changed(&self, tags: Vec<String>) -> PyResult<String> {
        let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
        self.node.changed(&tags).map_err(PyValueError::new_err)
    }

    /// Collect what must leave the caches in front from now on; the eventfd that says when there is something.
    fn purging(&self) -> PyResult<RawFd> {
        if self.purge_wake.get().is_none() {
            let wake = Arc::new(WakeFd::new()?);
            let signal = wake.clone();
            self.node.purge_with(Box::new(move || signal.signal()));
            let _ = self.purge_wake.set(wake);
        }
        Ok(self.purge_wake.get().map_or(-1, |wake| wake.fd()))
    }

    /// Tags, URIs, whether everything, and the offset of the newest change among them.
    fn purges_due(&self) -> (Vec<String>, Vec<String>, bool, u64) {
        if let Some(wake) = self.purge_wake.get() {
            wake.clear();
        }
        let due = self.node.purges_due().unwrap_or_default();
        let tags = due.tags.into_iter().map(String::from).collect();
        let uris = due.resources.iter().map(|resource| resource.as_str().to_owned()).collect();
        (tags, uris, due.everything, due.offset)
    }

    fn purged(&self, py: Python<'_>, offset: u64) {
        py.detach(|| self.node.purged(offset));
    }

    fn report_purges(&self, purges: u64, failures: u64, everything: u64, waiting: u64) {
        self.node.report_purges(purges, failures, everything, waiting);
    }

    fn position(&self) -> String {
        self.node.position()
    }

    fn stats(&self) -> String {
        self.node.stats()
    }
}

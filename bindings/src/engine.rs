//! `Engine`: what a node is to Python, whatever application stands behind it (`node`, `proxy`).
use crate::purges::Purges;
use freshwire_engine::net::sys::own;
use freshwire_engine::node::{Listener, Node, Role};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::os::fd::RawFd;
use std::sync::Arc;

/// See `_engine.pyi`.
#[pyclass(frozen, subclass, module = "freshwire._engine")]
pub struct Engine {
    /// The engine itself.
    pub node: Arc<Node>,
}

impl Engine {
    /// Take over listeners (descriptor, role, address), with options as JSON. Raises ValueError.
    pub fn new(options: &str, listeners: Vec<(RawFd, String, String)>) -> PyResult<Self> {
        let options =
            serde_json::from_str(options).map_err(|error| PyValueError::new_err(error.to_string()))?;
        let listeners = listeners.into_iter().map(listener).collect::<PyResult<Vec<_>>>()?;
        let node = Arc::new(Node::new(options, listeners).map_err(PyValueError::new_err)?);
        Ok(Self { node })
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

    fn purging(&self) -> PyResult<Purges> {
        Purges::of(&self.node)
    }

    fn position(&self) -> String {
        self.node.position()
    }

    fn stats(&self) -> String {
        self.node.stats()
    }
}

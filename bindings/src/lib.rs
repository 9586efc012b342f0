//! `freshwire._engine`: the engine as a Python module, with ASGI or an HTTP upstream (`proxy`) behind it.
//!
//! A shard's request crosses `bridge` into the event loop, where `node` drains it and `application` makes a task of it;
//! `exchange` is what that task drives. `receive`, `send` and `websocket` are the rules of ASGI as pure state, `message`
//! and `scope` its dicts.
mod application;
mod bridge;
mod coroutine;
mod cycle;
mod engine;
mod exchange;
mod load;
mod message;
mod node;
mod proxy;
mod purges;
mod ready;
mod receive;
mod scope;
mod send;
mod waiting;
mod websocket;

use freshwire_engine::limits::{Options, Secret};
use freshwire_engine::resource::surrogate;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

/// Every option with its default, as a JSON object in the order of the documentation.
#[pyfunction]
fn default_options() -> PyResult<String> {
    serde_json::to_string(&Options::default()).map_err(|error| PyRuntimeError::new_err(error.to_string()))
}

/// (name, one sentence with the unit) of every option.
#[pyfunction]
fn option_meanings() -> Vec<(&'static str, &'static str)> {
    Options::MEANINGS.iter().map(|(name, meaning)| (*name, meaning.trim())).collect()
}

/// What to purge when tags changed.
#[pyfunction]
fn surrogate_keys(tag_key: String, tags: Vec<String>) -> PyResult<Vec<String>> {
    surrogate::keys_to_purge(&Secret::from(tag_key), &tags).map_err(PyValueError::new_err)
}

#[pymodule]
fn _engine(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<engine::Engine>()?;
    module.add_class::<node::Node>()?;
    module.add_class::<proxy::ProxyNode>()?;
    module.add_class::<purges::Purges>()?;
    module.add_class::<exchange::Exchange>()?;
    module.add("current", coroutine::current(module.py())?)?;
    module.add_function(wrap_pyfunction!(default_options, module)?)?;
    module.add_function(wrap_pyfunction!(load::load, module)?)?;
    module.add_function(wrap_pyfunction!(option_meanings, module)?)?;
    module.add_function(wrap_pyfunction!(surrogate_keys, module)?)
}

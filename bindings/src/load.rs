//! The load client for `freshwire bench`, so that whoever has the package has it.
use freshwire_load::options::Options;
use freshwire_load::run::run;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How soon a signal is seen.
const PATIENCE: Duration = Duration::from_millis(50);

/// See `_engine.pyi`.
#[pyfunction]
pub fn load(py: Python<'_>, options: &str) -> PyResult<String> {
    let options: Options =
        serde_json::from_str(options).map_err(|error| PyValueError::new_err(error.to_string()))?;
    if options.seconds.is_none() {
        return Err(PyValueError::new_err("seconds must be given: there is nobody to give orders"));
    }
    let stop = Arc::new(AtomicBool::new(false));
    let (flag, waiter) = (stop.clone(), std::thread::current());
    let running = std::thread::Builder::new().name("freshwire-load".into()).spawn(move || {
        let report = run(&options, &flag, &mut |_| ());
        waiter.unpark();
        report
    })?;
    while !running.is_finished() {
        py.detach(|| std::thread::park_timeout(PATIENCE));
        if py.check_signals().is_err() {
            stop.store(true, Ordering::Relaxed);
        }
    }
    match running.join() {
        Ok(report) => report.map(|report| report.to_string()).map_err(PyValueError::new_err),
        Err(_) => Err(PyRuntimeError::new_err("the load client has failed; what it said is above")),
    }
}

//! What `receive` returns, and `send` when the peer is slow: an awaitable that looks at the exchange each time it is
//! driven, and yields a future of the loop when there is nothing yet.
//!
//! The future only says "look again"; the message stays with the exchange until a step takes it. So nothing is lost
//! when the waiting task is cancelled, not even in the tick in which the message came.
use crate::exchange::Exchange;
use crate::ready::thrown;
use pyo3::exceptions::PyStopIteration;
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit, intern};
use std::sync::Mutex;

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The next message.
    Receive,
    /// The peer to take what was sent.
    Drain,
}

/// See the module.
#[pyclass(frozen, module = "freshwire._engine")]
pub struct Waiting {
    exchange: Py<Exchange>,
    purpose: Purpose,
    /// The iterator of the future that was yielded last; it raises what the future holds (a cancellation).
    future: Mutex<Option<Py<PyAny>>>,
}

impl Waiting {
    /// Nothing happens until it is driven.
    pub fn new(exchange: Py<Exchange>, purpose: Purpose) -> Self {
        Self { exchange, purpose, future: Mutex::new(None) }
    }

    fn take_future(&self) -> Option<Py<PyAny>> {
        self.future.lock().expect("no panic under this lock").take()
    }

    /// One step: a future to wait for, or the result as the error that ends an iterator.
    fn step<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if let Some(iterator) = self.take_future() {
            match iterator.bind(py).call_method0(intern!(py, "__next__")) {
                Err(error) if error.is_instance_of::<PyStopIteration>(py) => {}
                // It was driven before the future was done: as a future does, wait on.
                other => return other,
            }
        }
        let exchange = self.exchange.bind(py);
        let result = match self.purpose {
            Purpose::Receive => Exchange::heard(exchange)?.map(Bound::into_any),
            Purpose::Drain => Exchange::drained(exchange)?.then(|| py.None().into_bound(py)),
        };
        if let Some(result) = result {
            return Err(PyStopIteration::new_err((result.unbind(),)));
        }
        let iterator = Exchange::wait(exchange)?.call_method0(intern!(py, "__await__"))?;
        let future = iterator.call_method0(intern!(py, "__next__"))?;
        *self.future.lock().expect("no panic under this lock") = Some(iterator.unbind());
        Ok(future)
    }
}

#[pymethods]
impl Waiting {
    fn __await__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.step(py)
    }

    fn send<'py>(&self, py: Python<'py>, _value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.step(py)
    }

    #[pyo3(signature = (kind, value=None, traceback=None))]
    fn throw(
        &self,
        kind: Bound<'_, PyAny>,
        value: Option<Bound<'_, PyAny>>,
        traceback: Option<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        drop(traceback);
        self.close();
        Err(thrown(kind, value))
    }

    fn close(&self) {
        drop(self.take_future());
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.exchange)?;
        match self.future.try_lock() {
            Ok(future) => visit.call(&*future),
            Err(_) => Ok(()),
        }
    }

    fn __clear__(&self) {
        self.close();
    }
}

//! What `send` returns when there is nothing to wait for: an awaitable that is already over.
//!
//! It passes for a coroutine (`collections.abc.Coroutine`), so that `create_task(send(…))` works; it has no state, and
//! one serves the whole process.
use pyo3::exceptions::PyStopIteration;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// Done before it began; the result is None.
#[pyclass(frozen, module = "freshwire._engine")]
pub struct Ready;

/// The one.
pub fn ready(py: Python<'_>) -> PyResult<Py<PyAny>> {
    static READY: PyOnceLock<Py<Ready>> = PyOnceLock::new();
    Ok(READY.get_or_try_init(py, || Py::new(py, Ready))?.clone_ref(py).into_any())
}

/// The exception that `throw(type[, value[, traceback]])` means.
pub fn thrown(kind: Bound<'_, PyAny>, value: Option<Bound<'_, PyAny>>) -> PyErr {
    // An instance is raised as it is; a class is called (with None it takes no argument).
    match value {
        Some(value) if value.is_instance(&kind).unwrap_or(false) => PyErr::from_value(value),
        _ => PyErr::from_value(kind),
    }
}

#[pymethods]
impl Ready {
    fn __await__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&self) -> Option<Py<PyAny>> {
        None
    }

    fn send(&self, _value: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(PyStopIteration::new_err(()))
    }

    #[pyo3(signature = (kind, value=None, traceback=None))]
    fn throw(
        &self,
        kind: Bound<'_, PyAny>,
        value: Option<Bound<'_, PyAny>>,
        traceback: Option<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        drop(traceback);
        Err(thrown(kind, value))
    }

    fn close(&self) {}
}

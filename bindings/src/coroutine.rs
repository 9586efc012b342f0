#![allow(unsafe_code)]
//! The application's own coroutine: getting it, stepping it, and telling what it raised.
use pyo3::exceptions::{
    PyBaseExceptionGroup, PyException, PyGeneratorExit, PyKeyboardInterrupt, PyStopIteration, PyTypeError,
};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString, PyType};
use pyo3::{ffi, intern};

/// What a step of a coroutine came to.
pub enum Step<'py> {
    /// It waits for this.
    Yielded(Bound<'py, PyAny>),
    /// It is over. What it returned is nobody's business.
    Returned,
}

/// The context variable that holds the exchange which the running code answers.
pub fn current<'py>(py: Python<'py>) -> PyResult<&'py Bound<'py, PyAny>> {
    static CURRENT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let current = CURRENT.get_or_try_init(py, || {
        let default = PyDict::new(py);
        default.set_item("default", py.None())?;
        let class = py.import("contextvars")?.getattr("ContextVar")?;
        PyResult::Ok(class.call(("current",), Some(&default))?.unbind())
    })?;
    Ok(current.bind(py))
}

/// What an application returned, as something that can be stepped.
pub fn of(returned: Bound<'_, PyAny>) -> PyResult<Bound<'_, PyAny>> {
    static COROUTINE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let py = returned.py();
    if returned.get_type().is(COROUTINE.import(py, "types", "CoroutineType")?) {
        return Ok(returned);
    }
    returned.call_method0(intern!(py, "__await__")).map_err(|_| {
        let kind = returned.get_type();
        PyTypeError::new_err(format!("an ASGI 3 application returns an awaitable, this one returned {kind}"))
    })
}

/// One step with nothing to hand in.
pub fn advance<'py>(coroutine: &Bound<'py, PyAny>) -> PyResult<Step<'py>> {
    let py = coroutine.py();
    let mut result = std::ptr::null_mut();
    // SAFETY: the interpreter is attached (`py`), `coroutine` and None are live objects, and `result` is a place for
    // one owned reference, which is set in the two cases in which it is read.
    unsafe {
        match ffi::PyIter_Send(coroutine.as_ptr(), ffi::Py_None(), &mut result) {
            ffi::PySendResult::PYGEN_NEXT => Ok(Step::Yielded(Bound::from_owned_ptr(py, result))),
            ffi::PySendResult::PYGEN_RETURN => {
                drop(Bound::from_owned_ptr(py, result));
                Ok(Step::Returned)
            }
            ffi::PySendResult::PYGEN_ERROR => Err(PyErr::fetch(py)),
        }
    }
}

/// One step by a method, `send` or `throw`.
pub fn call<'py>(
    coroutine: &Bound<'py, PyAny>,
    method: &Bound<'py, PyString>,
    argument: Bound<'py, PyAny>,
) -> PyResult<Step<'py>> {
    match coroutine.call_method1(method, (argument,)) {
        Ok(yielded) => Ok(Step::Yielded(yielded)),
        Err(error) if error.is_instance_of::<PyStopIteration>(coroutine.py()) => Ok(Step::Returned),
        Err(error) => Err(error),
    }
}

/// Whether an exception is not about the application: the task's cancellation, the coroutine's end, the operator.
/// `SystemExit` is not among them: a handler does not end the server.
pub fn belongs_to_the_loop(py: Python<'_>, error: &PyErr) -> PyResult<bool> {
    static CANCELLED: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    if error.is_instance_of::<PyException>(py) {
        return Ok(false);
    }
    Ok(error.is_instance_of::<PyKeyboardInterrupt>(py)
        || error.is_instance_of::<PyGeneratorExit>(py)
        || error.is_instance(py, CANCELLED.import(py, "asyncio", "CancelledError")?))
}

/// Whether an exception is of this class, or a group of nothing else (as task groups make of it).
pub fn is_only(py: Python<'_>, error: &PyErr, class: &Bound<'_, PyType>) -> PyResult<bool> {
    if error.is_instance_of::<PyBaseExceptionGroup>(py) {
        return Ok(error.value(py).call_method1("split", (class,))?.get_item(1)?.is_none());
    }
    Ok(error.is_instance(py, class))
}

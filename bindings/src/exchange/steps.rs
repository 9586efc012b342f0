//! How the task drives the exchange: the application's coroutine from its first step to its end.
use super::messages::PeerGone;
use super::{Exchange, Stage};
use crate::coroutine::{self, Step};
use crate::cycle::Peer;
use freshwire_engine::app::Request;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use std::sync::atomic::Ordering;

impl Exchange {
    /// The task that drives it, to be cancelled if it will not end.
    pub fn set_task(&self, task: Py<PyAny>) {
        let mut state = self.lock();
        if state.stage != Stage::Over {
            state.task = Some(task);
        }
    }

    /// Cancel the task.
    pub fn cancel(&self, py: Python<'_>) -> PyResult<()> {
        let task = self.lock().task.as_ref().map(|task| task.clone_ref(py));
        task.map_or(Ok(()), |task| task.call_method0(py, intern!(py, "cancel")).map(drop))
    }

    /// Call the application. None: its client left before it began, and nobody will miss a GET.
    fn begin<'py>(slf: &Bound<'py, Self>, request: &Request) -> PyResult<Option<Bound<'py, PyAny>>> {
        let (py, me) = (slf.py(), slf.get());
        if matches!(&*request.method, "GET" | "HEAD") && me.flow.disconnected.load(Ordering::Acquire) {
            return Ok(None);
        }
        coroutine::current(py)?.call_method1(intern!(py, "set"), (slf,))?;
        let scope = me.application.scopes.build(py, request)?;
        let (receive, send) = (slf.getattr(intern!(py, "receive"))?, slf.getattr(intern!(py, "answer"))?);
        let coroutine = coroutine::of(me.application.app.bind(py).call1((scope, receive, send))?)?;
        me.lock().coroutine = Some(coroutine.clone().unbind());
        Ok(Some(coroutine))
    }

    /// Let the application run until it suspends or ends.
    pub(super) fn step<'py>(
        slf: &Bound<'py, Self>,
        drive: impl FnOnce(&Bound<'py, PyAny>) -> PyResult<Step<'py>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let (py, me) = (slf.py(), slf.get());
        let (request, coroutine) = {
            let mut state = me.lock();
            match state.stage {
                Stage::Over => return Err(PyRuntimeError::new_err("cannot reuse an exchange that is over")),
                Stage::Stepping => return Err(PyValueError::new_err("the exchange is already running")),
                Stage::New | Stage::Suspended => state.stage = Stage::Stepping,
            }
            (state.request.take(), state.coroutine.as_ref().map(|coroutine| coroutine.clone_ref(py)))
        };
        let stepped = match (request, coroutine) {
            (_, Some(coroutine)) => drive(coroutine.bind(py)),
            (Some(request), None) => match Self::begin(slf, &request) {
                Ok(Some(coroutine)) => drive(&coroutine),
                Ok(None) => {
                    Self::end(slf)?;
                    return Ok(None);
                }
                Err(error) => Err(error),
            },
            (None, None) => Err(PyRuntimeError::new_err("the exchange has no application to run")),
        };
        match stepped {
            Ok(Step::Yielded(future)) => {
                {
                    let mut state = me.lock();
                    state.stage = Stage::Suspended;
                    state.cycle.release(&mut |answer| me.put(answer));
                }
                me.application.outbox.settle();
                Self::register(slf);
                Ok(Some(future))
            }
            Ok(Step::Returned) => Self::finished(slf).map(|()| None),
            Err(error) => Self::failed(slf, error).map(|()| None),
        }
    }

    /// There will be no task: making it failed. An error of a task that has ended (eagerly) is the loop's.
    pub fn abandoned(slf: &Bound<'_, Self>, error: PyErr) -> PyResult<()> {
        let stage = slf.get().lock().stage;
        if stage == Stage::Over { Err(error) } else { Self::failed(slf, error) }
    }

    /// The application has returned.
    fn finished(slf: &Bound<'_, Self>) -> PyResult<()> {
        let me = slf.get();
        let without = {
            let mut state = me.lock();
            let peer = me.peer(&state);
            state.cycle.finish(&mut |answer| me.put(answer)).filter(|_| peer == Peer::There)
        };
        Self::end(slf)?;
        if let Some(what) = without {
            me.application.report(slf.py(), &format!("The application returned without {what}"), None);
        }
        Ok(())
    }

    /// The application has raised. What is returned goes on to the loop.
    pub(super) fn failed(slf: &Bound<'_, Self>, error: PyErr) -> PyResult<()> {
        let (py, me) = (slf.py(), slf.get());
        me.lock().cycle.fail(&mut |answer| me.put(answer));
        Self::end(slf)?;
        if coroutine::belongs_to_the_loop(py, &error)? {
            return Err(error);
        }
        if !coroutine::is_only(py, &error, &py.get_type::<PeerGone>())? {
            me.application.report(py, "Exception in the application", Some(error));
        }
        Ok(())
    }

    /// Nothing more comes from the application.
    pub(super) fn end(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (py, me) = (slf.py(), slf.get());
        let (registered, ..) = {
            let mut state = me.lock();
            state.stage = Stage::Over;
            // Taken out here, dropped when the lock is free.
            (state.registered, state.coroutine.take(), state.task.take(), state.request.take())
        };
        me.application.outbox.settle();
        me.wake(py)?;
        if registered {
            me.application.forget(py, me.id);
        }
        Ok(())
    }
}

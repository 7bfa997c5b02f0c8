//! The one context variable: what the running code is a part of.
//!
//! It holds a `Span` or a `TraceContext`, or `None` where there is nothing. Tasks, `to_thread` and
//! whatever else copies the context carry it along by themselves.
//!
//! Leaving puts back what was there at entry, without a token: a token belongs to one context, and
//! a block may be left in another one (an async generator that the loop closes). Where the variable
//! has moved on in the meantime it is left alone, and that is counted.

use super::{
    context::TraceContext,
    span::Span,
    statistics::{Oddity, count},
};
use crate::errors::{Family, error};
use penstock_core::{sync::lock, trace_context as core};
use pyo3::{PyTraverseError, PyVisit, ffi, prelude::*, sync::PyOnceLock, types::PyBytes};
use std::{ptr, sync::Mutex};

static VARIABLE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

fn variable(py: Python<'_>) -> PyResult<*mut ffi::PyObject> {
    let variable = VARIABLE.get_or_try_init(py, || {
        // SAFETY: attached; a terminated name and no default.
        unsafe {
            let name = c"penstock_trace_context".as_ptr();
            let made = ffi::PyContextVar_New(name, ptr::null_mut());
            Bound::from_owned_ptr_or_err(py, made).map(Bound::unbind)
        }
    })?;
    Ok(variable.as_ptr())
}

/// What the variable holds, if that is one of ours.
#[inline]
pub(super) fn get(py: Python<'_>) -> PyResult<Option<Bound<'_, PyAny>>> {
    let mut value = ptr::null_mut();
    // SAFETY: attached; `value` is ours, and receives an owned reference or null.
    unsafe {
        if ffi::PyContextVar_Get(variable(py)?, ptr::null_mut(), &raw mut value) < 0 {
            return Err(PyErr::fetch(py));
        }
        let value = Bound::from_owned_ptr_or_opt(py, value);
        Ok(value.filter(|value| !value.is_none()))
    }
}

#[inline]
fn set(value: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = value.py();
    // SAFETY: attached, both are live; the token that comes back is owned and dropped.
    unsafe {
        let token = ffi::PyContextVar_Set(variable(py)?, value.as_ptr());
        Bound::from_owned_ptr_or_err(py, token).map(drop)
    }
}

/// Makes `value` current; gives what was before.
#[inline]
pub(super) fn enter(value: &Bound<'_, PyAny>) -> PyResult<Option<Py<PyAny>>> {
    let before = get(value.py())?.map(Bound::unbind);
    set(value)?;
    Ok(before)
}

/// Puts `before` back, if `value` is what is current.
#[inline]
pub(super) fn leave(value: &Bound<'_, PyAny>, before: Option<Py<PyAny>>) -> PyResult<()> {
    let py = value.py();
    if get(py)?.is_some_and(|current| current.is(value)) {
        set(before.unwrap_or_else(|| py.None()).bind(py))
    } else {
        count(Oddity::ForeignExit, 1);
        Ok(())
    }
}

/// The context that `value` stands for.
#[inline]
pub(super) fn context_of<'a>(value: &'a Bound<'_, PyAny>) -> Option<&'a core::TraceContext> {
    if let Ok(span) = value.cast_exact::<Span>() {
        return Some(span.get().inner());
    }
    value
        .cast_exact::<TraceContext>()
        .ok()
        .map(|context| &context.get().0)
}

/// The current context in its binary form; `None` where there is nothing to carry.
#[pyfunction]
pub(crate) fn current_context_bytes(py: Python<'_>) -> PyResult<Option<Bound<'_, PyBytes>>> {
    let Some(value) = get(py)? else {
        return Ok(None);
    };
    let context = context_of(&value).filter(|context| **context != core::TraceContext::default());
    Ok(context.map(|context| PyBytes::new(py, &context.to_bytes())))
}

/// The span that the running code is in; None outside of any, and below a context from elsewhere.
///
/// Any thread and task; for adding attributes and events where the span itself is out of reach.
#[pyfunction]
pub(crate) fn current_span(py: Python<'_>) -> PyResult<Option<Bound<'_, Span>>> {
    Ok(get(py)?.and_then(|value| value.cast_into_exact::<Span>().ok()))
}

/// What `activate()` returns: below `with`, its span or context is the current one.
///
/// Serves one block; a second entry raises `Misuse`.
#[pyclass(frozen, module = "penstock.tracing")]
pub(crate) struct Activation {
    value: Py<PyAny>,
    state: Mutex<Stage>,
}

enum Stage {
    Ready,
    Inside(Option<Py<PyAny>>),
    Left,
}

impl Activation {
    pub(super) fn new(value: Py<PyAny>) -> Self {
        Self {
            value,
            state: Mutex::new(Stage::Ready),
        }
    }
}

#[pymethods]
impl Activation {
    fn __enter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let value = self.value.bind(py).clone();
        if !matches!(*lock(&self.state), Stage::Ready) {
            return Err(error(
                py,
                Family::Misuse,
                "an activation was entered twice",
                Some("call activate() once for each block"),
            ));
        }
        let before = enter(&value)?;
        *lock(&self.state) = Stage::Inside(before);
        Ok(value)
    }

    #[pyo3(signature = (_kind, _raised, _traceback, /))]
    fn __exit__(
        &self,
        py: Python<'_>,
        _kind: &Bound<'_, PyAny>,
        _raised: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        let stage = std::mem::replace(&mut *lock(&self.state), Stage::Left);
        if let Stage::Inside(before) = stage {
            leave(self.value.bind(py), before)?;
        }
        Ok(false)
    }

    // Without a `__clear__`: contexts and frames, which any cycle goes through, break it.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.value)
    }
}

//! One step of a handler, in a context of its own.

use std::ptr;

use pyo3::{ffi, intern, prelude::*, sync::PyOnceLock, types::PyType};

use crate::ending;

/// What a step led to.
pub(super) enum Step<'py> {
    Yielded(Bound<'py, PyAny>),
    Returned(Bound<'py, PyAny>),
    Raised(PyErr),
}

/// A copy of the context in force.
#[inline]
pub(super) fn copied_context(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: attached; a new reference or an error.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyContext_CopyCurrent()) }
}

/// Runs `body` in `context`, which nobody else is in.
#[inline]
pub(super) fn within<'py, T>(context: &Bound<'py, PyAny>, body: impl FnOnce() -> T) -> PyResult<T> {
    // SAFETY: attached; a live context. What was entered is left, whatever happens in between: Rust code
    // that calls Python does not unwind.
    unsafe {
        if ffi::PyContext_Enter(context.as_ptr()) != 0 {
            return Err(PyErr::fetch(context.py()));
        }
        let result = body();
        if ffi::PyContext_Exit(context.as_ptr()) != 0 {
            return Err(PyErr::fetch(context.py()));
        }
        Ok(result)
    }
}

/// Resumes a coroutine, or the iterator of another awaitable.
#[inline]
pub(super) fn send<'py>(iterator: &Bound<'py, PyAny>, value: *mut ffi::PyObject) -> Step<'py> {
    let py = iterator.py();
    let mut result = ptr::null_mut();
    ending::outlast();
    // SAFETY: live objects and a place for the answer, which is a new reference if there is one.
    unsafe {
        match ffi::PyIter_Send(iterator.as_ptr(), value, &raw mut result) {
            ffi::PySendResult::PYGEN_RETURN => Step::Returned(Bound::from_owned_ptr(py, result)),
            ffi::PySendResult::PYGEN_NEXT => Step::Yielded(Bound::from_owned_ptr(py, result)),
            ffi::PySendResult::PYGEN_ERROR => Step::Raised(PyErr::fetch(py)),
        }
    }
}

/// Raises `error` where the coroutine stands.
pub(super) fn throw<'py>(iterator: &Bound<'py, PyAny>, error: &Bound<'py, PyAny>) -> Step<'py> {
    let py = iterator.py();
    let throw = match iterator.getattr(intern!(py, "throw")) {
        Ok(throw) => throw,
        // A bare iterator has no place to raise in; the exception ends it here.
        Err(_) => return Step::Raised(PyErr::from_value(error.clone())),
    };
    match throw.call1((error,)) {
        Ok(yielded) => Step::Yielded(yielded),
        Err(failure) if failure.is_instance_of::<pyo3::exceptions::PyStopIteration>(py) => {
            match failure.value(py).getattr(intern!(py, "value")) {
                Ok(value) => Step::Returned(value),
                Err(failure) => Step::Raised(failure),
            }
        }
        Err(failure) => Step::Raised(failure),
    }
}

/// What is to be resumed, if a call returned something to be awaited.
#[inline]
pub(super) fn iterator_of<'py>(value: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    // SAFETY: plain looks at a live object and its type.
    unsafe {
        if ffi::PyCoro_CheckExact(value.as_ptr()) != 0 {
            return Ok(Some(value.clone()));
        }
        let methods = (*ffi::Py_TYPE(value.as_ptr())).tp_as_async;
        if methods.is_null() {
            return Ok(None);
        }
        match (*methods).am_await {
            None => Ok(None),
            Some(am_await) => {
                let iterator = am_await(value.as_ptr());
                Bound::from_owned_ptr_or_err(value.py(), iterator).map(Some)
            }
        }
    }
}

/// asyncio's class of cancellations.
pub(super) fn cancelled_class(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    CLASS.import(py, "asyncio", "CancelledError")
}

/// Whether `failure` is asyncio's cancellation.
pub(super) fn is_cancellation(py: Python<'_>, failure: &PyErr) -> bool {
    cancelled_class(py).is_ok_and(|class| failure.is_instance(py, class))
}

/// Whether `failure` ends the program, or something else that is not the handler's alone.
pub(super) fn is_fatal(py: Python<'_>, failure: &PyErr) -> bool {
    !failure.is_instance_of::<pyo3::exceptions::PyException>(py)
}

//! `penstock.metrics.MeasuredCall`: a coroutine around a coroutine that takes the time.
//!
//! It forwards `send`, `throw` and `close`, so a cancellation reaches the measured coroutine as if it
//! were awaited directly. The way of an `await` is the type's `am_send` slot, which costs a C call
//! where a method would cost a `StopIteration` for every result; PyO3 has no name for that slot, so
//! [`install_send`] puts it there.

use super::measurement::{Measurement, now, seconds_since};
use crate::ending;
use pyo3::{
    PyTraverseError, PyTypeInfo, PyVisit,
    exceptions::{PyAttributeError, PyStopIteration},
    ffi,
    prelude::*,
    types::PyTuple,
};
use std::{
    ptr,
    sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed},
};

const READY: u8 = 0;
const RUNNING: u8 = 1;
const DONE: u8 = 2;

/// What `metrics.measure(name, fn, ...)` returns for an async `fn`: await it, once.
///
/// A `collections.abc.Coroutine`, so it can also become a task. The call begins when it is first
/// awaited and ends with the coroutine; dropped in between, it counts as cancelled.
#[pyclass(frozen, module = "penstock.metrics")]
pub(crate) struct MeasuredCall {
    /// A coroutine, or the iterator that `__await__` of another awaitable gave.
    inner: Py<PyAny>,
    measurement: Py<Measurement>,
    /// Relaxed everywhere: whoever resumes the call is ordered after its last step by the loop.
    state: AtomicU8,
    start: AtomicU64,
}

enum Step<'py> {
    Yield(Bound<'py, PyAny>),
    Return(Bound<'py, PyAny>),
}

impl MeasuredCall {
    pub(super) fn new(inner: Py<PyAny>, measurement: Py<Measurement>) -> Self {
        Self {
            inner,
            measurement,
            state: AtomicU8::new(READY),
            start: AtomicU64::new(0),
        }
    }

    #[inline]
    fn begin(&self) {
        if self.state.load(Relaxed) == READY {
            self.state.store(RUNNING, Relaxed);
            self.measurement.get().calls.begin();
            self.start.store(now(), Relaxed);
        }
    }

    /// Whether the call ends now; a second end changes nothing.
    #[inline]
    fn ends(&self) -> bool {
        let running = self.state.load(Relaxed) == RUNNING;
        self.state.store(DONE, Relaxed);
        running
    }

    #[inline]
    fn succeed(&self) {
        if self.ends() {
            self.measurement
                .get()
                .calls
                .succeed(seconds_since(self.start.load(Relaxed)));
        }
    }

    /// The exception that ended the call is being raised, and stays so.
    #[cold]
    fn raise(&self, py: Python<'_>) {
        if self.ends() {
            self.measurement
                .get()
                .end_raising(py, self.start.load(Relaxed));
        }
    }

    /// # Safety
    /// Attached to the interpreter; `argument` is a live object, `result` may be written.
    #[inline]
    unsafe fn resume(
        &self,
        argument: *mut ffi::PyObject,
        result: *mut *mut ffi::PyObject,
    ) -> ffi::PySendResult {
        self.begin();
        ending::outlast();
        // SAFETY: the caller's; `inner` is an iterator, and `self` keeps it.
        let step = unsafe { ffi::PyIter_Send(self.inner.as_ptr(), argument, result) };
        match step {
            ffi::PySendResult::PYGEN_NEXT => {}
            ffi::PySendResult::PYGEN_RETURN => self.succeed(),
            // SAFETY: the caller is attached.
            ffi::PySendResult::PYGEN_ERROR => self.raise(unsafe { Python::assume_attached() }),
        }
        step
    }

    fn step<'py>(&self, argument: &Bound<'py, PyAny>) -> PyResult<Step<'py>> {
        let py = argument.py();
        let mut result = ptr::null_mut();
        // SAFETY: `py` says that we are attached, `argument` and `result` are ours. A step that did
        // not fail has put an owned reference into `result`.
        unsafe {
            match self.resume(argument.as_ptr(), &raw mut result) {
                ffi::PySendResult::PYGEN_NEXT => Ok(Step::Yield(Bound::from_owned_ptr(py, result))),
                ffi::PySendResult::PYGEN_RETURN => {
                    Ok(Step::Return(Bound::from_owned_ptr(py, result)))
                }
                ffi::PySendResult::PYGEN_ERROR => Err(PyErr::fetch(py)),
            }
        }
    }
}

impl<'py> Step<'py> {
    /// As a generator's methods give it: a result is a `StopIteration`.
    fn into_yielded(self) -> PyResult<Bound<'py, PyAny>> {
        match self {
            Self::Yield(value) => Ok(value),
            Self::Return(value) => Err(PyStopIteration::new_err((value.unbind(),))),
        }
    }
}

#[pymethods]
impl MeasuredCall {
    fn __await__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.step(py.None().bind(py))?.into_yielded()
    }

    /// Resumes the call, as an event loop does.
    #[pyo3(signature = (value, /))]
    fn send<'py>(&self, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.step(value)?.into_yielded()
    }

    /// Raises an exception inside the call, as a cancellation does.
    #[pyo3(signature = (*exception))]
    fn throw<'py>(
        &self,
        py: Python<'py>,
        exception: &Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let outcome = match self.inner.bind(py).getattr("throw") {
            Ok(throw) => throw.call1(exception),
            // A bare iterator has no place to raise in; the exception ends it here.
            Err(error) if error.is_instance_of::<PyAttributeError>(py) => Err(raisable(exception)?),
            Err(error) => Err(error),
        };
        outcome.inspect_err(|error| {
            if error.is_instance_of::<PyStopIteration>(py) {
                self.succeed();
            } else if self.ends() {
                let start = self.start.load(Relaxed);
                self.measurement
                    .get()
                    .end_with(py, start, error.value(py).as_any());
            }
        })
    }

    /// Ends the call where it stands; it counts as cancelled if it had begun.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let inner = self.inner.bind(py);
        let outcome = match inner.getattr_opt("close")? {
            Some(close) => close.call0().map(drop),
            None => Ok(()),
        };
        if self.ends() {
            match &outcome {
                Ok(()) => self.measurement.get().calls.cancel(),
                Err(error) => {
                    let start = self.start.load(Relaxed);
                    self.measurement
                        .get()
                        .end_with(py, start, error.value(py).as_any());
                }
            }
        }
        outcome
    }

    /// `cr_frame`, `cr_await`, `__qualname__` and the like are those of the measured coroutine, so
    /// that task dumps show it.
    fn __getattr__<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        self.inner.bind(py).getattr(name)
    }

    // Without a `__clear__`: the coroutine's own finaliser breaks any cycle, by ending its frame.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.inner)
    }
}

impl Drop for MeasuredCall {
    fn drop(&mut self) {
        if *self.state.get_mut() == RUNNING {
            self.measurement.get().calls.cancel();
        }
    }
}

/// The exception that `throw(type)`, `throw(value)` or `throw(type, value, traceback)` means.
fn raisable(exception: &Bound<'_, PyTuple>) -> PyResult<PyErr> {
    let given = exception.get_item(1).ok().filter(|value| !value.is_none());
    let value = given.map_or_else(|| exception.get_item(0), Ok)?;
    Ok(PyErr::from_value(value))
}

/// Gives the type its `am_send` slot; called once, before the type is handed out.
pub(crate) fn install_send(py: Python<'_>) {
    let kind = MeasuredCall::type_object_raw(py);
    // SAFETY: attached, and no instance exists yet. PyO3 makes heap types, which own the
    // `tp_as_async` table that `__await__` made it fill; flag and slot together are
    // what `Py_am_send` among a type's slots would have set.
    unsafe {
        let methods = (*kind).tp_as_async;
        if !methods.is_null() {
            (*methods).am_send = Some(am_send);
            // A plain word here, an atomic of the same layout on free-threaded builds.
            *(&raw mut (*kind).tp_flags).cast::<core::ffi::c_ulong>() |= HAVE_AM_SEND;
            ffi::PyType_Modified(kind);
        }
    }
}

/// `Py_TPFLAGS_HAVE_AM_SEND`, which the bindings leave out.
const HAVE_AM_SEND: core::ffi::c_ulong = 1 << 21;

unsafe extern "C" fn am_send(
    this: *mut ffi::PyObject,
    argument: *mut ffi::PyObject,
    result: *mut *mut ffi::PyObject,
) -> ffi::PySendResult {
    // SAFETY: a slot of the type is called with an instance of it, attached, and with an argument
    // and a result that are the caller's. The class is frozen, so a shared reference is all there is.
    unsafe {
        let py = Python::assume_attached();
        let this = Borrowed::from_ptr(py, this);
        this.cast_unchecked::<MeasuredCall>()
            .get()
            .resume(argument, result)
    }
}

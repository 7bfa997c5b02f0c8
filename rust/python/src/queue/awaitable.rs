//! What `aget()` and its like return: one native object that is a coroutine to whoever asks.
//!
//! Its first step tries, and if that succeeds returns without touching the event loop. Only when
//! it would wait does it build the coroutine `penstock.queues.waiting.wait`, to which everything
//! is forwarded from then on.

use std::{
    cell::UnsafeCell,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU8, Ordering},
    },
};

use penstock_core::sync::lock;
use pyo3::{
    Borrowed, PyTraverseError,
    exceptions::{PyRuntimeError, PyRuntimeWarning, PyStopAsyncIteration, PyStopIteration},
    ffi,
    gc::PyVisit,
    intern,
    prelude::*,
    sync::PyOnceLock,
    types::PyTuple,
};

pub(super) mod spare;

use super::{
    HAS_GLOBAL_LOCK, budget, lull,
    operation::{Action, Operation},
};
use crate::{ending, errors, hub::Place, waiter::Waiter};

const FRESH: u8 = 0;
const WAITING: u8 = 1;
const DONE: u8 = 2;

enum Step {
    Suspended(Py<PyAny>),
    Finished(Py<PyAny>),
    /// Finished, and it was the first step.
    AtOnce(Py<PyAny>),
}

/// One asynchronous operation on a queue; awaited once.
#[pyclass(frozen, module = "penstock._native")]
pub(crate) struct QueueOperation {
    /// Taken out by [`spare`] only, from one that has ended at its first step.
    operation: UnsafeCell<Option<Operation>>,
    timeout: Option<f64>,
    /// Moved by whoever steps the coroutine.
    state: AtomicU8,
    /// The waiting coroutine, once there is one.
    waiting: Mutex<Option<Py<PyAny>>>,
    /// The waiter of the current or the last sleep: it stands in the list until the wait is over.
    waiter: Mutex<Option<Arc<Waiter>>>,
}

// SAFETY: `operation` is changed only where a global lock lets one thread at a time run, while the
// object is DONE and nobody is inside of it (see `spare`).
unsafe impl Sync for QueueOperation {}

/// Stands for "not now" where every Python object could be an item.
pub(super) fn not_now(py: Python<'_>) -> &Py<PyAny> {
    static MARK: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    MARK.get_or_init(py, || {
        let object = py
            .import("builtins")
            .and_then(|module| module.getattr("object")?.call0());
        object.expect("object() cannot fail").unbind()
    })
}

fn wait_function(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static WAIT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    WAIT.import(py, "penstock.queues.waiting", "wait")
}

impl QueueOperation {
    pub(super) fn new(operation: Operation, timeout: Option<f64>) -> Self {
        Self {
            operation: UnsafeCell::new(Some(operation)),
            timeout,
            state: AtomicU8::new(FRESH),
            waiting: Mutex::new(None),
            waiter: Mutex::new(None),
        }
    }

    /// What is to be done; `None` for one that has ended and waits for its next use.
    #[inline]
    fn operation(&self) -> Option<&Operation> {
        // SAFETY: whoever changes it does so while nobody is inside (see `spare`).
        unsafe { (*self.operation.get()).as_ref() }
    }

    /// What is to be done by one whose first step is over, and which has not ended.
    fn waiting_operation(&self) -> PyResult<&Operation> {
        let is_waiting = self.state.load(Ordering::Relaxed) == WAITING;
        let operation = self.operation().filter(|_| is_waiting);
        operation.ok_or_else(|| self.used_up())
    }

    /// Whether the caller has the first step. Without a GIL two threads may come for it at once,
    /// and a put that both take goes in twice.
    #[inline]
    fn begins(&self) -> bool {
        if HAS_GLOBAL_LOCK {
            let is_fresh = self.state.load(Ordering::Relaxed) == FRESH;
            self.state.store(DONE, Ordering::Relaxed);
            return is_fresh;
        }
        self.state
            .compare_exchange(FRESH, DONE, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }

    /// One step. The interpreter may have come here without PyO3's knowledge (`am_send`), and then
    /// what is dropped outside of `attach` is dropped late; so all but the shortest way is inside.
    #[inline]
    fn step(slf: &Bound<'_, Self>, value: &Bound<'_, PyAny>) -> PyResult<Step> {
        let this = slf.get();
        match this.state.load(Ordering::Relaxed) {
            FRESH if this.begins() => {
                let Some(operation) = this.operation() else {
                    return Err(this.used_up());
                };
                let due = !budget::spend() && !operation.would_wait();
                if !due {
                    let mut outcome = operation.attempt(slf.py(), None);
                    if HAS_GLOBAL_LOCK && matches!(outcome, Ok(None)) {
                        outcome = Python::attach(|py| lull::attempt(py, operation));
                    }
                    match outcome {
                        Ok(Some(result)) => return Ok(Step::AtOnce(result)),
                        Ok(None) => {}
                        Err(failure) => {
                            return Python::attach(|py| Err(this.ended(py, failure)));
                        }
                    }
                }
                Python::attach(|_| Self::wait(slf, value, due))
            }
            WAITING => Python::attach(|py| this.forward(&this.waiting(py)?, value)),
            _ => Err(this.used_up()),
        }
    }

    #[cold]
    fn wait(slf: &Bound<'_, Self>, value: &Bound<'_, PyAny>, due: bool) -> PyResult<Step> {
        let this = slf.get();
        ending::outlast();
        let waiting = wait_function(slf.py())?.call1((slf, this.timeout, due))?;
        *lock(&this.waiting) = Some(waiting.clone().unbind());
        this.state.store(WAITING, Ordering::Relaxed);
        this.forward(&waiting, value)
    }

    fn waiting<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let waiting = lock(&self.waiting);
        waiting
            .as_ref()
            .map(|waiting| waiting.bind(py).clone())
            .ok_or_else(|| self.used_up())
    }

    fn forward(&self, waiting: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<Step> {
        let py = waiting.py();
        let mut result = std::ptr::null_mut();
        // SAFETY: two live objects and a place for the answer; `waiting` is a coroutine, hence an
        // iterator. What comes back, if anything, is a new reference.
        let answer = unsafe {
            let answer = ffi::PyIter_Send(waiting.as_ptr(), value.as_ptr(), &raw mut result);
            (answer, Bound::from_owned_ptr_or_opt(py, result))
        };
        match answer {
            (ffi::PySendResult::PYGEN_NEXT, Some(result)) => Ok(Step::Suspended(result.unbind())),
            (ffi::PySendResult::PYGEN_RETURN, Some(result)) => {
                self.finish();
                Ok(Step::Finished(result.unbind()))
            }
            _ => {
                self.finish();
                Err(self.ended(py, PyErr::fetch(py)))
            }
        }
    }

    fn finish(&self) {
        self.state.store(DONE, Ordering::Relaxed);
        let waiting = lock(&self.waiting).take();
        drop(waiting); // Outside the lock: it may run foreign code.
    }

    #[cold]
    fn used_up(&self) -> PyErr {
        PyRuntimeError::new_err(format!("cannot reuse already awaited {}", self.described()))
    }

    fn described(&self) -> String {
        let describe =
            |operation: &Operation| format!("{} of {}", operation.verb(), operation.label());
        self.operation()
            .map_or_else(|| "queue operation".to_owned(), describe)
    }

    /// Refuses a second `await` while the first one waits.
    #[inline]
    fn check_begin(&self) -> PyResult<()> {
        if self.state.load(Ordering::Relaxed) == WAITING {
            return Err(PyRuntimeError::new_err(format!(
                "{} is being awaited already",
                self.described()
            )));
        }
        Ok(())
    }

    /// The end of the queue ends an `async for`.
    fn ended(&self, py: Python<'_>, failure: PyErr) -> PyErr {
        let iterates = |operation: &Operation| matches!(operation.action, Action::Next);
        if self.operation().is_some_and(iterates) && errors::is_closed(py, &failure) {
            return PyStopAsyncIteration::new_err(());
        }
        failure
    }
}

#[pymethods]
impl QueueOperation {
    fn __await__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        slf.get().check_begin().map(|()| slf)
    }

    fn __iter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        slf.get().check_begin().map(|()| slf)
    }

    fn __next__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        Self::send(slf, slf.py().None().bind(slf.py()))
    }

    fn send(slf: &Bound<'_, Self>, value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        match Self::step(slf, value)? {
            Step::Suspended(yielded) => Ok(yielded),
            Step::Finished(result) | Step::AtOnce(result) => {
                Err(PyStopIteration::new_err((result,)))
            }
        }
    }

    #[pyo3(signature = (*exception))]
    fn throw(slf: &Bound<'_, Self>, exception: &Bound<'_, PyTuple>) -> PyResult<Py<PyAny>> {
        let this = slf.get();
        let py = slf.py();
        match this.state.load(Ordering::Relaxed) {
            FRESH if this.begins() => {
                // A coroutine that has not begun: the exception leaves at once, nothing was done.
                py.import("penstock.queues.waiting")?
                    .getattr(intern!(py, "raise_thrown"))?
                    .call1(exception.clone())
                    .map(Bound::unbind)
            }
            WAITING => {
                let outcome = this
                    .waiting(py)?
                    .call_method1(intern!(py, "throw"), exception.clone());
                outcome.map(Bound::unbind).map_err(|failure| {
                    this.finish();
                    this.ended(py, failure)
                })
            }
            _ => Err(this.used_up()),
        }
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        if self.state.swap(DONE, Ordering::Relaxed) == WAITING {
            let waiting = self.waiting(py)?;
            self.finish();
            waiting.call_method0(intern!(py, "close"))?;
        }
        Ok(())
    }

    /// Tries once more, after a turn of the loop: the result, or `NOT_NOW`.
    fn attempt(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let me = lock(&self.waiter).clone();
        let operation = self.waiting_operation()?;
        match operation.attempt(py, me.as_ref())? {
            Some(result) => Ok(result),
            None => Ok(not_now(py).clone_ref(py)),
        }
    }

    /// Puts `place` to the list, where the place of the sleep before stands if there was one, and
    /// tries once more: the result, or `NOT_NOW`: sleep there.
    fn enlist(&self, py: Python<'_>, place: &Place) -> PyResult<Py<PyAny>> {
        let operation = self.waiting_operation()?;
        let waiter = Waiter::task(place.slot(), operation.need());
        let previous = lock(&self.waiter).replace(Arc::clone(&waiter));
        operation.enlist(waiter, previous.as_ref());
        self.attempt(py)
    }

    /// On every way out of the wait.
    fn leave(&self) {
        let waiter = lock(&self.waiter).take();
        if let (Some(waiter), Some(operation)) = (waiter, self.operation()) {
            operation.leave(&waiter);
        }
    }

    /// Says that the loop had its turn.
    #[staticmethod]
    fn renew() {
        budget::renew();
    }

    /// The error to raise when the time is up.
    fn expired(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let failure = self.waiting_operation()?.expired(py, self.timeout);
        Ok(failure.into_value(py).into_any())
    }

    fn __repr__(&self) -> String {
        format!("<{}>", self.described())
    }

    #[getter(__name__)]
    fn name(&self) -> &'static str {
        self.operation().map_or("ended", Operation::verb)
    }

    #[getter(__qualname__)]
    fn qualified_name(&self) -> String {
        self.operation()
            .map_or_else(|| "ended".to_owned(), Operation::qualified_name)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Some(operation) = self.operation() {
            operation.traverse(&visit)?;
        }
        match self.waiting.try_lock() {
            Ok(waiting) => visit.call(&*waiting),
            Err(_) => Ok(()),
        }
    }

    fn __clear__(&self) {
        self.finish();
    }
}

impl Drop for QueueOperation {
    fn drop(&mut self) {
        if self.state.load(Ordering::Relaxed) != FRESH {
            return;
        }
        Python::attach(|py| {
            let message = format!("{} was never awaited\0", self.described().replace('\0', ""));
            let category = py.get_type::<PyRuntimeWarning>();
            let text = std::ffi::CStr::from_bytes_with_nul(message.as_bytes()).unwrap_or(c"");
            if let Err(failure) = PyErr::warn(py, &category, text, 1) {
                failure.write_unraisable(py, None);
            }
        });
    }
}

/// The step of an `await`, with no exception made to carry its result.
///
/// # Safety
/// Called by the interpreter only, with a live `QueueOperation`, a live value and a place for the
/// answer.
unsafe extern "C" fn am_send(
    slf: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
    result: *mut *mut ffi::PyObject,
) -> ffi::PySendResult {
    // SAFETY: the interpreter calls a slot attached, and only on objects of the slot's type, of
    // which there are no subclasses; both objects are borrowed for the call.
    let (slf, value) = unsafe {
        let py = Python::assume_attached();
        (
            Bound::from_borrowed_ptr(py, slf).cast_into_unchecked::<QueueOperation>(),
            Bound::from_borrowed_ptr(py, value),
        )
    };
    let (answer, object) = match QueueOperation::step(&slf, &value) {
        Ok(Step::Finished(object)) => (ffi::PySendResult::PYGEN_RETURN, object.into_ptr()),
        Ok(Step::AtOnce(object)) => {
            spare::keep(slf);
            // SAFETY: the interpreter's place for the answer.
            unsafe { *result = object.into_ptr() };
            return ffi::PySendResult::PYGEN_RETURN;
        }
        Ok(Step::Suspended(object)) => (ffi::PySendResult::PYGEN_NEXT, object.into_ptr()),
        Err(failure) => {
            failure.restore(slf.py());
            (ffi::PySendResult::PYGEN_ERROR, std::ptr::null_mut())
        }
    };
    // SAFETY: the interpreter's place for the answer.
    unsafe { *result = object };
    answer
}

/// `__await__`, for an `await`: the operation itself.
///
/// # Safety
/// Called by the interpreter only, with a live `QueueOperation`.
unsafe extern "C" fn am_await(slf: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: attached (a slot); a live object of the slot's type, which has no subclasses.
    unsafe {
        let py = Python::assume_attached();
        let this = Borrowed::from_ptr(py, slf).cast_unchecked::<QueueOperation>();
        match this.get().check_begin() {
            Ok(()) => ffi::Py_NewRef(slf),
            Err(failure) => {
                failure.restore(py);
                std::ptr::null_mut()
            }
        }
    }
}

/// As [`am_send`], for interpreters that step an awaited object with `next`.
///
/// # Safety
/// Called by the interpreter only, with a live `QueueOperation`.
unsafe extern "C" fn iternext(slf: *mut ffi::PyObject) -> *mut ffi::PyObject {
    let mut result = std::ptr::null_mut();
    // SAFETY: as in `am_send`; None is immortal or at least alive.
    let answer = unsafe { am_send(slf, ffi::Py_None(), &raw mut result) };
    if answer == ffi::PySendResult::PYGEN_RETURN {
        // SAFETY: attached (a slot); the result is a reference of our own, given up here. A tuple
        // or an exception would be taken for the arguments of StopIteration, so it is wrapped.
        unsafe {
            if result != ffi::Py_None() {
                let stop = ffi::PyObject_CallFunctionObjArgs(
                    ffi::PyExc_StopIteration,
                    result,
                    std::ptr::null_mut::<ffi::PyObject>(),
                );
                if !stop.is_null() {
                    ffi::PyErr_SetObject(ffi::PyExc_StopIteration, stop);
                    ffi::Py_DECREF(stop);
                }
            }
            ffi::Py_DECREF(result);
        }
        return std::ptr::null_mut();
    }
    result
}

/// Puts the functions above into the type's slots: for two of them the class macro has no name, and
/// for `__await__` its own way there takes longer than all the rest of a ready `aget`'s first step.
pub(crate) fn install_steps(py: Python<'_>) {
    let class = py.get_type::<QueueOperation>().as_type_ptr();
    // SAFETY: a heap type (PyO3 makes no others), whose slots may be set before the first object
    // exists and while nobody else can reach it: the module is being initialised. `tp_as_async`
    // points into the type itself, as the class defines `__await__`.
    unsafe {
        if let Some(methods) = (*class).tp_as_async.as_mut() {
            methods.am_send = Some(am_send);
            methods.am_await = Some(am_await);
        }
        (*class).tp_iternext = Some(iternext);
    }
}

//! `Carrier`: the coroutine of a task that is there before anybody knows what it will run.
//!
//! A handler's first step is made by hand, while the carrier's task is the current one. A handler that
//! returns in it has needed no task, and the carrier serves the next. One that suspends is handed to the
//! carrier, together with the future that it waits for, and the task goes on as if it had made the first
//! step itself.
//!
//! While it has nothing to carry, the task waits for the carrier, which is a future of its own to it:
//! so a cancellation that is asked for meanwhile is heard of here, and reaches the handler it is meant for.
//! Between being handed a handler and the task's next turn, a cancellation is passed on to what the handler
//! waits for, as the task itself would do.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicU8, Ordering::Relaxed},
};

use penstock_core::sync::lock;
use pyo3::{
    PyTraverseError, PyVisit,
    exceptions::{PyRuntimeError, PyStopIteration},
    intern,
    prelude::*,
    types::{PyDict, PyTuple},
};

use super::{
    current,
    emission::Emission,
    frame::Frame,
    outcomes::Settled,
    step::{self, Step, cancelled_class, is_cancellation, is_fatal},
};

/// Its task has not had its first turn.
const FRESH: u8 = 0;
/// Its task waits for it.
const PARKED: u8 = 1;
/// Its task runs a handler.
const CARRYING: u8 = 2;
const ENDED: u8 = 3;

/// The coroutine of a task that carries on a handler that has suspended.
#[pyclass(frozen, weakref, module = "penstock._native")]
pub(crate) struct Carrier {
    event_loop: Py<PyAny>,
    /// Moved on the loop's thread only.
    state: AtomicU8,
    /// A cancellation that came while a handler was in its first step, or before its next turn.
    is_asked: AtomicBool,
    /// Whether a handler is in its first step.
    is_in_use: AtomicBool,
    is_blocking: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    task: Option<Py<PyAny>>,
    load: Option<Load>,
    /// What wakes the task, and in which context.
    wakeup: Option<(Py<PyAny>, Option<Py<PyAny>>)>,
    message: Option<Py<PyAny>>,
}

/// A handler that has suspended.
pub(super) struct Load {
    pub(super) iterator: Py<PyAny>,
    pub(super) context: Py<PyAny>,
    /// What it waits for; None for a turn of the loop.
    pub(super) yielded: Option<Py<PyAny>>,
    pub(super) emission: Py<Emission>,
    pub(super) index: usize,
}

impl Load {
    fn clone_ref(&self, py: Python<'_>) -> Self {
        Self {
            iterator: self.iterator.clone_ref(py),
            context: self.context.clone_ref(py),
            yielded: None,
            emission: self.emission.clone_ref(py),
            index: self.index,
        }
    }
}

impl Carrier {
    /// A carrier and its task, which is registered nowhere yet.
    pub(super) fn make<'py>(
        event_loop: &Bound<'py, PyAny>,
    ) -> PyResult<(Bound<'py, Self>, Bound<'py, PyAny>)> {
        let py = event_loop.py();
        let carrier = Self {
            event_loop: event_loop.clone().unbind(),
            state: AtomicU8::new(FRESH),
            is_asked: AtomicBool::new(false),
            is_in_use: AtomicBool::new(false),
            is_blocking: AtomicBool::new(false),
            inner: Mutex::new(Inner::default()),
        };
        let carrier = Bound::new(py, carrier)?;
        let task = current::make(&carrier, event_loop)?;
        lock(&carrier.get().inner).task = Some(task.clone().unbind());
        Ok((carrier, task))
    }

    pub(super) fn task<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let inner = lock(&self.inner);
        let task = inner.task.as_ref().map(|task| task.bind(py).clone());
        task.ok_or_else(|| PyRuntimeError::new_err("the carrier has ended"))
    }

    /// Whether it serves a next handler.
    pub(super) fn is_free(&self) -> bool {
        !self.is_asked.load(Relaxed) && matches!(self.state.load(Relaxed), FRESH | PARKED)
    }

    pub(super) fn is_of(&self, event_loop: &Bound<'_, PyAny>) -> bool {
        self.event_loop.as_ptr() == event_loop.as_ptr()
    }

    #[inline]
    pub(super) fn use_for_first_steps(&self, is_in_use: bool) {
        self.is_in_use.store(is_in_use, Relaxed);
    }

    /// Whether the handler that has just returned was asked to end; then the carrier is of no more use.
    #[inline]
    pub(super) fn was_asked(slf: &Bound<'_, Self>) -> PyResult<bool> {
        if !slf.get().is_asked.load(Relaxed) {
            return Ok(false);
        }
        // One that has not had its first turn ends in it, as its task was told so as well.
        Self::wake(slf)?;
        Ok(true)
    }

    /// From now on its task runs the handler.
    pub(super) fn take_over(
        slf: &Bound<'_, Self>,
        task: &Bound<'_, PyAny>,
        load: Load,
        label: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let (py, this) = (slf.py(), slf.get());
        let yielded = load.yielded.as_ref().map(|yielded| yielded.clone_ref(py));
        lock(&this.inner).load = Some(load);
        this.use_for_first_steps(false);
        current::adopt(task, label)?;
        if this.state.load(Relaxed) != PARKED {
            return Ok(());
        }
        if this.is_asked.load(Relaxed) && this.pass_on(py, yielded.as_ref())? {
            this.is_asked.store(false, Relaxed);
        }
        Self::wake(slf)
    }

    /// Cancels what the handler waits for; whether that is how it ends.
    fn pass_on(&self, py: Python<'_>, yielded: Option<&Py<PyAny>>) -> PyResult<bool> {
        let Some(yielded) = yielded else {
            return Ok(false);
        };
        let message = lock(&self.inner)
            .message
            .as_ref()
            .map(|text| text.clone_ref(py));
        let keywords = PyDict::new(py);
        keywords.set_item("msg", message)?;
        let cancel = yielded.bind(py).getattr(intern!(py, "cancel"))?;
        cancel.call((), Some(&keywords))?.is_truthy()
    }

    /// Has the waiting task called by its loop.
    fn wake(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (py, this) = (slf.py(), slf.get());
        let Some((wakeup, context)) = lock(&this.inner).wakeup.take() else {
            return Ok(());
        };
        let keywords = PyDict::new(py);
        keywords.set_item("context", context)?;
        let event_loop = this.event_loop.bind(py);
        event_loop
            .call_method(intern!(py, "call_soon"), (wakeup, slf), Some(&keywords))
            .map(drop)
    }

    fn begin<'py>(
        slf: &Bound<'py, Self>,
        thrown: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Step<'py>> {
        let (py, this) = (slf.py(), slf.get());
        let load = lock(&this.inner)
            .load
            .as_mut()
            .map(|load| (load.yielded.take(), load.clone_ref(py)));
        let Some((yielded, load)) = load else {
            if let Some(error) = thrown {
                this.end(py);
                return Ok(Step::Raised(PyErr::from_value(error.clone())));
            }
            this.state.store(PARKED, Relaxed);
            this.is_blocking.store(true, Relaxed);
            return Ok(Step::Yielded(slf.clone().into_any()));
        };
        // To one that is fresh the task itself throws what it was asked for.
        let is_asked = this.is_asked.swap(false, Relaxed);
        let is_asked = is_asked && this.state.load(Relaxed) == PARKED;
        this.state.store(CARRYING, Relaxed);
        if let Some(error) = thrown {
            let failure = PyErr::from_value(error.clone());
            if is_cancellation(py, &failure) && this.pass_on(py, yielded.as_ref())? {
                return Ok(Step::Yielded(waited_for(py, yielded)));
            }
            return Ok(this.resume(py, &load, Some(error)));
        }
        if is_asked {
            let message = lock(&this.inner).message.take();
            let arguments = PyTuple::new(py, message)?;
            let error = cancelled_class(py)?.call1(arguments)?;
            return Ok(this.resume(py, &load, Some(&error)));
        }
        match yielded {
            // The turn of the loop that it wanted is this one.
            None => Ok(this.resume(py, &load, None)),
            Some(_) => Ok(Step::Yielded(waited_for(py, yielded))),
        }
    }

    pub(super) fn go_on<'py>(
        slf: &Bound<'py, Self>,
        thrown: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Step<'py>> {
        let (py, this) = (slf.py(), slf.get());
        match this.state.load(Relaxed) {
            FRESH | PARKED => Self::begin(slf, thrown),
            CARRYING => {
                let load = lock(&this.inner)
                    .load
                    .as_ref()
                    .map(|load| load.clone_ref(py));
                match load {
                    Some(load) => Ok(this.resume(py, &load, thrown)),
                    None => Err(PyRuntimeError::new_err("the carrier carries nothing")),
                }
            }
            _ => Err(PyRuntimeError::new_err(
                "cannot reuse a carrier that has ended",
            )),
        }
    }

    fn resume<'py>(
        &self,
        py: Python<'py>,
        load: &Load,
        thrown: Option<&Bound<'py, PyAny>>,
    ) -> Step<'py> {
        let iterator = load.iterator.bind(py);
        let emission = load.emission.get();
        let key = emission.key(py);
        let frame = Frame::new(&key, emission.depth());
        let step = step::within(load.context.bind(py), || {
            let _entered = frame.enter();
            match thrown {
                Some(error) => step::throw(iterator, error),
                None => step::send(iterator, py.None().as_ptr()),
            }
        });
        let step = step.unwrap_or_else(Step::Raised);
        let (settled, step) = match step {
            Step::Yielded(_) => return step,
            Step::Returned(value) => (
                Settled::Returned(value.unbind()),
                Step::Returned(py.None().into_bound(py)),
            ),
            Step::Raised(failure) if is_cancellation(py, &failure) => {
                (Settled::Cancelled, Step::Raised(failure))
            }
            Step::Raised(failure) if is_fatal(py, &failure) => (
                Settled::Raised(failure.value(py).clone().into_any().unbind()),
                Step::Raised(failure),
            ),
            // Told by the outcome: nobody awaits this task.
            Step::Raised(failure) => (
                Settled::Raised(failure.into_value(py).into_any()),
                Step::Returned(py.None().into_bound(py)),
            ),
        };
        self.end(py);
        Emission::settle(load.emission.bind(py), load.index, settled);
        step
    }

    fn end(&self, _py: Python<'_>) {
        self.state.store(ENDED, Relaxed);
        let inner = std::mem::take(&mut *lock(&self.inner));
        drop(inner); // Outside the lock: it may run foreign code.
    }
}

fn waited_for(py: Python<'_>, yielded: Option<Py<PyAny>>) -> Bound<'_, PyAny> {
    yielded.map_or_else(|| py.None().into_bound(py), |future| future.into_bound(py))
}

fn into_yielded(step: Step<'_>) -> PyResult<Bound<'_, PyAny>> {
    match step {
        Step::Yielded(value) => Ok(value),
        Step::Returned(value) => Err(PyStopIteration::new_err((value.unbind(),))),
        Step::Raised(failure) => Err(failure),
    }
}

#[pymethods]
impl Carrier {
    // -- a coroutine ----------------------------------------------------------------------------

    #[pyo3(signature = (value, /))]
    fn send<'py>(slf: &Bound<'py, Self>, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let _ = value;
        into_yielded(Self::go_on(slf, None)?)
    }

    #[pyo3(signature = (*exception))]
    fn throw<'py>(
        slf: &Bound<'py, Self>,
        exception: &Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let given = exception.get_item(1).ok().filter(|value| !value.is_none());
        let value = given.map_or_else(|| exception.get_item(0), Ok)?;
        // Normalised: asyncio may throw a class.
        let error = PyErr::from_value(value)
            .into_value(py)
            .into_bound(py)
            .into_any();
        into_yielded(Self::go_on(slf, Some(&error))?)
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let load = lock(&self.inner).load.take();
        self.end(py);
        match load {
            Some(load) => load
                .iterator
                .bind(py)
                .call_method0(intern!(py, "close"))
                .map(drop),
            None => Ok(()),
        }
    }

    fn __await__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        into_yielded(Self::go_on(slf, None)?)
    }

    /// `cr_frame`, `cr_await`, `__qualname__` and the like are those of what it carries.
    fn __getattr__<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        let iterator = lock(&self.inner)
            .load
            .as_ref()
            .map(|load| load.iterator.clone_ref(py));
        match (iterator, name) {
            (Some(iterator), _) => iterator.bind(py).getattr(name),
            (None, "cr_running") => Ok(false.into_pyobject(py)?.to_owned().into_any()),
            (None, "cr_suspended") => Ok(true.into_pyobject(py)?.to_owned().into_any()),
            (None, "cr_frame" | "cr_await" | "cr_code" | "cr_origin") => {
                Ok(py.None().into_bound(py))
            }
            (None, "__qualname__" | "__name__") => {
                Ok("a handler's first step".into_pyobject(py)?.into_any())
            }
            (None, _) => Err(pyo3::exceptions::PyAttributeError::new_err(name.to_owned())),
        }
    }

    /// Called by its task's `cancel`, whatever the task waits for.
    fn note_cancel(&self) {
        if self.state.load(Relaxed) == FRESH {
            self.is_asked.store(true, Relaxed);
        }
    }

    // -- a future, to its own task ----------------------------------------------------------------

    #[getter(_asyncio_future_blocking)]
    fn is_blocking(&self) -> bool {
        self.is_blocking.load(Relaxed)
    }

    #[setter(_asyncio_future_blocking)]
    fn set_is_blocking(&self, value: bool) {
        self.is_blocking.store(value, Relaxed);
    }

    fn get_loop(&self, py: Python<'_>) -> Py<PyAny> {
        self.event_loop.clone_ref(py)
    }

    #[pyo3(signature = (callback, /, *, context = None))]
    fn add_done_callback(&self, callback: Py<PyAny>, context: Option<Py<PyAny>>) {
        lock(&self.inner).wakeup = Some((callback, context));
    }

    #[pyo3(signature = (_callback, /))]
    fn remove_done_callback(&self, _callback: &Bound<'_, PyAny>) -> usize {
        usize::from(lock(&self.inner).wakeup.take().is_some())
    }

    /// Called by the task's own `cancel`, while the task waits for this.
    #[pyo3(signature = (msg = None))]
    fn cancel(slf: &Bound<'_, Self>, msg: Option<Py<PyAny>>) -> PyResult<bool> {
        let (py, this) = (slf.py(), slf.get());
        let (is_loaded, yielded) = {
            let mut inner = lock(&this.inner);
            inner.message = msg;
            let load = inner.load.as_ref();
            let yielded = load.and_then(|load| load.yielded.as_ref());
            (load.is_some(), yielded.map(|each| each.clone_ref(py)))
        };
        if is_loaded && this.pass_on(py, yielded.as_ref())? {
            return Ok(true);
        }
        this.is_asked.store(true, Relaxed);
        if !is_loaded && !this.is_in_use.load(Relaxed) {
            Self::wake(slf)?;
        }
        Ok(true)
    }

    fn result(&self, py: Python<'_>) -> PyResult<()> {
        let is_loaded = lock(&self.inner).load.is_some();
        if !is_loaded && self.is_asked.load(Relaxed) {
            return Err(PyErr::from_value(cancelled_class(py)?.call0()?));
        }
        Ok(())
    }

    fn exception(&self) {}

    fn done(&self) -> bool {
        lock(&self.inner).load.is_some()
    }

    fn cancelled(&self) -> bool {
        false
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.event_loop)?;
        let Ok(inner) = self.inner.try_lock() else {
            return Ok(());
        };
        visit.call(&inner.task)?;
        visit.call(&inner.message)?;
        if let Some((wakeup, context)) = &inner.wakeup {
            visit.call(wakeup)?;
            visit.call(context)?;
        }
        if let Some(load) = &inner.load {
            visit.call(&load.iterator)?;
            visit.call(&load.context)?;
            visit.call(&load.yielded)?;
            visit.call(&load.emission)?;
        }
        Ok(())
    }

    fn __clear__(&self) {
        let inner = self
            .inner
            .try_lock()
            .map(|mut inner| std::mem::take(&mut *inner));
        drop(inner);
    }
}

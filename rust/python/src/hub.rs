//! `Hub` and `Place`: how a task of an event loop sleeps, and how anybody wakes it.
//!
//! One hub serves one event loop. What knows the loop's library (how to sleep, how to resume) is
//! handed in by `penstock._loops`; here is what other threads touch.
//!
//! Guarantee: a wake from any thread, attached to the interpreter or not, is seen once or finds
//! the task awake; it never raises and never blocks beyond a list append. From the loop's own
//! thread it makes no system call.
//!
//! What is resumed (a future, a trio task) is owned, as the garbage collector sees it, by the
//! `Place`; wait lists and inboxes hold the [`Slot`], which counts for nothing there. So a task
//! that is parked for ever in a queue that nobody else knows is found to be garbage.

use std::{
    os::fd::AsRawFd,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
};

use penstock_core::{
    eventfd::EventFd,
    fork::Owner,
    hub::{Inbox, Posted},
    ring::Woken,
    sync::lock,
};
use pyo3::{PyTraverseError, exceptions::PyOSError, gc::PyVisit, prelude::*};

use crate::{
    ending,
    errors::{Family, error},
};

/// The part of a hub that wakers reach.
struct Line {
    inbox: Inbox<Arc<Slot>, EventFd>,
    owner: Owner,
    /// The thread the loop was last seen on. Written there (Relaxed); a stale value costs a bell
    /// or a look at the running loop, which `resume` makes.
    thread: AtomicUsize,
    /// `resume(target) -> bool`: on the loop's thread; false if the loop does not run there now.
    resume: Py<PyAny>,
    /// `resume_late(callback) -> bool`: for a loop that goes on after its hub was closed.
    resume_late: Py<PyAny>,
}

/// Identifies the calling thread as long as it lives.
fn here() -> usize {
    thread_local! {
        static MARK: u8 = const { 0 };
    }
    MARK.with(|mark| std::ptr::from_ref(mark).addr())
}

const AWAKE: u8 = 0;
const ASLEEP: u8 = 1;
const WOKEN: u8 = 2;

/// One sleep of one task, as wakers see it.
pub(crate) struct Slot {
    line: Arc<Line>,
    /// The task moves it AWAKE → ASLEEP, the first waker to WOKEN, where it stays.
    state: AtomicU8,
    /// Set and taken on the loop's thread; cleared by the `Place` that owns it.
    target: Mutex<Option<Py<PyAny>>>,
}

impl Slot {
    /// Wakes the task. Any thread; later calls do nothing.
    pub(crate) fn wake(self: &Arc<Self>) -> Woken {
        if !self.line.owner.is_here() {
            return Woken::Gone;
        }
        if self.state.swap(WOKEN, Ordering::AcqRel) != ASLEEP {
            return Woken::Quietly;
        }
        if self.line.thread.load(Ordering::Relaxed) == here()
            && !self.line.inbox.is_closed()
            && Python::try_attach(|py| self.resume(py)) == Some(true)
        {
            return Woken::Quietly;
        }
        match self.line.inbox.post(Arc::clone(self)) {
            Posted::Joined => Woken::Quietly,
            Posted::Rang => Woken::BySystemCall,
            Posted::Refused => self.wake_late(),
        }
    }

    /// Whether the loop was last seen on the calling thread.
    pub(crate) fn is_here(&self) -> bool {
        self.line.thread.load(Ordering::Relaxed) == here()
    }

    /// Called where the loop runs. False if it does not run there.
    fn resume(&self, py: Python<'_>) -> bool {
        let Some(target) = lock(&self.target).take() else {
            return true; // It left by itself.
        };
        let answer = self
            .line
            .resume
            .call1(py, (&target,))
            .and_then(|yes| yes.extract(py));
        match answer {
            Ok(true) => true,
            Ok(false) => {
                *lock(&self.target) = Some(target);
                false
            }
            Err(error) => {
                error.write_unraisable(py, Some(target.bind(py)));
                true
            }
        }
    }

    fn wake_late(self: &Arc<Self>) -> Woken {
        ending::outlast();
        let handed_over = Python::try_attach(|py| {
            let callback = Py::new(py, Resumption(Arc::clone(self)))?;
            self.line
                .resume_late
                .call1(py, (callback,))?
                .extract::<bool>(py)
        });
        match handed_over {
            Some(Ok(true)) => Woken::BySystemCall,
            Some(Ok(false)) | None => Woken::Gone,
            Some(Err(error)) => {
                Python::attach(|py| error.write_unraisable(py, None));
                Woken::Gone
            }
        }
    }
}

/// What a loop without a hub calls back.
#[pyclass(frozen, module = "penstock._native")]
struct Resumption(Arc<Slot>);

#[pymethods]
impl Resumption {
    fn __call__(&self, py: Python<'_>) {
        self.0.resume(py);
    }
}

/// Joins the tasks of one event loop with everybody who wakes them.
#[pyclass(frozen, module = "penstock._native")]
pub(crate) struct Hub {
    line: Arc<Line>,
    sleep: Py<PyAny>,
    checkpoint: Py<PyAny>,
}

#[pymethods]
impl Hub {
    #[new]
    #[pyo3(signature = (*, sleep, checkpoint, resume, resume_late))]
    fn new(
        sleep: Py<PyAny>,
        checkpoint: Py<PyAny>,
        resume: Py<PyAny>,
        resume_late: Py<PyAny>,
    ) -> PyResult<Self> {
        let bell = EventFd::new().map_err(|failure| {
            PyOSError::new_err(format!("an event loop's hub needs an eventfd: {failure}"))
        })?;
        let line = Line {
            inbox: Inbox::new(bell),
            owner: Owner::current(),
            thread: AtomicUsize::new(here()),
            resume,
            resume_late,
        };
        Ok(Self {
            line: Arc::new(line),
            sleep,
            checkpoint,
        })
    }

    /// A one-shot place where a task of this hub's loop sleeps.
    fn place(slf: Bound<'_, Self>) -> PyResult<Place> {
        let hub = slf.get();
        if !hub.line.owner.is_here() {
            return Err(error(
                slf.py(),
                Family::Misuse,
                "this event loop was started before the fork",
                Some("start a new event loop in the forked child"),
            ));
        }
        hub.line.thread.store(here(), Ordering::Relaxed);
        ending::outlast();
        let slot = Slot {
            line: Arc::clone(&hub.line),
            state: AtomicU8::new(AWAKE),
            target: Mutex::new(None),
        };
        Ok(Place {
            slot: Arc::new(slot),
            hub: slf.unbind(),
        })
    }

    /// An awaitable that lets the loop turn once; a pending cancellation is raised there.
    fn checkpoint(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.checkpoint.call0(py)
    }

    /// Resumes whoever was woken; called by the loop when the descriptor is readable.
    fn answer(&self, py: Python<'_>) {
        self.line.thread.store(here(), Ordering::Relaxed);
        for slot in self.line.inbox.answer() {
            slot.resume(py);
        }
    }

    /// Ends the bell. Places that still sleep are woken through the loop itself from now on.
    fn close(&self, py: Python<'_>) {
        for slot in self.line.inbox.close() {
            if !slot.resume(py) {
                slot.wake_late();
            }
        }
    }

    /// The descriptor to watch; -1 once closed.
    fn fileno(&self) -> i32 {
        self.line.inbox.bell().map_or(-1, |bell| bell.as_raw_fd())
    }

    /// How often the loop was called by a system call so far.
    #[getter]
    fn rings(&self) -> u64 {
        self.line.inbox.rings()
    }

    #[getter]
    fn is_closed(&self) -> bool {
        self.line.inbox.is_closed()
    }
}

/// A one-shot place where a task sleeps until somebody wakes it.
#[pyclass(frozen, module = "penstock._native")]
pub(crate) struct Place {
    slot: Arc<Slot>,
    hub: Py<Hub>,
}

impl Place {
    pub(crate) fn slot(&self) -> Arc<Slot> {
        Arc::clone(&self.slot)
    }
}

#[pymethods]
impl Place {
    /// An awaitable that ends when the place is woken (true) or `timeout` seconds have passed
    /// (false).
    #[pyo3(signature = (timeout = None))]
    fn wait(slf: Bound<'_, Self>, timeout: Option<f64>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        slf.get().hub.get().sleep.call1(py, (slf.clone(), timeout))
    }

    /// Wakes the task; from any thread, any number of times, never raising.
    fn wake(&self) {
        self.slot.wake();
    }

    /// Says what to resume. False if the place was woken before: do not sleep.
    fn arm(&self, target: Py<PyAny>) -> bool {
        *lock(&self.slot.target) = Some(target);
        let asleep = self
            .slot
            .state
            .compare_exchange(AWAKE, ASLEEP, Ordering::AcqRel, Ordering::Acquire)
            .is_ok();
        if !asleep {
            self.disarm();
        }
        asleep
    }

    /// Forgets what to resume: the task runs again, for whatever reason.
    fn disarm(&self) {
        let target = lock(&self.slot.target).take();
        drop(target); // Outside the lock: it may run foreign code.
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.hub)?;
        match self.slot.target.try_lock() {
            Ok(target) => visit.call(&*target),
            Err(_) => Ok(()),
        }
    }

    fn __clear__(&self) {
        self.disarm();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.disarm();
    }
}

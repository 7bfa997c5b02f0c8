//! Where calls arrive, on whatever thread.
//!
//! Guarantee: without touching the interpreter, but where a thread of Python's has to wait: if it holds the
//! interpreter's lock, it lets go of it meanwhile; and while nobody has taken yet, it is asked whether it runs
//! an event loop.

use std::sync::Arc;

use penstock_core::{
    callback::{Arguments, Backlog, Pushed, Receive},
    fork::Owner,
    fork_gate::thread_token,
    park::Parker,
};
use pyo3::{ffi, intern, prelude::*, types::PyString};

use crate::{ending, waiter::Waiter};

pub(super) struct Source {
    pub(super) backlog: Backlog<Waiter>,
    pub(super) owner: Owner,
    /// What a call is answered.
    pub(super) returns: u64,
    /// What a call is answered that was dropped, and whose caller is to know.
    pub(super) refuses: u64,
}

impl Receive for Source {
    // SAFETY: the trait's promise about `arguments` is handed on to `push`, which asks for the same.
    unsafe fn receive(&self, arguments: &Arguments) -> u64 {
        // In a forked child nobody takes, and the locks may be held by threads that are not there.
        if !self.owner.is_here() {
            return self.returns;
        }
        let caller = thread_token();
        // SAFETY: the caller's.
        let pushed = match unsafe { self.backlog.push(arguments, caller) } {
            // SAFETY: the caller's: the call waits here.
            Pushed::Full => unsafe { self.full(arguments, caller) },
            pushed => pushed,
        };
        match pushed {
            Pushed::Refused => self.refuses,
            _ => self.returns,
        }
    }
}

/// Leaves the list on every way out.
struct Enlisted<'a> {
    backlog: &'a Backlog<Waiter>,
    waiter: Arc<Waiter>,
}

impl Drop for Enlisted<'_> {
    fn drop(&mut self) {
        self.backlog.leave_putter(&self.waiter);
    }
}

impl Source {
    /// Waits for room, or for the end, unless it is the caller who will have to take.
    ///
    /// # Safety
    /// As [`Receive::receive`].
    #[cold]
    unsafe fn full(&self, arguments: &Arguments, caller: u64) -> Pushed {
        if self.backlog.has_no_taker() && runs_a_loop() {
            self.backlog.expect(caller);
            // SAFETY: the caller's.
            match unsafe { self.backlog.push(arguments, caller) } {
                Pushed::Full => {} // Another one has come to take.
                pushed => return pushed,
            }
        }
        // SAFETY: the caller's.
        unsafe { self.wait(arguments, caller) }
    }

    /// Waits for room, or for the end.
    ///
    /// # Safety
    /// As [`Receive::receive`].
    #[cold]
    unsafe fn wait(&self, arguments: &Arguments, caller: u64) -> Pushed {
        let Ok(parker) = Parker::current() else {
            return Pushed::Refused; // A main thread, and no descriptors left.
        };
        self.backlog.count_wait();
        // SAFETY: may be asked by any thread as long as the interpreter lives.
        let is_attached = !ending::is_finalizing() && unsafe { ffi::PyGILState_Check() } == 1;
        let wait = Enlisted {
            backlog: &self.backlog,
            waiter: Waiter::thread(Arc::clone(&parker), 1),
        };
        let mut previous = None;
        loop {
            self.backlog
                .enlist_putter(Arc::clone(&wait.waiter), previous);
            // SAFETY: the caller's.
            match unsafe { self.backlog.push(arguments, caller) } {
                Pushed::Full => {}
                pushed => return pushed,
            }
            while !wait.waiter.take_wake() {
                if is_attached {
                    Python::attach(|py| ending::detached(py, || parker.park(None)));
                } else {
                    parker.park(None);
                }
            }
            // SAFETY: the caller's.
            match unsafe { self.backlog.push(arguments, caller) } {
                Pushed::Full => {}
                pushed => return pushed,
            }
            previous = Some(&wait.waiter);
        }
    }
}

/// Whether the calling thread runs an event loop: asyncio's, uvloop's or trio's.
///
/// No Python code runs for that: on the main thread it could raise what Ctrl-C raises, and here is nobody to
/// raise it to.
fn runs_a_loop() -> bool {
    // SAFETY: looks at a variable of the thread; null on threads that the interpreter has not heard of.
    if ending::is_finalizing() || unsafe { ffi::PyGILState_GetThisThreadState() }.is_null() {
        return false;
    }
    ending::outlast();
    let asked = Python::try_attach(|py| {
        let raised = PyErr::take(py); // The caller's, if it has the interpreter's lock.
        let answer = is_in_asyncio(py).unwrap_or(false) || is_in_trio(py).unwrap_or(false);
        if let Some(raised) = raised {
            raised.restore(py);
        }
        answer
    });
    asked.unwrap_or(false)
}

fn is_in_asyncio(py: Python<'_>) -> PyResult<bool> {
    let Some(module) = imported(py, intern!(py, "_asyncio")) else {
        return Ok(false);
    };
    let running = module.call_method0(intern!(py, "_get_running_loop"))?;
    Ok(!running.is_none())
}

/// As `trio.lowlevel.in_trio_task`, which is Python code.
fn is_in_trio(py: Python<'_>) -> PyResult<bool> {
    let Some(module) = imported(py, intern!(py, "trio._core._run")) else {
        return Ok(false);
    };
    let context = module.getattr(intern!(py, "GLOBAL_RUN_CONTEXT"))?;
    context.hasattr(intern!(py, "task"))
}

/// The module of that name, if it was imported already.
fn imported<'py>(py: Python<'py>, name: &Bound<'py, PyString>) -> Option<Bound<'py, PyAny>> {
    // SAFETY: a string, and attached; the answer is a new reference, or null, with or without an exception.
    let module =
        unsafe { Bound::from_owned_ptr_or_opt(py, ffi::PyImport_GetModule(name.as_ptr())) };
    if module.is_none() {
        drop(PyErr::take(py));
    }
    module
}

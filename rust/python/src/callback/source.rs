//! Where calls arrive, on whatever thread.
//!
//! Guarantee: without touching the interpreter, but where the caller itself holds its lock and has to wait:
//! then it lets go of it meanwhile.

use std::sync::Arc;

use penstock_core::{
    callback::{Arguments, Backlog, Pushed, Receive},
    fork::Owner,
    fork_gate::thread_token,
    park::Parker,
};
use pyo3::{ffi, prelude::*};

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
    unsafe fn receive(&self, arguments: &Arguments) -> u64 {
        // In a forked child nobody takes, and the locks may be held by threads that are not there.
        if !self.owner.is_here() {
            return self.returns;
        }
        let caller = thread_token();
        // SAFETY: the caller's.
        let pushed = match unsafe { self.backlog.push(arguments, caller) } {
            // SAFETY: the caller's: the call waits here.
            Pushed::Full => unsafe { self.wait(arguments, caller) },
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

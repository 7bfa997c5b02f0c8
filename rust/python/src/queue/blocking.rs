//! A thread that waits on a queue: parked without the interpreter, woken to try for itself.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use penstock_core::park::{Parked, Parker};
use pyo3::{exceptions::PyOSError, prelude::*};

use super::HAS_GLOBAL_LOCK;
use crate::{ending, waiter::Waiter};

/// What a thread can wait for, as [`super::operation::Operation`] says of its methods.
pub(crate) trait Waits {
    /// Tries once, as `me` if that waits already; `None` if it would have to wait.
    fn attempt(&self, py: Python<'_>, me: Option<&Arc<Waiter>>) -> PyResult<Option<Py<PyAny>>>;

    /// Tries once more behind a moment in which the other side may come, if that is of use.
    fn attempt_behind_lull(&self, _: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        Ok(None)
    }

    /// What must be there for a wake to be of use.
    fn need(&self) -> usize;

    /// Puts `waiter` to the right list.
    fn enlist(&self, waiter: Arc<Waiter>, previous: Option<&Arc<Waiter>>);

    /// On every way out of waiting.
    fn leave(&self, waiter: &Arc<Waiter>);

    /// What is raised when the time is up.
    fn expired(&self, py: Python<'_>, timeout: Option<f64>) -> PyErr;
}

/// Leaves the list on every way out: success, timeout, Ctrl-C.
struct Enlisted<'a, W: Waits> {
    operation: &'a W,
    waiter: Arc<Waiter>,
}

impl<W: Waits> Drop for Enlisted<'_, W> {
    fn drop(&mut self) {
        self.operation.leave(&self.waiter);
    }
}

/// Runs `operation` to its end, for at most `timeout` seconds.
pub(crate) fn run(
    py: Python<'_>,
    operation: &impl Waits,
    timeout: Option<f64>,
) -> PyResult<Py<PyAny>> {
    if let Some(result) = operation.attempt(py, None)? {
        return Ok(result);
    }
    if timeout == Some(0.0) {
        return Err(operation.expired(py, None));
    }
    // A time that the clock cannot express is as good as none.
    let deadline = timeout
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .and_then(|time| Instant::now().checked_add(time));
    if HAS_GLOBAL_LOCK && let Some(result) = operation.attempt_behind_lull(py)? {
        return Ok(result);
    }
    let parker = Parker::current().map_err(|failure| {
        PyOSError::new_err(format!("a waiting main thread needs an eventfd: {failure}"))
    })?;
    let waiter = Waiter::thread(Arc::clone(&parker), operation.need());
    let wait = Enlisted { operation, waiter };
    let me = &wait.waiter;
    let mut previous = None;
    loop {
        operation.enlist(Arc::clone(me), previous);
        if let Some(result) = operation.attempt(py, Some(me))? {
            return Ok(result);
        }
        let expired = loop {
            py.check_signals()?;
            let parked = ending::detached(py, || match HAS_GLOBAL_LOCK {
                true => parker.park(deadline),
                false => parker.look_and_park(deadline),
            });
            if me.take_wake() {
                break false;
            }
            if parked == Parked::Expired {
                break true;
            }
        };
        if let Some(result) = operation.attempt(py, Some(me))? {
            return Ok(result);
        }
        if expired {
            return Err(operation.expired(py, timeout));
        }
        previous = Some(me);
    }
}

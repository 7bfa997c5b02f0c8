//! A thread that waits on a queue: parked without the interpreter, woken to try for itself.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use penstock_core::park::{Parked, Parker};
use pyo3::{exceptions::PyOSError, prelude::*};

use super::{HAS_GLOBAL_LOCK, lull, operation::Operation};
use crate::{ending, waiter::Waiter};

/// Leaves the list on every way out: success, timeout, Ctrl-C.
struct Enlisted<'a> {
    operation: &'a Operation,
    waiter: Arc<Waiter>,
}

impl Drop for Enlisted<'_> {
    fn drop(&mut self) {
        self.operation.leave(&self.waiter);
    }
}

/// Runs `operation` to its end, for at most `timeout` seconds.
pub(super) fn run(
    py: Python<'_>,
    operation: &Operation,
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
    if HAS_GLOBAL_LOCK && let Some(result) = lull::attempt(py, operation)? {
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

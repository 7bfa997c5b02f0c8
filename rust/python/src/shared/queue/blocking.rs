//! A thread that waits on a queue between processes: parked without the interpreter, woken to try for
//! itself.

use std::time::{Duration, Instant};

use penstock_core::park::Parked;
use pyo3::prelude::*;

use super::{operation::Operation, refusals};
use crate::ending;

/// Runs `operation` to its end, for at most `timeout` seconds.
pub(super) fn run(
    py: Python<'_>,
    operation: &Operation,
    timeout: Option<f64>,
) -> PyResult<Py<PyAny>> {
    if let Some(result) = operation.attempt(py)? {
        return Ok(result);
    }
    if timeout == Some(0.0) {
        return Err(operation.expired(py, None));
    }
    // A time that the clock cannot express is as good as none.
    let time = timeout.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let deadline = time.and_then(|time| Instant::now().checked_add(time));
    let queue = operation.queue();
    let side = operation.side();
    let looked = ending::detached(py, || {
        if queue.spin.is_zero() {
            return queue.queue.look(side);
        }
        let spin = time.map_or(queue.spin, |time| time.min(queue.spin));
        queue.queue.spin(side, spin)
    });
    if looked && let Some(result) = operation.attempt(py)? {
        return Ok(result);
    }
    // Dropped on every way out: success, timeout, Ctrl-C. It passes on a wake that was not used.
    let mut sleeper = queue
        .queue
        .sleeper(side)
        .map_err(|failure| refusals::of(py, queue, failure))?;
    let mut parked = Parked::Woken;
    loop {
        sleeper.arm();
        if let Some(result) = operation.attempt(py)? {
            return Ok(result);
        }
        if parked == Parked::Expired {
            return Err(operation.expired(py, timeout));
        }
        py.check_signals()?;
        parked = ending::detached(py, || sleeper.park(deadline));
        py.check_signals()?;
    }
}

//! The moment that a state is asked at, on the clock in force: the machine's own, or a test's.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use penstock_core::clock;
use pyo3::prelude::*;

use super::keyed::refuse;

/// Beyond this a moment cannot be counted with: 18 years.
const MOMENT_MAX: u64 = 1 << 59;

/// Whether [`VIRTUAL`] has one; looked at by every call, and changed by tests alone.
static IS_VIRTUAL: AtomicBool = AtomicBool::new(false);

/// What tells the time instead of the machine, in nanoseconds. Never locked while Python runs.
static VIRTUAL: Mutex<Option<Py<PyAny>>> = Mutex::new(None);

/// Whether the shortest ways, which ask the machine, are closed.
#[inline(always)]
pub(super) fn is_virtual() -> bool {
    IS_VIRTUAL.load(Ordering::Relaxed)
}

/// Puts a clock in force for all states of this process: a function that gives nanoseconds, or None for the
/// machine's own.
#[pyfunction]
#[pyo3(signature = (now_ns, /))]
pub(crate) fn set_states_clock(now_ns: Option<Py<PyAny>>) {
    let is_virtual = now_ns.is_some();
    let before = {
        let mut virtual_clock = VIRTUAL.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *virtual_clock, now_ns)
    };
    IS_VIRTUAL.store(is_virtual, Ordering::Relaxed);
    // Not before the lock is free: it may run Python.
    drop(before);
}

/// The moment of a call: as it was given, or now.
#[inline(always)]
pub(super) fn moment(py: Python<'_>, now: Option<u64>) -> PyResult<u64> {
    match now {
        None if is_virtual() => virtual_moment(py),
        None => Ok(clock::monotonic()),
        Some(now) => checked(py, now),
    }
}

#[cold]
fn virtual_moment(py: Python<'_>) -> PyResult<u64> {
    let function = {
        let virtual_clock = VIRTUAL.lock().unwrap_or_else(PoisonError::into_inner);
        virtual_clock.as_ref().map(|it| it.clone_ref(py))
    };
    match function {
        Some(function) => checked(py, function.call0(py)?.extract(py)?),
        // Taken away this moment.
        None => Ok(clock::monotonic()),
    }
}

fn checked(py: Python<'_>, now: u64) -> PyResult<u64> {
    if now < MOMENT_MAX {
        return Ok(now);
    }
    let message = format!("now={now} is no moment");
    Err(refuse(py, &message, "nanoseconds of a monotonic clock"))
}

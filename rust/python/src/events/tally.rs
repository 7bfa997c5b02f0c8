//! `Tally`: what one subscription has come to so far.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use pyo3::prelude::*;

use crate::queue::HAS_GLOBAL_LOCK;

/// Counts of one subscription; they outlive its handler.
#[pyclass(frozen, module = "penstock._native")]
pub(crate) struct Tally {
    handled: AtomicU64,
    failed: AtomicU64,
    cancelled: AtomicU64,
}

impl Tally {
    #[inline]
    pub(super) fn count_handled(&self) {
        if HAS_GLOBAL_LOCK {
            // Of all writers one runs at a time; a locked instruction would take as long as a clock.
            self.handled.store(self.handled.load(Relaxed) + 1, Relaxed);
        } else {
            self.handled.fetch_add(1, Relaxed);
        }
    }

    #[cold]
    pub(super) fn count_failed(&self) {
        self.failed.fetch_add(1, Relaxed);
    }

    #[cold]
    pub(super) fn count_cancelled(&self) {
        self.cancelled.fetch_add(1, Relaxed);
    }
}

#[pymethods]
impl Tally {
    #[new]
    fn new() -> Self {
        Self {
            handled: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            cancelled: AtomicU64::new(0),
        }
    }

    /// How many calls returned, raised, and were cancelled.
    #[getter]
    fn counts(&self) -> (u64, u64, u64) {
        (
            self.handled.load(Relaxed),
            self.failed.load(Relaxed),
            self.cancelled.load(Relaxed),
        )
    }

    /// Counts one call that was made in Python.
    fn count(&self, handled: u64, failed: u64, cancelled: u64) {
        self.handled.fetch_add(handled, Relaxed);
        self.failed.fetch_add(failed, Relaxed);
        self.cancelled.fetch_add(cancelled, Relaxed);
    }
}

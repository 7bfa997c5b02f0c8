//! The native half of `penstock.loop`: what stamps an event loop's turns.

use crate::{
    ending::{detached, outlast},
    errors::{Family, error},
    metrics::Distribution,
};
use penstock_core::watchdog::{Told, Turns, Watchdog};
use pyo3::{PyTraverseError, PyVisit, intern, prelude::*};
use std::sync::Arc;

/// Stamps the turns of one loop, and tells one thread of those that took too long.
///
/// Its two stamps have the names that trio's instruments have, so it can be one.
#[pyclass(frozen, module = "penstock._native")]
pub(crate) struct LoopWatch(Arc<Watchdog>);

#[pymethods]
impl LoopWatch {
    #[new]
    #[pyo3(signature = (threshold, /))]
    fn new(py: Python<'_>, threshold: f64) -> PyResult<Self> {
        if !(threshold > 0.0 && threshold < 1e9) {
            let what = format!("threshold={threshold} is not a positive number of seconds");
            return Err(error(
                py,
                Family::Misuse,
                &what,
                Some("give something like 0.1"),
            ));
        }
        Ok(Self(Arc::new(Watchdog::new((threshold * 1e9) as u64))))
    }

    /// A turn begins.
    #[pyo3(signature = (_timeout=0.0, /))]
    fn after_io_wait(&self, _timeout: f64) {
        self.0.begin();
    }

    /// The turn ends.
    #[pyo3(signature = (_timeout=0.0, /))]
    fn before_io_wait(&self, _timeout: f64) {
        self.0.end();
    }

    /// Counts a delay, in seconds, that was measured otherwise.
    #[pyo3(signature = (seconds, /))]
    fn record(&self, seconds: f64) {
        self.0.record((seconds * 1e9) as u64);
    }

    /// Waits for something to tell, without the interpreter: (turn, seconds, whether it is over);
    /// None after `stop`.
    fn next(&self, py: Python<'_>) -> Option<(u64, f64, bool)> {
        let seconds = |nanoseconds: u64| nanoseconds as f64 * 1e-9;
        match detached(py, || self.0.next()) {
            Told::Blocked(turn, waited) => Some((turn, seconds(waited), false)),
            Told::Ended(turn, took) => Some((turn, seconds(took), true)),
            Told::Stopped => None,
        }
    }

    /// Whether the loop is still in that turn.
    #[pyo3(signature = (turn, /))]
    fn is_in(&self, turn: u64) -> bool {
        self.0.is_in(turn)
    }

    fn stop(&self) {
        self.0.stop();
    }

    /// (delays in seconds, seconds in turns, seconds between them).
    fn turns(&self, py: Python<'_>) -> (Distribution, f64, f64) {
        let Turns { delays, busy, idle } = py.detach(|| self.0.turns());
        (Distribution(delays), busy as f64 * 1e-9, idle as f64 * 1e-9)
    }
}

/// An asyncio loop's selector, with a stamp before and behind each wait; all else is the selector's.
#[pyclass(frozen, module = "penstock._native")]
pub(crate) struct WatchedSelector {
    /// What it was made around.
    #[pyo3(get)]
    inner: Py<PyAny>,
    watch: Arc<Watchdog>,
}

#[pymethods]
impl WatchedSelector {
    #[new]
    #[pyo3(signature = (inner, watch, /))]
    fn new(inner: Py<PyAny>, watch: &LoopWatch) -> Self {
        Self {
            inner,
            watch: Arc::clone(&watch.0),
        }
    }

    #[pyo3(signature = (timeout=None))]
    fn select<'py>(
        &self,
        py: Python<'py>,
        timeout: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.watch.end();
        outlast();
        let ready = self
            .inner
            .bind(py)
            .call_method1(intern!(py, "select"), (timeout,));
        self.watch.begin();
        ready
    }

    fn __getattr__<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        self.inner.bind(py).getattr(name)
    }

    // Without a `__clear__`: the loop, which any cycle goes through, breaks it.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.inner)
    }
}

//! One named measurement, and what an exception says about the call it ended.

use super::distribution::Distribution;
use penstock_core::calls::{CallTotals, Calls};
use pyo3::{
    exceptions::{PyBaseException, PyException},
    prelude::*,
    types::{PyDict, PyString, PyType},
};
use std::sync::OnceLock;

/// The calls of one operation. Made by the registry; read through its snapshots.
#[pyclass(frozen, module = "penstock.metrics")]
pub(crate) struct Measurement {
    /// The name that `measure` was called with.
    #[pyo3(get)]
    name: Py<PyString>,
    pub(super) calls: Calls,
    /// The code object of the first coroutine function that was measured here, kept so that its
    /// address stays its own: calling a function of that code cannot do anything but make a
    /// coroutine, so there is no call to time before it is awaited.
    pub(super) coroutine_code: OnceLock<Py<PyAny>>,
}

#[pymethods]
impl Measurement {
    #[new]
    fn new(name: Py<PyString>) -> Self {
        Self {
            name,
            calls: Calls::default(),
            coroutine_code: OnceLock::new(),
        }
    }

    /// (calls under way, calls cancelled, {exception type: count}, durations in seconds).
    fn totals<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(u64, u64, Bound<'py, PyDict>, Distribution)> {
        let CallTotals {
            in_flight,
            cancelled,
            failures,
            durations,
        } = py.detach(|| self.calls.totals());
        let kinds = PyDict::new(py);
        for (kind, n) in failures {
            kinds.set_item(&*kind, n)?;
        }
        Ok((in_flight, cancelled, kinds, Distribution(durations)))
    }
}

impl Measurement {
    /// For messages.
    pub(super) fn name<'py>(&self, py: Python<'py>) -> &Bound<'py, PyString> {
        self.name.bind(py)
    }

    /// A call that began at `start` ends with the exception `raised`.
    #[cold]
    pub(super) fn end_with(&self, py: Python<'_>, start: u64, raised: &Bound<'_, PyAny>) {
        let seconds = seconds_since(start);
        match failure(py, raised) {
            Some(kind) => self.calls.fail(&kind, seconds),
            None => self.calls.cancel(),
        }
    }

    /// As [`Self::end_with`], for the exception that is being raised; it stays raised.
    #[cold]
    pub(super) fn end_raising(&self, py: Python<'_>, start: u64) {
        if let Some(error) = PyErr::take(py) {
            self.end_with(py, start, error.value(py).as_any());
            error.restore(py);
        }
    }
}

/// The kind of failure that `raised` is, or `None` if it only says that the call was cut short.
///
/// Cancellation is whatever is no `Exception`: `asyncio.CancelledError`, `trio.Cancelled`,
/// `GeneratorExit`, `KeyboardInterrupt`; and the one of `concurrent.futures`, which is an
/// `Exception` all the same. A group that holds an `Exception` beside cancellations is a failure.
pub(crate) fn failure(py: Python<'_>, raised: &Bound<'_, PyAny>) -> Option<String> {
    let kind = raised.get_type();
    let cancelled = if raised.is_instance_of::<PyException>() {
        is_future_cancellation(py, raised)
    } else {
        !holds_exception(py, raised)
    };
    (!cancelled).then(|| type_name(&kind))
}

fn is_future_cancellation(py: Python<'_>, raised: &Bound<'_, PyAny>) -> bool {
    // Where that module was never loaded, its exception cannot have been raised.
    let look = || -> PyResult<bool> {
        let modules = py.import("sys")?.getattr("modules")?;
        let module = modules.call_method1("get", ("concurrent.futures._base",))?;
        Ok(!module.is_none() && raised.is_instance(&module.getattr("CancelledError")?)?)
    };
    look().unwrap_or(false)
}

fn holds_exception(py: Python<'_>, raised: &Bound<'_, PyAny>) -> bool {
    let look = || -> PyResult<bool> {
        let groups = py.import("builtins")?.getattr("BaseExceptionGroup")?;
        if !raised.is_instance(&groups)? {
            return Ok(false);
        }
        let part = raised.call_method1("subgroup", (py.get_type::<PyException>(),))?;
        Ok(!part.is_none())
    };
    debug_assert!(raised.is_instance_of::<PyBaseException>());
    look().unwrap_or(false)
}

/// The canonical class name, as OpenTelemetry's `error.type` has it.
fn type_name(kind: &Bound<'_, PyType>) -> String {
    kind.fully_qualified_name()
        .map_or_else(|_| "_OTHER".to_owned(), |name| name.to_string())
}

/// Monotonic nanoseconds.
#[inline]
pub(super) fn now() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is ours to write; CLOCK_MONOTONIC exists on every supported system, so that
    // the call cannot fail.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    (time.tv_sec as u64)
        .wrapping_mul(1_000_000_000)
        .wrapping_add(time.tv_nsec as u64)
}

/// Seconds from `start` to now.
#[inline]
pub(super) fn seconds_since(start: u64) -> f64 {
    now().saturating_sub(start) as f64 * 1e-9
}

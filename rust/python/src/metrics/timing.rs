//! `penstock.metrics.Timing`: a measured block.

use super::measurement::{Measurement, now, seconds_since};
use crate::errors::{Family, error};
use pyo3::{exceptions::PyStopIteration, prelude::*};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

const READY: u8 = 0;
const RUNNING: u8 = 1;
const DONE: u8 = 2;

/// What `metrics.measure("name")` returns: the block below `with` or `async with` is one call.
///
/// Serves one block; ask `measure` for the next. The block may be left on another thread than it was
/// entered on. `seconds` is how long it took, NaN before its end. A block that is never left counts
/// as cancelled when this object goes.
#[pyclass(frozen, module = "penstock.metrics")]
pub(crate) struct Timing {
    measurement: Py<Measurement>,
    state: AtomicU8,
    start: AtomicU64,
    seconds: AtomicU64,
}

#[pymethods]
impl Timing {
    fn __enter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        slf.get().begin(slf.py())?;
        Ok(slf)
    }

    #[pyo3(signature = (_kind, raised, _traceback, /))]
    fn __exit__(
        &self,
        _kind: &Bound<'_, PyAny>,
        raised: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> bool {
        self.end(raised);
        false
    }

    fn __aenter__(slf: Bound<'_, Self>) -> PyResult<Ready> {
        slf.get().begin(slf.py())?;
        Ok(Ready(Some(slf.into_any().unbind())))
    }

    #[pyo3(signature = (_kind, raised, _traceback, /))]
    fn __aexit__(
        &self,
        _kind: &Bound<'_, PyAny>,
        raised: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> Ready {
        self.end(raised);
        Ready(None)
    }

    /// How long the block took; NaN before its end.
    #[getter]
    fn seconds(&self) -> f64 {
        f64::from_bits(self.seconds.load(Relaxed))
    }
}

impl Timing {
    pub(super) fn new(measurement: Py<Measurement>) -> Self {
        Self {
            measurement,
            state: AtomicU8::new(READY),
            start: AtomicU64::new(0),
            seconds: AtomicU64::new(f64::NAN.to_bits()),
        }
    }

    fn begin(&self, py: Python<'_>) -> PyResult<()> {
        if self
            .state
            .compare_exchange(READY, RUNNING, Relaxed, Relaxed)
            .is_err()
        {
            let what = format!(
                "measure('{}') was entered twice",
                self.measurement.get().name(py)
            );
            return Err(error(
                py,
                Family::Misuse,
                &what,
                Some("call measure() once for each block"),
            ));
        }
        self.measurement.get().calls.begin();
        self.start.store(now(), Relaxed);
        Ok(())
    }

    fn end(&self, raised: &Bound<'_, PyAny>) {
        if self
            .state
            .compare_exchange(RUNNING, DONE, Relaxed, Relaxed)
            .is_err()
        {
            return;
        }
        let start = self.start.load(Relaxed);
        let seconds = seconds_since(start);
        self.seconds.store(seconds.to_bits(), Relaxed);
        if raised.is_none() {
            self.measurement.get().calls.succeed(seconds);
        } else {
            self.measurement.get().end_with(raised.py(), start, raised);
        }
    }
}

impl Drop for Timing {
    fn drop(&mut self) {
        if *self.state.get_mut() == RUNNING {
            self.measurement.get().calls.cancel();
        }
    }
}

/// An awaitable that is done already.
#[pyclass(frozen, module = "penstock.metrics")]
pub(crate) struct Ready(Option<Py<PyAny>>);

#[pymethods]
impl Ready {
    fn __await__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<()>> {
        match &self.0 {
            Some(value) => Err(PyStopIteration::new_err((value.clone_ref(py),))),
            None => Ok(None),
        }
    }
}

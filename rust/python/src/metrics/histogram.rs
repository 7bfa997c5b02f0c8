//! `penstock.metrics.Histogram`.

use super::{
    distribution::{Distribution, describe, quantile},
    identity::{frozen_labels, number, refuse, shown, title, unpicklable},
};
use penstock_core::histogram::{self, Scale};
use pyo3::{
    buffer::PyBuffer,
    prelude::*,
    types::{PyDict, PyFloat, PyMappingProxy, PyString},
};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts values in exponential buckets and gives any quantile of them.
///
/// Obtained from `metrics.histogram(name)` or by binding the labels of one. Recording is safe from
/// any thread, takes no lock and costs about 40 ns. Each thread that records holds its own counts,
/// 2 to 4 KiB for values spread over ten powers of two; those of a thread that ends are added to a
/// common base. Reading (`quantile`, `count`, …) sums the threads' counts while they go on; several
/// reads that must agree are taken from one `snapshot()`. A forked child starts from a copy.
#[pyclass(frozen, module = "penstock.metrics")]
pub(crate) struct Histogram {
    /// The name it was asked for by.
    #[pyo3(get)]
    name: Py<PyString>,
    /// What it measures, in a sentence.
    #[pyo3(get)]
    help: Py<PyString>,
    /// Label names and values; empty without labels.
    #[pyo3(get)]
    labels: Py<PyMappingProxy>,
    histogram: histogram::Histogram,
}

/// From here on the interpreter is let go while values are counted (about 40 µs).
const DETACH: usize = 8192;

/// Somebody else's array. Read through atomics: its owner may write it while we are detached, and
/// then only values are mixed up, nothing else.
struct Values<'a>(&'a [AtomicU64]);

#[pymethods]
impl Histogram {
    #[new]
    #[pyo3(signature = (name, help, labels=None, scale=4))]
    fn new(
        py: Python<'_>,
        name: Py<PyString>,
        help: Py<PyString>,
        labels: Option<&Bound<'_, PyDict>>,
        scale: i64,
    ) -> PyResult<Self> {
        let Some(scale) = Scale::new(scale) else {
            let what = format!("has scale 3, 4 or 5, got {scale}");
            let hint = "4 is within 2.2 %; 5 is within 1.1 % and takes twice the memory";
            return Err(refuse("histogram", name.bind(py), &what, hint));
        };
        Ok(Self {
            name,
            help,
            labels: frozen_labels(labels, py)?,
            histogram: histogram::Histogram::new(scale),
        })
    }

    /// Counts one value: seconds, bytes, whatever the name says.
    ///
    /// A value that is negative, NaN or infinite is left out and counted in `snapshot().ignored`, as
    /// OpenTelemetry asks: a bad number must not fail a request. What is no number raises `Misuse`.
    #[pyo3(signature = (value, /))]
    fn record(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let value = match value.cast_exact::<PyFloat>() {
            Ok(exact) => exact.value(),
            Err(_) => number("histogram", self.name.bind(value.py()), value)?,
        };
        self.histogram.record(value);
        Ok(())
    }

    /// Counts every value of an array of float64 (numpy, `array.array("d")`, any such buffer).
    ///
    /// Nothing is copied when the array is contiguous. About 5 ns a value; beyond 8,192 values the
    /// interpreter is released meanwhile. Raises `Misuse` for anything but float64, before anything
    /// is counted.
    #[pyo3(signature = (values, /))]
    fn record_many(&self, values: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = values.py();
        let Ok(buffer) = PyBuffer::<f64>::get(values) else {
            let what = format!(
                "record_many takes an array of float64, got {}",
                shown(values)
            );
            let hint =
                "convert it: numpy.asarray(values, dtype=float) or array.array(\"d\", values)";
            return Err(refuse("histogram", self.name.bind(py), &what, hint));
        };
        if !buffer.is_c_contiguous() {
            self.histogram.record_many(buffer.to_vec(py)?.into_iter());
            return Ok(());
        }
        let count = buffer.item_count();
        if count == 0 {
            return Ok(());
        }
        // SAFETY: `PyBuffer::get` checked item size and alignment of f64, which are those of
        // AtomicU64; the exporter keeps the memory in place until `buffer` is dropped, below. It is
        // only read, and as atomics, so that other threads may write it.
        let values = Values(unsafe { std::slice::from_raw_parts(buffer.buf_ptr().cast(), count) });
        if count < DETACH {
            self.count_all(&values);
        } else {
            py.detach(|| self.count_all(&values));
        }
        Ok(())
    }

    /// All that was counted so far, as an immutable value.
    fn snapshot(&self, py: Python<'_>) -> Distribution {
        Distribution(py.detach(|| self.histogram.total()))
    }

    /// The value below or at which a share `q` of all values lies; NaN while there is none.
    ///
    /// Raises `Misuse` unless 0 ≤ q ≤ 1.
    #[pyo3(signature = (q, /))]
    fn quantile(&self, q: &Bound<'_, PyAny>) -> PyResult<f64> {
        quantile(&self.histogram.total(), q)
    }

    /// How many values were counted.
    #[getter]
    fn count(&self) -> u64 {
        self.histogram.total().count()
    }

    /// The sum of the values.
    #[getter]
    fn sum(&self) -> f64 {
        self.histogram.total().sum
    }

    /// The mean; NaN while there is no value.
    #[getter]
    fn mean(&self) -> f64 {
        self.histogram.total().mean().unwrap_or(f64::NAN)
    }

    /// The least value; NaN while there is none.
    #[getter]
    fn min(&self) -> f64 {
        self.histogram.total().quantile(0.0).unwrap_or(f64::NAN)
    }

    /// The greatest value; NaN while there is none.
    #[getter]
    fn max(&self) -> f64 {
        self.histogram.total().quantile(1.0).unwrap_or(f64::NAN)
    }

    /// 2^scale buckets per power of two.
    #[getter]
    fn scale(&self) -> u8 {
        self.histogram.scale().get()
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let name = self.name.bind(py);
        let seconds = name.to_cow()?.ends_with("_seconds");
        let title = title(name, self.labels.bind(py))?;
        Ok(format!(
            "<Histogram {title} {}>",
            describe(py, &self.histogram.total(), seconds)?
        ))
    }

    fn __reduce__(&self, py: Python<'_>) -> PyResult<()> {
        Err(unpicklable(py, "histogram", self.name.bind(py)))
    }
}

impl Histogram {
    fn count_all(&self, values: &Values<'_>) {
        self.histogram.record_many(
            values
                .0
                .iter()
                .map(|value| f64::from_bits(value.load(Relaxed))),
        );
    }
}

//! `penstock.metrics.Counter`.

use super::identity::{frozen_labels, number, refuse, shown, title, unpicklable};
use penstock_core::counter;
use pyo3::{
    prelude::*,
    types::{PyDict, PyFloat, PyInt, PyMappingProxy, PyString},
};

/// A sum that only grows.
///
/// Obtained from `metrics.counter(name)` or by binding the labels of one. `inc` is safe from any
/// thread, takes no lock and costs about 30 ns; whole steps are kept exactly. A forked child starts
/// from a copy of what its parent had counted.
#[pyclass(frozen, module = "penstock.metrics")]
pub(crate) struct Counter {
    /// The name it was asked for by.
    #[pyo3(get)]
    name: Py<PyString>,
    /// What it counts, in a sentence.
    #[pyo3(get)]
    help: Py<PyString>,
    /// Label names and values; empty without labels.
    #[pyo3(get)]
    labels: Py<PyMappingProxy>,
    count: counter::Counter,
}

#[pymethods]
impl Counter {
    #[new]
    #[pyo3(signature = (name, help, labels=None))]
    fn new(
        py: Python<'_>,
        name: Py<PyString>,
        help: Py<PyString>,
        labels: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        Ok(Self {
            name,
            help,
            labels: frozen_labels(labels, py)?,
            count: counter::Counter::default(),
        })
    }

    /// Adds `n`, 1 by default; raises `Misuse` for what is negative, infinite or no number.
    #[pyo3(signature = (n=None, /))]
    fn inc(&self, py: Python<'_>, n: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let Some(n) = n else {
            self.count.add(1);
            return Ok(());
        };
        if n.cast_exact::<PyInt>().is_ok()
            && let Ok(whole) = n.extract::<u64>()
        {
            self.count.add(whole);
            return Ok(());
        }
        let name = self.name.bind(py);
        let step = number("counter", name, n)?;
        if !(0.0..f64::INFINITY).contains(&step) {
            let what = format!("only grows, by finite steps: got inc({})", shown(n));
            return Err(refuse(
                "counter",
                name,
                &what,
                "use a gauge for what goes up and down",
            ));
        }
        self.count.add_fraction(step);
        Ok(())
    }

    /// The sum so far: an `int` as long as only whole numbers were added.
    #[getter]
    fn value<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        let count = self.count.total();
        if count.fraction == 0.0 {
            count
                .whole
                .into_pyobject(py)
                .map_or_else(|never| match never {}, Bound::into_any)
        } else {
            PyFloat::new(py, count.whole as f64 + count.fraction).into_any()
        }
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!(
            "<Counter {} {}>",
            title(self.name.bind(py), self.labels.bind(py))?,
            self.value(py)
        ))
    }

    fn __reduce__(&self, py: Python<'_>) -> PyResult<()> {
        Err(unpicklable(py, "counter", self.name.bind(py)))
    }
}

//! `penstock.metrics.Gauge`.

use super::identity::{frozen_labels, number, refuse, shown, title, unpicklable};
use penstock_core::gauge;
use pyo3::{
    prelude::*,
    types::{PyDict, PyMappingProxy, PyString},
};

/// A value that goes up and down.
///
/// Obtained from `metrics.gauge(name)` or by binding the labels of one. Safe from any thread; `set`
/// is one store, `inc` and `dec` are one compare-and-swap, no lock. `set` takes NaN and infinities
/// as they are ("unknown"); steps must be finite, since NaN would stay for ever.
#[pyclass(frozen, module = "penstock.metrics")]
pub(crate) struct Gauge {
    /// The name it was asked for by.
    #[pyo3(get)]
    name: Py<PyString>,
    /// What it shows, in a sentence.
    #[pyo3(get)]
    help: Py<PyString>,
    /// Label names and values; empty without labels.
    #[pyo3(get)]
    labels: Py<PyMappingProxy>,
    gauge: gauge::Gauge,
}

#[pymethods]
impl Gauge {
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
            gauge: gauge::Gauge::default(),
        })
    }

    /// Replaces the value.
    #[pyo3(signature = (value, /))]
    fn set(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.gauge
            .set(number("gauge", self.name.bind(value.py()), value)?);
        Ok(())
    }

    /// Adds `step`, 1 by default; raises `Misuse` for NaN and infinities.
    #[pyo3(signature = (step=None, /))]
    fn inc(&self, py: Python<'_>, step: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        self.gauge.add(self.step(py, step)?);
        Ok(())
    }

    /// Subtracts `step`, 1 by default; raises `Misuse` for NaN and infinities.
    #[pyo3(signature = (step=None, /))]
    fn dec(&self, py: Python<'_>, step: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        self.gauge.add(-self.step(py, step)?);
        Ok(())
    }

    /// The value now.
    #[getter]
    fn value(&self) -> f64 {
        self.gauge.value()
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!(
            "<Gauge {} {}>",
            title(self.name.bind(py), self.labels.bind(py))?,
            self.gauge.value()
        ))
    }

    fn __reduce__(&self, py: Python<'_>) -> PyResult<()> {
        Err(unpicklable(py, "gauge", self.name.bind(py)))
    }
}

impl Gauge {
    fn step(&self, py: Python<'_>, step: Option<&Bound<'_, PyAny>>) -> PyResult<f64> {
        let Some(step) = step else {
            return Ok(1.0);
        };
        let name = self.name.bind(py);
        let number = number("gauge", name, step)?;
        if !number.is_finite() {
            let what = format!("moves by finite steps: got {}", shown(step));
            return Err(refuse(
                "gauge",
                name,
                &what,
                "use set() to show that a value is unknown",
            ));
        }
        Ok(number)
    }
}

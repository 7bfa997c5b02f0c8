//! `penstock.tracing.SpanStore`: finished spans in memory.

use super::finished::{FinishedSpan, parse_trace_id};
use crate::errors::{Family, error};
use penstock_core::span as core;
use pyo3::{prelude::*, sync::PyOnceLock, types::PyDict};
use std::sync::Arc;

const DEFAULT_SPANS: usize = 10_000;

/// The newest `max_spans` finished spans of this process; older ones are dropped and counted.
///
/// Give one to the tracers whose spans belong together, or let them use the process's. Some 300
/// bytes for a span with a few attributes. A forked child finds it empty. Any thread.
#[pyclass(frozen, module = "penstock.tracing")]
pub(crate) struct SpanStore(pub(super) Arc<core::SpanStore>);

#[pymethods]
impl SpanStore {
    #[new]
    #[pyo3(signature = (max_spans=10_000))]
    fn new(py: Python<'_>, max_spans: i64) -> PyResult<Self> {
        match usize::try_from(max_spans) {
            Ok(capacity @ 1..) => Ok(Self(Arc::new(core::SpanStore::new(capacity)))),
            _ => {
                let what = format!("max_spans={max_spans} leaves no room for a span");
                Err(error(py, Family::Misuse, &what, Some("give 1 or more")))
            }
        }
    }

    #[getter]
    fn max_spans(&self) -> usize {
        self.0.capacity()
    }

    /// What is kept, in the order in which it ended.
    fn spans(&self) -> Vec<FinishedSpan> {
        self.0.spans().into_iter().map(FinishedSpan).collect()
    }

    /// What is kept of one trace, by its id of 32 hexadecimal digits. Looks through all spans.
    #[pyo3(signature = (trace_id, /))]
    fn trace(&self, py: Python<'_>, trace_id: &str) -> PyResult<Vec<FinishedSpan>> {
        let id = parse_trace_id(py, trace_id)?;
        let spans = py.detach(|| self.0.trace(id));
        Ok(spans.into_iter().map(FinishedSpan).collect())
    }

    /// Takes what is kept out; it does not count as dropped.
    fn take(&self) -> Vec<FinishedSpan> {
        self.0.take().into_iter().map(FinishedSpan).collect()
    }

    /// Keeps spans that were finished elsewhere: in a worker, or in a file of yours.
    #[pyo3(signature = (spans, /))]
    fn add(&self, spans: Vec<PyRef<'_, FinishedSpan>>) {
        for span in spans {
            self.0.push(Arc::clone(&span.0));
        }
    }

    /// `kept` now; `finished` and `dropped` since the start.
    fn statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let (kept, finished, dropped) = self.0.figures();
        let figures = PyDict::new(py);
        figures.set_item("kept", kept)?;
        figures.set_item("finished", finished)?;
        figures.set_item("dropped", dropped)?;
        Ok(figures)
    }

    fn __len__(&self) -> usize {
        self.0.figures().0
    }

    fn __repr__(&self) -> String {
        let (kept, finished, dropped) = self.0.figures();
        format!(
            "<SpanStore: {kept} of {} spans, {finished} finished, {dropped} dropped>",
            self.0.capacity()
        )
    }
}

static DEFAULT: PyOnceLock<Py<SpanStore>> = PyOnceLock::new();

/// The store of the tracers that are not given one.
#[pyfunction]
pub(crate) fn default_store(py: Python<'_>) -> PyResult<Py<SpanStore>> {
    let make = || Py::new(py, SpanStore(Arc::new(core::SpanStore::new(DEFAULT_SPANS))));
    DEFAULT
        .get_or_try_init(py, make)
        .map(|store| store.clone_ref(py))
}

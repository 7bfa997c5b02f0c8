//! Iteration over a queue until it is shut down and drained, by threads and by tasks.

use pyo3::prelude::*;

use super::{
    Queue,
    awaitable::QueueOperation,
    blocking,
    operation::{Action, Operation},
};
use crate::errors;

/// The iterator of a queue; any number of them share its items out among themselves.
#[pyclass(frozen, module = "penstock._native")]
pub(crate) struct QueueItems {
    queue: Py<Queue>,
}

impl QueueItems {
    pub(super) fn new(queue: Py<Queue>) -> Self {
        Self { queue }
    }

    fn operation(&self, py: Python<'_>) -> Operation {
        Operation {
            queue: self.queue.clone_ref(py),
            action: Action::Next,
        }
    }
}

#[pymethods]
impl QueueItems {
    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.queue.get().here(py)?;
        match blocking::run(py, &self.operation(py), None) {
            Ok(item) => Ok(Some(item)),
            Err(failure) if errors::is_closed(py, &failure) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    fn __aiter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __anext__(&self, py: Python<'_>) -> PyResult<QueueOperation> {
        self.queue.get().here(py)?;
        Ok(QueueOperation::new(self.operation(py), None))
    }
}

//! Iteration over a queue between processes until it is shut down and drained.

use pyo3::prelude::*;

use super::{
    SharedQueue, blocking,
    operation::{Action, Form, Operation},
};
use crate::{errors, queue::QueueOperation};

/// The iterator of a shared queue; any number of them share its items out among themselves.
#[pyclass(frozen, module = "penstock._native")]
pub(crate) struct SharedItems {
    queue: Py<SharedQueue>,
    form: Form,
}

impl SharedItems {
    pub(super) fn new(queue: &Bound<'_, SharedQueue>, form: Form) -> PyResult<Self> {
        queue.get().check(queue.py(), form)?;
        Ok(Self {
            queue: queue.clone().unbind(),
            form,
        })
    }

    fn operation(&self, py: Python<'_>, verb: &'static str) -> Operation {
        Operation::new(self.queue.clone_ref(py), verb, Action::Next(self.form))
    }
}

#[pymethods]
impl SharedItems {
    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        match blocking::run(py, &self.operation(py, "__next__"), None) {
            Ok(item) => Ok(Some(item)),
            Err(failure) if errors::is_closed(py, &failure) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    fn __aiter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __anext__(&self, py: Python<'_>) -> QueueOperation {
        QueueOperation::new(self.operation(py, "__anext__"), None)
    }
}

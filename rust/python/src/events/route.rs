//! `Route`: who hears a name or a type, in which order.

use pyo3::{PyTraverseError, PyVisit, prelude::*};

use super::handler::Handler;

/// The handlers of one name or type, those of the highest priority first. Never changes.
#[pyclass(frozen, module = "penstock._native")]
pub(crate) struct Route {
    pub(super) handlers: Vec<Py<Handler>>,
    /// What was emitted: a name or a class.
    #[pyo3(get)]
    pub(super) key: Py<PyAny>,
    /// Whether it is not the same for each emission: `select` is asked.
    #[pyo3(get)]
    pub(super) is_special: bool,
    /// Whether a plain thread can call them all.
    #[pyo3(get)]
    pub(super) is_plain: bool,
}

#[pymethods]
impl Route {
    #[new]
    #[pyo3(signature = (key, handlers, /, *, is_special = false))]
    fn new(py: Python<'_>, key: Py<PyAny>, handlers: Vec<Py<Handler>>, is_special: bool) -> Self {
        let _ = py;
        let is_plain = handlers
            .iter()
            .all(|handler| handler.get().direct.is_some());
        Self {
            handlers,
            key,
            is_special,
            is_plain,
        }
    }

    #[getter]
    fn handlers(&self, py: Python<'_>) -> Vec<Py<Handler>> {
        self.handlers
            .iter()
            .map(|each| each.clone_ref(py))
            .collect()
    }

    fn __len__(&self) -> usize {
        self.handlers.len()
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        for handler in &self.handlers {
            visit.call(handler)?;
        }
        visit.call(&self.key)
    }
}

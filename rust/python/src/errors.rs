//! The one place where native failures become the Python classes of `penstock.errors`.

use pyo3::{prelude::*, sync::PyOnceLock, types::PyDict};

/// The families of `penstock.errors` that native code raises; the others are raised in Python.
#[derive(Clone, Copy)]
pub(crate) enum Family {
    Closed,
    Full,
    Lost,
    Misuse,
}

impl Family {
    const fn class_name(self) -> &'static str {
        match self {
            Self::Closed => "Closed",
            Self::Full => "Full",
            Self::Lost => "Lost",
            Self::Misuse => "Misuse",
        }
    }
}

static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();

/// Builds `penstock.errors.<family>(message, hint=hint)`.
///
/// Imported on first use: the errors module imports nothing native, so there is no cycle.
pub(crate) fn error(py: Python<'_>, family: Family, message: &str, hint: Option<&str>) -> PyErr {
    named(py, family.class_name(), message, hint)
}

/// As [`error`], for a class of `penstock.errors` below a family.
pub(crate) fn named(py: Python<'_>, class: &str, message: &str, hint: Option<&str>) -> PyErr {
    let build = || -> PyResult<PyErr> {
        let module = MODULE
            .get_or_try_init(py, || py.import("penstock.errors").map(Bound::unbind))?
            .bind(py);
        let keywords = PyDict::new(py);
        keywords.set_item("hint", hint)?;
        let value = module.getattr(class)?.call((message,), Some(&keywords))?;
        Ok(PyErr::from_value(value))
    };
    build().unwrap_or_else(|failure| failure)
}

/// Whether `failure` is a `penstock.errors.Closed`.
pub(crate) fn is_closed(py: Python<'_>, failure: &PyErr) -> bool {
    static CLOSED: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    CLOSED
        .import(py, "penstock.errors", "Closed")
        .is_ok_and(|class| failure.is_instance(py, class))
}

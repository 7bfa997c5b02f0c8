//! What every instrument is called, and the refusals that name it.

use crate::errors::{Family, error};
use pyo3::{
    prelude::*,
    types::{PyDict, PyFloat, PyMappingProxy, PyString},
};

/// A read-only copy of `labels`, as instruments hand them out.
pub(super) fn frozen_labels(
    labels: Option<&Bound<'_, PyDict>>,
    py: Python<'_>,
) -> PyResult<Py<PyMappingProxy>> {
    let copy = match labels {
        Some(labels) => labels.copy()?,
        None => PyDict::new(py),
    };
    Ok(PyMappingProxy::new(py, copy.as_mapping()).unbind())
}

/// `value` as a float, or a `Misuse` that names the instrument and what was handed in.
#[inline]
pub(super) fn number(
    instrument: &str,
    name: &Bound<'_, PyAny>,
    value: &Bound<'_, PyAny>,
) -> PyResult<f64> {
    if let Ok(exact) = value.cast_exact::<PyFloat>() {
        return Ok(exact.value());
    }
    value.extract::<f64>().map_err(|_| {
        refuse(
            instrument,
            name,
            &format!("takes a number, got {}", shown(value)),
            "hand in an int or a float",
        )
    })
}

/// A `Misuse` that begins with the instrument.
#[cold]
pub(super) fn refuse(instrument: &str, name: &Bound<'_, PyAny>, what: &str, hint: &str) -> PyErr {
    error(
        name.py(),
        Family::Misuse,
        &format!("{instrument} '{name}' {what}"),
        Some(hint),
    )
}

/// `name{label="value", …}`, as in an exposition.
pub(super) fn title(
    name: &Bound<'_, PyString>,
    labels: &Bound<'_, PyMappingProxy>,
) -> PyResult<String> {
    let mut pairs = Vec::new();
    for pair in labels.items()?.try_iter()? {
        let (label, value) = pair?.extract::<(String, String)>()?;
        pairs.push(format!("{label}={value:?}"));
    }
    if pairs.is_empty() {
        return Ok(name.to_string());
    }
    Ok(format!("{name}{{{}}}", pairs.join(", ")))
}

/// A value for a message: its `repr`, cut where it is long.
pub(super) fn shown(value: &Bound<'_, PyAny>) -> String {
    let Ok(text) = value.repr() else {
        return value.get_type().to_string();
    };
    let text = text.to_string_lossy();
    match text.char_indices().nth(80) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text.into_owned(),
    }
}

/// An instrument cannot travel between processes; its snapshot can.
pub(super) fn unpicklable(py: Python<'_>, instrument: &str, name: &Bound<'_, PyAny>) -> PyErr {
    let what = format!("{instrument} '{name}' counts in this process and cannot be pickled");
    error(
        py,
        Family::Misuse,
        &what,
        Some("send a snapshot, or ask the registry for it by name over there"),
    )
}

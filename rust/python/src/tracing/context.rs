//! `penstock.tracing.TraceContext`: what travels with a request.

use super::{
    current::{self, Activation, context_of},
    headers,
    statistics::{Oddity, count},
};
use crate::errors::{Family, error};
use penstock_core::{
    clock,
    trace_context::{self as core, Baggage, Member, span_id_text, trace_id_text},
};
use pyo3::{
    prelude::*,
    types::{PyBytes, PyDict, PyType},
};
use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash, Hasher},
};

/// What travels with a request: trace, sampling, baggage, deadline, correlation id. Never changes.
///
/// `TraceContext.current()` is that of the running code, `from_headers` that of a request from
/// elsewhere. Make one current with `activate()`; hand it, or its `to_bytes()`, across what carries
/// no context by itself, such as a queue. `TraceContext()` is empty: no trace, nothing carried.
/// Equal by value, hashable; pickles. Any thread and process.
#[pyclass(frozen, module = "penstock.tracing")]
pub(crate) struct TraceContext(pub(super) core::TraceContext);

#[pymethods]
impl TraceContext {
    #[new]
    #[pyo3(signature = (binary=None, /))]
    fn new(binary: Option<&[u8]>) -> Self {
        Self(binary.map_or_else(core::TraceContext::default, read_binary))
    }

    /// The context that the headers of a request carry, by the rules of the W3C.
    ///
    /// Takes a mapping, or pairs of names and values (`scope["headers"]`), each `str` or `bytes`;
    /// a value may be a list. Reads traceparent, tracestate, baggage and x-correlation-id, their
    /// names in any case. What is malformed is ignored and counted by `tracing.statistics()`; with
    /// no valid traceparent there is no trace, and `child()` begins one. Raises `Misuse` for what
    /// is neither a mapping nor iterable. About 0.2 µs.
    #[staticmethod]
    #[pyo3(signature = (headers, /))]
    fn from_headers(headers: &Bound<'_, PyAny>) -> PyResult<Self> {
        headers::read(headers).map(Self)
    }

    /// Reads what `to_bytes` wrote; what is malformed gives the empty context, and is counted.
    #[staticmethod]
    #[pyo3(signature = (binary, /))]
    fn from_bytes(binary: &[u8]) -> Self {
        Self(read_binary(binary))
    }

    /// The context of the running code; the empty one where there is none.
    #[staticmethod]
    fn current(py: Python<'_>) -> PyResult<Bound<'_, Self>> {
        let value = current::get(py)?;
        if let Some(context) = value.as_ref().and_then(|value| value.cast_exact().ok()) {
            return Ok(context.clone());
        }
        let context = value.as_ref().and_then(context_of).cloned();
        Bound::new(py, Self(context.unwrap_or_default()))
    }

    /// The headers that carry this context: `requests.get(url, headers=context.to_headers())`.
    ///
    /// traceparent and tracestate where there is a trace, baggage and x-correlation-id where they
    /// are set. The deadline has no header that others would know, and stays out. About 0.2 µs.
    fn to_headers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        headers::write(py, &self.0)
    }

    /// The binary form: 26 bytes, and what is carried behind them. For channels of your own.
    fn to_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.to_bytes())
    }

    /// The same trace with a new span id: what a call to another service is given.
    ///
    /// Where there is no trace, a new unsampled one. A `Tracer` does this for its spans.
    fn child(&self) -> Self {
        Self(self.0.child())
    }

    /// A copy with other baggage, deadline or correlation id; what is not given stays.
    ///
    /// Args:
    ///     baggage: all of it, a dict of names (tokens, such as "user.id") and text values.
    ///     deadline: on the clock of `time.monotonic()`, in seconds; None for none.
    ///     correlation_id: up to 256 printable ASCII characters; None for none.
    ///
    /// Raises `Misuse` for what could not be passed on.
    #[pyo3(signature = (**changes))]
    fn replace(&self, py: Python<'_>, changes: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let mut extras = self.0.extras();
        for (name, value) in changes.into_iter().flatten() {
            match &*name.extract::<String>()? {
                "baggage" => extras.baggage = baggage_from(&value)?,
                "deadline" => {
                    let seconds: Option<f64> = value.extract()?;
                    extras.deadline = seconds.map(|seconds| (seconds * 1e9) as u64);
                }
                "correlation_id" => {
                    let text: Option<String> = value.extract()?;
                    let id = text
                        .as_deref()
                        .map(|text| headers::correlation_id(text.as_bytes()));
                    if id == Some(None) {
                        let shown = value.repr()?;
                        return Err(refusal(
                            py,
                            &format!("correlation_id={shown} cannot go into a header"),
                            "give 1 to 256 printable ASCII characters",
                        ));
                    }
                    extras.correlation_id = id.flatten().map(Into::into);
                }
                other => {
                    return Err(refusal(
                        py,
                        &format!("replace() does not know '{other}'"),
                        "baggage=, deadline= and correlation_id= can be replaced",
                    ));
                }
            }
        }
        Ok(Self(self.0.with_extras(extras)))
    }

    /// Makes this the current context of a block: `with context.activate(): ...`.
    ///
    /// Spans that begin in the block are children of it, also in tasks and threads that it starts.
    fn activate(slf: Bound<'_, Self>) -> Activation {
        Activation::new(slf.into_any().unbind())
    }

    /// 32 hexadecimal digits; all zero where there is no trace.
    #[getter]
    fn trace_id(&self) -> String {
        ascii(&trace_id_text(self.0.trace_id))
    }

    /// 16 hexadecimal digits; all zero where there is no trace.
    #[getter]
    fn span_id(&self) -> String {
        ascii(&span_id_text(self.0.span_id))
    }

    /// Whether it belongs to a trace.
    #[getter]
    fn is_valid(&self) -> bool {
        self.0.is_valid()
    }

    /// Whether the trace is recorded.
    #[getter]
    fn is_sampled(&self) -> bool {
        self.0.is_sampled()
    }

    /// The other tracing systems' words on this trace, as in the header.
    #[getter]
    fn tracestate(&self) -> String {
        self.0.extras().tracestate.as_str().to_owned()
    }

    /// A dict of what the application lets travel along.
    #[getter]
    fn baggage<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let baggage = PyDict::new(py);
        for member in self.0.extras().baggage.members() {
            baggage.set_item(&*member.key, &*member.value)?;
        }
        Ok(baggage)
    }

    /// When the answer is of no use any more, on the clock of `time.monotonic()`; None for never.
    #[getter]
    fn deadline(&self) -> Option<f64> {
        let deadline = self.0.extras.as_ref()?.deadline?;
        Some(deadline as f64 * 1e-9)
    }

    /// Seconds until the deadline, negative once it has passed; None without one.
    #[getter]
    fn remaining(&self) -> Option<f64> {
        let deadline = self.0.extras.as_ref()?.deadline?;
        Some((deadline as i128 - i128::from(clock::monotonic())) as f64 * 1e-9)
    }

    /// What the outside calls the request; None where it does not.
    #[getter]
    fn correlation_id(&self) -> Option<String> {
        self.0.extras().correlation_id.map(Into::into)
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other
            .cast_exact::<Self>()
            .is_ok_and(|other| other.get().0 == self.0)
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.0.trace_id, self.0.span_id, self.0.flags).hash(&mut hasher);
        hasher.finish()
    }

    fn __repr__(&self) -> String {
        let text = self.0.traceparent();
        if self.0.is_valid() {
            format!("<TraceContext {}>", ascii(&text))
        } else {
            "<TraceContext without a trace>".to_owned()
        }
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> (Bound<'py, PyType>, (Bound<'py, PyBytes>,)) {
        (slf.get_type(), (slf.get().to_bytes(slf.py()),))
    }
}

/// Hexadecimal digits as text.
pub(super) fn ascii(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

fn read_binary(binary: &[u8]) -> core::TraceContext {
    core::TraceContext::from_bytes(binary).unwrap_or_else(|| {
        count(Oddity::Binary, 1);
        core::TraceContext::default()
    })
}

fn baggage_from(given: &Bound<'_, PyAny>) -> PyResult<Baggage> {
    let mut baggage = Baggage::default();
    for (key, value) in given.cast::<PyDict>()? {
        let (key, value): (String, String) = (key.extract()?, value.extract()?);
        let taken = Member::new(&key, &value).is_some_and(|member| baggage.insert(member));
        if !taken {
            return Err(refusal(
                given.py(),
                &format!("baggage {key:?} cannot go into a header"),
                "names are tokens such as \"user.id\", and there is room for 180",
            ));
        }
    }
    Ok(baggage)
}

#[cold]
fn refusal(py: Python<'_>, what: &str, hint: &str) -> PyErr {
    error(py, Family::Misuse, what, Some(hint))
}

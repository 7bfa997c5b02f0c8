//! `penstock.tracing.FinishedSpan`: a span that has ended, to be looked at.

use super::{
    context::ascii,
    value::{collect, to_dict},
};
use crate::errors::{Family, error};
use penstock_core::{
    span::{Attributes, Event, Kind, Link, Span, Status, bounded},
    trace_context::{span_id_text, trace_id_text},
};
use pyo3::{
    prelude::*,
    types::{PyDict, PyType},
};
use std::sync::Arc;

/// A span that has ended: never changes, pickles. Times are Unix nanoseconds.
#[pyclass(frozen, module = "penstock.tracing")]
pub(crate) struct FinishedSpan(pub(super) Arc<Span>);

/// Something that happened at one moment of a span.
#[pyclass(frozen, get_all, module = "penstock.tracing")]
pub(crate) struct SpanEvent {
    name: String,
    time_ns: u64,
    attributes: Py<PyDict>,
}

/// Another span that a span has to do with.
#[pyclass(frozen, get_all, module = "penstock.tracing")]
pub(crate) struct SpanLink {
    trace_id: String,
    span_id: String,
    attributes: Py<PyDict>,
}

type Identity = (u128, u64, u64, u8);
type Words = (String, String, String, u8, String);
type Times = (u64, u64, u32);
type Events<'py> = Vec<(String, u64, Bound<'py, PyDict>)>;
type Links<'py> = Vec<(u128, u64, Bound<'py, PyDict>)>;
/// What a span is pickled as.
type State<'py> = (
    Identity,
    Words,
    Times,
    Bound<'py, PyDict>,
    Events<'py>,
    Links<'py>,
);

pub(super) const KINDS: [(&str, Kind); 5] = [
    ("internal", Kind::Internal),
    ("server", Kind::Server),
    ("client", Kind::Client),
    ("producer", Kind::Producer),
    ("consumer", Kind::Consumer),
];

#[pymethods]
impl FinishedSpan {
    #[new]
    fn new(py: Python<'_>, state: State<'_>) -> PyResult<Self> {
        let (identity, words, times, attributes, events, links) = state;
        let (trace_id, span_id, parent_id, flags) = identity;
        let (name, tracer, kind, status, description) = words;
        let status = match status {
            0 => Status::Unset,
            1 => Status::Ok,
            _ => Status::Error(bounded(&description).into()),
        };
        let event = |(name, time, given): (String, u64, Bound<'_, PyDict>)| Event {
            name: bounded(&name).into(),
            time,
            attributes: attributes_from(&given),
        };
        let link = |(trace_id, span_id, given): (u128, u64, Bound<'_, PyDict>)| Link {
            trace_id,
            span_id,
            attributes: attributes_from(&given),
        };
        Ok(Self(Arc::new(Span {
            trace_id,
            span_id,
            parent_id,
            flags,
            kind: parse_kind(py, &kind)?,
            name: bounded(&name).into(),
            tracer: tracer.into(),
            start: times.0,
            end: times.1,
            attributes: attributes_from(&attributes),
            events: events.into_iter().map(event).collect(),
            links: links.into_iter().map(link).collect(),
            status,
            dropped: times.2,
        })))
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyType>, (State<'py>,))> {
        let (py, span) = (slf.py(), &slf.get().0);
        let events = span.events.iter().map(|event| {
            Ok((
                event.name.to_string(),
                event.time,
                to_dict(py, &event.attributes)?,
            ))
        });
        let links = span
            .links
            .iter()
            .map(|link| Ok((link.trace_id, link.span_id, to_dict(py, &link.attributes)?)));
        let (status, description) = match &span.status {
            Status::Unset => (0, String::new()),
            Status::Ok => (1, String::new()),
            Status::Error(description) => (2, description.to_string()),
        };
        let (name, tracer) = (span.name.to_string(), span.tracer.to_string());
        let state = (
            (span.trace_id, span.span_id, span.parent_id, span.flags),
            (
                name,
                tracer,
                slf.get().kind().to_owned(),
                status,
                description,
            ),
            (span.start, span.end, span.dropped),
            to_dict(py, &span.attributes)?,
            events.collect::<PyResult<Vec<_>>>()?,
            links.collect::<PyResult<Vec<_>>>()?,
        );
        Ok((slf.get_type(), (state,)))
    }

    /// 32 hexadecimal digits.
    #[getter]
    fn trace_id(&self) -> String {
        ascii(&trace_id_text(self.0.trace_id))
    }

    /// 16 hexadecimal digits.
    #[getter]
    fn span_id(&self) -> String {
        ascii(&span_id_text(self.0.span_id))
    }

    /// The span above it; None for the root.
    #[getter]
    fn parent_id(&self) -> Option<String> {
        (self.0.parent_id != 0).then(|| ascii(&span_id_text(self.0.parent_id)))
    }

    /// What was done.
    #[getter]
    fn name(&self) -> &str {
        &self.0.name
    }

    /// The name of the tracer that recorded it.
    #[getter]
    fn tracer(&self) -> &str {
        &self.0.tracer
    }

    /// "internal", "server", "client", "producer" or "consumer".
    #[getter]
    fn kind(&self) -> &'static str {
        let found = KINDS.iter().find(|(_, kind)| *kind == self.0.kind);
        found.map_or("internal", |(name, _)| name)
    }

    /// Unix nanoseconds.
    #[getter]
    fn start_ns(&self) -> u64 {
        self.0.start
    }

    /// Unix nanoseconds.
    #[getter]
    fn end_ns(&self) -> u64 {
        self.0.end
    }

    /// Seconds.
    #[getter]
    fn duration(&self) -> f64 {
        self.0.end.saturating_sub(self.0.start) as f64 * 1e-9
    }

    /// A dict; lists have become tuples.
    #[getter]
    fn attributes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        to_dict(py, &self.0.attributes)
    }

    /// What happened in it, in order.
    #[getter]
    fn events(&self, py: Python<'_>) -> PyResult<Vec<SpanEvent>> {
        let told = |event: &Event| {
            Ok(SpanEvent {
                name: event.name.to_string(),
                time_ns: event.time,
                attributes: to_dict(py, &event.attributes)?.unbind(),
            })
        };
        self.0.events.iter().map(told).collect()
    }

    /// Other spans it has to do with.
    #[getter]
    fn links(&self, py: Python<'_>) -> PyResult<Vec<SpanLink>> {
        let told = |link: &Link| {
            Ok(SpanLink {
                trace_id: ascii(&trace_id_text(link.trace_id)),
                span_id: ascii(&span_id_text(link.span_id)),
                attributes: to_dict(py, &link.attributes)?.unbind(),
            })
        };
        self.0.links.iter().map(told).collect()
    }

    /// "unset", "ok" or "error".
    #[getter]
    fn status(&self) -> &'static str {
        match self.0.status {
            Status::Unset => "unset",
            Status::Ok => "ok",
            Status::Error(_) => "error",
        }
    }

    /// What went wrong; empty unless `status` is "error".
    #[getter]
    fn description(&self) -> &str {
        match &self.0.status {
            Status::Error(description) => description,
            _ => "",
        }
    }

    /// Attributes, events and links that were over the limits and left out.
    #[getter]
    fn dropped(&self) -> u32 {
        let within = |attributes: &Attributes| attributes.dropped();
        let events = self.0.events.iter().map(|event| within(&event.attributes));
        within(&self.0.attributes) + events.sum::<u32>() + self.0.dropped
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other
            .cast_exact::<Self>()
            .is_ok_and(|other| other.get().0 == self.0)
    }

    fn __hash__(&self) -> u64 {
        self.0.span_id
    }

    fn __repr__(&self) -> String {
        let milliseconds = self.duration() * 1e3;
        format!(
            "<FinishedSpan '{}' {}, {milliseconds:.3} ms, {}>",
            self.0.name,
            self.span_id(),
            self.status()
        )
    }
}

pub(super) fn attributes_from(given: &Bound<'_, PyDict>) -> Attributes {
    let mut attributes = Attributes::with_capacity(given.len());
    collect(given.as_any(), &mut attributes);
    attributes
}

pub(super) fn parse_kind(py: Python<'_>, given: &str) -> PyResult<Kind> {
    let found = KINDS.iter().find(|(name, _)| *name == given);
    found.map(|(_, kind)| *kind).ok_or_else(|| {
        let what = format!("kind={given:?} is no kind of span");
        let hint = "give internal, server, client, producer or consumer";
        error(py, Family::Misuse, &what, Some(hint))
    })
}

pub(super) fn parse_trace_id(py: Python<'_>, given: &str) -> PyResult<u128> {
    let digits = given.len() == 32 && given.bytes().all(|byte| byte.is_ascii_hexdigit());
    let id = digits
        .then(|| u128::from_str_radix(given, 16).ok())
        .flatten();
    id.ok_or_else(|| {
        let what = format!("trace id {given:?} is not 32 hexadecimal digits");
        error(
            py,
            Family::Misuse,
            &what,
            Some("take it from span.trace_id"),
        )
    })
}

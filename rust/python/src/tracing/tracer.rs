//! `penstock.tracing.Tracer`, the native part: what begins spans.

use super::{
    current::{context_of, get},
    finished::parse_kind,
    sampler::Sampler,
    span::{Draft, Span, link_to},
    store::{SpanStore, default_store},
    value::collect,
};
use crate::errors::{Family, error};
use penstock_core::{
    random_id,
    sampler::Sampler as Decision,
    span::{Attributes, Kind, Link, MAX_EVENTS, SpanStore as Store},
    trace_context::{RANDOM, SAMPLED, TraceContext},
};
use pyo3::{
    prelude::*,
    types::{PyDict, PyString},
};
use std::sync::Arc;

/// Begins spans under one name.
#[pyclass(frozen, subclass, module = "penstock._native")]
pub(crate) struct Tracer {
    name: Arc<str>,
    sampler: Decision,
    spans: Arc<Store>,
    store: Py<SpanStore>,
}

#[pymethods]
impl Tracer {
    #[new]
    #[pyo3(signature = (name, /, *, sampler=None, store=None))]
    fn new(
        py: Python<'_>,
        name: &str,
        sampler: Option<&Sampler>,
        store: Option<Py<SpanStore>>,
    ) -> PyResult<Self> {
        if name.is_empty() {
            let hint = "name what it traces, such as Tracer(\"orders\")";
            return Err(error(
                py,
                Family::Misuse,
                "a tracer needs a name",
                Some(hint),
            ));
        }
        let always = || Decision::Parent(Box::new(Decision::Always));
        let store = store.map_or_else(|| default_store(py), Ok)?;
        Ok(Self {
            name: name.into(),
            sampler: sampler.map_or_else(always, |sampler| sampler.0.clone()),
            spans: Arc::clone(&store.get().0),
            store,
        })
    }

    /// What the spans are recorded under.
    #[getter]
    fn name(&self) -> &str {
        &self.name
    }

    /// Where its spans are kept.
    #[getter]
    fn store(&self, py: Python<'_>) -> Py<SpanStore> {
        self.store.clone_ref(py)
    }

    /// Begins a span: `with tracer.span("charge", {"order.id": "42"}) as span: ...`
    ///
    /// It is a child of the current span or context. `with` makes it the current one and ends it;
    /// that works in async code as well.
    ///
    /// Args:
    ///     name: what is done: few different ones, so no ids in it.
    ///     attributes: a mapping of more about it, as for `set_attribute`.
    ///     parent: a Span or TraceContext to be a child of instead; `TraceContext()` begins a trace.
    ///     links: Spans or TraceContexts that it has to do with, such as those of a batch's messages.
    ///     kind: "internal", "server", "client", "producer" or "consumer".
    ///
    /// Raises `Misuse` for arguments of another kind. About 0.5 µs with its end, less if not sampled.
    #[pyo3(signature = (name, attributes=None, *, parent=None, links=None, kind=None))]
    fn span(
        &self,
        py: Python<'_>,
        name: &Bound<'_, PyAny>,
        attributes: Option<&Bound<'_, PyAny>>,
        parent: Option<&Bound<'_, PyAny>>,
        links: Option<&Bound<'_, PyAny>>,
        kind: Option<&str>,
    ) -> PyResult<Span> {
        let Ok(name) = name.cast_exact::<PyString>() else {
            let what = format!("a span's name is text, not {}", name.get_type());
            return Err(error(
                py,
                Family::Misuse,
                &what,
                Some("tracer.span(\"charge\")"),
            ));
        };
        let kind = kind.map_or(Ok(Kind::Internal), |kind| parse_kind(py, kind))?;
        let links = links.map_or_else(|| Ok(Vec::new()), linked)?;
        let attributes = match attributes {
            Some(given) => self.attributes(given)?,
            None => Attributes::default(),
        };
        let (context, parent_id) = match parent {
            Some(given) => self.below(Some(parent_context(given)?)),
            None => match get(py)? {
                Some(current) => self.below(context_of(&current)),
                None => self.below(None),
            },
        };
        let draft = context.is_sampled().then(|| {
            let mut draft = Draft::new(Arc::clone(&self.name), Arc::clone(&self.spans));
            (draft.kind, draft.attributes, draft.links) = (kind, attributes, links);
            draft
        });
        Ok(Span::new(context, parent_id, name.clone().unbind(), draft))
    }

    fn __repr__(&self) -> String {
        format!("<Tracer '{}'>", self.name)
    }
}

impl Tracer {
    /// The context of a new span, and its parent's id.
    #[inline]
    fn below(&self, parent: Option<&TraceContext>) -> (TraceContext, u64) {
        let known = parent.filter(|parent| parent.is_valid());
        let (trace_id, parent_id, flags) = match known {
            Some(parent) => (parent.trace_id, parent.span_id, parent.flags & !SAMPLED),
            None => (random_id::trace_id(), 0, RANDOM),
        };
        let decided = self
            .sampler
            .decides(trace_id, known.map(TraceContext::is_sampled));
        let context = TraceContext {
            trace_id,
            span_id: random_id::span_id(),
            flags: flags | if decided { SAMPLED } else { 0 },
            extras: parent.and_then(|parent| parent.extras.clone()),
        };
        (context, parent_id)
    }

    #[inline]
    fn attributes(&self, given: &Bound<'_, PyAny>) -> PyResult<Attributes> {
        let room = match given.cast_exact::<PyDict>() {
            Ok(given) => given.len(),
            Err(_) if given.hasattr("items")? => 8,
            Err(_) => {
                let what = format!("attributes are a mapping, not {}", given.get_type());
                let hint = "tracer.span(\"charge\", {\"order.id\": \"42\"})";
                return Err(error(given.py(), Family::Misuse, &what, Some(hint)));
            }
        };
        let mut attributes = Attributes::with_capacity(room);
        collect(given, &mut attributes);
        Ok(attributes)
    }
}

fn parent_context<'a>(given: &'a Bound<'_, PyAny>) -> PyResult<&'a TraceContext> {
    context_of(given).ok_or_else(|| {
        let what = format!(
            "parent is a Span or a TraceContext, not {}",
            given.get_type()
        );
        let hint = "hand in span.context, or TraceContext.from_headers(headers)";
        error(given.py(), Family::Misuse, &what, Some(hint))
    })
}

fn linked(given: &Bound<'_, PyAny>) -> PyResult<Vec<Link>> {
    let mut links = Vec::new();
    for to in given.try_iter()? {
        if let Some(link) = link_to(&to?, Attributes::default())?
            && links.len() < MAX_EVENTS
        {
            links.push(link);
        }
    }
    Ok(links)
}

//! `penstock.tracing.Span`: a span while it lasts.

use super::{
    context::{TraceContext, ascii},
    current::{Activation, context_of, enter, leave},
    statistics::{Oddity, count},
    value::{add, collect, text},
};
use crate::{
    errors::{Family, error},
    metrics::failure,
};
use penstock_core::{
    clock,
    span::{Attributes, Event, Kind, Link, Span as Record, SpanStore, Status, bounded},
    sync::lock,
    trace_context::{self as core, span_id_text, trace_id_text},
};
use pyo3::{
    PyTraverseError, PyVisit, intern,
    prelude::*,
    types::{PyDict, PyString},
};
use std::sync::{Arc, Mutex};

/// What is under way: `with tracer.span("charge", {"order.id": "42"}) as span: ...`.
///
/// Below `with` (also in async code) it is the current span: spans that begin there, in tasks and
/// threads that start there too, are its children. It ends with the block, with an exception as its
/// error; a cancellation is none. Without `with`, call `end()`. A span that is dropped before
/// it has ended is not kept, and counted. Any thread may add to it; after its end nothing is added.
#[pyclass(frozen, module = "penstock.tracing")]
pub(crate) struct Span {
    context: core::TraceContext,
    parent_id: u64,
    /// On the monotonic clock; not taken where nobody will ask.
    start: u64,
    name: Py<PyString>,
    /// Held for a few instructions and never while Python runs, so a forked child finds it free:
    /// who forks is attached, and so is who holds it. (On a free-threaded build a fork stops the
    /// other threads only where they let go, which they do not in here.)
    state: Mutex<State>,
}

pub(super) struct State {
    draft: Option<Draft>,
    /// Inside its block: what was current before.
    entered: Option<Option<Py<PyAny>>>,
}

/// What a recorded span gathers until it ends.
pub(super) struct Draft {
    pub(super) tracer: Arc<str>,
    pub(super) store: Arc<SpanStore>,
    pub(super) kind: Kind,
    pub(super) attributes: Attributes,
    pub(super) links: Vec<Link>,
    events: Vec<Event>,
    status: Status,
    dropped: u32,
    renamed: Option<Box<str>>,
}

impl Draft {
    pub(super) fn new(tracer: Arc<str>, store: Arc<SpanStore>) -> Self {
        Self {
            tracer,
            store,
            kind: Kind::Internal,
            attributes: Attributes::default(),
            links: Vec::new(),
            events: Vec::new(),
            status: Status::Unset,
            dropped: 0,
            renamed: None,
        }
    }
}

impl Span {
    pub(super) fn new(
        context: core::TraceContext,
        parent_id: u64,
        name: Py<PyString>,
        draft: Option<Draft>,
    ) -> Self {
        Self {
            context,
            parent_id,
            start: draft.as_ref().map_or(0, |_| clock::monotonic()),
            name,
            state: Mutex::new(State {
                draft,
                entered: None,
            }),
        }
    }

    #[inline]
    pub(super) const fn inner(&self) -> &core::TraceContext {
        &self.context
    }

    /// Changes what is gathered. A span that is not recorded takes no notice.
    fn change(&self, change: impl FnOnce(&mut Draft)) {
        match &mut lock(&self.state).draft {
            Some(draft) => change(draft),
            None if self.context.is_sampled() => count(Oddity::AfterEnd, 1),
            None => {}
        }
    }

    #[inline]
    fn finish(&self, py: Python<'_>) {
        let Some(draft) = lock(&self.state).draft.take() else {
            return;
        };
        let end = clock::monotonic();
        let name = match draft.renamed {
            Some(name) => name,
            None => match self.name.bind(py).to_str() {
                Ok(name) => bounded(name).into(),
                Err(_) => text(self.name.bind(py).as_any()).into(),
            },
        };
        let start = clock::to_unix(self.start);
        draft.store.push(Arc::new(Record {
            trace_id: self.context.trace_id,
            span_id: self.context.span_id,
            parent_id: self.parent_id,
            flags: self.context.flags,
            kind: draft.kind,
            name,
            tracer: draft.tracer,
            start,
            end: start + end.saturating_sub(self.start),
            attributes: draft.attributes,
            events: draft.events,
            links: draft.links,
            status: draft.status,
            dropped: draft.dropped,
        }));
    }

    /// Notes the exception that ends the span, or that it was cut short.
    #[cold]
    fn note(&self, raised: &Bound<'_, PyAny>) {
        if !self.is_recording() {
            return;
        }
        if let Some(kind) = failure(raised.py(), raised) {
            let words = text(raised);
            let description = if words.is_empty() {
                kind
            } else {
                format!("{kind}: {words}")
            };
            self.record(raised, &Attributes::default());
            self.change(|draft| {
                // What the application said about it stands.
                if draft.status == Status::Unset {
                    draft.status = Status::Error(bounded(&description).into());
                }
            });
        } else {
            let event = event("cancelled", Attributes::default());
            self.change(|draft| push(draft, event));
        }
    }

    #[cold]
    fn record(&self, raised: &Bound<'_, PyAny>, more: &Attributes) {
        let py = raised.py();
        let mut attributes = Attributes::default();
        let kind = raised.get_type().fully_qualified_name();
        let mut set = |name: &str, value: String| {
            let value = bounded(&value).into();
            attributes.set(name.into(), penstock_core::span::Value::Text(value));
        };
        set(
            "exception.type",
            kind.map_or_else(|_| "_OTHER".to_owned(), |kind| kind.to_string()),
        );
        set("exception.message", text(raised));
        if let Ok(trace) = formatted(py, raised) {
            set("exception.stacktrace", trace);
        }
        for (name, value) in more.iter() {
            attributes.set(name.into(), value.clone());
        }
        let event = event("exception", attributes);
        self.change(|draft| push(draft, event));
    }
}

#[pymethods]
impl Span {
    fn __enter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        let this = slf.get();
        {
            let state = lock(&this.state);
            let over = this.context.is_sampled() && state.draft.is_none();
            if state.entered.is_some() || over {
                drop(state);
                return Err(this.refuse_entry(slf.py()));
            }
        }
        let before = enter(slf.as_any())?;
        lock(&this.state).entered = Some(before);
        Ok(slf.clone())
    }

    #[pyo3(signature = (_kind, raised, _traceback, /))]
    fn __exit__(
        slf: &Bound<'_, Self>,
        _kind: &Bound<'_, PyAny>,
        raised: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        let this = slf.get();
        if !raised.is_none() {
            this.note(raised);
        }
        let entered = lock(&this.state).entered.take();
        if let Some(before) = entered {
            leave(slf.as_any(), before)?;
        }
        this.finish(slf.py());
        Ok(false)
    }

    /// Makes it the current span of a block without ending it there: for callbacks, and for work
    /// that goes on elsewhere. `with span.activate(): ...`
    fn activate(slf: Bound<'_, Self>) -> Activation {
        Activation::new(slf.into_any().unbind())
    }

    /// Ends it now. Later calls do nothing.
    fn end(&self, py: Python<'_>) {
        self.finish(py);
    }

    /// Sets one attribute, in place of an earlier one of that name.
    ///
    /// Text, bool, int, float, or a list of these; other objects by their `str`, `None` not at all.
    /// At most 128, text up to 16 KiB; what is over is cut or left out, and counted.
    #[pyo3(signature = (name, value, /))]
    fn set_attribute(&self, name: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) {
        if self.is_recording() {
            let mut one = Attributes::default();
            add(name, value, &mut one);
            self.merge(&one);
        }
    }

    /// Sets each of a mapping's attributes, as `set_attribute` does.
    #[pyo3(signature = (attributes, /))]
    fn set_attributes(&self, attributes: &Bound<'_, PyAny>) {
        if self.is_recording() {
            let mut all = Attributes::default();
            collect(attributes, &mut all);
            self.merge(&all);
        }
    }

    /// Notes that something happened now. At most 128 events; further ones are counted.
    #[pyo3(signature = (name, attributes=None, /))]
    fn add_event(&self, name: &Bound<'_, PyAny>, attributes: Option<&Bound<'_, PyAny>>) {
        if self.is_recording() {
            let event = event(&text(name), gathered(attributes));
            self.change(|draft| push(draft, event));
        }
    }

    /// Notes that it has to do with another span, which is not its parent. At most 128.
    #[pyo3(signature = (to, attributes=None, /))]
    fn add_link(
        &self,
        to: &Bound<'_, PyAny>,
        attributes: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let link = link_to(to, gathered(attributes))?;
        if let Some(link) = link.filter(|_| self.is_recording()) {
            self.change(|draft| {
                if draft.links.len() < penstock_core::span::MAX_EVENTS {
                    draft.links.push(link);
                } else {
                    draft.dropped += 1;
                }
            });
        }
        Ok(())
    }

    /// Says how it went: "ok", "error" with what, or "unset". Raises `Misuse` for another word.
    #[pyo3(signature = (status, description="", /))]
    fn set_status(&self, py: Python<'_>, status: &str, description: &str) -> PyResult<()> {
        let status = match status {
            "unset" => Status::Unset,
            "ok" => Status::Ok,
            "error" => Status::Error(bounded(description).into()),
            other => {
                let what = format!("set_status({other:?}) says nothing");
                let hint = "say \"ok\", \"error\" or \"unset\"";
                return Err(error(py, Family::Misuse, &what, Some(hint)));
            }
        };
        self.change(|draft| draft.status = status);
        Ok(())
    }

    /// Notes an exception as an event: type, message, traceback. Some 50 µs.
    ///
    /// For those that are dealt with inside the block; what leaves it is noted by itself.
    #[pyo3(signature = (raised, attributes=None, /))]
    fn record_exception(&self, raised: &Bound<'_, PyAny>, attributes: Option<&Bound<'_, PyAny>>) {
        if self.is_recording() {
            self.record(raised, &gathered(attributes));
        }
    }

    /// Gives it another name.
    #[pyo3(signature = (name, /))]
    fn update_name(&self, name: &Bound<'_, PyAny>) {
        let name = text(name).into();
        self.change(|draft| draft.renamed = Some(name));
    }

    /// Whether what is added to it is kept: it is sampled, and has not ended.
    #[getter]
    fn is_recording(&self) -> bool {
        lock(&self.state).draft.is_some()
    }

    /// What to hand to whatever continues its trace elsewhere.
    #[getter]
    fn context(&self) -> TraceContext {
        TraceContext(self.context.clone())
    }

    /// The name it was begun with.
    #[getter]
    fn name<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        self.name.bind(py).clone()
    }

    /// 32 hexadecimal digits.
    #[getter]
    fn trace_id(&self) -> String {
        ascii(&trace_id_text(self.context.trace_id))
    }

    /// 16 hexadecimal digits.
    #[getter]
    fn span_id(&self) -> String {
        ascii(&span_id_text(self.context.span_id))
    }

    /// The span above it, here or elsewhere; None for the root.
    #[getter]
    fn parent_id(&self) -> Option<String> {
        (self.parent_id != 0).then(|| ascii(&span_id_text(self.parent_id)))
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let state = match (self.is_recording(), self.context.is_sampled()) {
            (true, _) => "under way",
            (false, true) => "ended",
            (false, false) => "not sampled",
        };
        format!(
            "<Span '{}' {}, {state}>",
            self.name.bind(py),
            self.span_id()
        )
    }

    // Without a `__clear__`: contexts and frames, which any cycle goes through, break it.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Ok(state) = self.state.try_lock()
            && let Some(Some(before)) = &state.entered
        {
            visit.call(before)?;
        }
        Ok(())
    }
}

impl Span {
    fn merge(&self, more: &Attributes) {
        self.change(|draft| {
            for (name, value) in more.iter() {
                draft.attributes.set(name.into(), value.clone());
            }
        });
    }

    #[cold]
    fn refuse_entry(&self, py: Python<'_>) -> PyErr {
        let what = format!("span '{}' was entered twice", self.name.bind(py));
        let hint = "begin a span for each block, or use span.activate()";
        error(py, Family::Misuse, &what, Some(hint))
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        let state = self.state.get_mut();
        if state.is_ok_and(|state| state.draft.is_some()) {
            count(Oddity::Abandoned, 1);
        }
    }
}

fn event(name: &str, attributes: Attributes) -> Event {
    Event {
        name: name.into(),
        time: clock::to_unix(clock::monotonic()),
        attributes,
    }
}

fn push(draft: &mut Draft, event: Event) {
    if draft.events.len() < penstock_core::span::MAX_EVENTS {
        draft.events.push(event);
    } else {
        draft.dropped += 1;
    }
}

pub(super) fn gathered(given: Option<&Bound<'_, PyAny>>) -> Attributes {
    let mut attributes = Attributes::default();
    if let Some(given) = given {
        collect(given, &mut attributes);
    }
    attributes
}

/// The link to a span or context; `None` where that has no trace.
pub(super) fn link_to(to: &Bound<'_, PyAny>, attributes: Attributes) -> PyResult<Option<Link>> {
    let Some(context) = context_of(to) else {
        let what = format!(
            "a link leads to a Span or a TraceContext, not to {}",
            to.get_type()
        );
        let hint = "hand in span.context, or TraceContext.from_headers(headers)";
        return Err(error(to.py(), Family::Misuse, &what, Some(hint)));
    };
    Ok(context.is_valid().then_some(Link {
        trace_id: context.trace_id,
        span_id: context.span_id,
        attributes,
    }))
}

fn formatted(py: Python<'_>, raised: &Bound<'_, PyAny>) -> PyResult<String> {
    let format = py
        .import(intern!(py, "traceback"))?
        .getattr("format_exception")?;
    let keywords = PyDict::new(py);
    keywords.set_item("limit", -64)?;
    let lines = format.call((raised,), Some(&keywords))?;
    PyString::new(py, "")
        .call_method1("join", (lines,))?
        .extract()
}

//! Reading and writing the headers that carry a context.

use super::statistics::{Oddity, count};
use crate::errors::{Family, error};
use penstock_core::trace_context::{Baggage, TraceContext, Tracestate};
use pyo3::{
    intern,
    prelude::*,
    types::{PyBytes, PyDict, PyList, PyString, PyTuple},
};

/// Longer or not printable, and a correlation id is not passed on.
const MAX_CORRELATION: usize = 256;

#[derive(Default)]
struct Found<'py> {
    traceparent: Vec<Bound<'py, PyAny>>,
    tracestate: Vec<Bound<'py, PyAny>>,
    baggage: Vec<Bound<'py, PyAny>>,
    correlation_id: Option<Bound<'py, PyAny>>,
}

/// The context that `headers` carry: a mapping, or pairs of names and values, each text or bytes.
/// A value may be a list of values. What is malformed reads as if it were not there.
pub(super) fn read(headers: &Bound<'_, PyAny>) -> PyResult<TraceContext> {
    let mut found = Found::default();
    if let Ok(headers) = headers.cast_exact::<PyDict>() {
        for (name, value) in headers {
            found.take(&name, value);
        }
    } else {
        let pairs = match headers.getattr_opt(intern!(headers.py(), "items"))? {
            Some(items) => items.call0()?,
            None => headers.clone(),
        };
        for pair in pairs.try_iter().map_err(|_| refusal(headers))? {
            if let Ok((name, value)) = pair?.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>() {
                found.take(&name, value);
            }
        }
    }
    Ok(found.context())
}

#[cold]
fn refusal(headers: &Bound<'_, PyAny>) -> PyErr {
    let what = format!(
        "from_headers() reads a mapping or pairs, not {}",
        headers.get_type()
    );
    let hint = "hand in request.headers, scope['headers'] or a dict";
    error(headers.py(), Family::Misuse, &what, Some(hint))
}

fn bytes_of<'a>(text: &'a Bound<'_, PyAny>) -> Option<&'a [u8]> {
    if let Ok(text) = text.cast::<PyString>() {
        return text.to_str().ok().map(str::as_bytes);
    }
    text.cast::<PyBytes>().ok().map(|bytes| bytes.as_bytes())
}

/// The readable ones of `values`. One that is neither text nor bytes is as malformed as can be.
fn texts<'a>(values: &'a [Bound<'_, PyAny>]) -> impl Iterator<Item = &'a [u8]> {
    values.iter().map(|value| bytes_of(value).unwrap_or(b"?"))
}

impl<'py> Found<'py> {
    #[inline]
    fn take(&mut self, name: &Bound<'py, PyAny>, value: Bound<'py, PyAny>) {
        let Some(name) = bytes_of(name) else {
            return;
        };
        let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
        let place = match name.len() {
            11 if is(b"traceparent") => &mut self.traceparent,
            10 if is(b"tracestate") => &mut self.tracestate,
            7 if is(b"baggage") => &mut self.baggage,
            16 if is(b"x-correlation-id") => {
                self.correlation_id = Some(value);
                return;
            }
            _ => return,
        };
        if let Ok(several) = value.cast::<PyList>() {
            place.extend(several);
        } else if let Ok(several) = value.cast::<PyTuple>() {
            place.extend(several);
        } else {
            place.push(value);
        }
    }

    fn context(&self) -> TraceContext {
        let mut context = TraceContext::default();
        if !self.traceparent.is_empty() {
            // More than one leaves no telling which trace it is.
            let one = texts(&self.traceparent).next();
            let read = one.filter(|_| self.traceparent.len() == 1);
            match read.and_then(TraceContext::from_traceparent) {
                Some(read) => context = read,
                None => count(Oddity::Traceparent, 1),
            }
        }
        let with_state = context.is_valid() && !self.tracestate.is_empty();
        if !with_state && self.baggage.is_empty() && self.correlation_id.is_none() {
            return context;
        }
        let mut extras = context.extras();
        if with_state {
            match Tracestate::parse(texts(&self.tracestate)) {
                Some(state) => extras.tracestate = state,
                None => count(Oddity::Tracestate, 1),
            }
        }
        let (baggage, refused) = Baggage::parse(texts(&self.baggage));
        extras.baggage = baggage;
        if refused > 0 {
            count(Oddity::Baggage, refused);
        }
        if let Some(given) = &self.correlation_id {
            extras.correlation_id = bytes_of(given).and_then(correlation_id).map(Into::into);
            if extras.correlation_id.is_none() {
                count(Oddity::CorrelationId, 1);
            }
        }
        context.with_extras(extras)
    }
}

/// `text`, if it can be passed on as a header.
pub(super) fn correlation_id(text: &[u8]) -> Option<&str> {
    let text = text.trim_ascii();
    let fits = (1..=MAX_CORRELATION).contains(&text.len())
        && text.iter().all(|byte| (0x20..0x7f).contains(byte));
    std::str::from_utf8(text).ok().filter(|_| fits)
}

/// The headers that carry `context`.
pub(super) fn write<'py>(py: Python<'py>, context: &TraceContext) -> PyResult<Bound<'py, PyDict>> {
    let headers = PyDict::new(py);
    if context.is_valid() {
        let text = context.traceparent();
        let text = PyString::from_bytes(py, &text)?;
        headers.set_item(intern!(py, "traceparent"), text)?;
    }
    let Some(extras) = &context.extras else {
        return Ok(headers);
    };
    if context.is_valid() && !extras.tracestate.is_empty() {
        headers.set_item(intern!(py, "tracestate"), extras.tracestate.as_str())?;
    }
    if !extras.baggage.is_empty() {
        headers.set_item(intern!(py, "baggage"), extras.baggage.text())?;
    }
    if let Some(id) = &extras.correlation_id {
        headers.set_item(intern!(py, "x-correlation-id"), &**id)?;
    }
    Ok(headers)
}

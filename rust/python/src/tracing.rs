//! The native half of `penstock.tracing`: one file per type.

mod context;
mod current;
mod finished;
mod headers;
mod sampler;
mod span;
mod statistics;
mod store;
mod tracer;
mod value;

pub(crate) use context::TraceContext;
pub(crate) use current::{Activation, current_context_bytes, current_span};
pub(crate) use finished::{FinishedSpan, SpanEvent, SpanLink};
pub(crate) use sampler::Sampler;
pub(crate) use span::Span;
pub(crate) use statistics::tracing_statistics;
pub(crate) use store::{SpanStore, default_store};
pub(crate) use tracer::Tracer;

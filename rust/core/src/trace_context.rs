//! What travels with a request: ids, sampling flags, tracestate, baggage, deadline, correlation id.
//!
//! A [`TraceContext`] never changes; whoever adds to it makes another. Text forms follow the W3C's
//! Trace Context (level 2) and Baggage to the letter, each in a file of its own: what is malformed
//! there reads as nothing, and the caller counts it. The binary form is for our own channels.

mod baggage;
mod binary;
mod hex;
mod traceparent;
mod tracestate;

pub use baggage::{Baggage, Member};
pub use hex::{span_id_text, trace_id_text};
pub use tracestate::Tracestate;

use crate::random_id;
use std::sync::Arc;

/// The trace is recorded where it comes by.
pub const SAMPLED: u8 = 0x01;
/// The lower 56 bits of the trace id are random.
pub const RANDOM: u8 = 0x02;
/// The flags that have a meaning; others are not passed on.
const KNOWN: u8 = SAMPLED | RANDOM;

/// See the module. The default is the empty one: no trace, nothing carried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceContext {
    /// 0 where there is no trace.
    pub trace_id: u128,
    /// The span that is the parent of what comes next; 0 where there is no trace.
    pub span_id: u64,
    /// [`SAMPLED`] and [`RANDOM`].
    pub flags: u8,
    /// What most contexts do not have.
    pub extras: Option<Arc<Extras>>,
}

/// See [`TraceContext`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    /// Other tracing systems' words on this trace.
    pub tracestate: Tracestate,
    /// What the application wants to travel along.
    pub baggage: Baggage,
    /// When the answer is of no use any more, on the monotonic clock.
    pub deadline: Option<u64>,
    /// What the outside calls the request.
    pub correlation_id: Option<Box<str>>,
}

impl TraceContext {
    /// Whether it belongs to a trace.
    #[inline]
    #[must_use]
    pub const fn is_valid(&self) -> bool {
        self.trace_id != 0
    }

    /// Whether the trace is recorded.
    #[inline]
    #[must_use]
    pub const fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The same trace with a new span id, or a new unsampled trace where there was none.
    #[inline]
    #[must_use]
    pub fn child(&self) -> Self {
        let (trace_id, flags) = if self.is_valid() {
            (self.trace_id, self.flags)
        } else {
            (random_id::trace_id(), RANDOM)
        };
        Self {
            trace_id,
            span_id: random_id::span_id(),
            flags,
            extras: self.extras.clone(),
        }
    }

    /// What it carries, to be changed and put into another.
    #[must_use]
    pub fn extras(&self) -> Extras {
        self.extras.as_deref().cloned().unwrap_or_default()
    }

    /// The same ids with other extras.
    #[must_use]
    pub fn with_extras(&self, extras: Extras) -> Self {
        let extras = (extras != Extras::default()).then(|| Arc::new(extras));
        Self {
            extras,
            ..self.clone()
        }
    }
}

//! The binary form, for channels of our own: 26 bytes, then extras behind tag and length.
//!
//! ```text
//! version 0 | trace id, 16 | span id, 8 | flags      big-endian, as in the text
//! tag | length, 4, little-endian | bytes             any number of times, in any order
//! ```
//! Extras with an unknown tag are skipped, so that a later version may add some. The deadline goes
//! as Unix nanoseconds, since the other side may be another machine.

use super::{Baggage, Extras, KNOWN, TraceContext, Tracestate};
use crate::clock;

const FIXED: usize = 26;
const TRACESTATE: u8 = 1;
const BAGGAGE: u8 = 2;
const DEADLINE: u8 = 3;
const CORRELATION: u8 = 4;

impl TraceContext {
    /// The binary form.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FIXED);
        out.push(0);
        out.extend(self.trace_id.to_be_bytes());
        out.extend(self.span_id.to_be_bytes());
        out.push(self.flags);
        let Some(extras) = &self.extras else {
            return out;
        };
        let mut add = |tag: u8, bytes: &[u8]| {
            // Header lengths are bounded, and so is a correlation id where it is set.
            if let (Ok(length), false) = (u32::try_from(bytes.len()), bytes.is_empty()) {
                out.push(tag);
                out.extend(length.to_le_bytes());
                out.extend(bytes);
            }
        };
        add(TRACESTATE, extras.tracestate.as_str().as_bytes());
        add(BAGGAGE, extras.baggage.text().as_bytes());
        if let Some(deadline) = extras.deadline {
            add(DEADLINE, &clock::to_unix_at(deadline).to_le_bytes());
        }
        if let Some(id) = &extras.correlation_id {
            add(CORRELATION, id.as_bytes());
        }
        out
    }

    /// Reads the binary form; `None` if it is none, or any part of it is malformed.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (fixed, mut rest) = bytes.split_at_checked(FIXED)?;
        let context = Self {
            trace_id: u128::from_be_bytes(fixed[1..17].try_into().ok()?),
            span_id: u64::from_be_bytes(fixed[17..25].try_into().ok()?),
            flags: fixed[25] & KNOWN,
            extras: None,
        };
        if fixed[0] != 0 || (context.trace_id == 0) != (context.span_id == 0) {
            return None;
        }
        let mut extras = Extras::default();
        while let Some((&tag, tail)) = rest.split_first() {
            let (length, tail) = tail.split_first_chunk()?;
            let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
            let (value, tail) = tail.split_at_checked(length)?;
            match tag {
                TRACESTATE => extras.tracestate = Tracestate::parse([value].into_iter())?,
                BAGGAGE => extras.baggage = Baggage::parse([value].into_iter()).0,
                DEADLINE => {
                    let unix = u64::from_le_bytes(value.try_into().ok()?);
                    extras.deadline = Some(clock::from_unix(unix));
                }
                CORRELATION => {
                    extras.correlation_id = Some(std::str::from_utf8(value).ok()?.into());
                }
                _ => {}
            }
            rest = tail;
        }
        Some(context.with_extras(extras))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Member, *};

    fn full() -> TraceContext {
        let mut baggage = Baggage::default();
        baggage.insert(Member::new("user", "Am\u{e9}lie").unwrap());
        TraceContext::default().child().with_extras(Extras {
            tracestate: Tracestate::parse([&b"foo=1"[..]].into_iter()).unwrap(),
            baggage,
            deadline: Some(clock::monotonic()),
            correlation_id: Some("req-1".into()),
        })
    }

    /// Deadlines are the same to the microsecond: the wall clock's offset may be measured anew.
    fn same(a: &TraceContext, b: &TraceContext) -> bool {
        let deadline = |context: &TraceContext| context.extras().deadline.unwrap_or(0);
        let without = |context: &TraceContext| {
            context.with_extras(Extras {
                deadline: None,
                ..context.extras()
            })
        };
        without(a) == without(b) && deadline(a).abs_diff(deadline(b)) < 1_000_000
    }

    #[test]
    fn it_reads_what_it_writes() {
        let bare = TraceContext::default().child();
        assert_eq!(bare.to_bytes().len(), FIXED);
        for context in [bare, full(), TraceContext::default()] {
            let again = TraceContext::from_bytes(&context.to_bytes()).unwrap();
            assert!(same(&again, &context), "{again:?} {context:?}");
        }
    }

    #[test]
    fn an_unknown_tag_is_skipped() {
        let mut bytes = full().to_bytes();
        bytes.extend([99, 2, 0, 0, 0, 7, 7]);
        assert!(TraceContext::from_bytes(&bytes).is_some());
    }

    #[test]
    fn no_other_bytes_are_read() {
        let bytes = full().to_bytes();
        let mut whole = 0;
        for cut in 0..bytes.len() {
            whole += usize::from(TraceContext::from_bytes(&bytes[..cut]).is_some());
        }
        // Cut between two extras it is a shorter one.
        assert_eq!(whole, 4);
        for (at, wrong) in [(0, 1), (27, 255), (30, 255)] {
            let mut bytes = bytes.clone();
            bytes[at] = wrong;
            assert_eq!(TraceContext::from_bytes(&bytes), None, "byte {at}");
        }
        let mut no_span = bytes[..FIXED].to_vec();
        no_span[17..25].fill(0);
        assert_eq!(TraceContext::from_bytes(&no_span), None);
    }
}

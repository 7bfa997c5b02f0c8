//! Spans as plain data: what happened, when, below what, with which words.
//!
//! A [`Span`] is filled by whoever records it and does not change once it is in a [`SpanStore`].
//! Its size is bounded: so many attributes, events and links, and text of so many bytes; what was
//! left out is counted.

mod store;

pub use store::SpanStore;

use std::sync::Arc;

/// Attributes of a span, an event or a link: OpenTelemetry's default limit.
pub const MAX_ATTRIBUTES: usize = 128;
/// Events, and links, of a span.
pub const MAX_EVENTS: usize = 128;
/// Bytes of a name or a text value; the rest is cut off.
pub const MAX_TEXT: usize = 16 << 10;
/// Elements of a list value.
pub const MAX_LIST: usize = 128;

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Text.
    Text(Box<str>),
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// Several of the others.
    List(Vec<Self>),
}

/// Names and values, in the order in which they were first set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attributes {
    entries: Vec<(Box<str>, Value)>,
    dropped: u32,
}

impl Attributes {
    /// None yet, with room for `n`.
    #[must_use]
    pub fn with_capacity(n: usize) -> Self {
        Self {
            entries: Vec::with_capacity(n.min(MAX_ATTRIBUTES)),
            dropped: 0,
        }
    }

    /// Sets one, in place of an earlier one of that name. Beyond the limit it is only counted.
    pub fn set(&mut self, name: Box<str>, value: Value) {
        if let Some(entry) = self.entries.iter_mut().find(|(known, _)| *known == name) {
            entry.1 = value;
        } else if self.entries.len() < MAX_ATTRIBUTES {
            self.entries.push((name, value));
        } else {
            self.dropped += 1;
        }
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(name, value)| (&**name, value))
    }

    /// How many were left out.
    #[must_use]
    pub const fn dropped(&self) -> u32 {
        self.dropped
    }
}

/// Something that happened at one moment of a span.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What.
    pub name: Box<str>,
    /// Unix nanoseconds.
    pub time: u64,
    /// More about it.
    pub attributes: Attributes,
}

/// Another span this one has to do with, which is not its parent.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// The other's trace.
    pub trace_id: u128,
    /// The other.
    pub span_id: u64,
    /// More about it.
    pub attributes: Attributes,
}

/// How it went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// Nobody said.
    #[default]
    Unset,
    /// The application said that it went well.
    Ok,
    /// It failed, and with what.
    Error(Box<str>),
}

/// On which side of which exchange it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Of none.
    #[default]
    Internal,
    /// Answers a request.
    Server,
    /// Makes a request.
    Client,
    /// Hands a message over.
    Producer,
    /// Takes a message.
    Consumer,
}

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// The trace it belongs to.
    pub trace_id: u128,
    /// Its own id.
    pub span_id: u64,
    /// The span above it; 0 for the root.
    pub parent_id: u64,
    /// The trace's flags.
    pub flags: u8,
    /// On which side it is.
    pub kind: Kind,
    /// What was done.
    pub name: Box<str>,
    /// Who recorded it.
    pub tracer: Arc<str>,
    /// Unix nanoseconds.
    pub start: u64,
    /// Unix nanoseconds; never before the start.
    pub end: u64,
    /// More about it.
    pub attributes: Attributes,
    /// What happened in it.
    pub events: Vec<Event>,
    /// What else it has to do with.
    pub links: Vec<Link>,
    /// How it went.
    pub status: Status,
    /// Events and links that were left out.
    pub dropped: u32,
}

/// `text`, cut at a character's border to at most [`MAX_TEXT`] bytes.
#[inline]
#[must_use]
pub fn bounded(text: &str) -> &str {
    if text.len() <= MAX_TEXT {
        return text;
    }
    let mut end = MAX_TEXT;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_replace_and_are_bounded() {
        let mut attributes = Attributes::default();
        for n in 0..MAX_ATTRIBUTES as i64 + 3 {
            attributes.set(format!("k{n}").into(), Value::Int(n));
        }
        attributes.set("k0".into(), Value::Bool(true));
        assert_eq!(attributes.iter().count(), MAX_ATTRIBUTES);
        assert_eq!(attributes.dropped(), 3);
        assert_eq!(attributes.iter().next(), Some(("k0", &Value::Bool(true))));
    }

    #[test]
    fn text_is_cut_between_characters() {
        let text = format!("{}\u{e9}\u{e9}", "x".repeat(MAX_TEXT - 1));
        assert_eq!(bounded(&text).len(), MAX_TEXT - 1);
        assert_eq!(bounded("short"), "short");
    }
}

//! What was taken: one stretch of memory for the short streams of many items, used again and again.

use super::super::arena::Pinned;

/// An item that its taker answers for until it acknowledges it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    pub(super) entry: u32,
    pub(super) generation: u32,
}

/// One item of a batch.
pub struct Taken<'a> {
    /// What the sender called it.
    pub code: u16,
    /// The stream, if it was short; empty otherwise.
    pub inline: &'a [u8],
    /// The stream, if it was long.
    pub stream: Option<Pinned>,
    /// The buffers, in order.
    pub buffers: Vec<Pinned>,
    /// What has to be acknowledged.
    pub lease: Option<Lease>,
}

/// See the module's head. Items that are still in it when it is dropped or cleared are lost, unless
/// they are under a lease.
#[derive(Default)]
pub struct Batch {
    bytes: Vec<u8>,
}

impl Batch {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many items are in it.
    #[must_use]
    pub fn len(&self) -> usize {
        0
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The oldest, which then is no longer in it.
    pub fn pop(&mut self) -> Option<Taken<'_>> {
        let _ = &self.bytes;
        None
    }

    /// Forgets what is in it.
    pub fn clear(&mut self) {}
}

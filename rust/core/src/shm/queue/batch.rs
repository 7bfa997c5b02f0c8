//! What was taken: one stretch of memory for the short streams of many items, used again and again.

use std::collections::VecDeque;

pub use super::leases::Lease;
use super::references;
use crate::shm::{arena::Pinned, feed::Records};

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

/// What an item has beside its record.
pub(super) struct More {
    /// Which record of the batch.
    pub(super) record: usize,
    pub(super) pins: Vec<Pinned>,
    pub(super) lease: Option<Lease>,
}

/// See the module's head. Items that are still in it when it is dropped or cleared are lost, unless
/// they are under a lease.
#[derive(Default)]
pub struct Batch {
    pub(super) records: Records,
    /// In the order of the records; those that have nothing more are not in it.
    pub(super) more: VecDeque<More>,
    /// Records that were given out.
    given: usize,
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
        self.records.len() - self.given
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The code and the stream of the oldest, if that is all there is to it.
    #[inline]
    #[must_use]
    pub fn plain(&self) -> Option<(u16, &[u8])> {
        let (record, content) = self.records.get(self.given)?;
        let has_more = (self.more.front()).is_some_and(|more| more.record == self.given);
        (!has_more && !references::are_in(record.kind)).then_some((record.kind, content))
    }

    /// Drops the oldest, which was [`Batch::plain`].
    #[inline]
    pub fn skip(&mut self) {
        debug_assert!(self.plain().is_some());
        self.given += 1;
    }

    /// The oldest, which then is no longer in it.
    pub fn pop(&mut self) -> Option<Taken<'_>> {
        let index = self.given;
        let (record, content) = self.records.get(index)?;
        self.given += 1;
        let more = match self.more.front() {
            Some(more) if more.record == index => self.more.pop_front(),
            _ => None,
        };
        let (mut pins, lease) = more.map_or((Vec::new(), None), |more| (more.pins, more.lease));
        let code = record.kind & !references::SLABS;
        if !references::are_in(record.kind) {
            return Some(Taken {
                code,
                inline: content,
                stream: None,
                buffers: pins,
                lease,
            });
        }
        let start = references::stream_at(pins.len()).min(content.len());
        let stream_first = matches!(references::decode(content), Ok((_, true)));
        let stream = (stream_first && !pins.is_empty()).then(|| pins.remove(0));
        Some(Taken {
            code,
            inline: if stream_first { &[] } else { &content[start..] },
            stream,
            buffers: pins,
            lease,
        })
    }

    /// Forgets what is in it.
    pub fn clear(&mut self) {
        self.records.clear();
        self.more.clear();
        self.given = 0;
    }

    /// Makes its memory new, if all was given out.
    pub(super) fn renew(&mut self) {
        if self.given > 0 && self.is_empty() {
            self.clear();
        }
    }
}

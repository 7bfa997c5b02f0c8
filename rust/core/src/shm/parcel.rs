//! A payload placed for sending: a short stream of its own and large buffers in slabs.
//!
//! Placing copies once, into memory that has been touched before; sending names the slabs and
//! copies nothing, so a parcel can be sent again, to another worker, after a death.

use super::arena::{Arena, ArenaError, OwnedSlab};
use crate::sync::Arc;

/// Streams up to this many bytes travel inside the record; longer ones get a slab.
pub const INLINE_MAX: usize = 16 << 10;

/// See the module's head.
pub struct Parcel {
    pub(super) inline: Option<Vec<u8>>,
    /// The stream first if it is not inline, then the buffers in order.
    pub(super) slabs: Vec<OwnedSlab>,
    bytes: usize,
}

impl Parcel {
    /// A parcel of nothing, for messages that are all head.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            inline: Some(Vec::new()),
            slabs: Vec::new(),
            bytes: 0,
        }
    }

    /// Copies `stream` and `buffers` to where they can be sent from.
    ///
    /// # Safety
    /// Each buffer is valid for reads of its length during the call, and nobody writes to it
    /// meanwhile.
    pub unsafe fn pack(
        arena: &Arc<Arena>,
        stream: &[u8],
        buffers: &[(*const u8, usize)],
    ) -> Result<Self, ArenaError> {
        let inline = (stream.len() <= INLINE_MAX).then(|| stream.to_vec());
        let stream_slab = inline.is_none().then_some((stream.as_ptr(), stream.len()));
        let mut slabs = Vec::with_capacity(buffers.len() + 1);
        for &(from, length) in stream_slab.iter().chain(buffers) {
            let slab = arena.allocate(length)?;
            let (to, _) = slab.content();
            // SAFETY: `from` is readable by the caller's promise (or is `stream`); the slab is
            // new, that long, and known to nobody else.
            unsafe { to.as_ptr().copy_from_nonoverlapping(from, length) };
            slabs.push(slab);
        }
        let bytes = stream.len() + buffers.iter().map(|buffer| buffer.1).sum::<usize>();
        Ok(Self {
            inline,
            slabs,
            bytes,
        })
    }

    /// Bytes of stream and buffers.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

//! How a record names slabs, and what else it says.
//!
//! A record without any is its stream and nothing else. Otherwise: how many references, and whether the first
//! of them is the stream; the references, four words each; the stream, if it is short.

use super::error::QueueError;
use crate::shm::{arena::SlabRef, lane::Corrupt};

/// Set in a record's kind if it names slabs.
pub(super) const SLABS: u16 = 0x8000;

/// Kinds below this are the caller's.
pub(super) const CODES: u16 = 0x7fff;

/// Bytes before the references, and of each.
pub(super) const HEAD: usize = 8;
pub(super) const EACH: usize = 32;

/// A slab of some arena, or a part of one. Untrusted until pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reference {
    pub(super) arena: u16,
    pub(super) slab: SlabRef,
}

pub(super) const fn are_in(kind: u16) -> bool {
    kind & SLABS != 0
}

/// The words before the stream.
pub(super) fn encode(references: &[Reference], stream_first: bool, to: &mut Vec<u64>) {
    to.clear();
    to.push(references.len() as u64 | u64::from(stream_first) << 32);
    for Reference { arena, slab } in references {
        let place = slab.slot << 16 | u64::from(*arena);
        to.extend([place, slab.generation, slab.offset, slab.length]);
    }
}

/// The references, and whether the first is the stream; what lies behind them is the stream otherwise.
pub(super) fn decode(content: &[u8]) -> Result<(Vec<Reference>, bool), Corrupt> {
    let word = |at: usize| u64::from_ne_bytes(content[at..at + 8].try_into().expect("8 bytes"));
    let head = if content.len() < HEAD {
        return Err(Corrupt);
    } else {
        word(0)
    };
    let (count, stream_first) = (head as u32 as usize, head >> 32);
    let end = count
        .checked_mul(EACH)
        .and_then(|bytes| bytes.checked_add(HEAD));
    if stream_first > 1
        || stream_first as usize > count
        || end.is_none_or(|end| end > content.len())
    {
        return Err(Corrupt);
    }
    let references = (0..count).map(|index| {
        let at = HEAD + index * EACH;
        let place = word(at);
        Reference {
            arena: place as u16,
            slab: SlabRef {
                slot: place >> 16,
                generation: word(at + 8),
                offset: word(at + 16),
                length: word(at + 24),
            },
        }
    });
    Ok((references.collect(), stream_first == 1))
}

/// Where the stream begins behind so many references.
pub(super) const fn stream_at(references: usize) -> usize {
    HEAD + references * EACH
}

/// Whether a code is the caller's to use.
pub(super) fn check_code(code: u16) -> Result<(), QueueError> {
    if code < CODES {
        Ok(())
    } else {
        Err(QueueError::Settings("an item's code is below 0x7fff"))
    }
}

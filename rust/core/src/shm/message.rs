//! How a message lies in a lane: a fixed head, the references of its slabs, its inline bytes.

use super::{arena::SlabRef, lane::Corrupt};

/// What a message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// Run this.
    Task = 1,
    /// It returned this.
    Value = 2,
    /// It raised this.
    Raised = 3,
    /// End when the tasks before this are done.
    Stop = 4,
}

impl Kind {
    const fn of(word: u32) -> Option<Self> {
        match word {
            1 => Some(Self::Task),
            2 => Some(Self::Value),
            3 => Some(Self::Raised),
            4 => Some(Self::Stop),
            _ => None,
        }
    }
}

/// The fixed part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: Kind,
    /// Where the task's state is kept.
    pub(super) slot: u32,
    /// The task's number in its pool.
    pub(super) number: u64,
    /// When it began and how long it ran, in nanoseconds of the monotonic clock; results only.
    pub(super) started: u64,
    pub(super) elapsed: u64,
    pub(super) slabs: u32,
    /// Whether the stream is inline, or the first of the slabs.
    pub(super) inline: bool,
}

pub(super) const HEAD_BYTES: usize = 40;
pub(super) const REF_BYTES: usize = 32;

impl Head {
    pub(super) fn encode(&self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        bytes[..4].copy_from_slice(&(self.kind as u32).to_le_bytes());
        bytes[4..8].copy_from_slice(&self.slot.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.number.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.started.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.elapsed.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.slabs.to_le_bytes());
        bytes[36..].copy_from_slice(&u32::from(self.inline).to_le_bytes());
        bytes
    }

    /// The head, the references, and the inline bytes of a record.
    pub(super) fn decode(record: &[u8]) -> Result<(Self, Vec<SlabRef>, &[u8]), Corrupt> {
        let (head, rest) = record.split_at_checked(HEAD_BYTES).ok_or(Corrupt)?;
        let short = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().expect("4 bytes"));
        let long = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().expect("8 bytes"));
        let decoded = Self {
            kind: Kind::of(short(0)).ok_or(Corrupt)?,
            slot: short(4),
            number: long(8),
            started: long(16),
            elapsed: long(24),
            slabs: short(32),
            inline: match short(36) {
                0 => false,
                1 => true,
                _ => return Err(Corrupt),
            },
        };
        let length = (decoded.slabs as usize)
            .checked_mul(REF_BYTES)
            .ok_or(Corrupt)?;
        let (references, stream) = rest.split_at_checked(length).ok_or(Corrupt)?;
        if !decoded.inline && (decoded.slabs == 0 || !stream.is_empty()) {
            return Err(Corrupt);
        }
        let references = references
            .chunks_exact(REF_BYTES)
            .map(decode_reference)
            .collect();
        Ok((decoded, references, stream))
    }
}

pub(super) fn encode_reference(reference: &SlabRef, to: &mut Vec<u8>) {
    for word in [
        reference.slot,
        reference.generation,
        reference.offset,
        reference.length,
    ] {
        to.extend_from_slice(&word.to_le_bytes());
    }
}

fn decode_reference(bytes: &[u8]) -> SlabRef {
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
    SlabRef {
        slot: word(0),
        generation: word(8),
        offset: word(16),
        length: word(24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(
            slot: u32, number: u64, started: u64, elapsed: u64,
            references in prop::collection::vec((any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>()), 0..5),
            stream in prop::collection::vec(any::<u8>(), 0..50),
        ) {
            let head = Head {
                kind: Kind::Value, slot, number, started, elapsed,
                slabs: references.len() as u32, inline: true,
            };
            let references: Vec<_> = references
                .into_iter()
                .map(|(slot, generation, offset, length)| SlabRef { slot, generation, offset, length })
                .collect();
            let mut record = head.encode().to_vec();
            references.iter().for_each(|reference| encode_reference(reference, &mut record));
            record.extend(&stream);
            let (seen, seen_references, seen_stream) = Head::decode(&record).unwrap();
            prop_assert_eq!(seen, head);
            prop_assert_eq!(seen_references, references);
            prop_assert_eq!(seen_stream, &stream[..]);
        }

        #[test]
        fn any_bytes_give_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Head::decode(&bytes);
        }
    }
}

//! The shared entry of one slab: its generation and who holds it.
//!
//! A slab's content is written by its owner while nobody else knows of it; others learn of it
//! from a record in a lane that names slot and generation. Whoever wants to read sets its own bit
//! ([`SlabEntry::pin`]) and then looks at the generation again. The owner takes a slab back
//! ([`SlabEntry::retire`]) when no bit is set: it moves the generation on and then looks at the
//! bits again. Both sides write first and look second, with a SeqCst fence between, so either the
//! reader sees the new generation or the owner sees the bit. (Fences rather than SeqCst accesses:
//! the two do the same here, but loom understands only the former.) No bit counts: setting or clearing it twice does no
//! harm, so the bits of a dead process can be cleared by whoever notices.
//!
//! While a record is under way its sender keeps a bit of its own, so in honest use a pin never
//! meets a retired slab; the generation is there for stale and forged references.

use crate::sync::{AtomicU64, Ordering, fence};

/// How many participants one arena can have, its owner included.
pub const PARTICIPANTS: u32 = 256;

/// The participant number of the arena's owner.
pub const OWNER: u32 = 0;

const WORDS: usize = PARTICIPANTS as usize / 64;

/// See the module's head.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct SlabEntry {
    /// Written by the owner only, read by all.
    generation: AtomicU64,
    /// One bit a participant; each writes its own, the owner also those of the dead.
    holders: [AtomicU64; WORDS],
}

impl Default for SlabEntry {
    fn default() -> Self {
        Self {
            generation: AtomicU64::new(0),
            holders: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

const fn place(participant: u32) -> (usize, u64) {
    ((participant / 64) as usize, 1 << (participant % 64))
}

impl SlabEntry {
    /// The owner takes hold of a free slab and learns its generation.
    pub fn take(&self) -> u64 {
        // Nobody holds a free slab, so whatever bits there are were written by accident; a reader
        // with a stale reference that has just set its own will clear it again.
        let (owners, bit) = place(OWNER);
        for (word, holders) in self.holders.iter().enumerate() {
            // A swap, though a store would do: it keeps the word one chain of read-modify-writes,
            // and loom can follow only those.
            holders.swap(if word == owners { bit } else { 0 }, Ordering::AcqRel);
        }
        self.generation.load(Ordering::Relaxed)
    }

    /// Called by the owner of an arena whose last owner has died, before it uses it: no reference of
    /// that one's is good any more. Nobody holds the slab.
    pub fn renew(&self) {
        let generation = self.generation.load(Ordering::Relaxed);
        self.generation
            .store(generation.wrapping_add(1), Ordering::Release);
    }

    /// Sets the participant's bit if the slab still is of that generation.
    #[must_use]
    pub fn pin(&self, participant: u32, generation: u64) -> bool {
        let (word, bit) = place(participant);
        self.holders[word].fetch_or(bit, Ordering::AcqRel);
        fence(Ordering::SeqCst);
        if self.generation.load(Ordering::Acquire) == generation {
            return true;
        }
        self.holders[word].fetch_and(!bit, Ordering::AcqRel);
        false
    }

    /// Clears the participant's bit.
    pub fn unpin(&self, participant: u32) {
        let (word, bit) = place(participant);
        // Release: what was read of the content comes before whoever sees the bit gone.
        self.holders[word].fetch_and(!bit, Ordering::AcqRel);
    }

    /// Whether anybody holds the slab.
    pub fn is_held(&self) -> bool {
        self.holders
            .iter()
            .any(|word| word.load(Ordering::Acquire) != 0)
    }

    /// Whether a participant does.
    pub fn is_held_by(&self, participant: u32) -> bool {
        let (word, bit) = place(participant);
        self.holders[word].load(Ordering::Acquire) & bit != 0
    }

    /// Called by the owner: makes the slab free if nobody holds it. After a true answer no pin
    /// with the old generation succeeds any more.
    #[must_use]
    pub fn retire(&self, generation: u64) -> bool {
        if self.is_held() {
            return false;
        }
        if self.generation.load(Ordering::Relaxed) == generation {
            self.generation
                .store(generation.wrapping_add(1), Ordering::Release);
        }
        fence(Ordering::SeqCst);
        // A reader that set its bit before the store may have seen the old generation.
        !self.is_held()
    }
}

#[cfg(all(test, not(penstock_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_slab_is_free_when_the_last_bit_goes() {
        let slab = SlabEntry::default();
        let generation = slab.take();
        assert!(slab.pin(200, generation));
        assert!(slab.pin(200, generation), "pinning twice sets one bit");
        slab.unpin(OWNER);
        assert!(!slab.retire(generation));
        slab.unpin(200);
        assert!(slab.retire(generation));
        assert!(!slab.pin(200, generation), "a stale reference is refused");
        assert!(!slab.is_held(), "and leaves no bit behind");
    }

    #[test]
    fn bits_that_nobody_answers_for_end_with_the_slabs_next_use() {
        let slab = SlabEntry::default();
        for word in &slab.holders {
            word.store(u64::MAX, Ordering::SeqCst);
        }
        let generation = slab.take();
        slab.unpin(OWNER);
        assert!(slab.retire(generation));
    }

    #[test]
    fn a_retire_that_met_a_late_pin_succeeds_afterwards() {
        let slab = SlabEntry::default();
        let generation = slab.take();
        slab.unpin(OWNER);
        assert!(slab.retire(generation));
        assert!(
            slab.retire(generation),
            "asking again moves the generation no further"
        );
        assert_eq!(slab.take(), generation + 1);
    }
}

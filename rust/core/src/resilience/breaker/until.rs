//! When an open breaker may be probed: written by the first who needs to know.
//!
//! ```text
//! generation 12 | moment 52, in units of 16 ns
//! ```
//! A word of another generation says nothing; whoever finds one puts the present opening's in its place, once.
//! Moments are compared around the corner, which is 2.3 years long.

use crate::sync::{
    AtomicU64,
    Ordering::{AcqRel, Acquire},
};

const MOMENT_BITS: u32 = 52;
const UNIT_SHIFT: u32 = 4;

/// A word of so many generations ahead is a later one's; farther away it is an old one's.
const LATE: u64 = 64;

const fn low(bits: u32) -> u64 {
    (1 << bits) - 1
}

/// See the module's head. Swapped and read by all.
#[derive(Debug, Default)]
#[repr(transparent)]
pub(super) struct Until(AtomicU64);

impl Until {
    /// The moment for this generation; if none is written yet, `open_for` after `now`.
    pub(super) fn of(&self, generation: u64, now: u64, open_for: u64) -> u64 {
        let tag = generation & 0xfff;
        let mut seen = self.0.load(Acquire);
        loop {
            let ahead = (seen >> MOMENT_BITS).wrapping_sub(tag) & 0xfff;
            if ahead == 0 {
                return moment(seen, now);
            }
            if ahead < LATE {
                return now; // a later opening's: the caller's word is old, and will not be swapped
            }
            let units = now.saturating_add(open_for).div_ceil(1 << UNIT_SHIFT);
            let next = tag << MOMENT_BITS | units & low(MOMENT_BITS);
            match self.0.compare_exchange(seen, next, AcqRel, Acquire) {
                Ok(_) => return moment(next, now),
                Err(other) => seen = other,
            }
        }
    }
}

/// The moment nearest to `now` that has these lower bits.
const fn moment(word: u64, now: u64) -> u64 {
    let ahead = (word & low(MOMENT_BITS)).wrapping_sub(now >> UNIT_SHIFT) & low(MOMENT_BITS);
    if ahead < 1 << (MOMENT_BITS - 1) {
        ((now >> UNIT_SHIFT) + ahead) << UNIT_SHIFT
    } else {
        ((now >> UNIT_SHIFT).saturating_sub(low(MOMENT_BITS) + 1 - ahead)) << UNIT_SHIFT
    }
}

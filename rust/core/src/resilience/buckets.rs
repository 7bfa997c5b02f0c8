//! Counts of the last so many nanoseconds: a ring of words, each with the age of what it counts.
//!
//! ```text
//! lap 20 | generation 12 | count 32
//! ```
//! The time is cut in spans, a span's bucket is its number modulo their count, its lap the number divided by it.
//! A bucket of another lap or generation counts as zero and begins anew with the next addition: nothing is
//! ever cleared, so nobody can die in the middle of it.
//!
//! Guarantee: lock-free. Orders are relaxed: the counts inform a decision, and order nothing.

use crate::sync::{AtomicU64, Ordering::Relaxed};

/// Buckets of every ring, as Polly has them; resilience4j has one a second.
#[cfg(not(penstock_loom))]
pub const BUCKETS: usize = 10;
#[cfg(penstock_loom)]
#[allow(missing_docs)]
pub const BUCKETS: usize = 2;

const COUNT_BITS: u32 = 32;
const LAP_BITS: u32 = 20;
const GENERATION_BITS: u32 = 12;

const fn low(bits: u32) -> u64 {
    (1 << bits) - 1
}

/// A moment, as the rings see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Age {
    span: u64,
    generation: u64,
}

impl Age {
    /// Of a moment in rings that together last `window` nanoseconds, which is at least [`BUCKETS`].
    #[must_use]
    pub const fn new(now: u64, window: u64, generation: u64) -> Self {
        let length = window.div_ceil(BUCKETS as u64);
        Self {
            span: now / if length == 0 { 1 } else { length },
            generation,
        }
    }

    const fn place(self) -> usize {
        (self.span % BUCKETS as u64) as usize
    }

    const fn tag(self, span: u64) -> u64 {
        let lap = (span / BUCKETS as u64) & low(LAP_BITS);
        lap << GENERATION_BITS | self.generation & low(GENERATION_BITS)
    }
}

/// See the module's head. Every word is swapped and read by all.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Buckets([AtomicU64; BUCKETS]);

impl Buckets {
    /// Counts one more in the bucket of `age`.
    pub fn add(&self, age: Age) {
        let tag = age.tag(age.span);
        let bucket = &self.0[age.place()];
        let mut seen = bucket.load(Relaxed);
        loop {
            let next = if seen >> COUNT_BITS == tag {
                if seen & low(COUNT_BITS) == low(COUNT_BITS) {
                    return;
                }
                seen + 1
            } else if is_newer(seen >> COUNT_BITS, tag) {
                return; // paused for a whole lap
            } else {
                tag << COUNT_BITS | 1
            };
            match bucket.compare_exchange_weak(seen, next, Relaxed, Relaxed) {
                Ok(_) => return,
                Err(other) => seen = other,
            }
        }
    }

    /// Takes back one addition of this age.
    pub fn take_back(&self, age: Age) {
        let tag = age.tag(age.span);
        let bucket = &self.0[age.place()];
        let mut seen = bucket.load(Relaxed);
        while seen >> COUNT_BITS == tag && seen & low(COUNT_BITS) > 0 {
            match bucket.compare_exchange_weak(seen, seen - 1, Relaxed, Relaxed) {
                Ok(_) => return,
                Err(other) => seen = other,
            }
        }
    }

    /// What was counted in the spans up to that of `age`, as many as there are buckets.
    #[must_use]
    pub fn total(&self, age: Age) -> u64 {
        let first = age.span.saturating_sub(BUCKETS as u64 - 1);
        (first..=age.span)
            .map(|span| {
                let place = (span % BUCKETS as u64) as usize;
                let word = self.0[place].load(Relaxed);
                if word >> COUNT_BITS == age.tag(span) {
                    word & low(COUNT_BITS)
                } else {
                    0
                }
            })
            .sum()
    }
}

/// Whether the tag `one` is of the same generation as `other` and of a later lap.
const fn is_newer(one: u64, other: u64) -> bool {
    let ahead = (one >> GENERATION_BITS).wrapping_sub(other >> GENERATION_BITS) & low(LAP_BITS);
    let same = (one ^ other) & low(GENERATION_BITS) == 0;
    same && ahead != 0 && ahead < 1 << (LAP_BITS - 1)
}

#[cfg(all(test, not(any(penstock_loom, penstock_shuttle))))]
mod tests {
    use super::*;

    const WINDOW: u64 = 10_000;

    #[test]
    fn what_is_older_than_the_window_counts_no_more() {
        let buckets = Buckets::default();
        for now in [0, 999, 1_000, 9_999] {
            buckets.add(Age::new(now, WINDOW, 0));
        }
        assert_eq!(buckets.total(Age::new(9_999, WINDOW, 0)), 4);
        assert_eq!(buckets.total(Age::new(10_000, WINDOW, 0)), 2);
        assert_eq!(buckets.total(Age::new(11_000, WINDOW, 0)), 1);
        assert_eq!(buckets.total(Age::new(19_000, WINDOW, 0)), 0);
        assert_eq!(buckets.total(Age::new(9_999, WINDOW, 1)), 0, "generation");
    }

    #[test]
    fn an_addition_that_comes_a_lap_late_is_dropped() {
        let buckets = Buckets::default();
        buckets.add(Age::new(15_000, WINDOW, 3));
        buckets.add(Age::new(5_000, WINDOW, 3));
        assert_eq!(buckets.total(Age::new(15_000, WINDOW, 3)), 1);
        buckets.take_back(Age::new(5_000, WINDOW, 3));
        assert_eq!(buckets.total(Age::new(15_000, WINDOW, 3)), 1);
        buckets.take_back(Age::new(15_000, WINDOW, 3));
        assert_eq!(buckets.total(Age::new(15_000, WINDOW, 3)), 0);
    }
}

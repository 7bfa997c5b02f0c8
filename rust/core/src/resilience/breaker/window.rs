//! The last outcomes of a breaker that is closed: by number or by time.
//!
//! By number they stand in words of sixteen, each with the lower bits of the breaker's generation:
//!
//! ```text
//! generation 16 | 16 × (is slow 1, has failed 1, is there 1)
//! ```
//! One index, raised by all, says where the next one goes. A word of another generation counts as empty, so
//! a breaker that closes again begins with an empty window and nothing is cleared. Who dies between the index and
//! the word leaves an outcome of the lap before in its place.
//!
//! Guarantee: lock-free, relaxed (see [`super::super::buckets`]).

use super::super::buckets::{Age, Buckets};
use crate::sync::{AtomicU64, Ordering::Relaxed};

const IN_WORD: usize = 16;
const TAG_SHIFT: u32 = 48;
/// A word of so many generations ahead is a later one's; farther away it is an old one's.
const LATE: u64 = 64;
/// The first bit of each of sixteen outcomes.
const PRESENT: u64 = 0o1_111_111_111_111_111;

/// The longest window by number.
#[cfg(not(penstock_loom))]
pub const COUNT_MAX: usize = 1024;
#[cfg(penstock_loom)]
#[allow(missing_docs)]
pub const COUNT_MAX: usize = 16;

/// How a breaker counts while it is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// Failures in a row.
    Consecutive,
    /// Of so many last calls.
    Count(usize),
    /// Of the calls of so many last nanoseconds.
    Time(u64),
}

/// What is in a window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// All.
    pub calls: u64,
    /// Those that failed.
    pub failures: u64,
    /// Those that took too long, failed or not.
    pub slow: u64,
}

/// Both kinds; a breaker uses one. Every word is swapped and read by all.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Outcomes {
    next: AtomicU64,
    last: [AtomicU64; COUNT_MAX / IN_WORD],
    calls: Buckets,
    failures: Buckets,
    slow: Buckets,
}

impl Default for Outcomes {
    fn default() -> Self {
        Self {
            next: AtomicU64::new(0),
            last: std::array::from_fn(|_| AtomicU64::new(0)),
            calls: Buckets::default(),
            failures: Buckets::default(),
            slow: Buckets::default(),
        }
    }
}

impl Outcomes {
    /// Adds the outcome of a call of this generation.
    pub(super) fn add(
        &self,
        window: Window,
        generation: u64,
        has_failed: bool,
        is_slow: bool,
        now: u64,
    ) {
        match window {
            Window::Consecutive => {}
            Window::Count(size) => self.push(size, generation, has_failed, is_slow),
            Window::Time(length) => {
                let age = Age::new(now, length, generation);
                // Calls first: who counts sees no failure without its call.
                self.calls.add(age);
                if has_failed {
                    self.failures.add(age);
                }
                if is_slow {
                    self.slow.add(age);
                }
            }
        }
    }

    fn push(&self, size: usize, generation: u64, has_failed: bool, is_slow: bool) {
        let place = (self.next.fetch_add(1, Relaxed) % size as u64) as usize;
        let word = &self.last[place / IN_WORD];
        let shift = 3 * (place % IN_WORD) as u32;
        let outcome = 1 | u64::from(has_failed) << 1 | u64::from(is_slow) << 2;
        let tag = generation & 0xffff;
        let mut seen = word.load(Relaxed);
        loop {
            let ahead = (seen >> TAG_SHIFT).wrapping_sub(tag) & 0xffff;
            let kept = match ahead {
                0 => seen & !(7 << shift),
                1..LATE => return, // the breaker has gone on meanwhile
                _ => tag << TAG_SHIFT,
            };
            let next = kept | outcome << shift;
            match word.compare_exchange_weak(seen, next, Relaxed, Relaxed) {
                Ok(_) => return,
                Err(other) => seen = other,
            }
        }
    }

    /// What is in the window.
    pub(super) fn tally(&self, window: Window, generation: u64, now: u64) -> Tally {
        match window {
            Window::Consecutive => Tally::default(),
            Window::Count(size) => {
                let mut tally = Tally::default();
                for word in &self.last[..size.div_ceil(IN_WORD)] {
                    let word = word.load(Relaxed);
                    if word >> TAG_SHIFT == generation & 0xffff {
                        let ones = |word: u64| u64::from((word & PRESENT).count_ones());
                        tally.calls += ones(word);
                        tally.failures += ones(word >> 1);
                        tally.slow += ones(word >> 2);
                    }
                }
                tally
            }
            Window::Time(length) => {
                let age = Age::new(now, length, generation);
                let failures = self.failures.total(age);
                let slow = self.slow.total(age);
                Tally {
                    calls: self.calls.total(age),
                    failures,
                    slow,
                }
            }
        }
    }
}

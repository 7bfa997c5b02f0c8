//! How long a task may go on with what is ready before its loop gets a turn.
//!
//! Per thread, as a thread runs one loop at a time. The clock is what bounds how late others run
//! and a cancellation is seen; the count is for a clock that stands still. A turn lets go of the
//! interpreter's lock, and a putter that waits for room takes it: with a turn every 256 items it was
//! handed over four times for each filling of a queue of 1024, with seven futex calls each time, and an
//! item from a thread took 220 ns of processor time in place of 140, in batches 95 in place of 60. So
//! a batch counts as one.
//!
//! The clock is read for every take: a task that works for a millisecond between two items would
//! otherwise run for a second without its cancellation being seen.

use std::cell::Cell;

use penstock_core::clock::ticks::{Ticks, calibrate};

const TAKES: usize = 1024;
const NANOSECONDS: u64 = 100_000;

struct Budget {
    takes: Cell<usize>,
    since: Cell<Ticks>,
}

thread_local! {
    static LEFT: Budget = const {
        Budget { takes: Cell::new(0), since: Cell::new(Ticks::LONG_AGO) }
    };
}

/// Whether the calling task may take once more of what is ready, an item or a batch, without a
/// checkpoint.
#[inline]
pub(super) fn spend() -> bool {
    LEFT.with(|left| match left.takes.get() {
        0 => false,
        takes => {
            left.takes.set(takes - 1);
            left.since.get().is_within(NANOSECONDS)
        }
    })
}

/// The loop had its turn.
pub(super) fn renew() {
    calibrate();
    LEFT.with(|left| {
        left.takes.set(TAKES - 1); // One is taken right now.
        left.since.set(Ticks::now());
    });
}

//! How long a task may go on with items that are ready before its loop gets a turn.
//!
//! Per thread, as a thread runs one loop at a time. Reading the clock takes 20 of the 170 ns of a
//! ready `aget` (perf, 6 million of them), and it is read for every one all the same: a task that
//! works for a millisecond between two items would otherwise run for a quarter of a second
//! without its cancellation being seen.

use std::cell::Cell;

use penstock_core::clock::monotonic;

const ITEMS: usize = 256;
const NANOSECONDS: u64 = 100_000;

struct Budget {
    items: Cell<usize>,
    since: Cell<u64>,
}

thread_local! {
    static LEFT: Budget = const { Budget { items: Cell::new(0), since: Cell::new(0) } };
}

/// Whether the calling task may go on with what is ready, without a checkpoint.
#[inline]
pub(super) fn is_left() -> bool {
    LEFT.with(|left| {
        left.items.get() > 0 && monotonic().wrapping_sub(left.since.get()) < NANOSECONDS
    })
}

/// The calling task had `items` at once.
#[inline]
pub(super) fn spend(items: usize) {
    LEFT.with(|left| left.items.set(left.items.get().saturating_sub(items)));
}

/// The loop had its turn.
pub(super) fn renew() {
    LEFT.with(|left| {
        left.items.set(ITEMS);
        left.since.set(monotonic());
    });
}

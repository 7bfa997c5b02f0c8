//! How long a task may go on with items that are ready before its loop gets a turn.
//!
//! Per thread, as a thread runs one loop at a time. Reading the clock costs about as much as
//! popping an item, and it is read for every ready item all the same: a task that works for a
//! millisecond between two items would otherwise run for a quarter of a second uncancelled.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

const ITEMS: usize = 256;
const TIME: Duration = Duration::from_micros(100);

thread_local! {
    static LEFT: Cell<usize> = const { Cell::new(0) };
    static SINCE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Whether the calling task may go on with what is ready, without a checkpoint.
#[inline]
pub(super) fn is_left() -> bool {
    LEFT.get() > 0 && SINCE.get().is_some_and(|since| since.elapsed() < TIME)
}

/// The calling task had `items` at once.
#[inline]
pub(super) fn spend(items: usize) {
    LEFT.set(LEFT.get().saturating_sub(items));
}

/// The loop had its turn.
pub(super) fn renew() {
    LEFT.set(ITEMS);
    SINCE.set(Some(Instant::now()));
}

//! The calls of one operation: how many, how long, how many failed and with what, how many are
//! under way.
//!
//! A call begins once and ends once: succeeded, failed or cancelled. Only the first two have a
//! duration that says something, so only they are in the histogram. Failures are kept by kind
//! behind a mutex: a failing call has already paid for an exception.
//!
//! Guarantee: beginning and succeeding are wait-free, as a histogram's record is. In a snapshot
//! failures ≤ calls ended, since a failing call records its duration first and the reader reads the
//! failures first. The calls under way are a difference of sums over threads, read while they
//! change; it is exact when nothing is changing, and never below zero.

use crate::{
    fork_gate::Guarded,
    histogram::{Distribution, HistogramShard, Scale},
    shards::{Shard, Sharded},
    sync::{AtomicU64, Ordering::Relaxed},
};

/// Beyond so many kinds of failure, further ones are counted as [`OTHER`].
pub const MAX_KINDS: usize = 64;
/// OpenTelemetry's name for an error type that is not on the list.
pub const OTHER: &str = "_OTHER";

/// See the module.
pub struct Calls {
    shards: Sharded<CallShard>,
    failures: Guarded<Vec<(Box<str>, u64)>>,
}

/// What is known of the calls at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct CallTotals {
    /// Calls begun and not ended.
    pub in_flight: u64,
    /// Calls that were cancelled or abandoned.
    pub cancelled: u64,
    /// Failures by kind, in the order of their first appearance.
    pub failures: Vec<(Box<str>, u64)>,
    /// Seconds, of the calls that succeeded or failed.
    pub durations: Distribution,
}

/// Written by one thread (relaxed load and store), read by anybody.
struct CallShard {
    /// Wraps below zero where a call is withdrawn on a thread that began none; the sum does not.
    begun: AtomicU64,
    cancelled: AtomicU64,
    durations: HistogramShard,
}

#[derive(Clone)]
struct Sum {
    begun: u64,
    cancelled: u64,
    durations: Distribution,
}

fn add(cell: &AtomicU64, n: u64) {
    cell.store(cell.load(Relaxed).wrapping_add(n), Relaxed);
}

impl Shard for CallShard {
    type Shape = ();
    type Total = Sum;

    fn new((): ()) -> Self {
        Self {
            begun: AtomicU64::new(0),
            cancelled: AtomicU64::new(0),
            durations: HistogramShard::new(Scale::DEFAULT),
        }
    }

    fn zero((): ()) -> Sum {
        Sum {
            begun: 0,
            cancelled: 0,
            durations: HistogramShard::zero(Scale::DEFAULT),
        }
    }

    fn add_to(&self, total: &mut Sum) {
        total.cancelled += self.cancelled.load(Relaxed);
        self.durations.add_to(&mut total.durations);
        total.begun = total.begun.wrapping_add(self.begun.load(Relaxed));
    }
}

impl Default for Calls {
    fn default() -> Self {
        Self {
            shards: Sharded::new(()),
            failures: Guarded::new(Vec::new()),
        }
    }
}

impl Calls {
    /// A call begins.
    #[inline]
    pub fn begin(&self) {
        self.shards.with(|shard| add(&shard.begun, 1));
    }

    /// It turns out that nothing began.
    pub fn withdraw(&self) {
        self.shards
            .with(|shard| add(&shard.begun, 1_u64.wrapping_neg()));
    }

    /// A call that took `seconds` returned.
    #[inline]
    pub fn succeed(&self, seconds: f64) {
        self.shards.with(|shard| shard.durations.record(seconds));
    }

    /// A call that took `seconds` failed.
    pub fn fail(&self, kind: &str, seconds: f64) {
        self.succeed(seconds);
        let mut failures = self.failures.lock();
        let full = failures.len() >= MAX_KINDS;
        let found = failures.iter().position(|(known, _)| **known == *kind);
        let kind = if found.is_none() && full { OTHER } else { kind };
        match failures.iter_mut().find(|(known, _)| **known == *kind) {
            Some((_, n)) => *n += 1,
            None => failures.push((kind.into(), 1)),
        }
    }

    /// A call was cancelled, or dropped before its end.
    pub fn cancel(&self) {
        self.shards.with(|shard| add(&shard.cancelled, 1));
    }

    /// What is known now.
    pub fn totals(&self) -> CallTotals {
        let failures = self.failures.lock().clone();
        let Sum {
            begun,
            cancelled,
            mut durations,
        } = self.shards.total();
        durations.trim();
        let ended = durations.count() + cancelled;
        // As a signed difference: a sum over threads may be caught between a start and its end.
        let in_flight = (begun.wrapping_sub(ended) as i64).max(0) as u64;
        CallTotals {
            in_flight,
            cancelled,
            failures,
            durations,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_withdrawn_elsewhere_leaves_nothing() {
        let calls = Calls::default();
        calls.begin();
        std::thread::scope(|scope| {
            scope.spawn(|| calls.withdraw());
        });
        let totals = calls.totals();
        assert_eq!((totals.in_flight, totals.durations.count()), (0, 0));
    }

    #[test]
    fn kinds_of_failure_are_bounded() {
        let calls = Calls::default();
        for n in 0..MAX_KINDS + 10 {
            calls.fail(&format!("E{n}"), 0.1);
        }
        calls.fail("E0", 0.1);
        let failures = calls.totals().failures;
        assert_eq!(failures.len(), MAX_KINDS + 1);
        assert_eq!(failures[0], ("E0".into(), 2));
        assert_eq!(failures[MAX_KINDS], (OTHER.into(), 10));
    }
}

//! A sum that only grows: whole numbers exactly, fractions as `f64`, one shard per thread.
//!
//! Whole and fractional steps are kept apart, so that counting things stays exact beyond 2⁵³ and
//! costs an integer addition.

use crate::{
    shards::{Shard, Sharded},
    sync::{AtomicU64, Ordering::Relaxed},
};

/// See the module.
pub struct Counter(Sharded<CounterShard>);

/// What has been added up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Count {
    /// The whole steps; wraps at 2⁶⁴.
    pub whole: u64,
    /// The fractional steps.
    pub fraction: f64,
}

/// Written by one thread (relaxed load and store), read by anybody.
struct CounterShard {
    whole: AtomicU64,
    fraction: AtomicU64,
}

impl Shard for CounterShard {
    type Shape = ();
    type Total = Count;

    fn new((): ()) -> Self {
        Self {
            whole: AtomicU64::new(0),
            fraction: AtomicU64::new(0),
        }
    }

    fn zero((): ()) -> Count {
        Count::default()
    }

    fn add_to(&self, total: &mut Count) {
        total.whole = total.whole.wrapping_add(self.whole.load(Relaxed));
        total.fraction += f64::from_bits(self.fraction.load(Relaxed));
    }
}

impl Default for Counter {
    fn default() -> Self {
        Self(Sharded::new(()))
    }
}

impl Counter {
    /// Adds a whole number.
    #[inline(always)]
    pub fn add(&self, n: u64) {
        self.0.with(|shard| {
            shard
                .whole
                .store(shard.whole.load(Relaxed).wrapping_add(n), Relaxed);
        });
    }

    /// Adds any number; the caller has refused negative ones and NaN.
    pub fn add_fraction(&self, n: f64) {
        self.0.with(|shard| {
            let sum = f64::from_bits(shard.fraction.load(Relaxed)) + n;
            shard.fraction.store(sum.to_bits(), Relaxed);
        });
    }

    /// The sum over all threads.
    pub fn total(&self) -> Count {
        self.0.total()
    }
}

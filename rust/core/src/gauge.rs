//! A value that goes up and down: one word, shared by all threads.
//!
//! Not sharded, since `set` means "this, now", whoever said what before. Lock-free: `set` is one
//! store, `add` a compare-and-swap loop.

use crate::sync::{AtomicU64, Ordering::Relaxed};

/// See the module.
#[derive(Debug)]
pub struct Gauge(AtomicU64);

impl Default for Gauge {
    fn default() -> Self {
        Self(AtomicU64::new(0.0_f64.to_bits()))
    }
}

impl Gauge {
    /// Replaces the value.
    #[inline]
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Relaxed);
    }

    /// Adds `step`, which may be negative.
    #[inline]
    pub fn add(&self, step: f64) {
        let mut seen = self.0.load(Relaxed);
        loop {
            let next = (f64::from_bits(seen) + step).to_bits();
            match self.0.compare_exchange_weak(seen, next, Relaxed, Relaxed) {
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
    }

    /// The value now.
    pub fn value(&self) -> f64 {
        f64::from_bits(self.0.load(Relaxed))
    }
}

//! Base-2 exponential histograms, bucket for bucket those of OTLP and of Prometheus.
//!
//! At scale `s` the base is 2^(2^-s) and bucket `i` counts the values in (baseⁱ, baseⁱ⁺¹]. Nothing
//! is lost in a merge, a coarser scale is a shift of the index, and an export is a copy. A value
//! read back from a bucket is its geometric middle: at most 2.2 % off at scale 4, 1.1 % at scale 5,
//! 4.4 % at scale 3. Zero has a bucket of its own; sum, least and greatest are kept beside.
//!
//! Values outside (2⁻⁴⁰, 2⁵⁶] are counted in the first or last bucket, and counted as clamped;
//! negative ones, NaN and infinities are ignored and counted, as OpenTelemetry asks.
//!
//! Memory: one shard per thread of under 1 KiB, and for each octave that a thread has met a page of
//! 64, 128 or 256 bytes at scale 3, 4 or 5. Latencies spread over ten octaves make 2.1 KiB at scale
//! 4 and 3.4 KiB at scale 5, for each thread that records.
//!
//! Guarantee: recording is wait-free but for the pages, which are allocated. The count of a
//! [`Distribution`] is the sum of its buckets, so the two agree in every snapshot. A shard's writer
//! publishes a record by the Release store of its bucket, after sum, least and greatest; a reader
//! that sees the bucket (Acquire) therefore sees bounds that hold it. Its sum may be ahead by the
//! one record that was under way.

mod distribution;
mod index;
mod shard;

pub use distribution::{Bucket, Distribution};
pub use index::index;
pub(crate) use shard::HistogramShard;

use crate::shards::Sharded;

/// How fine the buckets are: 2^scale per octave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale(u8);

impl Scale {
    /// 2.2 % at 128 bytes an octave.
    pub const DEFAULT: Self = Self(4);
    /// The finest that is recorded; the index table is made for it.
    pub const FINEST: Self = Self(5);
    /// The coarsest that is recorded: a page is then one cache line.
    pub const COARSEST: Self = Self(3);

    /// `scale`, if it is one that can be recorded: 3, 4 or 5.
    pub const fn new(scale: i64) -> Option<Self> {
        if scale >= Self::COARSEST.0 as i64 && scale <= Self::FINEST.0 as i64 {
            Some(Self(scale as u8))
        } else {
            None
        }
    }

    /// The number.
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// A histogram that any thread records into, each into its own shard.
pub struct Histogram {
    shards: Sharded<HistogramShard>,
    scale: Scale,
}

impl Histogram {
    /// An empty histogram.
    pub fn new(scale: Scale) -> Self {
        Self {
            shards: Sharded::new(scale),
            scale,
        }
    }

    /// Counts `value`.
    #[inline(always)]
    pub fn record(&self, value: f64) {
        self.shards.with(|shard| shard.record(value));
    }

    /// Counts every value of `values`.
    pub fn record_many(&self, values: impl Iterator<Item = f64>) {
        self.shards
            .with(|shard| values.for_each(|value| shard.record(value)));
    }

    /// What has been counted, by all threads.
    pub fn total(&self) -> Distribution {
        let mut total = self.shards.total();
        total.trim();
        total
    }

    /// The scale it records at.
    pub const fn scale(&self) -> Scale {
        self.scale
    }
}

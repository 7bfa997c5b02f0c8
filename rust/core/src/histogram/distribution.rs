//! What a histogram has counted, as a value: read, merged, made coarser, sent away.

use super::Scale;

/// The counts of a histogram at one moment. Plain data: what it costs is its buckets.
#[derive(Clone, Debug, PartialEq)]
pub struct Distribution {
    /// 2^scale buckets per octave; may be negative (one bucket for several octaves).
    pub scale: i8,
    /// How many values were 0.
    pub zero: u64,
    /// The index of `counts[0]`.
    pub first: i32,
    /// Consecutive buckets; first and last are not empty.
    pub counts: Vec<u64>,
    /// The sum of all values.
    pub sum: f64,
    /// The least value, +∞ if there is none.
    pub min: f64,
    /// The greatest value, −∞ if there is none.
    pub max: f64,
    /// How many values were outside the range that has buckets of its own.
    pub clamped: u64,
    /// How many records were negative, NaN or infinite; in no bucket and in no sum.
    pub ignored: u64,
}

/// One bucket: the values in (lower, upper].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// Exclusive.
    pub lower: f64,
    /// Inclusive.
    pub upper: f64,
    /// How many values.
    pub count: u64,
}

/// The coarsest scale OTLP knows: one bucket for 2¹⁰ octaves.
const COARSEST: i8 = -10;

impl Distribution {
    /// No values.
    pub const fn empty(scale: i8) -> Self {
        Self {
            scale,
            zero: 0,
            first: 0,
            counts: Vec::new(),
            sum: 0.0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            clamped: 0,
            ignored: 0,
        }
    }

    /// How many values were counted.
    pub fn count(&self) -> u64 {
        self.zero + self.counts.iter().sum::<u64>()
    }

    /// The mean, if there is a value.
    pub fn mean(&self) -> Option<f64> {
        let count = self.count();
        // The sum may be ahead of the counts by a record that is under way.
        (count > 0).then(|| (self.sum / count as f64).max(self.min).min(self.max))
    }

    /// The value of nearest rank ⌈q·n⌉, if there is one: exact at both ends, elsewhere the
    /// geometric middle of its bucket. `q` is in [0, 1].
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        // 0.07 · 100 is a little more than 7 in binary, and must not be rank 8.
        let exact = q * count as f64;
        let rank = (exact - exact * 4.0 * f64::EPSILON).ceil().max(1.0) as u64;
        if rank <= 1 {
            return Some(self.min);
        }
        if rank >= count {
            return Some(self.max);
        }
        let mut seen = self.zero;
        if rank <= seen {
            return Some(0.0);
        }
        for (at, n) in self.counts.iter().enumerate() {
            seen += n;
            if rank <= seen {
                let middle = self.boundary(f64::from(self.first) + at as f64 + 0.5);
                return Some(middle.max(self.min).min(self.max));
            }
        }
        Some(self.max)
    }

    /// The buckets that are not empty, ascending; the bucket of zeros is not among them.
    pub fn buckets(&self) -> impl Iterator<Item = Bucket> + '_ {
        self.counts
            .iter()
            .enumerate()
            .filter(|(_, n)| **n > 0)
            .map(|(at, n)| {
                let index = f64::from(self.first) + at as f64;
                Bucket {
                    lower: self.boundary(index),
                    upper: self.boundary(index + 1.0),
                    count: *n,
                }
            })
    }

    /// base^index.
    fn boundary(&self, index: f64) -> f64 {
        (index * (-f64::from(self.scale)).exp2()).exp2()
    }

    /// Adds `other`; the finer of the two is made as coarse as the other.
    pub fn merge(&mut self, other: &Self) {
        if other.scale < self.scale {
            self.coarsen(other.scale);
        }
        if other.scale > self.scale {
            let mut coarse = other.clone();
            coarse.coarsen(self.scale);
            return self.merge(&coarse);
        }
        self.add_run(
            other.first,
            other.counts.len(),
            other.counts.iter().copied(),
        );
        self.zero += other.zero;
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.clamped += other.clamped;
        self.ignored += other.ignored;
        self.trim();
    }

    /// Goes to a coarser scale, exactly: 2^(old − new) neighbours become one bucket.
    /// A scale that is finer, or below −10, changes nothing; `false` is returned.
    pub fn coarsen(&mut self, scale: i8) -> bool {
        if !(COARSEST..=self.scale).contains(&scale) {
            return false;
        }
        let shift = self.scale - scale;
        let (first, counts) = (self.first, std::mem::take(&mut self.counts));
        self.first = first >> shift;
        self.scale = scale;
        for (at, n) in counts.into_iter().enumerate() {
            let to = (((first + at as i32) >> shift) - self.first) as usize;
            if to == self.counts.len() {
                self.counts.push(0);
            }
            self.counts[to] += n;
        }
        true
    }

    /// Adds `length` consecutive buckets.
    pub(super) fn add_run(&mut self, first: i32, length: usize, run: impl Iterator<Item = u64>) {
        if length == 0 {
            return;
        }
        if self.counts.is_empty() {
            self.first = first;
        } else if first < self.first {
            let more = (self.first - first) as usize;
            self.counts.splice(0..0, std::iter::repeat_n(0, more));
            self.first = first;
        }
        let start = (first - self.first) as usize;
        if self.counts.len() < start + length {
            self.counts.resize(start + length, 0);
        }
        for (cell, n) in self.counts[start..].iter_mut().zip(run) {
            *cell += n;
        }
    }

    /// Drops empty buckets at both ends, so that equal contents are equal values.
    pub(crate) fn trim(&mut self) {
        let last = self
            .counts
            .iter()
            .rposition(|n| *n > 0)
            .map_or(0, |at| at + 1);
        self.counts.truncate(last);
        let lead = self.counts.iter().position(|n| *n > 0).unwrap_or(0);
        self.counts.drain(..lead);
        self.first = if self.counts.is_empty() {
            0
        } else {
            self.first + lead as i32
        };
    }
}

impl Default for Distribution {
    fn default() -> Self {
        Self::empty(Scale::DEFAULT.get() as i8)
    }
}

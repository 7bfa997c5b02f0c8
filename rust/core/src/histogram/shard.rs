//! One thread's part of a histogram: a page of counts per octave, allocated at its first value.

use super::{Distribution, Scale, index::index};
use crate::{
    shards::Shard,
    sync::{
        AtomicPtr, AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
};
use std::ptr;

/// The octave (2⁻⁴⁰, 2⁻³⁹] is the first with a page.
const FIRST_OCTAVE: i32 = -40;
/// (2⁵⁵, 2⁵⁶] is the last.
const OCTAVES: usize = 96;
const LINE: usize = 8;

/// Counts on a cache line of their own, so that no other thread's writes slow them.
#[repr(align(64))]
struct Line([AtomicU64; LINE]);

/// Written by its owner only (load, then store); read by anybody while it writes.
#[repr(align(64))]
pub(crate) struct HistogramShard {
    scale: Scale,
    /// Sum, least and greatest as bits of an `f64`. Relaxed: a bucket's Release publishes them.
    sum: AtomicU64,
    min: AtomicU64,
    max: AtomicU64,
    zero: AtomicU64,
    clamped: AtomicU64,
    ignored: AtomicU64,
    /// The first of 2^scale counts, or null. Stored once (Release) by the owner, freed on drop.
    octaves: [AtomicPtr<Line>; OCTAVES],
}

impl HistogramShard {
    #[inline(always)]
    pub(crate) fn record(&self, value: f64) {
        if !(value > 0.0 && value < f64::INFINITY) {
            return self.record_odd(value);
        }
        self.note(value);
        let position = index(value, self.scale) - (FIRST_OCTAVE << self.scale.get());
        let octave = position >> self.scale.get();
        let within = (position & ((1 << self.scale.get()) - 1)) as usize;
        if octave as u32 >= OCTAVES as u32 {
            return self.record_clamped(octave);
        }
        self.bump(octave as usize, within);
    }

    /// Sum, least and greatest.
    #[inline(always)]
    fn note(&self, value: f64) {
        let sum = f64::from_bits(self.sum.load(Relaxed)) + value;
        self.sum.store(sum.to_bits(), Relaxed);
        if value < f64::from_bits(self.min.load(Relaxed)) {
            self.min.store(value.to_bits(), Relaxed);
        }
        if value > f64::from_bits(self.max.load(Relaxed)) {
            self.max.store(value.to_bits(), Relaxed);
        }
    }

    #[inline(always)]
    fn bump(&self, octave: usize, within: usize) {
        let mut page = self.octaves[octave].load(Relaxed);
        if page.is_null() {
            page = self.allocate(octave);
        }
        // SAFETY: `within` < 2^scale, which is the number of counts `allocate` made; a page lives
        // as long as the shard.
        let count = unsafe { &(*page.add(within / LINE)).0[within % LINE] };
        count.store(count.load(Relaxed).wrapping_add(1), Release);
    }

    #[cold]
    fn allocate(&self, octave: usize) -> *mut Line {
        let lines =
            (0..lines(self.scale)).map(|_| Line(std::array::from_fn(|_| AtomicU64::new(0))));
        let page = Box::into_raw(lines.collect::<Box<[Line]>>()).cast::<Line>();
        self.octaves[octave].store(page, Release);
        page
    }

    #[cold]
    fn record_odd(&self, value: f64) {
        let cell = if value == 0.0 {
            self.note(0.0);
            &self.zero
        } else {
            &self.ignored
        };
        cell.store(cell.load(Relaxed).wrapping_add(1), Release);
    }

    #[cold]
    fn record_clamped(&self, octave: i32) {
        self.clamped
            .store(self.clamped.load(Relaxed).wrapping_add(1), Relaxed);
        if octave < 0 {
            self.bump(0, 0);
        } else {
            self.bump(OCTAVES - 1, (1 << self.scale.get()) - 1);
        }
    }
}

const fn lines(scale: Scale) -> usize {
    (1 << scale.get()) / LINE
}

impl Shard for HistogramShard {
    type Shape = Scale;
    type Total = Distribution;

    fn new(scale: Scale) -> Self {
        Self {
            scale,
            sum: AtomicU64::new(0),
            min: AtomicU64::new(f64::INFINITY.to_bits()),
            max: AtomicU64::new(f64::NEG_INFINITY.to_bits()),
            zero: AtomicU64::new(0),
            clamped: AtomicU64::new(0),
            ignored: AtomicU64::new(0),
            octaves: std::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())),
        }
    }

    fn zero(scale: Scale) -> Distribution {
        Distribution::empty(scale.get() as i8)
    }

    fn add_to(&self, total: &mut Distribution) {
        for (octave, page) in self.octaves.iter().enumerate() {
            let page = page.load(Acquire);
            if page.is_null() {
                continue;
            }
            // SAFETY: a page that is there has `lines(scale)` lines, initialised before the Release
            // that this Acquire saw, and lives as long as the shard.
            let page = unsafe { std::slice::from_raw_parts(page, lines(self.scale)) };
            let first = (octave as i32 + FIRST_OCTAVE) << self.scale.get();
            let counts = page
                .iter()
                .flat_map(|line| &line.0)
                .map(|n| n.load(Acquire));
            total.add_run(first, 1 << self.scale.get(), counts);
        }
        total.zero += self.zero.load(Acquire);
        // After the counts: see the module above.
        total.sum += f64::from_bits(self.sum.load(Relaxed));
        total.min = total.min.min(f64::from_bits(self.min.load(Relaxed)));
        total.max = total.max.max(f64::from_bits(self.max.load(Relaxed)));
        total.clamped += self.clamped.load(Relaxed);
        total.ignored += self.ignored.load(Relaxed);
    }
}

impl Drop for HistogramShard {
    fn drop(&mut self) {
        for page in &self.octaves {
            let page = page.load(Acquire);
            if !page.is_null() {
                let page = ptr::slice_from_raw_parts_mut(page, lines(self.scale));
                // SAFETY: made by `allocate` as a boxed slice of this length, and `&mut self`
                // says that nobody reads it any more.
                drop(unsafe { Box::from_raw(page) });
            }
        }
    }
}

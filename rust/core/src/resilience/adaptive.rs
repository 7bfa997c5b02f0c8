//! A limit that follows the dependency: so many calls at once as it answers without queueing.
//!
//! The gradient of Netflix's concurrency-limits (Gradient2): the average of the last window over that
//! of the last hundreds; when calls take longer than `tolerance` times what they used to, the limit falls in proportion,
//! otherwise it may grow by its square root. It stays where it is while less than half of it is used: nothing is learned
//! from idleness.
//!
//! Limit and long average are one word, swapped by whoever ends a window; the sums of the window are one
//! word, taken as they are swapped to zero. Who is killed in between loses a window.
//!
//! Guarantee: lock-free.

use super::{
    lease::{Holder, Lives},
    ledger::{Ledger, Seat},
};
use crate::sync::{AtomicU64, Ordering::Relaxed};

/// Sums are in units of 64 ns; 40 bits of them, above a count of 24 bits.
const UNIT_SHIFT: u32 = 6;
const COUNT_BITS: u32 = 24;

/// Fewer calls than that say nothing.
const SAMPLES_MIN: u64 = 10;
/// A window's share in the long average, and in the limit.
const SLOWLY: f32 = 0.05;
const SMOOTH: f32 = 0.2;
/// What is left of the limit after a window in which calls were dropped.
const BACK_OFF: f32 = 0.9;

/// See the module's head.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Adaptive {
    /// Limit and long average (in units), as two floats; 0: nothing is known. Swapped by who ends a window.
    estimate: AtomicU64,
    /// When the window began. Swapped by who ends it.
    began: AtomicU64,
    /// Durations and their number. Added to by all, swapped by who ends the window.
    sums: AtomicU64,
    /// The most calls at once in the window. As above.
    peak: AtomicU64,
    /// Calls that were dropped in the window. As above.
    dropped: AtomicU64,
    permits: Ledger,
}

/// How it adapts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdaptiveRules {
    /// Before anything is known.
    pub initial: u32,
    /// Never less.
    pub least: u32,
    /// Never more.
    pub most: u32,
    /// In nanoseconds.
    pub window: u64,
    /// So many times the long average is no sign of queueing.
    pub tolerance: f32,
}

#[derive(Debug, Clone, Copy)]
struct Estimate {
    limit: f32,
    long: f32,
}

impl Estimate {
    fn from_bits(bits: u64, rules: &AdaptiveRules) -> Self {
        let limit = f32::from_bits((bits >> 32) as u32);
        let long = f32::from_bits(bits as u32);
        let limit = if limit.is_finite() && limit > 0.0 {
            limit
        } else {
            rules.initial as f32
        };
        Self {
            limit: rules.within(limit),
            long: if long.is_finite() { long.max(0.0) } else { 0.0 },
        }
    }

    fn to_bits(self) -> u64 {
        u64::from(self.limit.to_bits()) << 32 | u64::from(self.long.to_bits())
    }
}

impl AdaptiveRules {
    fn within(&self, limit: f32) -> f32 {
        limit.clamp(self.least as f32, self.most as f32)
    }
}

impl Adaptive {
    /// How many may be inside.
    #[must_use]
    pub fn limit(&self, rules: &AdaptiveRules) -> usize {
        Estimate::from_bits(self.estimate.load(Relaxed), rules).limit as usize
    }

    /// The long average, in nanoseconds.
    #[must_use]
    pub fn long_average(&self, rules: &AdaptiveRules) -> u64 {
        let long = Estimate::from_bits(self.estimate.load(Relaxed), rules).long;
        (long as u64).saturating_mul(1 << UNIT_SHIFT)
    }

    /// How many are inside.
    #[must_use]
    pub fn inside(&self, rules: &AdaptiveRules) -> usize {
        self.permits.out(rules.most as usize)
    }

    /// A permit, if fewer than the limit are out.
    pub fn acquire(
        &self,
        rules: &AdaptiveRules,
        me: Holder,
        now: u64,
        lives: &impl Lives,
    ) -> Option<Seat> {
        let limit = self.limit(rules);
        let mut out = self.permits.out(rules.most as usize);
        if out >= limit {
            // Those that were let in under a higher limit count as well.
            out -= self.permits.reclaim(now, lives).min(out);
        }
        if out >= limit {
            return None;
        }
        let seat = self.permits.acquire(limit, 0, me, now, lives)?;
        let out = out as u64 + 1;
        if self.peak.load(Relaxed) < out {
            self.peak.fetch_max(out, Relaxed);
        }
        Some(seat)
    }

    /// Gives a permit back and learns from its call: how long it took, or that it was dropped (`ok` false), or
    /// nothing. False if the permit was not `me`'s any more.
    pub fn record(
        &self,
        rules: &AdaptiveRules,
        me: Holder,
        seat: Seat,
        ok: Option<bool>,
        duration: u64,
        now: u64,
    ) -> bool {
        if !self.permits.release(seat, me) {
            return false;
        }
        match ok {
            None => return true,
            Some(true) => {
                let units = (duration >> UNIT_SHIFT).clamp(1, 1 << 30);
                self.sums.fetch_add(units << COUNT_BITS | 1, Relaxed);
            }
            Some(false) => {
                self.dropped.fetch_add(1, Relaxed);
            }
        }
        let began = self.began.load(Relaxed);
        let is_over = now.wrapping_sub(began) >= rules.window;
        // Of several that see the end, one goes on; a clock that went back begins a new window.
        if is_over
            && self
                .began
                .compare_exchange(began, now, Relaxed, Relaxed)
                .is_ok()
        {
            self.learn(rules);
        }
        true
    }

    fn learn(&self, rules: &AdaptiveRules) {
        let sums = self.sums.swap(0, Relaxed);
        let peak = self.peak.swap(0, Relaxed) as f32;
        let dropped = self.dropped.swap(0, Relaxed);
        let count = sums & ((1 << COUNT_BITS) - 1);
        let mut seen = self.estimate.load(Relaxed);
        loop {
            let mut next = Estimate::from_bits(seen, rules);
            if count >= SAMPLES_MIN {
                let short = (sums >> COUNT_BITS) as f32 / count as f32;
                next = next.after(rules, short, peak);
            }
            if dropped > 0 {
                next.limit = rules.within(next.limit * BACK_OFF);
            }
            match self
                .estimate
                .compare_exchange(seen, next.to_bits(), Relaxed, Relaxed)
            {
                Ok(_) => return,
                Err(other) => seen = other,
            }
        }
    }
}

impl Estimate {
    /// After a window whose calls took `short` on average, at most `peak` at once.
    fn after(self, rules: &AdaptiveRules, short: f32, peak: f32) -> Self {
        let mut long = if self.long > 0.0 {
            self.long + (short - self.long) * SLOWLY
        } else {
            short
        };
        if long > 2.0 * short {
            long *= 1.0 - SLOWLY; // it was loaded for long, and recovers
        }
        if peak < self.limit / 2.0 {
            return Self { long, ..self };
        }
        let gradient = (rules.tolerance * long / short).clamp(0.5, 1.0);
        let target = self.limit * gradient + self.limit.sqrt();
        let limit = rules.within(self.limit + (target - self.limit) * SMOOTH);
        Self { limit, long }
    }
}

#[cfg(all(test, not(any(penstock_loom, penstock_shuttle))))]
mod tests {
    use super::*;
    use crate::resilience::Everybody;

    const RULES: AdaptiveRules = AdaptiveRules {
        initial: 20,
        least: 2,
        most: 100,
        window: 1_000_000_000,
        tolerance: 1.5,
    };
    const ME: Holder = Holder::new(0, 0);

    /// Windows in which as many calls as may be take `duration` each.
    fn run(adaptive: &Adaptive, windows: u64, now: &mut u64, duration: impl Fn(usize) -> u64) {
        for _ in 0..windows {
            let seats: Vec<_> =
                std::iter::from_fn(|| adaptive.acquire(&RULES, ME, *now, &Everybody)).collect();
            *now += RULES.window / 2;
            let took = duration(seats.len());
            for _ in 0..2 {
                *now += RULES.window / 4;
                // Enough of them to say something, whatever the limit.
                for _ in 0..SAMPLES_MIN {
                    if let Some(seat) = adaptive.acquire(&RULES, ME, *now, &Everybody) {
                        adaptive.record(&RULES, ME, seat, Some(true), took, *now);
                    }
                }
            }
            for seat in seats {
                assert!(adaptive.record(&RULES, ME, seat, Some(true), took, *now));
            }
        }
    }

    #[test]
    fn it_grows_while_nothing_queues_and_falls_when_calls_take_longer() {
        let adaptive = Adaptive::default();
        let mut now = 0;
        assert_eq!(adaptive.limit(&RULES), 20);
        run(&adaptive, 20, &mut now, |_| 1_000_000);
        let grown = adaptive.limit(&RULES);
        assert!(grown > 25, "{grown}");
        run(&adaptive, 6, &mut now, |_| 20_000_000);
        let fallen = adaptive.limit(&RULES);
        assert!(fallen < grown, "{fallen} of {grown}");
    }

    #[test]
    fn dropped_calls_lower_it_and_idleness_does_not_move_it() {
        let adaptive = Adaptive::default();
        for turn in 1..=3 {
            let now = turn * RULES.window;
            let seat = adaptive.acquire(&RULES, ME, now, &Everybody).unwrap();
            adaptive.record(&RULES, ME, seat, Some(false), 0, now);
        }
        assert_eq!(adaptive.limit(&RULES), 14);
        for turn in 4..=100 {
            let now = turn * RULES.window;
            let seat = adaptive.acquire(&RULES, ME, now, &Everybody).unwrap();
            adaptive.record(&RULES, ME, seat, Some(true), 1_000, now);
        }
        assert_eq!(adaptive.limit(&RULES), 14);
        assert_eq!(adaptive.inside(&RULES), 0);
    }

    #[test]
    fn it_stays_within_its_bounds_whatever_the_bytes() {
        let adaptive = Adaptive::default();
        for bits in [u64::MAX, 0x7f80_0000 << 32, 0xff80_0000 << 32, 1] {
            adaptive.estimate.store(bits, Relaxed);
            adaptive.sums.store(bits, Relaxed);
            adaptive.learn(&RULES);
            let limit = adaptive.limit(&RULES);
            assert!((2..=100).contains(&limit), "{limit}");
        }
    }
}

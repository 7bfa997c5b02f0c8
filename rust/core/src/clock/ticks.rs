//! The processor's own counter, for spans that are asked about too often for the clock.
//!
//! Measured: 10 ns where [`super::monotonic`] takes 23 (AMD EPYC, 20 million readings of each). It is
//! used only where it runs at one rate whatever the processor does, and once that rate is known, from
//! two readings of both clocks at least a millisecond apart; until then, and on other processors, ticks
//! are nanoseconds. A span that was begun before that moment seems to have lasted for ever, once.
//!
//! Guarantee: wait-free; no system call.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::monotonic;

/// Ticks in a millisecond; 0 as long as ticks are nanoseconds.
static RATE: AtomicU64 = AtomicU64::new(0);
/// The first of the two readings, or zeros. Written by whoever makes it; a mixture of two is told by
/// its distance.
static FIRST: [AtomicU64; 2] = [AtomicU64::new(0), AtomicU64::new(0)];

/// Apart enough that what a reading takes does not count, in nanoseconds.
const APART: u64 = 1_000_000;
/// A reading that took longer was interrupted.
const AT_ONCE: u64 = 1_000;
/// Between 100 MHz and 10 GHz, in ticks a millisecond: anything else is a counter of another kind.
const PLAUSIBLE: std::ops::RangeInclusive<u64> = 100_000..=10_000_000;

/// A moment.
#[derive(Debug, Clone, Copy)]
pub struct Ticks(u64);

impl Ticks {
    /// A moment that is long past.
    pub const LONG_AGO: Self = Self(0);

    /// Now.
    #[inline]
    #[must_use]
    pub fn now() -> Self {
        Self(match RATE.load(Relaxed) {
            0 => monotonic(),
            _ => counter(),
        })
    }

    /// Whether less than so many nanoseconds (up to a minute's) have passed since.
    #[inline]
    #[must_use]
    pub fn is_within(self, nanoseconds: u64) -> bool {
        match RATE.load(Relaxed) {
            0 => monotonic().wrapping_sub(self.0) < nanoseconds,
            rate => counter().wrapping_sub(self.0) < rate.wrapping_mul(nanoseconds) / 1_000_000,
        }
    }
}

/// One of the two clocks, for spans whose length is wanted: it stays the same from begin to end.
#[derive(Debug, Clone, Copy)]
pub struct Ruler {
    /// Ticks in a millisecond; 0 where ticks are nanoseconds.
    rate: u64,
}

impl Ruler {
    /// The faster one, once its rate is known.
    #[inline]
    #[must_use]
    pub fn pick() -> Self {
        Self {
            rate: RATE.load(Relaxed),
        }
    }

    /// One whose ticks are nanoseconds.
    #[must_use]
    pub const fn of_nanoseconds() -> Self {
        Self { rate: 0 }
    }

    /// A moment on it.
    #[inline]
    #[must_use]
    pub fn now(self) -> u64 {
        if self.rate == 0 {
            monotonic()
        } else {
            counter()
        }
    }

    /// Seconds that so many ticks of it are.
    #[must_use]
    pub fn seconds(self, ticks: u64) -> f64 {
        let rate = if self.rate == 0 { 1_000_000 } else { self.rate };
        ticks as f64 / rate as f64 * 1e-3
    }
}

/// Learns the counter's rate. Called now and then by those who use ticks; costs one load once the rate
/// is known.
#[inline]
pub fn calibrate() {
    if RATE.load(Relaxed) == 0 {
        measure();
    }
}

#[cold]
fn measure() {
    if !is_steady() {
        return;
    }
    let before = monotonic();
    let ticks = counter();
    let now = monotonic();
    if now.wrapping_sub(before) > AT_ONCE {
        return;
    }
    let [first_ticks, first] = [FIRST[0].load(Relaxed), FIRST[1].load(Relaxed)];
    if first == 0 {
        FIRST[0].store(ticks, Relaxed);
        FIRST[1].store(now, Relaxed);
        return;
    }
    let passed = now.saturating_sub(first);
    if passed < APART {
        return;
    }
    let rate = u128::from(ticks.wrapping_sub(first_ticks)) * 1_000_000 / u128::from(passed);
    match u64::try_from(rate) {
        Ok(rate) if PLAUSIBLE.contains(&rate) => RATE.store(rate, Relaxed),
        _ => FIRST[1].store(0, Relaxed),
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn counter() -> u64 {
    // SAFETY: every processor of this kind has the instruction.
    unsafe { std::arch::x86_64::_rdtsc() }
}

/// Whether the counter is the same for all processors of the machine and runs at one rate.
#[cfg(target_arch = "x86_64")]
fn is_steady() -> bool {
    use std::arch::x86_64::__cpuid;
    const POWER_MANAGEMENT: u32 = 0x8000_0007;
    // The leaf with the highest number of an extended leaf, and the one with the bit in question.
    __cpuid(0x8000_0000).eax >= POWER_MANAGEMENT && __cpuid(POWER_MANAGEMENT).edx & 1 << 8 != 0
}

#[cfg(not(target_arch = "x86_64"))]
fn counter() -> u64 {
    monotonic()
}

#[cfg(not(target_arch = "x86_64"))]
fn is_steady() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use std::{thread::sleep, time::Duration};

    use super::*;

    #[test]
    fn a_span_has_the_length_that_the_clock_gives_it() {
        // What the counter says is compared with the clock read before and after it, so that it
        // does not matter how long anything takes.
        let deadline = monotonic() + 10_000_000_000;
        while is_steady() && RATE.load(Relaxed) == 0 {
            assert!(monotonic() < deadline, "the rate was not learned");
            calibrate();
            sleep(Duration::from_millis(2));
        }
        for nanoseconds in [100_000, 5_000_000] {
            let before = monotonic();
            let began = Ticks::now();
            let after = monotonic();
            loop {
                let early = monotonic();
                let is_within = began.is_within(nanoseconds);
                let late = monotonic();
                // One per mille, for the rate.
                if is_within {
                    assert!(early - after < nanoseconds + nanoseconds / 1_000);
                } else {
                    assert!(late - before > nanoseconds - nanoseconds / 1_000);
                    break;
                }
            }
        }
        assert!(!Ticks::LONG_AGO.is_within(1_000_000));
    }
}

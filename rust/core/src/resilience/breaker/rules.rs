//! How a breaker decides.

use super::window::{Tally, Window};

/// A share in millionths.
pub const WHOLE: u64 = 1_000_000;

/// How a breaker decides; see `definition` for what is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerRules {
    /// How it counts while closed.
    pub window: Window,
    /// It opens at so many failures in the window, or in a row; 0: their number does not matter.
    pub failure_threshold: u32,
    /// Or at this share of the calls, in millionths; 0: the share does not matter.
    pub failure_rate: u64,
    /// Or at this share of slow calls, in millionths; 0: they do not matter.
    pub slow_rate: u64,
    /// What takes so many nanoseconds is slow; 0: nothing is.
    pub slow_after: u64,
    /// With fewer calls than that in the window it stays closed.
    pub min_calls: u64,
    /// In nanoseconds.
    pub open_for: u64,
    /// Probes that may be out at once.
    pub probes: usize,
    /// So many of them close it.
    pub success_threshold: u32,
    /// So many failures of probes are forgiven.
    pub probe_failures: u32,
    /// After so many nanoseconds a probe that has not answered is given to another; 0: only if its holder dies.
    pub probe_expires: u64,
}

impl BreakerRules {
    /// Whether a window is one to open at.
    #[must_use]
    pub const fn is_too_much(&self, tally: Tally) -> bool {
        if tally.calls == 0 || tally.calls < self.min_calls {
            return false;
        }
        let threshold = self.failure_threshold as u64;
        threshold > 0 && tally.failures >= threshold
            || reaches(tally.failures, self.failure_rate, tally.calls)
            || reaches(tally.slow, self.slow_rate, tally.calls)
    }
}

const fn reaches(count: u64, rate: u64, calls: u64) -> bool {
    rate > 0 && count.saturating_mul(WHOLE) >= rate.saturating_mul(calls)
}

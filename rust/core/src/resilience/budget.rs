//! How many retries the calls of the last seconds have earned, for a whole machine.
//!
//! As in Finagle: a share of the calls, and so many a second whatever their number. Calls and retries are
//! counted in [`Buckets`]; a retry is counted first and taken back when the sum is then too large, so the
//! machine is never over its budget, and two that ask for the last one at once may both be refused.
//!
//! Guarantee: lock-free.

use super::{
    buckets::{Age, Buckets},
    courier::Courier,
    rate::{FLOOR, LEAST_SHARE},
};
use crate::sync::{AtomicU64, Ordering::Relaxed};

/// See the module's head.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Budget {
    calls: Buckets,
    retries: Buckets,
    /// Where machines divide the least: this one's part, the bits of an f64; 0: [`FLOOR`](super::rate::FLOOR). Stored by
    /// who speaks for the machine, read by all (Relaxed).
    share: AtomicU64,
    /// Retries that were asked for. Raised by all (Relaxed).
    asked: AtomicU64,
    /// Who speaks for this machine, where several divide it.
    pub courier: Courier,
}

/// How much.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BudgetRules {
    /// Retries earned by a call.
    pub ratio: f64,
    /// Retries in any window whatever the number of calls.
    pub least: f64,
    /// In nanoseconds.
    pub window: u64,
}

impl Budget {
    /// Counts a call.
    pub fn deposit(&self, rules: &BudgetRules, now: u64) {
        self.calls.add(Age::new(now, rules.window, 0));
    }

    /// Asks for a retry.
    pub fn withdraw(&self, rules: &BudgetRules, now: u64) -> bool {
        let age = Age::new(now, rules.window, 0);
        self.asked.fetch_add(1, Relaxed);
        self.retries.add(age);
        let (earned, spent) = self.balance(rules, now);
        if spent as f64 <= earned {
            return true;
        }
        self.retries.take_back(age);
        false
    }

    /// Retries that were asked for in all, granted or not.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.asked.load(Relaxed)
    }

    /// This machine's part of the least, where several divide it.
    #[must_use]
    pub fn share(&self) -> f64 {
        match f64::from_bits(self.share.load(Relaxed)) {
            share if share > 0.0 && share <= 1.0 => share,
            _ => FLOOR,
        }
    }

    /// Sets it, from [`LEAST_SHARE`] to 1.
    pub fn set_share(&self, share: f64) {
        self.share
            .store(share.clamp(LEAST_SHARE, 1.0).to_bits(), Relaxed);
    }

    /// Retries that may be, and that were, made in the window that ends now.
    #[must_use]
    pub fn balance(&self, rules: &BudgetRules, now: u64) -> (f64, u64) {
        let age = Age::new(now, rules.window, 0);
        let earned = self.calls.total(age) as f64 * rules.ratio + rules.least;
        (earned, self.retries.total(age))
    }
}

#[cfg(all(test, not(any(penstock_loom, penstock_shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn retries_are_a_share_of_the_calls_of_the_window() {
        let rules = BudgetRules {
            ratio: 0.2,
            least: 1.0,
            window: 1_000,
        };
        let budget = Budget::default();
        assert!(budget.withdraw(&rules, 0) && !budget.withdraw(&rules, 0));
        for _ in 0..10 {
            budget.deposit(&rules, 50);
        }
        assert!(budget.withdraw(&rules, 60) && budget.withdraw(&rules, 60));
        assert!(!budget.withdraw(&rules, 99));
        assert_eq!(budget.balance(&rules, 99), (3.0, 3));
        assert!(budget.withdraw(&rules, 1_000), "the window has passed");
        assert!(!budget.withdraw(&rules, 1_000));
    }
}

//! How many retries the calls of the last seconds have earned, for a whole machine.
//!
//! As in Finagle: a share of the calls, and so many a second whatever their number. Calls and retries are
//! counted in [`Buckets`]; a retry is counted first and taken back when the sum is then too large, so the
//! machine is never over its budget, and two that ask for the last one at once may both be refused.
//!
//! Guarantee: lock-free.

use super::buckets::{Age, Buckets};

/// See the module's head.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Budget {
    calls: Buckets,
    retries: Buckets,
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
        self.retries.add(age);
        let (earned, spent) = self.balance(rules, now);
        if spent as f64 <= earned {
            return true;
        }
        self.retries.take_back(age);
        false
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

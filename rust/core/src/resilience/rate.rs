//! A rate that a whole machine keeps: one word, the moment at which all that was granted is paid for.
//!
//! The generic cell rate algorithm (ITU-T I.371) as a virtual schedule. A token bucket is the same
//! arithmetic seen from the other side: it holds what lies between that moment and the burst's end.
//! So a burst of 1 spaces calls evenly, and a burst of a whole period's calls is a token bucket.
//!
//! Guarantee: lock-free; one load and one compare-and-swap. Relaxed: the word orders nothing but itself.

use crate::sync::{AtomicU64, Ordering::Relaxed};

/// Parts of a nanosecond in the word: the price of a call is then right to 1 in 10,000 up to 160,000 calls
/// a millisecond, and the clock of a machine that has been up for 36 years still fits.
const SHIFT: u32 = 4;

/// A schedule further ahead than any wait that is granted is damage; it is taken for now.
pub const LONGEST_WAIT: u64 = 3_600_000_000_000;

/// See the module's head.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Rate {
    /// In parts of a nanosecond. Swapped and read by all.
    paid: AtomicU64,
}

/// How fast.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateRules {
    /// What one call costs, in parts of a nanosecond.
    price: u64,
    /// So far may be paid ahead, in the same.
    burst: u64,
    /// Calls.
    most: u64,
}

/// Whether a call may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// At once.
    Now,
    /// It has its place; begin after so many nanoseconds.
    After(u64),
    /// No: it would have had to wait for so many nanoseconds.
    Refused(u64),
}

impl RateRules {
    /// `limit` calls in `per` nanoseconds, `burst` of them at once. None if the price of a call is
    /// nothing or the burst longer than can be told.
    #[must_use]
    pub fn new(limit: f64, per: u64, burst: u64) -> Option<Self> {
        let price = (per as f64 * f64::from(1 << SHIFT) / limit).round();
        let fits = price >= 1.0 && price <= (LONGEST_WAIT << SHIFT) as f64 && burst >= 1;
        let price = fits.then_some(price as u64)?;
        let most = LONGEST_WAIT << SHIFT;
        let ahead = price.checked_mul(burst).filter(|ahead| *ahead <= most)?;
        Some(Self {
            price,
            burst: ahead,
            most: burst,
        })
    }
}

impl Rate {
    /// Asks for `n` calls, and to be told to wait for `max_wait` nanoseconds at most.
    pub fn acquire(&self, rules: &RateRules, n: u64, max_wait: u64, now: u64) -> Grant {
        if n > rules.most {
            return Grant::Refused(u64::MAX);
        }
        let now = now << SHIFT;
        let max_wait = max_wait.min(LONGEST_WAIT) << SHIFT;
        let mut seen = self.paid.load(Relaxed);
        loop {
            let from = Self::ahead(rules, seen, now);
            let until = from + rules.price * n;
            let wait = until.saturating_sub(now + rules.burst);
            if wait > max_wait {
                return Grant::Refused(wait.div_ceil(1 << SHIFT));
            }
            match self
                .paid
                .compare_exchange_weak(seen, until, Relaxed, Relaxed)
            {
                Ok(_) if wait == 0 => return Grant::Now,
                Ok(_) => return Grant::After(wait.div_ceil(1 << SHIFT)),
                Err(other) => seen = other,
            }
        }
    }

    /// Gives back `n` calls that were granted and not made.
    pub fn give_back(&self, rules: &RateRules, n: u64, now: u64) {
        let back = rules.price * n.min(rules.most);
        let now = now << SHIFT;
        let mut seen = self.paid.load(Relaxed);
        loop {
            let paid = Self::ahead(rules, seen, now);
            let next = paid.saturating_sub(back).max(now);
            match self
                .paid
                .compare_exchange_weak(seen, next, Relaxed, Relaxed)
            {
                Ok(_) => return,
                Err(other) => seen = other,
            }
        }
    }

    /// How many calls could be made at once.
    #[must_use]
    pub fn available(&self, rules: &RateRules, now: u64) -> u64 {
        let now = now << SHIFT;
        let from = Self::ahead(rules, self.paid.load(Relaxed), now);
        (now + rules.burst).saturating_sub(from) / rules.price
    }

    fn ahead(rules: &RateRules, paid: u64, now: u64) -> u64 {
        let farthest = now
            .saturating_add(rules.burst)
            .saturating_add(2 * (LONGEST_WAIT << SHIFT));
        if paid > farthest { now } else { paid.max(now) }
    }
}

#[cfg(all(test, not(any(penstock_loom, penstock_shuttle))))]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_bucket_grants_its_burst_and_then_the_rate() {
        let rules = RateRules::new(10.0, SECOND, 10).unwrap();
        let rate = Rate::default();
        for _ in 0..10 {
            assert_eq!(rate.acquire(&rules, 1, 0, SECOND), Grant::Now);
        }
        let refused = Grant::Refused(SECOND / 10);
        assert_eq!(rate.acquire(&rules, 1, 0, SECOND), refused);
        assert_eq!(rate.available(&rules, SECOND), 0);
        let later = SECOND + SECOND / 10;
        assert_eq!(rate.acquire(&rules, 1, 0, later), Grant::Now);
        assert_eq!(rate.acquire(&rules, 1, 0, later), refused);
    }

    #[test]
    fn who_waits_has_a_place_and_may_give_it_back() {
        let rules = RateRules::new(10.0, SECOND, 1).unwrap();
        let rate = Rate::default();
        assert_eq!(rate.acquire(&rules, 1, SECOND, 0), Grant::Now);
        let tenth = SECOND / 10;
        assert_eq!(rate.acquire(&rules, 1, SECOND, 0), Grant::After(tenth));
        assert_eq!(rate.acquire(&rules, 1, SECOND, 0), Grant::After(2 * tenth));
        rate.give_back(&rules, 1, 0);
        assert_eq!(rate.acquire(&rules, 1, SECOND, 0), Grant::After(2 * tenth));
        assert_eq!(rate.acquire(&rules, 2, SECOND, 0), Grant::Refused(u64::MAX));
    }

    #[test]
    fn a_damaged_schedule_is_taken_for_now() {
        let rules = RateRules::new(10.0, SECOND, 1).unwrap();
        let rate = Rate::default();
        rate.paid.store(u64::MAX, Relaxed);
        assert_eq!(rate.acquire(&rules, 1, 0, 5), Grant::Now);
    }

    #[test]
    fn rates_that_cannot_be_kept_are_refused() {
        assert!(RateRules::new(0.0, SECOND, 1).is_none());
        assert!(RateRules::new(f64::NAN, SECOND, 1).is_none());
        assert!(RateRules::new(1e12, SECOND, 1).is_none());
        assert!(RateRules::new(1.0, SECOND, 0).is_none());
        assert!(RateRules::new(1.0, SECOND, 1 << 40).is_none());
    }
}

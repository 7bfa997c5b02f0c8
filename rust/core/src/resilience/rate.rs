//! A rate that a whole machine keeps: one word, the moment at which all that was granted is paid for.
//!
//! The generic cell rate algorithm (ITU-T I.371) as a virtual schedule. A token bucket is the same
//! arithmetic seen from the other side: it holds what lies between that moment and the burst's end.
//! So a burst of 1 spaces calls evenly, and a burst of a whole period's calls is a token bucket.
//!
//! Guarantee: lock-free; one load and one compare-and-swap. Relaxed: the word orders nothing but itself.

use super::courier::Courier;
use crate::sync::{AtomicU64, Ordering::Relaxed};

/// Parts of a nanosecond in the word: the price of a call is then right to 1 in 10,000 up to 160,000 calls
/// a millisecond, and the clock of a machine that has been up for 36 years still fits.
const SHIFT: u32 = 4;

/// A schedule further ahead than any wait that is granted is damage: it counts as one that ends at this moment.
pub const LONGEST_WAIT: u64 = 3_600_000_000_000;

/// See the module's head.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Rate {
    /// In parts of a nanosecond. Swapped and read by all.
    paid: AtomicU64,
    /// What a call costs on this machine, where several divide the rate; 0: [`FLOOR`] of it is this one's. Stored by
    /// who speaks for the machine, read by all (Relaxed).
    price: AtomicU64,
    /// Calls that were asked for, where several machines divide the rate. Raised by all (Relaxed).
    asked: AtomicU64,
    /// Who speaks for this machine, where several do.
    pub courier: Courier,
}

/// The share of a machine that has not heard of others.
pub const FLOOR: f64 = 0.1;

/// The least share, so that every machine may call now and then.
pub const LEAST_SHARE: f64 = 1e-6;

/// How fast.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateRules {
    /// What one call costs, in parts of a nanosecond.
    price: u64,
    /// So far may be paid ahead, in the same.
    burst: u64,
    /// Calls.
    most: u64,
    /// Whether machines divide it.
    is_divided: bool,
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
            is_divided: false,
        })
    }

    /// The same for a rate that machines divide: [`Rate::set_share`] says how much of it is this one's.
    #[must_use]
    pub const fn divided(self) -> Self {
        Self {
            is_divided: true,
            ..self
        }
    }

    fn price_of(&self, share: f64) -> u64 {
        let most = (LONGEST_WAIT << SHIFT) as f64;
        (self.price as f64 / share.clamp(LEAST_SHARE, 1.0)).min(most) as u64
    }

    /// What `n` calls at this price may be paid ahead for: a machine with a small share still makes one.
    fn horizon(&self, price: u64, n: u64) -> u64 {
        self.burst.max(price.saturating_mul(n))
    }
}

impl Rate {
    /// Asks for `n` calls, and to be told to wait for `max_wait` nanoseconds at most.
    pub fn acquire(&self, rules: &RateRules, n: u64, max_wait: u64, now: u64) -> Grant {
        if n > rules.most {
            return Grant::Refused(u64::MAX);
        }
        if rules.is_divided {
            self.asked.fetch_add(n, Relaxed);
        }
        let price = self.price(rules);
        let horizon = rules.horizon(price, n);
        let now = now << SHIFT;
        let max_wait = max_wait.min(LONGEST_WAIT) << SHIFT;
        let mut seen = self.paid.load(Relaxed);
        loop {
            let from = Self::ahead(rules, seen, now);
            let until = from.saturating_add(price.saturating_mul(n));
            let wait = until.saturating_sub(now.saturating_add(horizon));
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
        let back = self.price(rules).saturating_mul(n.min(rules.most));
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
        let price = self.price(rules);
        let now = now << SHIFT;
        let from = Self::ahead(rules, self.paid.load(Relaxed), now);
        (now + rules.horizon(price, 1)).saturating_sub(from) / price
    }

    /// The part of the rate that is this machine's.
    #[must_use]
    pub fn share(&self, rules: &RateRules) -> f64 {
        rules.price as f64 / self.price(rules) as f64
    }

    /// Calls that were asked for in all, granted or not; of a rate that machines divide.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.asked.load(Relaxed)
    }

    /// Sets this machine's part of the rate. A larger one fills as time goes by: calls that could be made at once do
    /// not become more by it, since another machine may have made them just now.
    pub fn set_share(&self, rules: &RateRules, share: f64, now: u64) {
        let (before, price) = (self.price(rules), rules.price_of(share));
        let now = now << SHIFT;
        if price < before {
            let mut seen = self.paid.load(Relaxed);
            loop {
                let from = Self::ahead(rules, seen, now);
                let left = (now + rules.horizon(before, 1)).saturating_sub(from);
                let left = (left as f64 * (price as f64 / before as f64)) as u64;
                let next = (now + rules.horizon(price, 1)).saturating_sub(left);
                match self
                    .paid
                    .compare_exchange_weak(seen, next.max(from), Relaxed, Relaxed)
                {
                    Ok(_) => break,
                    Err(other) => seen = other,
                }
            }
        }
        self.price.store(price, Relaxed);
    }

    #[inline(always)]
    fn price(&self, rules: &RateRules) -> u64 {
        if !rules.is_divided {
            return rules.price;
        }
        match self.price.load(Relaxed) {
            0 => rules.price_of(FLOOR),
            // Anything less is damage.
            price => price.max(rules.price),
        }
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
    fn a_share_is_a_part_of_the_rate_and_brings_no_calls_with_it() {
        let rules = RateRules::new(100.0, SECOND, 100).unwrap().divided();
        let rate = Rate::default();
        let granted = |at| {
            let grants = (0..1_000).map(|_| rate.acquire(&rules, 1, 0, at));
            grants.filter(|grant| *grant == Grant::Now).count()
        };
        assert_eq!(granted(SECOND), 10, "the floor");
        assert_eq!(rate.asked(), 1_000);
        rate.set_share(&rules, 0.5, SECOND);
        assert!((rate.share(&rules) - 0.5).abs() < 1e-6);
        assert_eq!(granted(SECOND), 0);
        assert_eq!(granted(2 * SECOND), 50);
        rate.set_share(&rules, 1.0, 2 * SECOND);
        assert_eq!(granted(2 * SECOND + SECOND / 10), 10);
        rate.set_share(&rules, 0.25, 4 * SECOND);
        assert_eq!(granted(4 * SECOND), 25, "of a full bucket");
        rate.set_share(&rules, 0.1, 9 * SECOND);
        rate.set_share(&rules, 1.0, 9 * SECOND);
        assert_eq!(granted(9 * SECOND), 10, "it was full, with a tenth");
    }

    #[test]
    fn the_smallest_share_still_makes_a_call() {
        let rules = RateRules::new(10.0, SECOND, 1).unwrap().divided();
        let rate = Rate::default();
        rate.set_share(&rules, 0.1, SECOND);
        assert_eq!(rate.acquire(&rules, 1, 0, SECOND), Grant::Now);
        assert_eq!(
            rate.acquire(&rules, 1, 0, SECOND + SECOND / 2),
            Grant::Refused(SECOND / 2)
        );
        assert_eq!(rate.acquire(&rules, 1, 0, 2 * SECOND), Grant::Now);
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

//! Who is inside: a row of words, one for each permit, with the name of its holder or nothing.
//!
//! There is no count, so nothing can be lost between a permit and its count; who looks, counts the
//! names. A permit of a dead holder is taken over by whoever needs one (see [`super::lease`]).
//!
//! Guarantee: lock-free. A refusal was true at some moment of the call for each word by itself: a
//! permit that comes back behind a searcher's back may be missed.

use super::lease::{Holder, Lease, Lives};
use crate::sync::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed},
};

/// Permits that one ledger can have.
#[cfg(not(penstock_loom))]
pub const PERMITS: usize = 1024;
#[cfg(penstock_loom)]
#[allow(missing_docs)]
pub const PERMITS: usize = 3;

const INDEX_BITS: u32 = 10;

/// See the module's head.
#[derive(Debug)]
#[repr(C)]
pub struct Ledger {
    /// Swapped by takers and holders (AcqRel: what a holder did inside comes before what the next one does),
    /// read by all.
    permits: [AtomicU64; PERMITS],
    /// Of all takers, for tags. Raised by all (Relaxed): it only has to differ.
    serial: AtomicU64,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            permits: std::array::from_fn(|_| AtomicU64::new(0)),
            serial: AtomicU64::new(0),
        }
    }
}

/// What its holder needs to know to give it back: where, and the lease's own part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seat(u64);

impl Seat {
    /// As a number below 2⁵⁴.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// Back; anything else is a seat nobody has.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

impl Ledger {
    /// A permit, if fewer than `limit` are out. `expires` nanoseconds later anybody may take it; 0 is never.
    pub fn acquire(
        &self,
        limit: usize,
        expires: u64,
        me: Holder,
        now: u64,
        lives: &impl Lives,
    ) -> Option<Seat> {
        let permits = &self.permits[..limit.min(PERMITS)];
        let serial = self.serial.fetch_add(1, Relaxed);
        let mine = Lease::new(me, now, expires, serial);
        // Each participant begins elsewhere, so that they are not at the same cache line.
        let first = (me.row() * 8) % permits.len().max(1);
        for number in (first..permits.len()).chain(0..first) {
            if permits[number].load(Relaxed) == 0 && self.swap(number, Lease::FREE, mine).is_some()
            {
                return Some(Self::seat(number, mine));
            }
        }
        lives.look();
        for (number, permit) in permits.iter().enumerate() {
            let lease = Lease(permit.load(Acquire));
            let is_open = lease.is_free() || lease.is_forfeited(now, lives);
            if is_open && self.swap(number, lease, mine).is_some() {
                return Some(Self::seat(number, mine));
            }
        }
        None
    }

    /// Gives a permit back; false if it was not `me` who had it, or not any more.
    pub fn release(&self, seat: Seat, me: Holder) -> bool {
        let number = (seat.0 >> super::lease::STUB_BITS) as usize;
        number < PERMITS
            && self
                .swap(number, Lease::of(me, seat.0), Lease::FREE)
                .is_some()
    }

    /// Permits that are out, those of dead holders among them, of the first `most`.
    #[must_use]
    pub fn out(&self, most: usize) -> usize {
        let permits = &self.permits[..most.min(PERMITS)];
        permits.iter().filter(|it| it.load(Relaxed) != 0).count()
    }

    /// Frees what dead holders had and what has expired.
    pub fn reclaim(&self, now: u64, lives: &impl Lives) -> usize {
        lives.look();
        let forfeited = |number: &usize| {
            let lease = Lease(self.permits[*number].load(Acquire));
            !lease.is_free()
                && lease.is_forfeited(now, lives)
                && self.swap(*number, lease, Lease::FREE).is_some()
        };
        (0..PERMITS).filter(forfeited).count()
    }

    fn swap(&self, number: usize, from: Lease, to: Lease) -> Option<()> {
        self.permits[number]
            .compare_exchange(from.0, to.0, AcqRel, Relaxed)
            .ok()
            .map(|_| ())
    }

    const fn seat(number: usize, lease: Lease) -> Seat {
        const { assert!(PERMITS <= 1 << INDEX_BITS) };
        Seat((number as u64) << super::lease::STUB_BITS | lease.stub())
    }
}

#[cfg(all(test, not(any(penstock_loom, penstock_shuttle))))]
mod tests {
    use super::*;
    use crate::resilience::Everybody;

    struct Dead(u8);

    impl Lives for Dead {
        fn is_dead(&self, holder: Holder) -> bool {
            holder.row() == usize::from(self.0)
        }
    }

    const ONE: Holder = Holder::new(1, 1);
    const TWO: Holder = Holder::new(2, 1);

    #[test]
    fn so_many_and_no_more() {
        let ledger = Ledger::default();
        let take = |who| ledger.acquire(3, 0, who, 0, &Everybody);
        let seats = [take(ONE), take(TWO), take(TWO)].map(Option::unwrap);
        assert_eq!((take(ONE), ledger.out(3)), (None, 3));
        assert!(!ledger.release(seats[0], TWO), "another's");
        assert!(ledger.release(seats[0], ONE) && !ledger.release(seats[0], ONE));
        let again = take(TWO).unwrap();
        assert!(!ledger.release(seats[0], ONE), "it is the next one's now");
        assert!(ledger.release(again, TWO));
        assert!(!ledger.release(Seat::from_bits(u64::MAX), ONE));
    }

    #[test]
    fn what_the_dead_held_is_taken_over() {
        let ledger = Ledger::default();
        for _ in 0..2 {
            ledger.acquire(2, 0, ONE, 0, &Everybody).unwrap();
        }
        assert_eq!(ledger.acquire(2, 0, TWO, 0, &Everybody), None);
        assert!(ledger.acquire(2, 0, TWO, 0, &Dead(1)).is_some());
        assert_eq!(ledger.out(2), 2);
        assert_eq!(ledger.reclaim(0, &Dead(1)), 1);
        assert_eq!(ledger.out(2), 1);
    }

    #[test]
    fn what_has_expired_is_taken_over_and_cannot_come_back() {
        let ledger = Ledger::default();
        let old = ledger.acquire(1, 1_000, ONE, 0, &Everybody).unwrap();
        assert_eq!(ledger.acquire(1, 0, TWO, 500, &Everybody), None);
        let second = 1_000_000_000;
        assert!(ledger.acquire(1, 0, TWO, second, &Everybody).is_some());
        assert!(!ledger.release(old, ONE));
        assert_eq!(ledger.out(1), 1);
    }
}

//! Who holds a permit: one word, so that taking, returning and taking from the dead are one
//! compare-and-swap each.
//!
//! ```text
//! row 8 | row's generation 12 | expiry 20 | tag 24          0: free
//! ```
//! Who owns the word owns what it stands for. A permit whose holder is dead is not swept away but
//! taken over: the word becomes the taker's, who then is its only owner and either keeps or returns it. So
//! two that clean up at once cannot both do it, and one that dies while cleaning up is just another dead holder.

/// The expiry's unit, as a shift: 16.8 ms.
const TICK_SHIFT: u32 = 24;
const EXPIRY_BITS: u32 = 20;
const TAG_BITS: u32 = 24;
const GENERATION_BITS: u32 = 12;

/// The longest time for which a permit can be given, in nanoseconds: 2.4 hours.
pub const LONGEST: u64 = 1 << (TICK_SHIFT + EXPIRY_BITS - 1);

const fn low(bits: u32) -> u64 {
    (1 << bits) - 1
}

/// A participant: the row where it says who it is, and how often that row has changed hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    row: u8,
    generation: u16,
}

impl Holder {
    /// Of the lower 12 bits of a generation.
    #[must_use]
    pub const fn new(row: u8, generation: u64) -> Self {
        let generation = (generation & low(GENERATION_BITS)) as u16;
        Self { row, generation }
    }

    /// Where it says who it is.
    #[must_use]
    pub const fn row(self) -> usize {
        self.row as usize
    }

    /// The lower 12 bits of the row's generation.
    #[must_use]
    pub const fn generation(self) -> u16 {
        self.generation
    }
}

/// Tells whether a holder is still there.
pub trait Lives {
    /// Looks at the processes again, if the last look is not too fresh. Called before a series of
    /// [`is_dead`](Self::is_dead), where a permit is missing.
    fn look(&self) {}

    /// Whether a participant is gone for good.
    fn is_dead(&self, holder: Holder) -> bool;
}

/// For memory that only one process sees: all of it lives or none.
#[derive(Debug, Clone, Copy)]
pub struct Everybody;

impl Lives for Everybody {
    fn is_dead(&self, _: Holder) -> bool {
        false
    }
}

/// See the module's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease(pub(super) u64);

/// What of a lease is not known from who holds it, and what a permit therefore carries.
pub const STUB_BITS: u32 = EXPIRY_BITS + TAG_BITS;

impl Lease {
    pub(super) const FREE: Self = Self(0);

    /// For `holder` until `expires` nanoseconds after `now`; 0 is for ever.
    pub(super) fn new(holder: Holder, now: u64, expires: u64, tag: u64) -> Self {
        let tick = if expires == 0 {
            0
        } else {
            // One more, as `now` lies inside a tick; and never the one that means for ever.
            let tick = (now.wrapping_add(expires) >> TICK_SHIFT).wrapping_add(1);
            match tick & low(EXPIRY_BITS) {
                0 => 1,
                tick => tick,
            }
        };
        // A free one has tag 0, a taken one never.
        let tag = match tag & low(TAG_BITS) {
            0 => 1 << (TAG_BITS - 1),
            tag => tag,
        };
        Self::of(holder, tick << TAG_BITS | tag)
    }

    /// From what a permit carries.
    pub(super) const fn of(holder: Holder, stub: u64) -> Self {
        let who = (holder.row as u64) << GENERATION_BITS | holder.generation as u64;
        Self(who << STUB_BITS | stub & low(STUB_BITS))
    }

    pub(super) const fn stub(self) -> u64 {
        self.0 & low(STUB_BITS)
    }

    pub(super) const fn holder(self) -> Holder {
        let who = self.0 >> STUB_BITS;
        Holder::new((who >> GENERATION_BITS) as u8, who)
    }

    pub(super) const fn tag(self) -> u64 {
        self.0 & low(TAG_BITS)
    }

    pub(super) const fn is_free(self) -> bool {
        self.0 == 0
    }

    /// Whether its time is over; ticks are compared around the corner.
    pub(super) const fn has_expired(self, now: u64) -> bool {
        let tick = self.0 >> TAG_BITS & low(EXPIRY_BITS);
        let passed = (now >> TICK_SHIFT).wrapping_sub(tick) & low(EXPIRY_BITS);
        tick != 0 && passed < 1 << (EXPIRY_BITS - 1)
    }

    /// Whether it may be taken from its holder.
    pub(super) fn is_forfeited(self, now: u64, lives: &impl Lives) -> bool {
        self.has_expired(now) || lives.is_dead(self.holder())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_what_it_was_made_of() {
        let holder = Holder::new(200, 0x1fff);
        assert_eq!((holder.row(), holder.generation()), (200, 0xfff));
        let lease = Lease::new(holder, 5, 0, 77);
        assert_eq!((lease.holder(), lease.tag()), (holder, 77));
        assert_eq!(Lease::of(holder, lease.stub()), lease);
        assert!(!lease.has_expired(u64::MAX) && !lease.is_free());
        assert!(!Lease::new(Holder::new(0, 0), 0, 0, 0).is_free());
    }

    #[test]
    fn it_expires_within_a_tick_and_around_the_corner() {
        let holder = Holder::new(1, 1);
        for now in [0, 1 << 30, (1 << 44) - 5, (1 << 44) + 17, u64::MAX >> 1] {
            for expires in [1, 1_000_000_000, LONGEST - (2 << TICK_SHIFT)] {
                let lease = Lease::new(holder, now, expires, 1);
                assert!(!lease.has_expired(now));
                assert!(!lease.has_expired(now + expires - 1));
                assert!(lease.has_expired(now + expires + (3 << TICK_SHIFT)));
            }
        }
    }
}

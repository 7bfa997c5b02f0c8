//! Which process of a machine speaks for it to other machines, and by which name.
//!
//! A lease beside a state: its holder exchanges with the others, and the next process that asks takes it over when
//! the holder is dead or has let it expire. The name is drawn by the first who asks: all processes that share the
//! state have the same one, those of another machine, or of another table, have another.
//!
//! Guarantee: lock-free.

use super::lease::{Holder, Lease, Lives};
use crate::sync::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed},
};

/// See the module's head.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Courier {
    /// Swapped and read by all.
    lease: AtomicU64,
    /// 0 until somebody asks; swapped once, read by all.
    machine: AtomicU64,
}

impl Courier {
    /// Whether `me` speaks for the machine from here on, for `expires` nanoseconds.
    pub fn is_me(&self, me: Holder, now: u64, expires: u64, lives: &impl Lives) -> bool {
        lives.look();
        let seen = Lease(self.lease.load(Acquire));
        let mine = Lease::new(me, now, expires, 1);
        let is_open = seen.is_free() || seen.holder() == me || seen.is_forfeited(now, lives);
        is_open
            && self
                .lease
                .compare_exchange(seen.0, mine.0, AcqRel, Relaxed)
                .is_ok()
    }

    /// The machine's number, which is not 0; `drawn` if nobody has given it one.
    pub fn machine(&self, drawn: u64) -> u64 {
        let drawn = drawn.max(1);
        self.machine
            .compare_exchange(0, drawn, AcqRel, Acquire)
            .map_or_else(|there| there, |_| drawn)
    }
}

#[cfg(all(test, not(any(penstock_loom, penstock_shuttle))))]
mod tests {
    use super::*;
    use crate::resilience::Everybody;

    const SECOND: u64 = 1_000_000_000;

    struct Dead(u8);

    impl Lives for Dead {
        fn is_dead(&self, holder: Holder) -> bool {
            holder.row() == usize::from(self.0)
        }
    }

    #[test]
    fn one_speaks_until_it_is_dead_or_silent() {
        let (one, two) = (Holder::new(1, 1), Holder::new(2, 1));
        let courier = Courier::default();
        assert!(courier.is_me(one, 0, SECOND, &Everybody));
        assert!(!courier.is_me(two, 0, SECOND, &Everybody));
        assert!(courier.is_me(one, SECOND / 2, SECOND, &Everybody));
        assert!(!courier.is_me(two, SECOND + SECOND / 4, SECOND, &Everybody));
        assert!(courier.is_me(two, 2 * SECOND, SECOND, &Everybody), "silent");
        assert!(courier.is_me(one, 2 * SECOND, SECOND, &Dead(2)), "dead");
    }

    #[test]
    fn the_first_name_stays() {
        let courier = Courier::default();
        assert_eq!((courier.machine(7), courier.machine(8)), (7, 7));
        assert_eq!(Courier::default().machine(0), 1);
    }
}

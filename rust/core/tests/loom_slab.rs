//! Every interleaving of a slab's entry: a reader that pinned it reads what it was promised.
//!
//! Weakened by hand, and seen to fail here:
//! - the fence in `pin` or in `retire`, left out or AcqRel: a reader beside the next use's writer
//!   (both models of late readers);
//! - `unpin`: the bit cleared Relaxed: the owner writes beside a read that is not over (all models);
//! - `retire`: no second look at the bits after the generation has moved; `pin`: the generation looked
//!   at before the bit is set, or not at all: likewise (both models of late readers);
//! - `retire`: no first look: a slab that is held changes its generation, and a second reference to it
//!   is refused (`loom_the_sender_holds_until_the_reader_does`);
//! - `take`: a store in place of the swap: a bit that nobody clears (`loom_two_late_readers`), in loom's
//!   eyes at least, see there.
//!
//! Weakened and not seen, as another step does the same:
//! - `pin`: its bit set Relaxed; its generation loaded Relaxed; `retire`: the generation stored Relaxed:
//!   the two fences order them. Which content a generation has, a reader learns by the lane;
//! - `pin`: the bit taken back Relaxed: nothing was read under it;
//! - `is_held` Relaxed, or `take`'s swap Relaxed: either of them acquires what `unpin` released; both at
//!   once fail (a reader beside the next use's writer).
#![cfg(penstock_loom)]

use loom::{
    cell::UnsafeCell,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};
use penstock_core::shm::slab::{OWNER, SlabEntry};

struct Slab {
    entry: SlabEntry,
    content: UnsafeCell<u32>,
}

// SAFETY: `content` is reached by the rules of the entry, which loom checks.
unsafe impl Sync for Slab {}
// SAFETY: as above.
unsafe impl Send for Slab {}

/// The owner lets go and takes the slab for something else while readers come late, as one with a
/// stale reference would.
fn reuse_against_late_readers(readers: u32) {
    loom::model(move || {
        let slab = Arc::new(Slab {
            entry: SlabEntry::default(),
            content: UnsafeCell::new(0),
        });
        let generation = slab.entry.take();
        slab.content.with_mut(|content| {
            // SAFETY: nobody else knows of the slab yet.
            unsafe { *content = 1 };
        });
        let reading: Vec<_> = (1..=readers)
            .map(|participant| {
                let slab = Arc::clone(&slab);
                thread::spawn(move || {
                    if slab.entry.pin(participant, generation) {
                        slab.content.with(|content| {
                            // SAFETY: pinned with the generation of that content.
                            assert_eq!(unsafe { *content }, 1);
                        });
                        slab.entry.unpin(participant);
                    }
                })
            })
            .collect();
        slab.entry.unpin(OWNER);
        if slab.entry.retire(generation) {
            let next = slab.entry.take();
            assert_eq!(next, generation + 1);
            slab.content.with_mut(|content| {
                // SAFETY: retired, so no pin with the old generation holds or will.
                unsafe { *content = 2 };
            });
            slab.entry.unpin(OWNER);
        }
        for reader in reading {
            reader.join().unwrap();
        }
        assert!(!slab.entry.is_held());
    });
}

#[test]
fn loom_one_late_reader() {
    reuse_against_late_readers(1);
}

#[test]
fn loom_two_late_readers() {
    reuse_against_late_readers(2);
}

#[test]
fn loom_the_sender_holds_until_the_reader_does() {
    loom::model(|| {
        let slab = Arc::new(Slab {
            entry: SlabEntry::default(),
            content: UnsafeCell::new(1),
        });
        let generation = slab.entry.take();
        let theirs = Arc::clone(&slab);
        let handed = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&handed);
        let reader = thread::spawn(move || {
            // The record is read: pin first, then hand the lane's room back.
            assert!(
                theirs.entry.pin(3, generation),
                "the sender's own bit keeps it"
            );
            seen.store(true, Ordering::Release);
            assert!(
                theirs.entry.pin(3, generation),
                "held, so a second reference is good, whatever the owner tries"
            );
            theirs.content.with(|content| {
                // SAFETY: pinned.
                assert_eq!(unsafe { *content }, 1);
            });
            theirs.entry.unpin(3);
        });
        if handed.load(Ordering::Acquire) {
            slab.entry.unpin(OWNER);
            if slab.entry.retire(generation) {
                slab.content.with_mut(|content| {
                    // SAFETY: retired.
                    unsafe { *content = 2 };
                });
            }
        }
        reader.join().unwrap();
    });
}

//! The sleeping protocol under loom: nobody sleeps beside an item, whoever comes, leaves or dies.
//!
//! A lost wake shows as a deadlock, which loom reports. Weakened by hand, and seen to fail here:
//! - `arm`: no fence (all models); the rings read behind the bit (an item that somebody else took);
//! - `woke` and `leave`: neither sets the bit again while others sleep (two threads of one process). Each alone does for
//!   the other, but for the time that an interpreter may take in between;
//! - `wake_one`: the first bit is enough, whether anybody woke or not (one that died asleep);
//! - `alarm`: only where a bit is set (a giver that died between bit and bell);
//! - `close`: no ring (who leaves the queue).
#![cfg(penstock_loom)]

use loom::{
    model::Builder,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering, fence},
    },
    thread,
};
use penstock_core::shm::queue::{
    bell::Bell,
    sleepers::{self, Beds, SEATS, Sleepers},
};

fn model(body: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.max_branches = 50_000;
    builder.preemption_bound = builder.preemption_bound.or(Some(2));
    builder.check(body);
}

/// A queue of nothing but a number of items.
struct Queue {
    items: AtomicU64,
    bits: AtomicU64,
    bells: Vec<Bell>,
}

impl Beds for Queue {
    fn sleepers(&self) -> &AtomicU64 {
        &self.bits
    }

    fn bell(&self, seat: usize) -> &Bell {
        &self.bells[seat]
    }
}

impl Queue {
    fn new(seats: usize) -> Arc<Self> {
        assert!(seats <= SEATS);
        Arc::new(Self {
            items: AtomicU64::new(0),
            bits: AtomicU64::new(0),
            bells: (0..seats).map(|_| Bell::default()).collect(),
        })
    }

    fn give(&self, first: usize) {
        self.items.fetch_add(1, Ordering::AcqRel);
        fence(Ordering::SeqCst);
        sleepers::wake_one(self, first);
    }

    fn try_take(&self) -> bool {
        let mut seen = self.items.load(Ordering::Acquire);
        while seen > 0 {
            match self
                .items
                .compare_exchange(seen, seen - 1, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
        false
    }

    fn leave(&self, sleepers: &Sleepers) {
        sleepers.leave(self, true, || false);
        if self.items.load(Ordering::Acquire) > 0 {
            sleepers::wake_one(self, 0);
        }
    }

    fn take(&self, seat: usize, sleepers: &Sleepers) {
        if self.try_take() {
            return;
        }
        let mut is_counted = false;
        loop {
            let heard = sleepers.arm(self, is_counted).unwrap();
            is_counted = true;
            if self.try_take() {
                break;
            }
            self.bell(seat).wait(heard, None);
            sleepers.woke(self, 1, false);
            if self.try_take() {
                break;
            }
        }
        self.leave(sleepers);
    }
}

#[test]
fn one_sleeper_and_one_giver() {
    model(|| {
        let queue = Queue::new(1);
        let theirs = Arc::clone(&queue);
        let giving = thread::spawn(move || theirs.give(0));
        queue.take(0, &Sleepers::new(0));
        giving.join().unwrap();
        assert_eq!(queue.bits.load(Ordering::Relaxed), 0);
    });
}

#[test]
fn a_wake_for_an_item_that_somebody_else_took() {
    model(|| {
        let queue = Queue::new(1);
        let theirs = Arc::clone(&queue);
        let giving = thread::spawn(move || {
            theirs.give(0);
            theirs.give(0);
        });
        let theirs = Arc::clone(&queue);
        let passing_by = thread::spawn(move || theirs.try_take());
        queue.take(0, &Sleepers::new(0));
        giving.join().unwrap();
        passing_by.join().unwrap();
    });
}

#[test]
fn two_processes_and_two_items() {
    model(|| {
        let queue = Queue::new(2);
        let takers: Vec<_> = (0..2)
            .map(|seat| {
                let queue = Arc::clone(&queue);
                thread::spawn(move || queue.take(seat, &Sleepers::new(seat)))
            })
            .collect();
        queue.give(0);
        queue.give(1);
        takers.into_iter().for_each(|taker| taker.join().unwrap());
    });
}

#[test]
fn two_threads_of_one_process_and_two_items() {
    model(|| {
        let queue = Queue::new(1);
        let sleepers = Arc::new(Sleepers::new(0));
        let takers: Vec<_> = (0..2)
            .map(|_| {
                let (queue, sleepers) = (Arc::clone(&queue), Arc::clone(&sleepers));
                thread::spawn(move || queue.take(0, &sleepers))
            })
            .collect();
        queue.give(0);
        queue.give(0);
        takers.into_iter().for_each(|taker| taker.join().unwrap());
        assert_eq!(queue.bits.load(Ordering::Relaxed), 0);
    });
}

#[test]
fn who_leaves_in_vain_passes_its_wake_on() {
    model(|| {
        let queue = Queue::new(2);
        let taker = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || queue.take(1, &Sleepers::new(1)))
        };
        let leaving = {
            let queue = Arc::clone(&queue);
            // Its time is up before it sleeps, or the moment it is woken.
            thread::spawn(move || {
                let sleepers = Sleepers::new(0);
                if sleepers.arm(&*queue, false).is_some() {
                    queue.leave(&sleepers);
                }
            })
        };
        queue.give(0);
        taker.join().unwrap();
        leaving.join().unwrap();
    });
}

#[test]
fn a_death_with_the_wake_in_hand_is_made_up_for() {
    model(|| {
        let queue = Queue::new(2);
        // The process in seat 0 sleeps, and dies when it wakes, or in its sleep.
        let is_killed = Arc::new(AtomicU64::new(0));
        let dying = {
            let (queue, is_killed) = (Arc::clone(&queue), Arc::clone(&is_killed));
            thread::spawn(move || {
                let heard = Sleepers::new(0).arm(&*queue, false).unwrap();
                let is_killed = is_killed.load(Ordering::Acquire) != 0;
                if queue.items.load(Ordering::Acquire) == 0 && !is_killed {
                    queue.bell(0).wait(heard, None);
                }
            })
        };
        let taker = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || queue.take(1, &Sleepers::new(1)))
        };
        queue.give(0);
        is_killed.store(1, Ordering::Release);
        queue.bell(0).ring(1);
        dying.join().unwrap();
        // Its burial, by whoever noticed.
        queue.bits.fetch_and(!1, Ordering::AcqRel);
        sleepers::alarm(&*queue, 1 << 1);
        taker.join().unwrap();
    });
}

#[test]
fn one_that_died_asleep_keeps_no_item_to_itself() {
    model(|| {
        let queue = Queue::new(2);
        // In seat 0, not buried yet: a bit, and nobody behind it.
        queue.bits.fetch_or(1, Ordering::AcqRel);
        let taker = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || queue.take(1, &Sleepers::new(1)))
        };
        queue.give(0);
        taker.join().unwrap();
    });
}

#[test]
fn a_giver_that_died_between_bit_and_bell_is_made_up_for() {
    model(|| {
        let queue = Queue::new(2);
        let taker = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || queue.take(1, &Sleepers::new(1)))
        };
        queue.items.fetch_add(1, Ordering::AcqRel);
        fence(Ordering::SeqCst);
        queue.bits.fetch_and(!(1 << 1), Ordering::AcqRel);
        // Here it dies; its burial, by whoever noticed.
        sleepers::alarm(&*queue, 1 << 1);
        taker.join().unwrap();
    });
}

#[test]
fn who_leaves_the_queue_sleeps_no_more() {
    model(|| {
        let queue = Queue::new(1);
        let sleepers = Arc::new(Sleepers::new(0));
        let closing = {
            let (queue, sleepers) = (Arc::clone(&queue), Arc::clone(&sleepers));
            thread::spawn(move || sleepers.close(&*queue))
        };
        let mut is_counted = false;
        while let Some(heard) = sleepers.arm(&*queue, is_counted) {
            is_counted = true;
            queue.bell(0).wait(heard, None);
            sleepers.woke(&*queue, 1, false);
        }
        if is_counted {
            sleepers.leave(&*queue, true, || false);
        }
        closing.join().unwrap();
        assert_eq!(queue.bits.load(Ordering::Relaxed), 0);
    });
}

//! Seats under loom: what two undertakers and a newcomer do to one dead process's seat at once.
//!
//! Weakened by hand, and seen to fail here:
//! - `clear`: the word not looked at after `burying` was written, or no fence between; `take`: the undertakers not
//!   looked at, or no fence before: the newcomer's bit is cleared for its predecessor's;
//! - `lay_down`: a store in place of the swap: a successor is taken for dead.
#![cfg(penstock_loom)]

use loom::{
    model::Builder,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};
use penstock_core::shm::queue::seats::{self, Process, Seat, State, Word};

fn model(body: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.max_branches = 20_000;
    builder.preemption_bound = builder.preemption_bound.or(Some(2));
    builder.check(body);
}

struct House {
    seats: Vec<Seat>,
    /// What a bit of a seat stands for: here, that its process waits, or holds something.
    bits: AtomicU64,
}

const fn process(pid: u32) -> Process {
    Process { pid, started: 1 }
}

impl House {
    fn join(&self, pid: u32) -> Option<(usize, Word)> {
        let (seat, joining) = seats::take(&self.seats, 0..self.seats.len(), process(pid))?;
        Some((seat, seats::rise(&self.seats[seat], joining)?))
    }

    fn bury(&self, mine: usize, number: usize, word: Word) -> bool {
        let Some((dead, first)) = seats::lay_down(&self.seats[number], word) else {
            return false;
        };
        seats::clear(&self.seats, mine, number, dead, || {
            self.bits.fetch_and(!(1 << number), Ordering::AcqRel);
        });
        if self.bits.load(Ordering::Acquire) >> number & 1 == 0 {
            seats::free(&self.seats[number], dead);
        }
        first
    }
}

/// Two survivors in the seats 0 and 1, and one that has died in seat 2 with its bit set.
fn house() -> (Arc<House>, Word) {
    let house = Arc::new(House {
        seats: (0..3).map(|_| Seat::default()).collect(),
        bits: AtomicU64::new(1 << 2),
    });
    assert_eq!(house.join(1).unwrap().0, 0);
    assert_eq!(house.join(2).unwrap().0, 1);
    let (seat, dead) = house.join(3).unwrap();
    assert_eq!(seat, 2);
    (house, dead)
}

#[test]
fn an_undertaker_that_comes_late_spares_the_successor() {
    model(|| {
        let (house, dead) = house();
        let other = {
            let house = Arc::clone(&house);
            thread::spawn(move || house.bury(1, 2, dead))
        };
        let first = house.bury(0, 2, dead);
        // A newcomer, as soon as the seat is free and nobody is at it.
        let newcomer = house.join(4);
        if let Some((seat, word)) = newcomer {
            assert_eq!(seat, 2);
            house.bits.fetch_or(1 << 2, Ordering::AcqRel);
            let second = other.join().unwrap();
            assert!(first != second, "one of them was first");
            assert_eq!(house.bits.load(Ordering::Acquire), 1 << 2, "its bit");
            assert_eq!(house.seats[2].word(), word);
        } else {
            let second = other.join().unwrap();
            assert!(first != second, "one of them was first");
        }
    });
}

#[test]
fn who_dies_while_joining_is_buried_too() {
    model(|| {
        let house = Arc::new(House {
            seats: (0..2).map(|_| Seat::default()).collect(),
            bits: AtomicU64::new(0),
        });
        house.join(1).unwrap();
        let (seat, joining) = seats::take(&house.seats, 0..2, process(2)).unwrap();
        let rising = {
            let house = Arc::clone(&house);
            thread::spawn(move || seats::rise(&house.seats[seat], joining).is_some())
        };
        // Taken for dead: either it is buried or it takes part, and knows which.
        let buried = house.bury(0, seat, joining);
        assert_eq!(buried, !rising.join().unwrap());
        let state = house.seats[seat].word().state();
        assert_eq!(state, if buried { State::Free } else { State::Alive });
    });
}

#[test]
fn two_newcomers_take_two_seats() {
    model(|| {
        let (house, dead) = house();
        assert!(house.bury(0, 2, dead));
        let other = {
            let house = Arc::clone(&house);
            thread::spawn(move || house.join(4))
        };
        let mine = house.join(5);
        let theirs = other.join().unwrap();
        assert!(mine.is_some() != theirs.is_some());
    });
}

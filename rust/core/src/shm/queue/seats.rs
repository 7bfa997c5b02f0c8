//! Who takes part: one seat a process, taken, left and cleared by one compare-and-swap each.
//!
//! ```text
//! FREE → JOINING → ALIVE → DEAD → FREE      DEAD from JOINING, too
//! ```
//! The word of a seat says who sits there: state, incarnation, and of the process its number and
//! the end of its start time. Every change compares all of it, so whoever believes in an earlier process changes
//! nothing. Only what a seat's bit stands for (sleepers, holders of slabs) carries no incarnation;
//! therefore who clears the bits of a dead one says so first:
//!
//! ```text
//! undertaker  burying ← seat;  fence;  the word still says that same one is dead? no → burying ← 0, done
//!             clear its bits …;  burying ← 0;  if nothing is left of it: DEAD → FREE
//! joiner      FREE → JOINING;  fence;  a living one is burying this seat? → back to FREE, try the next
//! ```
//! Either the undertaker sees that the seat is free (and clears nothing), or the joiner sees the undertaker and leaves
//! that seat alone. An undertaker that is stopped keeps one seat from use; one that dies keeps none, as
//! a dead one's word counts for nothing.

use std::ops::Range;

use super::bell::Bell;
use crate::sync::{AtomicU32, AtomicU64, Ordering, fence};

/// Whether a process sits there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nobody does.
    Free,
    /// Somebody is about to.
    Joining,
    /// Somebody does.
    Alive,
    /// Somebody did, and something is left of it.
    Dead,
}

/// The word of a seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word(pub(super) u64);

const PID_BITS: u32 = 22;
const STARTED_BITS: u32 = 16;
const INCARNATION_BITS: u32 = 24;

const fn low(bits: u32) -> u64 {
    (1 << bits) - 1
}

impl Word {
    const fn of(state: State, incarnation: u64, process: Process) -> Self {
        let state = match state {
            State::Free => 0,
            State::Joining => 1,
            State::Alive => 2,
            State::Dead => 3,
        };
        let rest = (incarnation & low(INCARNATION_BITS)) << STARTED_BITS
            | (process.started & low(STARTED_BITS));
        Self(state << 62 | rest << PID_BITS | process.pid as u64 & low(PID_BITS))
    }

    /// Whether a process sits there.
    #[must_use]
    pub const fn state(self) -> State {
        match self.0 >> 62 {
            0 => State::Free,
            1 => State::Joining,
            2 => State::Alive,
            _ => State::Dead,
        }
    }

    const fn with(self, state: State) -> Self {
        Self(Self::of(state, 0, Process { pid: 0, started: 0 }).0 | self.0 & low(62))
    }

    /// Which process: the number.
    #[must_use]
    pub const fn pid(self) -> u32 {
        (self.0 & low(PID_BITS)) as u32
    }

    /// Whether the process that began at `started` can be the one that sits there.
    #[must_use]
    pub const fn may_be(self, started: u64) -> bool {
        self.0 >> PID_BITS & low(STARTED_BITS) == started & low(STARTED_BITS)
    }

    const fn incarnation(self) -> u64 {
        self.0 >> (PID_BITS + STARTED_BITS) & low(INCARNATION_BITS)
    }

    /// Whether somebody sits there or is about to.
    #[must_use]
    pub const fn is_taken(self) -> bool {
        matches!(self.state(), State::Joining | State::Alive)
    }
}

/// What tells a process from every other one since the system was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    /// Its number in its namespace.
    pub pid: u32,
    /// When it began, in ticks since the system was started.
    pub started: u64,
}

/// One seat, as all see it.
#[derive(Debug, Default)]
#[repr(C, align(128))]
pub struct Seat {
    /// See [`Word`]. Swapped by all (AcqRel), read by all (Acquire).
    word: AtomicU64,
    /// When the process began, all of it. Written by the process while it joins (Release), read by all.
    started: AtomicU64,
    /// The seat that this process is clearing, plus one; 0: none. Written by the process, read by joiners;
    /// ordered by the fences.
    burying: AtomicU32,
    /// How many slots of the arena's table were ever in use. Raised by the process that sits there (Release),
    /// read by all (Acquire).
    slots: AtomicU32,
    /// What its process sleeps on for want of an item.
    pub(super) items: Bell,
    /// What its process sleeps on for want of room.
    pub(super) room: Bell,
}

impl Seat {
    /// Its word.
    pub fn word(&self) -> Word {
        Word(self.word.load(Ordering::Acquire))
    }

    fn swap(&self, from: Word, to: Word) -> bool {
        self.word
            .compare_exchange(from.0, to.0, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    /// When the process that sits there began, if it has said so.
    pub fn started(&self) -> u64 {
        self.started.load(Ordering::Acquire)
    }

    /// Slots of the arena's table to look at.
    pub fn slots(&self) -> &AtomicU32 {
        &self.slots
    }
}

/// Takes one of the `wanted` seats; the caller makes it ready and then calls [`rise`]. `None`: there is none
/// that is free.
pub fn take(seats: &[Seat], wanted: Range<usize>, process: Process) -> Option<(usize, Word)> {
    wanted.into_iter().find_map(|number| {
        let seat = &seats[number];
        let free = seat.word();
        let mine = Word::of(State::Joining, free.incarnation(), process);
        if free.state() != State::Free || !seat.swap(free, mine) {
            return None;
        }
        fence(Ordering::SeqCst);
        let is_being_cleared = seats.iter().any(|other| {
            other.burying.load(Ordering::Relaxed) == number as u32 + 1 && other.word().is_taken()
        });
        if is_being_cleared {
            seat.swap(mine, free);
            return None;
        }
        seat.started.store(process.started, Ordering::Release);
        seat.burying.store(0, Ordering::Relaxed);
        Some((number, mine))
    })
}

/// The seat was not needed after all.
pub fn give_back(seat: &Seat, joining: Word) {
    seat.swap(joining, joining.with(State::Free));
}

/// The seat is ready: its process takes part. `None`: it was taken for dead meanwhile.
pub fn rise(seat: &Seat, joining: Word) -> Option<Word> {
    let alive = joining.with(State::Alive);
    seat.swap(joining, alive).then_some(alive)
}

/// The process is dead, or leaves: its word from now on, and whether this call was the one that said so.
/// `None`: somebody else sits there, or nobody.
pub fn lay_down(seat: &Seat, word: Word) -> Option<(Word, bool)> {
    let dead = word.with(State::Dead);
    let first = seat.swap(word, dead);
    (first || seat.word() == dead).then_some((dead, first))
}

/// Calls `clear` if a process is (still) dead, in a way that nobody takes the seat meanwhile. One thread
/// of a process at a time.
pub fn clear(seats: &[Seat], mine: usize, number: usize, dead: Word, clear: impl FnOnce()) -> bool {
    let burying = &seats[mine].burying;
    burying.store(number as u32 + 1, Ordering::Relaxed);
    fence(Ordering::SeqCst);
    let is_dead = seats[number].word() == dead;
    if is_dead {
        clear();
    }
    burying.store(0, Ordering::Release);
    is_dead
}

/// Nothing is left of a dead process: its seat is for another one.
pub fn free(seat: &Seat, dead: Word) -> bool {
    let nobody = Process { pid: 0, started: 0 };
    let next = Word::of(State::Free, dead.incarnation() + 1, nobody);
    dead.state() == State::Dead && seat.swap(dead, next)
}

#[cfg(all(test, not(penstock_loom)))]
mod tests {
    use super::*;

    const ME: Process = Process {
        pid: 4_194_303,
        started: 0x1_2345,
    };

    #[test]
    fn a_seat_goes_round() {
        let seats = [Seat::default(), Seat::default()];
        let (number, joining) = take(&seats, 0..seats.len(), ME).unwrap();
        assert_eq!((number, joining.state()), (0, State::Joining));
        assert_eq!(seats[0].started(), ME.started);
        assert_eq!(joining.pid(), ME.pid);
        assert!(joining.may_be(ME.started) && !joining.may_be(ME.started + 1));
        let alive = rise(&seats[0], joining).unwrap();
        assert!(rise(&seats[0], joining).is_none());
        assert!(
            lay_down(&seats[0], joining).is_none(),
            "that one has gone on"
        );
        let (dead, first) = lay_down(&seats[0], alive).unwrap();
        assert!(first);
        assert_eq!(lay_down(&seats[0], alive), Some((dead, false)));
        assert!(!free(&seats[0], alive));
        assert!(free(&seats[0], dead));
        assert!(!free(&seats[0], dead), "once");
        assert!(lay_down(&seats[0], alive).is_none());
        let (number, again) = take(&seats, 0..seats.len(), ME).unwrap();
        assert_eq!(number, 0);
        assert_ne!(again, joining, "another incarnation");
    }

    #[test]
    fn a_seat_that_somebody_still_clears_is_left_alone() {
        let seats = [Seat::default(), Seat::default(), Seat::default()];
        let (_, joining) = take(&seats, 0..seats.len(), ME).unwrap();
        let alive = rise(&seats[0], joining).unwrap();
        let (mine, joining) = take(&seats, 0..seats.len(), ME).unwrap();
        rise(&seats[mine], joining).unwrap();
        let (dead, _) = lay_down(&seats[0], alive).unwrap();
        assert!(clear(&seats, mine, 0, dead, || {
            assert!(free(&seats[0], dead), "another was faster");
            assert_eq!(take(&seats, 0..seats.len(), ME).unwrap().0, 2);
        }));
        assert!(!clear(&seats, mine, 0, dead, || unreachable!()));
        assert_eq!(take(&seats, 0..seats.len(), ME).unwrap().0, 0);
    }
}

//! Who sleeps for want of an item, or of room: one bit a seat in the segment, one bell a seat, and
//! in each process the count of its own sleepers.
//!
//! Guarantee: nobody sleeps beside what it waits for, but for [`LOOK_AROUND`] at most, and that only when
//! a process was stopped with a wake in its hands. No system call is made while nobody sleeps.
//!
//! ```text
//! sleeper  try;  heard = rings;  bit ← 1;  fence;  try again: got it → leave;  sleep on the bell while rings = heard
//! waker    give;  fence;  bits = 0 → done;  choose one;  bit ← 0: it was 0 → next;  rings += 1;  wake one: none → next
//! awake    others of this process sleep still → bit ← 1;  try …
//! leave    others of this process sleep still → bit ← 1, else bit ← 0;  fence;  something there → be a waker
//! ```
//! The fences are SeqCst: either the waker sees the bit, or the sleeper sees what was given.
//!
//! The bit is the seat's, not the sleeper's: a waker that clears it may wake one of several, and until
//! that one sets it again nobody else calls here. What is given in between is not lost: whoever was
//! woken looks for what is left when it leaves, on every way out, and wakes the next.
//!
//! A dead sleeper's bit costs a waker one call: the kernel says that nobody woke, and the next bit is
//! tried. Who dies with a wake in its hands is made up for by its burial, which wakes all.

use std::time::Duration;

use super::bell::Bell;
use crate::sync::{AtomicU64, Mutex, Ordering, fence, lock};

/// The longest sleep without a look.
pub const LOOK_AROUND: Duration = Duration::from_secs(1);

/// Seats of a queue: as many as a word has bits.
pub const SEATS: usize = 64;

/// The shared words of one side.
pub trait Beds {
    /// One bit a seat: somebody there sleeps, or is about to. Set by its process, cleared by wakers too.
    fn sleepers(&self) -> &AtomicU64;

    /// What the sleepers of a seat sleep on.
    fn bell(&self, seat: usize) -> &Bell;
}

/// What a call has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Called {
    /// System calls made.
    pub calls: u32,
    /// Sleepers that woke.
    pub woken: u32,
}

/// Wakes one sleeper, if there is one, beginning with the seats from `first` on. A SeqCst fence lies
/// between what was given and this call.
pub fn wake_one(beds: &impl Beds, first: usize) -> Called {
    let mut called = Called::default();
    let first = (first % SEATS) as u32;
    // Sleepers that wake and sleep again meanwhile have looked; nobody is called twice for long.
    for _ in 0..SEATS {
        let bits = beds.sleepers().load(Ordering::Relaxed);
        if bits == 0 {
            break;
        }
        let seat = (bits.rotate_right(first).trailing_zeros() + first) as usize % SEATS;
        if call(beds, seat, 1, &mut called) && called.woken > 0 {
            break;
        }
    }
    called
}

/// Wakes all who sleep in the seats of `bits`.
pub fn wake_all(beds: &impl Beds, bits: u64) -> Called {
    let mut called = Called::default();
    let mut bits = bits & beds.sleepers().load(Ordering::Relaxed);
    while bits != 0 {
        let seat = bits.trailing_zeros() as usize;
        bits &= bits - 1;
        call(beds, seat, u32::MAX, &mut called);
    }
    called
}

/// Rings at every seat of `bits`, whatever its bit says: somebody may have cleared it and died.
pub fn alarm(beds: &impl Beds, bits: u64) {
    for seat in (0..SEATS).filter(|seat| bits >> seat & 1 != 0) {
        let mut called = Called::default();
        if !call(beds, seat, u32::MAX, &mut called) {
            beds.bell(seat).ring(u32::MAX);
        }
    }
}

fn call(beds: &impl Beds, seat: usize, most: u32, called: &mut Called) -> bool {
    let bit = 1 << seat;
    if beds.sleepers().fetch_and(!bit, Ordering::AcqRel) & bit == 0 {
        return false;
    }
    called.calls += 1;
    called.woken += beds.bell(seat).ring(most);
    true
}

#[derive(Debug, Default)]
struct State {
    threads: u32,
    is_closed: bool,
}

/// One process's sleepers of one side.
#[derive(Debug)]
pub struct Sleepers {
    seat: usize,
    /// The bit changes under this lock, but for wakers who clear it.
    state: Mutex<State>,
}

impl Sleepers {
    /// Nobody sleeps yet.
    #[must_use]
    pub fn new(seat: usize) -> Self {
        Self {
            seat,
            state: Mutex::default(),
        }
    }

    /// One more thread is about to sleep, unless it is counted already: the number to sleep with,
    /// after one more look. `None`: this process has left.
    pub fn arm(&self, beds: &impl Beds, is_counted: bool) -> Option<u32> {
        let heard = {
            let mut state = lock(&self.state);
            if state.is_closed {
                return None;
            }
            state.threads += u32::from(!is_counted);
            // Before the bit: a waker that clears it from now on rings after this.
            let heard = beds.bell(self.seat).rings();
            self.set(beds);
            heard
        };
        fence(Ordering::SeqCst);
        Some(heard)
    }

    /// A task is in the line, or several: they are called for them, too. One more look comes after this.
    #[must_use]
    pub fn arm_for_tasks(&self, beds: &impl Beds) -> bool {
        {
            let state = lock(&self.state);
            if state.is_closed {
                return false;
            }
            self.set(beds);
        }
        fence(Ordering::SeqCst);
        true
    }

    /// Somebody woke: whether others sleep on, who are to be called from now on.
    pub fn woke(&self, beds: &impl Beds, others: u32, tasks: bool) -> bool {
        let state = lock(&self.state);
        let others = state.threads > others || tasks;
        if others && !state.is_closed {
            self.set(beds);
        }
        others
    }

    /// A thread (or, if not counted, a task) has done with sleeping. A waker's work comes after this.
    pub fn leave(&self, beds: &impl Beds, is_counted: bool, tasks: impl FnOnce() -> bool) {
        {
            let mut state = lock(&self.state);
            state.threads -= u32::from(is_counted);
            if state.is_closed {
                return;
            }
            if state.threads > 0 || tasks() {
                self.set(beds);
            } else {
                beds.sleepers()
                    .fetch_and(!(1 << self.seat), Ordering::AcqRel);
            }
        }
        fence(Ordering::SeqCst);
    }

    fn set(&self, beds: &impl Beds) {
        beds.sleepers().fetch_or(1 << self.seat, Ordering::AcqRel);
    }

    /// This process leaves: its bit is touched no more. Those who sleep are woken.
    pub fn close(&self, beds: &impl Beds) {
        {
            let mut state = lock(&self.state);
            state.is_closed = true;
            beds.sleepers()
                .fetch_and(!(1 << self.seat), Ordering::AcqRel);
        }
        beds.bell(self.seat).ring(u32::MAX);
    }
}

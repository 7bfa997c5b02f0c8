//! The state of each task that lies with a worker: one word, moved by compare-and-swap.
//!
//! ```text
//! parent  offer   → QUEUED          worker  start   QUEUED  → RUNNING
//! parent  recall  QUEUED → RECALLED worker  finish  RUNNING → DONE
//! parent  condemn RUNNING → KILLED
//! ```
//! Whoever loses a swap knows what happened instead, so a task is never both run and recalled,
//! never both finished and timed out; a death at any point leaves a word that says how far the
//! task was. The word carries the number of the offer, so that a late worker cannot act on the
//! slot's next task.

use crate::sync::{AtomicU64, Ordering};

/// How many tasks can lie with one worker: short ones are laid out in numbers, so that the worker
/// has something to do until the pool's thread gets its next turn (5 ms under the GIL).
pub const TASKS: usize = 256;

/// How far a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum State {
    /// Nothing was offered in this slot yet.
    Vacant = 0,
    /// With the worker, not begun: can be recalled.
    Queued = 1,
    /// Begun.
    Running = 2,
    /// Finished; the result was sent or is about to be.
    Done = 3,
    /// Taken back before it began.
    Recalled = 4,
    /// Its end was decided by the parent; the worker is about to be killed.
    Killed = 5,
}

const STATE_BITS: u32 = 3;

impl State {
    /// How it is called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vacant => "vacant",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Recalled => "recalled",
            Self::Killed => "killed",
        }
    }

    const fn of(word: u64) -> Self {
        match word & ((1 << STATE_BITS) - 1) {
            1 => Self::Queued,
            2 => Self::Running,
            3 => Self::Done,
            4 => Self::Recalled,
            5 => Self::Killed,
            _ => Self::Vacant,
        }
    }
}

/// One slot.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct TaskSlot(AtomicU64);

impl TaskSlot {
    const fn word(number: u64, state: State) -> u64 {
        number << STATE_BITS | state as u64
    }

    /// The parent puts task `number` into a slot whose last one has ended.
    pub fn offer(&self, number: u64) {
        self.0
            .store(Self::word(number, State::Queued), Ordering::Release);
    }

    fn shift(&self, number: u64, from: State, to: State) -> bool {
        let (from, to) = (Self::word(number, from), Self::word(number, to));
        self.0
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// The worker begins. False: it was recalled.
    pub fn start(&self, number: u64) -> bool {
        self.shift(number, State::Queued, State::Running)
    }

    /// The worker has ended it. False: its end was decided by the parent.
    pub fn finish(&self, number: u64) -> bool {
        self.shift(number, State::Running, State::Done)
    }

    /// The parent takes it back. False: it has begun.
    pub fn recall(&self, number: u64) -> bool {
        self.shift(number, State::Queued, State::Recalled)
    }

    /// The parent decides that it ends. False: it has ended by itself.
    pub fn condemn(&self, number: u64) -> bool {
        self.shift(number, State::Running, State::Killed)
    }

    /// How far task `number` is; `None` if the slot holds another one.
    pub fn state(&self, number: u64) -> Option<State> {
        let word = self.0.load(Ordering::Acquire);
        (word >> STATE_BITS == number & (u64::MAX >> STATE_BITS)).then(|| State::of(word))
    }
}

#[cfg(all(test, not(penstock_loom)))]
mod tests {
    use super::*;

    #[test]
    fn each_end_excludes_the_others() {
        let slot = TaskSlot::default();
        slot.offer(1);
        assert!(slot.start(1));
        assert!(!slot.recall(1));
        assert!(slot.finish(1));
        assert!(!slot.condemn(1));
        slot.offer(2);
        assert!(slot.recall(2));
        assert!(!slot.start(2));
        slot.offer(3);
        assert!(
            !slot.start(2),
            "a late worker cannot begin the slot's next task"
        );
        assert!(slot.start(3));
        assert!(slot.condemn(3));
        assert!(!slot.finish(3));
        assert_eq!(slot.state(3), Some(State::Killed));
        assert_eq!(slot.state(2), None);
    }
}

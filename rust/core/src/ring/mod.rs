//! Hand-off between threads and event loops: a bounded ring, lists of waiters, and the queue
//! that joins them by the protocol "wake the waiter and let it pop".

mod handoff;
mod items;
mod line;
mod list;
mod mpmc;
mod runs;
mod store;
mod turns;
mod unfinished;
mod wait;

pub use handoff::{Counters, Handoff};
pub use list::{Comparison, List, Order};
pub use mpmc::Ring;
pub use turns::Turns;
pub use unfinished::{TooMany, Unfinished};
pub use wait::{WaitList, Wake, Woken};

/// Why a push or a pop did nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Full for a push; for a pop: empty, or fewer items than asked for.
    NotNow,
    /// Closed for pushes; for a pop: closed and drained.
    Closed,
    /// Where items are in order: this one cannot be compared with what is inside. Whoever compared
    /// knows why; a pop never says so.
    Incomparable,
}

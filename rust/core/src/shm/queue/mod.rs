//! A queue between processes that lies in one segment: whoever has its descriptor takes part.
//!
//! Guarantee: an item that `send` accepted is taken once, by one process, whatever dies or is stopped
//! in between; one that was taken dies with its taker unless it is held under a lease. No process waits
//! for another one's step: what two processes both write is one word at a time, and what a dead one
//! left half done is undone or finished by any of the others.

mod batch;
mod error;
mod item;
mod settings;
mod statistics;

use std::{
    os::fd::{BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

pub use batch::{Batch, Lease, Taken};
pub use error::QueueError;
pub use item::{Buffer, Item, MOST_BUFFERS};
pub use settings::{Acknowledged, Settings};
pub use statistics::Statistics;

use super::arena::OwnedSlab;
use crate::{
    park::Parked,
    ring::Wake,
    sync::{Arc, Mutex, lock},
};

/// What somebody waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// An item.
    Items,
    /// Room for one.
    Room,
}

/// How far a queue is shut down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// Not at all.
    Open,
    /// Nothing more is accepted; what is inside can be taken.
    Draining,
    /// Nothing more is accepted, and what was inside is dropped.
    Immediate,
}

/// See the module's head. `W` is a waiting task of an event loop; threads wait by [`Sleeper`].
///
/// A process joins with its first operation; so does a forked child, by itself, with nothing of its
/// parent's. Every operation returns at once and may be called from any thread. Sleeping is the
/// caller's part:
///
/// ```text
/// thread:  take → 0;  sleeper(Items);  loop { arm;  take → some: done;  park }      (dropping it leaves)
/// task:    take → 0;  loop { enlist(Items, …);  take → some: leave, done;  sleep }  (leave on every way out)
/// ```
pub struct Queue<W> {
    settings: Settings,
    fd: OwnedFd,
    tasks: Mutex<Vec<Arc<W>>>,
}

impl<W: Wake + Send + Sync + 'static> Queue<W> {
    /// A new queue; this process joins with its first operation.
    pub fn create(settings: Settings) -> Result<Arc<Self>, QueueError> {
        let _ = settings;
        Err(QueueError::Crowded)
    }

    /// The queue behind a descriptor that another process (or this one) made.
    pub fn attach(fd: OwnedFd) -> Result<Arc<Self>, QueueError> {
        drop(fd);
        Err(QueueError::Crowded)
    }

    /// The descriptor, to hand to another process.
    pub fn fd(&self) -> BorrowedFd<'_> {
        use std::os::fd::AsFd;
        self.fd.as_fd()
    }

    /// What tells this queue from every other one.
    pub fn id(&self) -> u128 {
        0
    }

    /// What it was made with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Puts an item in, and wakes a taker if one sleeps.
    ///
    /// [`QueueError::Full`] if there is no room now; nothing was changed then, as with every error.
    pub fn send(&self, item: &Item<'_>) -> Result<(), QueueError> {
        self.send_many(std::slice::from_ref(item)).map(drop)
    }

    /// Puts in as many as fit, in order, and says how many; an error if not even the first did.
    pub fn send_many(&self, items: &[Item<'_>]) -> Result<usize, QueueError> {
        let _ = items;
        Err(QueueError::Closed)
    }

    /// Takes up to `max` items, and up to `max_bytes` of them but for the first, into `batch`, behind
    /// what it holds. Zero: there is nothing now. [`QueueError::ShutDown`] if there will be nothing more.
    ///
    /// Lanes take turns, so no sender is starved by another; the items of one sender are in order.
    pub fn take(
        &self,
        max: usize,
        max_bytes: usize,
        batch: &mut Batch,
    ) -> Result<usize, QueueError> {
        let _ = (max, max_bytes, batch);
        Err(QueueError::Closed)
    }

    /// Says that an item taken under a lease was dealt with. [`QueueError::LeaseLost`] if it has been
    /// handed to somebody else, or back, meanwhile.
    pub fn acknowledge(&self, lease: Lease) -> Result<(), QueueError> {
        let _ = lease;
        Err(QueueError::LeaseLost)
    }

    /// Hands an item taken under a lease back, for anybody to take.
    pub fn give_back(&self, lease: Lease) -> Result<(), QueueError> {
        let _ = lease;
        Err(QueueError::LeaseLost)
    }

    /// Memory of `length` bytes that is born in this process's arena: an item that names a buffer inside
    /// of it is handed over without a copy. [`QueueError::Full`] if the arena has no room now.
    pub fn allocate(&self, length: usize) -> Result<Arc<OwnedSlab>, QueueError> {
        let _ = length;
        Err(QueueError::Closed)
    }

    /// Looks for up to `time` whether there is something to do on that side; true if there is. For
    /// a moment before a sleep, where processors are plenty.
    pub fn spin(&self, side: Side, time: Duration) -> bool {
        let _ = (side, time);
        false
    }

    /// A place among the sleepers of a side, for the calling thread.
    pub fn sleeper(&self, side: Side) -> Result<Sleeper, QueueError> {
        let _ = side;
        Err(QueueError::Closed)
    }

    /// Puts a task into the line: where `previous` stands, or at the end. The caller then looks once
    /// more before it sleeps.
    pub fn enlist(
        &self,
        side: Side,
        task: Arc<W>,
        previous: Option<&Arc<W>>,
    ) -> Result<(), QueueError> {
        let _ = (side, previous);
        lock(&self.tasks).push(task);
        Ok(())
    }

    /// Takes a task out of the line, on every way out of a wait; what it was woken for and did not use
    /// goes to the next one.
    pub fn leave(&self, side: Side, task: &Arc<W>) {
        let _ = (side, task);
    }

    /// Refuses further items from everybody, and wakes all. What is inside can be taken still, unless
    /// it is to be dropped, too.
    pub fn shutdown(&self, immediate: bool) -> Result<(), QueueError> {
        let _ = immediate;
        Ok(())
    }

    /// How far the queue is shut down.
    pub fn is_shutdown(&self) -> Shutdown {
        Shutdown::Open
    }

    /// Leaves the queue: every later operation of this process is refused, whoever sleeps here is woken.
    /// What this process sent stays; what it still looks at stays mapped until the last view goes.
    pub fn close(&self) {}

    /// Whether this process has left.
    pub fn is_closed(&self) -> bool {
        false
    }

    /// How many items are inside at some moment during the call.
    pub fn len(&self) -> usize {
        0
    }

    /// Whether nothing is inside at some moment during the call.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Figures for people and metrics.
    pub fn statistics(&self) -> Result<Statistics, QueueError> {
        Ok(Statistics::default())
    }
}

/// A thread's place among the sleepers of one side; dropping it leaves, and passes on a wake that was
/// not used.
pub struct Sleeper {
    _side: Side,
}

impl Sleeper {
    /// Says that the thread is about to sleep; it then looks once more, and parks if that was in vain.
    pub fn arm(&mut self) {}

    /// Sleeps until woken, until `deadline`, or for a second at most ([`Parked::Interrupted`]: look
    /// whether a signal came in, look again, arm again).
    pub fn park(&mut self, deadline: Option<Instant>) -> Parked {
        let _ = deadline;
        Parked::Interrupted
    }
}

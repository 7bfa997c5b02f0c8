//! The queue as its users see it: [`Queue`].

use std::{
    os::fd::{BorrowedFd, OwnedFd},
    thread,
    time::{Duration, Instant},
};

use super::{
    batch::{Batch, Lease},
    error::QueueError,
    item::{Buffer, Item},
    leases,
    local::Local,
    seated::Born,
    settings::Settings,
    shared::Shared,
    statistics::Statistics,
    waiting::Sleeper,
};
use crate::{
    eventfd::EventFd,
    fork::{Owner, PerProcess},
    ring::Wake,
    shm::{
        door::{self, DoorError},
        layout::AttachError,
    },
    sync::Arc,
};

/// How long a name that somebody has is waited for.
const LOOK: Duration = Duration::from_millis(100);

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

/// A queue between processes. `W` is a waiting task of an event loop; threads wait by [`Sleeper`].
///
/// A process joins with its first operation; so does a forked child, by itself, with nothing of its
/// parent's. Every operation returns at once and may be called from any thread. Sleeping is the
/// caller's part:
///
/// ```text
/// thread:  take → 0;  look;  sleeper(Items);  loop { arm;  take → some: done;  park }      (dropping it leaves)
/// task:    take → 0;  loop { enlist(Items, …);  take → some: leave, done;  sleep }  (leave on every way out)
/// ```
pub struct Queue<W: Wake + Send + Sync + 'static> {
    shared: Arc<Shared>,
    here: PerProcess<Local<W>>,
}

impl<W: Wake + Send + Sync + 'static> Queue<W> {
    /// A new queue; this process joins with its first operation.
    pub fn create(settings: Settings) -> Result<Arc<Self>, QueueError> {
        Shared::create(settings, None).map(Self::of)
    }

    /// A new queue that is found by its name, as long as a process that takes part lives; this one joins at
    /// once. [`QueueError::Door`] if the name is taken, or is none.
    pub fn create_named(settings: Settings, name: &str) -> Result<Arc<Self>, QueueError> {
        let deadline = Instant::now() + LOOK;
        loop {
            match door::fetch(name, LOOK, |_, _| Ok(())) {
                Err(DoorError::Nobody { .. }) => {
                    let queue = Shared::create(settings, Some(name)).map(Self::of)?;
                    if queue.here().join_now()? {
                        return Ok(queue);
                    }
                    // The address is in use, or there was no descriptor for the door.
                    EventFd::new().map_err(QueueError::Io)?;
                }
                Err(other @ (DoorError::Name { .. } | DoorError::Io(_))) => {
                    return Err(other.into());
                }
                Ok(()) | Err(_) => {}
            }
            if Instant::now() >= deadline {
                EventFd::new().map_err(QueueError::Io)?; // without one nobody can be asked
                let name = name.to_owned();
                return Err(DoorError::Taken { name, seat: 0 }.into());
            }
            // A door that was closed this moment is open until the thread behind it has looked up.
            thread::sleep(LOOK / 20);
        }
    }

    /// The queue of that name, from any process that takes part, within `patience`; this one joins at once, so
    /// that it can be asked in its turn.
    pub fn find(name: &str, patience: Duration) -> Result<Arc<Self>, QueueError> {
        let mut refusal = None;
        let found = door::fetch(name, patience, |fd, id| {
            let shared = Shared::attach(fd).map_err(|error| match error {
                QueueError::Attach(error) => error,
                other => {
                    refusal = Some(other);
                    AttachError::Damaged
                }
            })?;
            // Another queue, or another name, than the door says.
            if shared.id == id && shared.name.as_deref() == Some(name) {
                Ok(shared)
            } else {
                Err(AttachError::Damaged)
            }
        });
        let queue = match (found, refusal) {
            (Ok(shared), _) => Self::of(shared),
            (Err(DoorError::Refused { .. }), Some(refusal)) => return Err(refusal),
            (Err(error), _) => return Err(error.into()),
        };
        queue.here().join_now()?;
        Ok(queue)
    }

    /// What it is called.
    pub fn name(&self) -> Option<&str> {
        self.shared.name.as_deref()
    }

    /// The queue behind a descriptor that another process (or this one) made.
    pub fn attach(fd: OwnedFd) -> Result<Arc<Self>, QueueError> {
        Shared::attach(fd).map(Self::of)
    }

    fn of(shared: Shared) -> Arc<Self> {
        // What is made once in a process is made now: a fork beside the first operation would leave the child
        // waiting for a thread that it has not got.
        let _ = Owner::current();
        Arc::new(Self {
            shared: Arc::new(shared),
            here: PerProcess::new(),
        })
    }

    fn here(&self) -> &Local<W> {
        self.here
            .get_or_make(|| Arc::new(Local::new(Arc::clone(&self.shared))))
    }

    #[cfg(test)]
    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The descriptor, to hand to another process.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.shared.segment.fd()
    }

    /// What tells this queue from every other one.
    pub fn id(&self) -> u128 {
        self.shared.id
    }

    /// What it was made with.
    pub fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// Puts an item in, and wakes a taker if one sleeps.
    ///
    /// [`QueueError::Full`] if there is no room now; nothing was changed then, as with every error.
    pub fn send(&self, item: &Item<'_>) -> Result<(), QueueError> {
        self.send_many(std::slice::from_ref(item)).map(drop)
    }

    /// Puts in as many as fit, in order, and says how many; an error if not even the first did.
    pub fn send_many(&self, items: &[Item<'_>]) -> Result<usize, QueueError> {
        self.here().send_many(items)
    }

    /// Takes up to `max` items, and no further ones once they have `max_bytes` together, into `batch`,
    /// behind what it holds. Zero: there is nothing now. [`QueueError::ShutDown`] if there will be
    /// nothing more.
    ///
    /// Lanes take turns, so no sender is starved by another; the items of one sender are in order.
    pub fn take(
        &self,
        max: usize,
        max_bytes: usize,
        batch: &mut Batch,
    ) -> Result<usize, QueueError> {
        self.here().take(max, max_bytes, batch)
    }

    /// Says that an item taken under a lease was dealt with. [`QueueError::LeaseLost`] if it has been
    /// handed to somebody else, or back, meanwhile.
    pub fn acknowledge(&self, lease: Lease) -> Result<(), QueueError> {
        self.here().acknowledge(lease, false)
    }

    /// Hands an item taken under a lease back, for anybody to take.
    pub fn give_back(&self, lease: Lease) -> Result<(), QueueError> {
        self.here().acknowledge(lease, true)
    }

    /// Memory of `length` bytes that is born in this process's arena: an item that names a buffer inside
    /// of it is handed over without a copy. [`QueueError::Full`] if the arena has no room now.
    pub fn allocate(&self, length: usize) -> Result<Born, QueueError> {
        self.here().allocate(length)
    }

    /// As [`Queue::allocate`], where that takes neither a system call nor a wait for another thread. `None` where
    /// it would, and where there is nothing: `allocate` knows which.
    pub fn allocate_at_once(&self, length: usize) -> Option<Born> {
        self.here().allocate_at_once(length)
    }

    /// Looks, before a sleep, for as long as that may save one, if it did so lately; true if there is something
    /// to do on that side. A sender that is called by the system for every item does little else.
    pub fn look(&self, side: Side) -> bool {
        self.here().look_for(side)
    }

    /// Whether a buffer lies in memory that was born here, so that sending it copies nothing.
    pub fn is_born_here(&self, buffer: &Buffer<'_>) -> bool {
        self.here().is_born(buffer)
    }

    /// Looks for up to `time` whether there is something to do on that side; true if there is. For
    /// a moment before a sleep, where processors are plenty.
    pub fn spin(&self, side: Side, time: Duration) -> bool {
        self.here().spin(side, time)
    }

    /// A place among the sleepers of a side, for the calling thread.
    pub fn sleeper(&self, side: Side) -> Result<Sleeper, QueueError> {
        self.here().sleeper(side)
    }

    /// Puts a task into the line: where `previous` stands, or at the end. The caller then looks once
    /// more before it sleeps.
    pub fn enlist(
        &self,
        side: Side,
        task: Arc<W>,
        previous: Option<&Arc<W>>,
    ) -> Result<(), QueueError> {
        let is_in = self.here().waiting(side)?.enlist(task, previous);
        is_in.then_some(()).ok_or(QueueError::Closed)
    }

    /// Takes a task out of the line, on every way out of a wait; what it was woken for and did not use
    /// goes to the next one.
    pub fn leave(&self, side: Side, task: &Arc<W>) {
        // A forked child that drops its parent's tasks takes no part by that.
        if let Some(waiting) = self.here.get().and_then(|here| here.joined(side)) {
            waiting.leave_line(task);
        }
    }

    /// Refuses further items from everybody, and wakes all. What is inside can be taken still, unless
    /// it is to be dropped, too.
    pub fn shutdown(&self, immediate: bool) -> Result<(), QueueError> {
        self.here().shutdown(immediate)
    }

    /// How far the queue is shut down.
    pub fn is_shutdown(&self) -> Shutdown {
        self.shared.rare().shutdown()
    }

    /// Leaves the queue: every later operation of this process is refused, whoever sleeps here is woken.
    /// What this process sent stays; what it still looks at stays mapped until the last view goes.
    pub fn close(&self) {
        self.here().close();
    }

    /// Whether this process has left.
    pub fn is_closed(&self) -> bool {
        self.here().is_closed()
    }

    /// How many items are inside at some moment during the call, those that came back included.
    pub fn len(&self) -> Result<usize, QueueError> {
        let came_back = match self.shared.settings.ack {
            Some(_) => leases::claimable(&self.shared),
            None => 0,
        };
        Ok(self.shared.inside()?.items as usize + came_back)
    }

    /// Whether nothing is inside at some moment during the call.
    pub fn is_empty(&self) -> bool {
        !self.shared.has_items()
    }

    /// Buries those who have died, on the calling thread: for tests that end it in the middle.
    #[cfg(any(test, penstock_failpoints))]
    pub fn look_around(&self) -> Result<(), QueueError> {
        self.here().look_around()
    }

    /// Figures for people and metrics.
    pub fn statistics(&self) -> Result<Statistics, QueueError> {
        self.here().statistics()
    }
}

impl<W: Wake + Send + Sync + 'static> Drop for Queue<W> {
    fn drop(&mut self) {
        // A forked child that has never used the queue has nothing to leave.
        if let Some(here) = self.here.get() {
            here.close();
        }
    }
}

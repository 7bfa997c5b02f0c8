//! `Queue`: the hand-off of `penstock_core::ring` as a Python object.
//!
//! All pushes, pops and drops of items happen attached to the interpreter. So a garbage collector
//! that has stopped the world finds no push or pop half done, and items are released where that
//! is allowed. Where the interpreter has a global lock they exclude each other: none lets go of it
//! before a push, a pop or a list's change is complete, and the look at the other side that follows
//! belongs to it.

mod awaitable;
mod awaited;
mod blocking;
mod budget;
mod items;
mod lull;
mod methods;
mod operation;
mod orders;
pub(crate) mod refusals;
mod reservation;
mod selection;
mod shortcuts;

use std::mem::ManuallyDrop;

use penstock_core::{
    fork::Owner,
    ring::{Handoff, Turns, Unfinished},
};
use pyo3::{ffi, prelude::*};

use crate::{ending, waiter::Waiter};
pub(crate) use awaitable::{QueueOperation, install_steps, spare};
pub(crate) use blocking::{Waits, run as run_blocking};
pub(crate) use items::QueueItems;
use lull::Lulls;
pub(crate) use operation::list_of;
use operation::{Action, Operation};
pub(crate) use orders::{LifoQueue, PriorityQueue};
pub(crate) use reservation::Reservation;
pub(crate) use selection::{select, select_blocking};
pub(crate) use shortcuts::install as install_shortcuts;

/// An object's head is four words without a global lock (PEP 703) and two with it.
pub(crate) const HAS_GLOBAL_LOCK: bool = size_of::<ffi::PyObject>() == 2 * size_of::<usize>();

const TURNS: Turns = if HAS_GLOBAL_LOCK {
    Turns::OneByOne
} else {
    Turns::AtOnce
};

/// What is shared with waiters; on the heap, as Python objects are not aligned to cache lines.
struct Core {
    items: Handoff<Py<PyAny>, Waiter>,
    done: Unfinished<Waiter>,
    lulls: Lulls,
}

impl Core {
    fn unfinished(&self) -> usize {
        self.done.count(self.items.pushed())
    }

    fn finish(&self, count: usize) -> bool {
        self.done.finish(count, || self.items.pushed()).is_ok()
    }
}

/// A first-in, first-out queue between threads and event loops.
///
/// Use it wherever threads, asyncio, uvloop and trio pass items to each other, any number of each
/// on either side at once, or to replace `queue.Queue` or `asyncio.Queue` where both kinds of code
/// meet. Within one thread `collections.deque` is simpler; between processes use multiprocessing.
///
/// `maxsize` is the number of items that fit; 0 means no bound, and then memory grows with the
/// backlog. `name` stands in errors and in the repr. Raises Misuse for a negative `maxsize`.
///
/// Whoever comes first takes, waiting or not, which is the fastest; one that was woken three times
/// in vain has what it needs set aside until it is served or leaves. With `fair=True` items and
/// places are granted strictly in the order in which getters and putters came: the k-th that waits
/// to get takes the k-th item, and who comes later finds the queue empty (or full) until all before
/// it have theirs. That costs a lock for each operation, and an event loop that is blocked holds
/// back what its tasks were granted. After a shutdown the first one to look takes.
///
/// Every method may be called from every thread of the process that made the queue; in a forked
/// child all of them raise Misuse. The `a` twins are awaited in any event loop. An item that a put
/// accepted is handed out exactly once, whoever is cancelled, interrupted or out of time.
///
///     queue = Queue(1024, name="orders")
///     threading.Thread(target=queue.put_many, args=(range(10),)).start()
///     first = queue.get()                      # in a thread
///     rest = await queue.aget_many()           # in a task
#[pyclass(frozen, weakref, subclass, generic, module = "penstock")]
pub(crate) struct Queue {
    core: ManuallyDrop<Box<Core>>,
    name: Option<String>,
    owner: Owner,
    pid: u32,
}

/// The place of a not-now sentinel in the module's names.
pub(crate) fn not_now(py: Python<'_>) -> Py<PyAny> {
    awaitable::not_now(py).clone_ref(py)
}

impl Queue {
    /// A queue whose items are kept by what `store` makes of the bound.
    fn with(
        py: Python<'_>,
        maxsize: i128,
        name: Option<String>,
        store: impl FnOnce(Option<usize>) -> Handoff<Py<PyAny>, Waiter>,
    ) -> PyResult<Self> {
        let capacity = refusals::bound(py, name.as_deref(), maxsize)?;
        let items = store((capacity > 0).then_some(capacity));
        let core = Core {
            // SAFETY: with a global lock operations exclude each other (module head).
            items: unsafe { items.in_turns(TURNS) },
            done: Unfinished::default(),
            lulls: Lulls::default(),
        };
        Ok(Self {
            core: ManuallyDrop::new(Box::new(core)),
            name,
            owner: Owner::current(),
            pid: std::process::id(),
        })
    }

    fn core(&self) -> &Core {
        &self.core
    }

    fn label(&self) -> String {
        match (&self.name, self.core.items.capacity()) {
            (Some(name), _) => format!("queue '{name}'"),
            (None, Some(bound)) => format!("queue of maxsize {bound}"),
            (None, None) => "unbounded queue".to_owned(),
        }
    }

    fn pid(&self) -> u32 {
        self.pid
    }

    /// The core, unless this is a forked child: its threads and loops are not here.
    #[inline(always)]
    fn here(&self, py: Python<'_>) -> PyResult<&Core> {
        if self.owner.is_here() {
            Ok(&self.core)
        } else {
            Err(refusals::forked(py, self))
        }
    }

    /// Refuses a timeout that is none; infinity is no limit.
    fn timeout(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<f64>> {
        match timeout {
            Some(seconds) if seconds.is_nan() || seconds < 0.0 => Err(refusals::misuse(
                py,
                self,
                &format!("timeout={seconds} is no time to wait"),
                "give seconds, zero or more, or None to wait without limit",
            )),
            Some(seconds) if seconds.is_infinite() => Ok(None),
            timeout => Ok(timeout),
        }
    }

    fn batch_bounds(&self, py: Python<'_>, max: isize, min: isize) -> PyResult<Action> {
        let refuse =
            |complaint: String, hint: &str| Err(refusals::misuse(py, self, &complaint, hint));
        match (usize::try_from(min), usize::try_from(max)) {
            (_, Err(_) | Ok(0)) => refuse(format!("max={max} takes nothing"), "max is at least 1"),
            (Err(_), _) => refuse(format!("min={min} is negative"), "min is at least 0"),
            (Ok(min), Ok(max)) if min > max => {
                refuse(format!("min={min} is more than max={max}"), "raise max")
            }
            (Ok(min), Ok(max)) => {
                self.within_bound(py, min)?;
                Ok(Action::GetMany { min, max })
            }
        }
    }

    /// Refuses a batch of which no more than a part fits.
    #[cold]
    fn within_bound(&self, py: Python<'_>, min: usize) -> PyResult<()> {
        match self.core.items.capacity() {
            Some(bound) if min > bound && self.core.items.len() < min => Err(refusals::misuse(
                py,
                self,
                &format!("min={min} can never be met, as no more than {bound} items fit"),
                "lower min, or raise maxsize",
            )),
            _ => Ok(()),
        }
    }

    fn operation(slf: &Bound<'_, Self>, action: Action) -> Operation {
        Operation {
            queue: slf.clone().unbind(),
            action,
        }
    }

    fn awaitable(
        slf: &Bound<'_, Self>,
        action: Action,
        timeout: Option<f64>,
    ) -> PyResult<QueueOperation> {
        let this = slf.get();
        this.here(slf.py())?;
        let timeout = this.timeout(slf.py(), timeout)?;
        Ok(QueueOperation::new(Self::operation(slf, action), timeout))
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // In a forked child a push of another thread may have been half done for ever, and the
        // drain would wait for it: the memory goes with the process.
        if self.owner.is_here() {
            ending::outlast();
            // SAFETY: dropped once, here, and not used afterwards.
            unsafe { ManuallyDrop::drop(&mut self.core) };
        }
    }
}

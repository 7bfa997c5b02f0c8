//! `SharedQueue`: the queue of `penstock_core::shm` as a Python object.
//!
//! An object is encoded before anything of the queue is looked at, and decoded after it was taken:
//! so one that cannot be pickled changes nothing, and Python code that runs in between finds every
//! lock free. What is copied in large pieces, and every sleep, happens without the interpreter.

mod blocking;
mod born;
mod items;
mod lease;
mod methods;
mod operation;
mod pack;
mod refusals;
mod shortcuts;
mod unpack;
mod whole;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, TryLockError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use penstock_core::{
    fork::PerProcess,
    shm::queue::{self as core, Batch, QueueError, Taken},
};
use pyo3::prelude::*;

use crate::{queue::QueueOperation, waiter::Waiter};
pub(crate) use born::born_at_once;
pub(crate) use items::SharedItems;
pub(crate) use lease::Lease;
pub(crate) use operation::Operation;
use operation::{Action, Form};
pub(crate) use shortcuts::install as install_shortcuts;
use whole::Whole;

/// A first-in, first-out queue between processes, threads and event loops, which any of them may leave
/// at any instruction.
///
/// Use it wherever processes of one machine pass items to each other: workers that may be killed, C
/// programs, numpy arrays. A death (SIGKILL too) or a stop of one process harms no other: what it had put
/// is taken by the others, what waited beside it is woken. Within one process `Queue` is ten times
/// cheaper; across machines take a broker; what has to survive the machine goes to a `MessageQueue`.
///
/// `max_bytes` bounds what is inside, pickled items and arrays together; a single item may take all of
/// it. `max_items` bounds their number. Both may be exceeded by one item for each process that puts at
/// the same moment. `arena_bytes` is how much of arrays and other large buffers each process may have
/// out, those included that somebody still looks at; twice `max_bytes` by default. Memory is taken as
/// it is used. `spin` is how many seconds getters and putters look before they sleep, rather than 20 µs where
/// that was of use lately: it costs a processor and saves a wake, on machines with processors to spare. `name` stands in errors, and is what
/// `SharedQueue.attach(name)` joins by.
///
/// With `ack=True` items are taken by `lease`: they stay the queue's until they are acknowledged, and go
/// to another taker when theirs dies or `lease` seconds are up. The get methods are refused then.
///
/// Every method may be called from every thread, and from every process that has the queue: one that it
/// was handed to (as an argument of `multiprocessing.Process`, spawned or forked), that was forked from
/// one, or that attached by its name. The `a` twins are awaited in any event loop. Raises Misuse for
/// settings that make no queue, MemoryError where there is no memory for it.
///
/// Plain values (None, bools, ints, floats, strings, bytes, flat tuples, lists and dicts of those) travel
/// by a short code, everything else by pickle, protocol 5, with buffers of 16 KiB and more beside it in
/// shared memory. So take part only with processes that you trust to run code here.
///
///     queue = SharedQueue(name="orders")
///     multiprocessing.Process(target=work, args=(queue,)).start()
///     queue.put({"id": 12345, "price": 9.99})  # in a thread
///     answer = await queue.aget()              # in a task
#[pyclass(frozen, weakref, subclass, generic, module = "penstock")]
pub(crate) struct SharedQueue {
    queue: Arc<core::Queue<Waiter>>,
    spin: Duration,
    /// What one taker leaves for the next to take into. Busy, or for ever so after a fork, it is done
    /// without.
    batch: Mutex<Batch>,
    /// The errors of items that were in one batch with others and could not be rebuilt, as they are
    /// raised by the next takers of this process; a forked child leaves its parent's to the parent.
    unread: PerProcess<Mutex<Vec<PyErr>>>,
    has_unread: AtomicBool,
}

/// A batch for the moment: the queue's own one if that is free.
enum Place<'a> {
    Kept(MutexGuard<'a, Batch>),
    Own(Batch),
}

impl Place<'_> {
    fn batch(&mut self) -> &mut Batch {
        match self {
            Self::Kept(batch) => batch,
            Self::Own(batch) => batch,
        }
    }
}

impl SharedQueue {
    fn with(queue: Arc<core::Queue<Waiter>>, spin: Duration) -> Self {
        Self {
            queue,
            spin,
            batch: Mutex::default(),
            unread: PerProcess::new(),
            has_unread: AtomicBool::new(false),
        }
    }

    fn label(&self) -> String {
        label(self.queue.name(), self.queue.settings().max_bytes)
    }

    #[inline(always)]
    fn place(&self) -> Place<'_> {
        match self.batch.try_lock() {
            Ok(mut batch) => {
                // Items that an unwinding taker left there are lost as it is.
                batch.clear();
                Place::Kept(batch)
            }
            Err(TryLockError::Poisoned(_) | TryLockError::WouldBlock) => Place::Own(Batch::new()),
        }
    }

    /// Takes one item, and makes of it what `form` says; `None` if there is none now.
    #[inline]
    fn take(slf: &Bound<'_, Self>, form: Form) -> PyResult<Option<Py<PyAny>>> {
        let this = slf.get();
        this.raise_unread()?;
        let mut place = this.place();
        match this.queue.take(1, usize::MAX, place.batch()) {
            Ok(_) => {}
            Err(failure) => return Err(refusals::of_take(slf.py(), this, failure)),
        }
        match place.batch().pop() {
            Some(taken) => this.rebuild(slf, form, taken).map(Some),
            None => Ok(None),
        }
    }

    /// Takes up to `max` items. What of them cannot be rebuilt is raised to the next takers.
    fn take_many(slf: &Bound<'_, Self>, form: Form, max: usize) -> PyResult<Vec<Py<PyAny>>> {
        let this = slf.get();
        this.raise_unread()?;
        let mut place = this.place();
        let mut items = Vec::new();
        let mut unread = Vec::new();
        match this.queue.take(max, usize::MAX, place.batch()) {
            Ok(count) => items.reserve_exact(count),
            Err(failure) => return Err(refusals::of_take(slf.py(), this, failure)),
        }
        loop {
            // Most are, and one goes this way in half the time.
            while let Some((code, content)) = place.batch().plain()
                && let Some(item) = unpack::plain(slf.py(), form, code, content)
            {
                items.push(item.unbind());
                place.batch().skip();
            }
            let Some(taken) = place.batch().pop() else {
                break;
            };
            match this.rebuild(slf, form, taken) {
                Ok(item) => items.push(item),
                Err(failure) => unread.push(failure),
            }
        }
        drop(place);
        if !unread.is_empty() {
            this.keep_unread(unread);
            if items.is_empty() {
                this.raise_unread()?;
            }
        }
        Ok(items)
    }

    #[inline]
    fn rebuild(&self, slf: &Bound<'_, Self>, form: Form, taken: Taken<'_>) -> PyResult<Py<PyAny>> {
        let lease = taken.lease;
        let item = match form {
            Form::Bytes => unpack::bytes(slf.py(), taken),
            Form::Item | Form::Lease => unpack::object(slf.py(), taken),
        };
        match (item, lease) {
            (Ok(item), None) => Ok(item.unbind()),
            (Ok(item), Some(lease)) => Lease::new(slf, lease, item).map(Py::into_any),
            (Err(unreadable), lease) => Err(unreadable.into_error(slf, lease)),
        }
    }

    #[cold]
    fn keep_unread(&self, mut unread: Vec<PyErr>) {
        unread.reverse();
        if let Ok(mut kept) = self.unread.get_or_make(Arc::default).lock() {
            kept.splice(0..0, unread);
            self.has_unread.store(true, Ordering::Relaxed);
        }
    }

    /// Raises the error of an item that was taken before.
    #[inline(always)]
    fn raise_unread(&self) -> PyResult<()> {
        if self.has_unread.load(Ordering::Relaxed) {
            return self.next_unread().map_or(Ok(()), Err);
        }
        Ok(())
    }

    #[cold]
    fn next_unread(&self) -> Option<PyErr> {
        let Some(unread) = self.unread.get() else {
            self.has_unread.store(false, Ordering::Relaxed);
            return None;
        };
        let mut kept = unread.try_lock().ok()?;
        let next = kept.pop();
        self.has_unread.store(!kept.is_empty(), Ordering::Relaxed);
        next
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

    /// Refuses to take without a lease what has to be acknowledged, and the other way round.
    #[inline]
    fn check(&self, py: Python<'_>, form: Form) -> PyResult<()> {
        if (form == Form::Lease) == self.queue.settings().ack.is_some() {
            return Ok(());
        }
        Err(refusals::wrong_form(py, self, form))
    }

    /// Refuses what asks of a queue that this process has left.
    fn check_open(&self, py: Python<'_>) -> PyResult<()> {
        if self.queue.is_closed() {
            return Err(refusals::of(py, self, QueueError::Closed));
        }
        Ok(())
    }

    fn batch_bounds(
        &self,
        py: Python<'_>,
        form: Form,
        Whole(max): Whole,
        Whole(min): Whole,
    ) -> PyResult<Action> {
        let refuse =
            |complaint: String, hint: &str| Err(refusals::misuse(py, self, &complaint, hint));
        if max < 1 {
            return refuse(format!("max={max} takes nothing"), "max is at least 1");
        }
        if min < 0 {
            return refuse(format!("min={min} is negative"), "min is at least 0");
        }
        if min > max {
            return refuse(format!("min={min} is more than max={max}"), "raise max");
        }
        if let Some(bound) = self.queue.settings().max_items
            && min > bound.into()
        {
            return refuse(
                format!("min={min} can never be met, as no more than {bound} items fit"),
                "lower min, or make the queue with a larger max_items",
            );
        }
        let [min, max] = [min, max].map(|count| count.min(isize::MAX as i128) as usize);
        Ok(Action::TakeMany { form, min, max })
    }

    fn operation(slf: &Bound<'_, Self>, verb: &'static str, action: Action) -> Operation {
        Operation::new(slf.clone().unbind(), verb, action)
    }

    fn awaitable(
        slf: &Bound<'_, Self>,
        verb: &'static str,
        action: Action,
        timeout: Option<f64>,
    ) -> PyResult<QueueOperation> {
        let timeout = slf.get().timeout(slf.py(), timeout)?;
        Ok(QueueOperation::new(
            Self::operation(slf, verb, action),
            timeout,
        ))
    }
}

impl Drop for SharedQueue {
    fn drop(&mut self) {
        if self.has_unread.load(Ordering::Relaxed) {
            Python::attach(|py| {
                while let Some(failure) = self.next_unread() {
                    failure.write_unraisable(py, None);
                }
            });
        }
    }
}

/// What a queue is called in errors.
fn label(name: Option<&str>, max_bytes: usize) -> String {
    name.map_or_else(
        || format!("shared queue of {max_bytes} bytes"),
        |name| format!("shared queue '{name}'"),
    )
}

/// Whether a refusal means: not now.
fn is_full(failure: &QueueError) -> bool {
    matches!(failure, QueueError::Full)
}

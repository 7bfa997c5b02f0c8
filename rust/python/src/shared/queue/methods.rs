//! The methods of `SharedQueue`, as Python code sees them.

use std::{
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    sync::Mutex,
    time::Duration,
};

use penstock_core::shm::queue::{self as core, Acknowledged, Settings, Shutdown};
use pyo3::{prelude::*, types::PyType};

use super::{
    SharedQueue, blocking,
    items::SharedItems,
    operation::{Action, Form},
    pack::{Pack, send_array},
    refusals,
    whole::Whole,
};
use crate::queue::QueueOperation;

/// How many items can be out under a lease where `max_items` does not say.
const LEASES: u32 = 1024;

fn one(item: &Bound<'_, PyAny>) -> PyResult<Action> {
    let mut pack = Pack::default();
    pack.add(item)?;
    Ok(Action::Put(Mutex::new(pack)))
}

fn raw(record: &Bound<'_, PyAny>) -> PyResult<Action> {
    let mut pack = Pack::default();
    pack.add_bytes(record)?;
    Ok(Action::Put(Mutex::new(pack)))
}

fn many(items: &Bound<'_, PyAny>) -> PyResult<Action> {
    let mut pack = Pack::default();
    for item in items.try_iter()? {
        pack.add(&item?)?;
    }
    Ok(Action::PutMany(Mutex::new(pack)))
}

impl SharedQueue {
    fn run(
        slf: &Bound<'_, Self>,
        verb: &'static str,
        action: Action,
        timeout: Option<f64>,
    ) -> PyResult<Py<PyAny>> {
        let operation = Self::operation(slf, verb, action);
        blocking::run(slf.py(), &operation, timeout)
    }

    /// The time that a call may wait.
    fn time(&self, py: Python<'_>, block: bool, timeout: Option<f64>) -> PyResult<Option<f64>> {
        if block {
            self.timeout(py, timeout)
        } else {
            Ok(Some(0.0))
        }
    }

    fn get_one(
        slf: &Bound<'_, Self>,
        verb: &'static str,
        form: Form,
        block: bool,
        timeout: Option<f64>,
    ) -> PyResult<Py<PyAny>> {
        let this = slf.get();
        let timeout = this.time(slf.py(), block, timeout)?;
        this.check(slf.py(), form)?;
        Self::run(slf, verb, Action::Take(form), timeout)
    }

    fn get_some(
        slf: &Bound<'_, Self>,
        verb: &'static str,
        form: Form,
        (max, min): (Whole, Whole),
        timeout: Option<f64>,
    ) -> PyResult<Py<PyAny>> {
        let this = slf.get();
        this.check(slf.py(), form)?;
        let action = this.batch_bounds(slf.py(), form, max, min)?;
        let timeout = this.timeout(slf.py(), timeout)?;
        Self::run(slf, verb, action, timeout)
    }

    fn await_one(
        slf: &Bound<'_, Self>,
        verb: &'static str,
        form: Form,
        timeout: Option<f64>,
    ) -> PyResult<QueueOperation> {
        slf.get().check(slf.py(), form)?;
        Self::awaitable(slf, verb, Action::Take(form), timeout)
    }

    fn await_some(
        slf: &Bound<'_, Self>,
        verb: &'static str,
        form: Form,
        (max, min): (Whole, Whole),
        timeout: Option<f64>,
    ) -> PyResult<QueueOperation> {
        slf.get().check(slf.py(), form)?;
        let action = slf.get().batch_bounds(slf.py(), form, max, min)?;
        Self::awaitable(slf, verb, action, timeout)
    }
}

/// A size that is given in whole units, at least one and not more than `most`.
fn positive(
    py: Python<'_>,
    name: Option<&str>,
    what: &str,
    Whole(size): Whole,
    most: usize,
) -> PyResult<usize> {
    let (complaint, hint) = match usize::try_from(size) {
        Ok(0) | Err(_) if size <= 0 => ("makes no queue", "give one or more".to_owned()),
        Ok(size) if size <= most => return Ok(size),
        _ => (
            "is more than a queue can have",
            format!("give {most} at most"),
        ),
    };
    let complaint = format!("{what}={size} {complaint}");
    Err(refusals::setting(py, name, &complaint, &hint))
}

fn seconds(py: Python<'_>, name: Option<&str>, what: &str, time: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(time).map_err(|_| {
        refusals::setting(
            py,
            name,
            &format!("{what}={time:?} is no time"),
            "give seconds, zero or more, and not without end",
        )
    })
}

#[pymethods]
impl SharedQueue {
    #[new]
    #[pyo3(signature = (max_bytes = Whole(8388608), max_items = None, *, ack = false, lease = 30.0, spin = 0.0, arena_bytes = None, name = None), text_signature = "(max_bytes=8388608, max_items=None, *, ack=False, lease=30.0, spin=0.0, arena_bytes=None, name=None)")]
    #[expect(clippy::too_many_arguments, reason = "the signature of the class")]
    fn new(
        py: Python<'_>,
        max_bytes: Whole,
        max_items: Option<Whole>,
        ack: bool,
        lease: f64,
        spin: f64,
        arena_bytes: Option<Whole>,
        name: Option<String>,
    ) -> PyResult<Self> {
        let called = name.as_deref();
        let mut settings = Settings::new(positive(
            py,
            called,
            "max_bytes",
            max_bytes,
            Settings::MOST_BYTES,
        )?);
        if let Some(Whole(max_items)) = max_items {
            // More than that never fit into any memory: no bound.
            let bounded = Whole(max_items.min(isize::MAX as i128));
            let items = positive(py, called, "max_items", bounded, usize::MAX)?;
            let items = u32::try_from(items).ok();
            settings.max_items = items.filter(|items| *items <= Settings::MOST_ITEMS);
        }
        if let Some(arena_bytes) = arena_bytes {
            let most = Settings::MOST_ARENA_BYTES;
            settings.arena_bytes = positive(py, called, "arena_bytes", arena_bytes, most)?;
        }
        let lease = seconds(py, called, "lease", lease)?;
        if ack {
            if lease.is_zero() {
                let complaint = "lease=0 leaves no time to acknowledge an item";
                let hint = "give the seconds that dealing with an item may take";
                return Err(refusals::setting(py, called, complaint, hint));
            }
            let leases = settings.max_items.unwrap_or(LEASES).clamp(64, 1 << 16);
            settings.ack = Some(Acknowledged { lease, leases });
        }
        let spin = seconds(py, called, "spin", spin)?;
        let label = super::label(called, settings.max_bytes);
        let queue = py.detach(|| match called {
            Some(name) => core::Queue::create_named(settings, name),
            None => core::Queue::create(settings),
        });
        let queue = queue.map_err(|failure| refusals::of_labelled(py, &label, failure))?;
        Ok(Self::with(queue, spin))
    }

    /// Joins the queue of that name, through any process that has it.
    ///
    /// Names are those of one user's processes that see each other's pids, and live as long as one of
    /// these has the queue. `timeout` is how many seconds it may take until one answers; `spin` is as for a
    /// new queue. Raises Misuse where nobody has a queue of that name, or one of another version of
    /// penstock, and Expired where all who have it are stopped. Blocks the calling thread without the
    /// interpreter.
    #[classmethod]
    #[pyo3(signature = (name, *, spin = 0.0, timeout = 5.0))]
    fn attach(class: &Bound<'_, PyType>, name: &str, spin: f64, timeout: f64) -> PyResult<Self> {
        let py = class.py();
        let spin = seconds(py, Some(name), "spin", spin)?;
        let timeout = seconds(py, Some(name), "timeout", timeout)?;
        let queue = py.detach(|| core::Queue::find(name, timeout));
        let label = super::label(Some(name), 0);
        let queue = queue.map_err(|failure| refusals::of_labelled(py, &label, failure))?;
        Ok(Self::with(queue, spin))
    }

    /// The queue behind a descriptor, which is taken over.
    #[classmethod]
    #[pyo3(signature = (fd, spin, /))]
    fn _attach(class: &Bound<'_, PyType>, fd: RawFd, spin: f64) -> PyResult<Self> {
        let py = class.py();
        // SAFETY: the caller gives the descriptor away, as the docstring says.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let spin = seconds(py, None, "spin", spin)?;
        let queue = core::Queue::attach(fd);
        let queue = queue.map_err(|failure| refusals::of_labelled(py, "shared queue", failure))?;
        Ok(Self::with(queue, spin))
    }

    /// Puts `item` in, waiting while the queue is full.
    ///
    /// It is pickled first, unless it has a short code, and what that raises is raised before anything is
    /// changed; the queue never holds a reference to it. `timeout` is in seconds, None for no limit; with
    /// `block=False` nothing is waited for. Raises QueueFull when the time is up, QueueShutDown after a
    /// shutdown, Misuse for an item larger than the queue, Closed after `close`, MemoryError where the
    /// machine or the cgroup has no memory for it; the item is then not in the queue. Blocks the calling
    /// thread without the interpreter; Ctrl-C ends the wait at once. Never call it where it may wait on a
    /// loop's own thread: await `aput` there.
    #[pyo3(signature = (item, block = true, timeout = None))]
    fn put(
        slf: &Bound<'_, Self>,
        item: &Bound<'_, PyAny>,
        block: bool,
        timeout: Option<f64>,
    ) -> PyResult<()> {
        let timeout = slf.get().time(slf.py(), block, timeout)?;
        if send_array(slf.get(), item) {
            return Ok(());
        }
        Self::run(slf, "put", one(item)?, timeout).map(drop)
    }

    /// Puts `item` in, or raises QueueFull at once.
    #[pyo3(signature = (item))]
    fn put_nowait(slf: &Bound<'_, Self>, item: &Bound<'_, PyAny>) -> PyResult<()> {
        if send_array(slf.get(), item) {
            return Ok(());
        }
        Self::run(slf, "put_nowait", one(item)?, Some(0.0)).map(drop)
    }

    /// Puts bytes in as they are, from any object with the buffer interface.
    ///
    /// This is what a program in another language reads and writes; `get_bytes` takes them, and `get`
    /// too. Waits and raises as `put` does.
    #[pyo3(signature = (record, block = true, timeout = None))]
    fn put_bytes(
        slf: &Bound<'_, Self>,
        record: &Bound<'_, PyAny>,
        block: bool,
        timeout: Option<f64>,
    ) -> PyResult<()> {
        let timeout = slf.get().time(slf.py(), block, timeout)?;
        Self::run(slf, "put_bytes", raw(record)?, timeout).map(drop)
    }

    /// Puts all of `items` in, in order, waiting while the queue is full.
    ///
    /// The iterable is exhausted and every item pickled first, so one that cannot be keeps all of them
    /// out. They go in as room comes; those of other putters may come between them. `timeout`, in seconds,
    /// is for the whole batch. Raises as `put` does; the error's `accepted` says how many went in and
    /// stay in.
    #[pyo3(signature = (items, timeout = None))]
    fn put_many(
        slf: &Bound<'_, Self>,
        items: &Bound<'_, PyAny>,
        timeout: Option<f64>,
    ) -> PyResult<()> {
        let timeout = slf.get().timeout(slf.py(), timeout)?;
        Self::run(slf, "put_many", many(items)?, timeout).map(drop)
    }

    /// Takes the oldest item out, waiting while there is none.
    ///
    /// Oldest of one putter's: those of several putters take turns. Arrays come out as read-only views of
    /// shared memory, which stay valid as long as somebody has them. `timeout` is in seconds, None for no
    /// limit; with `block=False` nothing is waited for. Raises QueueEmpty when the time is up,
    /// QueueShutDown when the queue is shut down and drained, Closed after `close`, Unreadable for an item
    /// that cannot be rebuilt here (it is out of the queue then), Misuse where items have to be
    /// acknowledged. Blocks the calling thread without the interpreter; Ctrl-C ends the wait at once and
    /// takes nothing.
    #[pyo3(signature = (block = true, timeout = None))]
    fn get(slf: &Bound<'_, Self>, block: bool, timeout: Option<f64>) -> PyResult<Py<PyAny>> {
        Self::get_one(slf, "get", Form::Item, block, timeout)
    }

    /// Takes the oldest item out, or raises QueueEmpty at once.
    #[pyo3(signature = ())]
    fn get_nowait(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        Self::get_one(slf, "get_nowait", Form::Item, false, None)
    }

    /// Takes the oldest item out as bytes; for what `put_bytes` or a program in another language put.
    ///
    /// Waits and raises as `get` does. An item that was put as an object is Unreadable here, and its
    /// `record` the bytes of it.
    #[pyo3(signature = (block = true, timeout = None))]
    fn get_bytes(slf: &Bound<'_, Self>, block: bool, timeout: Option<f64>) -> PyResult<Py<PyAny>> {
        Self::get_one(slf, "get_bytes", Form::Bytes, block, timeout)
    }

    /// Takes between `min` and `max` items out as a list, each putter's in its order.
    ///
    /// Waits until `min` are there, holding none meanwhile, and returns what is there, so under load
    /// batches grow by themselves. Where another taker is quicker, it may be fewer than `min`. With
    /// `min=0` it never waits. After a shutdown the rest comes even if it is fewer. An item that cannot be
    /// rebuilt is raised by the next call instead, as Unreadable, so that the others are not lost. Raises
    /// as `get` does, and Misuse if `min` can never be met.
    #[pyo3(signature = (max = Whole(256), min = Whole(1), timeout = None), text_signature = "($self, max=256, min=1, timeout=None)")]
    fn get_many(
        slf: &Bound<'_, Self>,
        max: Whole,
        min: Whole,
        timeout: Option<f64>,
    ) -> PyResult<Py<PyAny>> {
        Self::get_some(slf, "get_many", Form::Item, (max, min), timeout)
    }

    /// Takes the oldest item out under a lease, waiting while there is none; for a queue with `ack=True`.
    ///
    /// Returns a Lease: `with queue.lease() as item` acknowledges the item when the block ends and gives it
    /// back when the block raises. Until then it is nobody else's; when this process dies, or the queue's
    /// `lease` seconds are up, another taker gets it. Waits and raises as `get` does.
    #[pyo3(signature = (block = true, timeout = None))]
    fn lease(slf: &Bound<'_, Self>, block: bool, timeout: Option<f64>) -> PyResult<Py<PyAny>> {
        Self::get_one(slf, "lease", Form::Lease, block, timeout)
    }

    /// Takes between `min` and `max` items out, each under a lease of its own; see `get_many`.
    #[pyo3(signature = (max = Whole(256), min = Whole(1), timeout = None), text_signature = "($self, max=256, min=1, timeout=None)")]
    fn lease_many(
        slf: &Bound<'_, Self>,
        max: Whole,
        min: Whole,
        timeout: Option<f64>,
    ) -> PyResult<Py<PyAny>> {
        Self::get_some(slf, "lease_many", Form::Lease, (max, min), timeout)
    }

    /// Leases, until the queue is shut down and drained; in `for` and `async for`.
    fn leases(slf: &Bound<'_, Self>) -> PyResult<SharedItems> {
        SharedItems::new(slf, Form::Lease)
    }

    /// As `put`, for tasks: awaited in asyncio, uvloop or trio.
    ///
    /// The item is pickled at the call. If there is room the await does not yield, except that the loop
    /// gets a turn every 1,024 items or 100 µs. Cancelled, it has not put the item. Raises as `put` does, and
    /// Misuse outside of a loop.
    #[pyo3(signature = (item, timeout = None))]
    fn aput(
        slf: &Bound<'_, Self>,
        item: &Bound<'_, PyAny>,
        timeout: Option<f64>,
    ) -> PyResult<QueueOperation> {
        Self::awaitable(slf, "aput", one(item)?, timeout)
    }

    /// As `put_bytes`, for tasks.
    #[pyo3(signature = (record, timeout = None))]
    fn aput_bytes(
        slf: &Bound<'_, Self>,
        record: &Bound<'_, PyAny>,
        timeout: Option<f64>,
    ) -> PyResult<QueueOperation> {
        Self::awaitable(slf, "aput_bytes", raw(record)?, timeout)
    }

    /// As `put_many`, for tasks; cancelled, the items that went in before stay in.
    #[pyo3(signature = (items, timeout = None))]
    fn aput_many(
        slf: &Bound<'_, Self>,
        items: &Bound<'_, PyAny>,
        timeout: Option<f64>,
    ) -> PyResult<QueueOperation> {
        Self::awaitable(slf, "aput_many", many(items)?, timeout)
    }

    /// As `get`, for tasks: awaited in asyncio, uvloop or trio.
    ///
    /// If an item is there it does not yield, except that the loop gets a turn, in which a cancel is
    /// raised, every 1,024 items or 100 µs. Cancelled, it has taken nothing.
    #[pyo3(signature = (timeout = None))]
    fn aget(slf: &Bound<'_, Self>, timeout: Option<f64>) -> PyResult<QueueOperation> {
        Self::await_one(slf, "aget", Form::Item, timeout)
    }

    /// As `get_bytes`, for tasks; cancelled, it has taken nothing.
    #[pyo3(signature = (timeout = None))]
    fn aget_bytes(slf: &Bound<'_, Self>, timeout: Option<f64>) -> PyResult<QueueOperation> {
        Self::await_one(slf, "aget_bytes", Form::Bytes, timeout)
    }

    /// As `get_many`, for tasks; cancelled, it has taken nothing.
    #[pyo3(signature = (max = Whole(256), min = Whole(1), timeout = None), text_signature = "($self, max=256, min=1, timeout=None)")]
    fn aget_many(
        slf: &Bound<'_, Self>,
        max: Whole,
        min: Whole,
        timeout: Option<f64>,
    ) -> PyResult<QueueOperation> {
        Self::await_some(slf, "aget_many", Form::Item, (max, min), timeout)
    }

    /// As `lease`, for tasks; cancelled, it has taken nothing.
    #[pyo3(signature = (timeout = None))]
    fn alease(slf: &Bound<'_, Self>, timeout: Option<f64>) -> PyResult<QueueOperation> {
        Self::await_one(slf, "alease", Form::Lease, timeout)
    }

    /// As `lease_many`, for tasks; cancelled, it has taken nothing.
    #[pyo3(signature = (max = Whole(256), min = Whole(1), timeout = None), text_signature = "($self, max=256, min=1, timeout=None)")]
    fn alease_many(
        slf: &Bound<'_, Self>,
        max: Whole,
        min: Whole,
        timeout: Option<f64>,
    ) -> PyResult<QueueOperation> {
        Self::await_some(slf, "alease_many", Form::Lease, (max, min), timeout)
    }

    /// Writable memory of `length` bytes in this process's arena, as an object with the buffer interface.
    #[pyo3(signature = (length, timeout, /))]
    fn _allocate(
        slf: &Bound<'_, Self>,
        length: Whole,
        timeout: Option<f64>,
    ) -> PyResult<Py<PyAny>> {
        let timeout = slf.get().timeout(slf.py(), timeout)?;
        let length = usize::try_from(length.0).unwrap_or(usize::MAX);
        Self::run(slf, "empty", Action::Allocate(length), timeout)
    }

    /// Refuses further puts in every process, now and for good; everybody who waits is told.
    ///
    /// Gets go on until the queue is drained and raise QueueShutDown then. With `immediate` what is inside
    /// is dropped. May be called again, by anybody.
    #[pyo3(signature = (immediate = false))]
    fn shutdown(&self, py: Python<'_>, immediate: bool) -> PyResult<()> {
        let shutdown = py.detach(|| self.queue.shutdown(immediate));
        shutdown.map_err(|failure| refusals::of(py, self, failure))
    }

    /// Whether `shutdown` was called, in whatever process.
    #[getter]
    fn is_shutdown(&self) -> bool {
        self.queue.is_shutdown() != Shutdown::Open
    }

    /// Leaves the queue: this process takes part no more. The other ones go on.
    ///
    /// What it put stays inside; views of arrays stay valid. Whoever waits here is told by Closed, and so
    /// is every later call. May be called again. A queue that is dropped, or whose process ends, is left
    /// without that; `with` leaves it at the end of the block.
    fn close(&self, py: Python<'_>) {
        py.detach(|| self.queue.close());
    }

    /// Whether this process has left the queue.
    #[getter]
    fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __exit__(
        &self,
        py: Python<'_>,
        _kind: &Bound<'_, PyAny>,
        _value: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) {
        self.close(py);
    }

    /// How many items are inside; with others at work, at some moment during the call.
    fn qsize(&self, py: Python<'_>) -> PyResult<usize> {
        self.check_open(py)?;
        let length = self.queue.len();
        length.map_err(|failure| refusals::of(py, self, failure))
    }

    /// Whether nothing is inside, at some moment during the call.
    fn empty(&self, py: Python<'_>) -> PyResult<bool> {
        self.check_open(py)?;
        Ok(self.queue.is_empty())
    }

    /// Whether nothing more fits, at some moment during the call.
    fn full(&self, py: Python<'_>) -> PyResult<bool> {
        let settings = self.queue.settings();
        let figures = self.queue.statistics();
        let figures = figures.map_err(|failure| refusals::of(py, self, failure))?;
        let is_reached = |bound: u32| figures.items >= bound as usize;
        Ok(figures.bytes >= settings.max_bytes || settings.max_items.is_some_and(is_reached))
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        self.qsize(py)
    }

    // `if queue:` asks whether there is one, with the standard library's queues as with this.
    fn __bool__(&self) -> bool {
        true
    }

    /// The name given, or None.
    #[getter]
    fn name(&self) -> Option<&str> {
        self.queue.name()
    }

    /// What tells this queue from every other one.
    #[getter]
    fn _id(&self) -> u128 {
        self.queue.id()
    }

    /// The bound in bytes.
    #[getter]
    fn max_bytes(&self) -> usize {
        self.queue.settings().max_bytes
    }

    /// The bound in items; None without one.
    #[getter]
    fn max_items(&self) -> Option<u32> {
        self.queue.settings().max_items
    }

    /// Bytes of arrays and other large buffers that each process may have out.
    #[getter]
    fn arena_bytes(&self) -> usize {
        self.queue.settings().arena_bytes
    }

    /// Whether items have to be acknowledged.
    #[getter]
    fn ack(&self) -> bool {
        self.queue.settings().ack.is_some()
    }

    /// How long getters and putters of this process look before they sleep, in seconds.
    #[getter]
    fn spin(&self) -> f64 {
        self.spin.as_secs_f64()
    }

    /// The descriptor of the queue's memory; it stays the queue's.
    fn fileno(&self) -> RawFd {
        self.queue.fd().as_raw_fd()
    }

    /// The raw figures of `statistics()`, in the order of its fields.
    #[expect(clippy::type_complexity, reason = "the fields of one named tuple")]
    fn _figures(
        &self,
        py: Python<'_>,
    ) -> PyResult<(
        (usize, usize, usize, usize, usize),
        (usize, usize),
        (u64, u64, u64, u64, u64),
        (usize, usize),
    )> {
        let figures = self.queue.statistics();
        let figures = figures.map_err(|failure| refusals::of(py, self, failure))?;
        Ok((
            (
                figures.items,
                figures.bytes,
                figures.leased,
                figures.participants,
                figures.dead,
            ),
            (figures.getters, figures.putters),
            (
                figures.sent,
                figures.taken,
                figures.wakes,
                figures.system_calls,
                figures.burials,
            ),
            (figures.slabs, figures.held),
        ))
    }

    /// The figures of this queue: SharedQueueStatistics.
    ///
    /// Costs a few microseconds and stops nobody; figures that belong to different moments may disagree by
    /// what happened in between.
    fn statistics(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        let module = py.import("penstock.shared.statistics")?;
        let figures = module.call_method1("statistics_of", (slf,))?;
        Ok(figures.unbind())
    }

    fn __iter__(slf: &Bound<'_, Self>) -> PyResult<SharedItems> {
        SharedItems::new(slf, Form::Item)
    }

    fn __aiter__(slf: &Bound<'_, Self>) -> PyResult<SharedItems> {
        SharedItems::new(slf, Form::Item)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let this = slf.get();
        let name = this
            .name()
            .map_or_else(String::new, |name| format!(" '{name}'"));
        let class = slf.get_type().name()?;
        let head = format!("{class}{name}, max_bytes {}", this.max_bytes());
        if this.is_closed() {
            return Ok(format!("<{head}, closed>"));
        }
        let shut_down = if this.is_shutdown() {
            ", shut down"
        } else {
            ""
        };
        Ok(format!(
            "<{head}, {} items{shut_down}>",
            this.qsize(slf.py())?
        ))
    }

    fn __reduce__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let passing = slf.py().import("penstock.shared.passing")?;
        Ok(passing.call_method1("reduce", (slf,))?.unbind())
    }
}

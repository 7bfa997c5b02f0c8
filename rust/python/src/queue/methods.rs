//! The methods of `Queue`, as Python code sees them.

use penstock_core::ring::{Handoff, Order, Refusal};
use pyo3::{
    PyTraverseError, exceptions::PyTypeError, gc::PyVisit, prelude::*, sync::PyOnceLock,
    types::PyType,
};

use super::{
    Core, Queue,
    awaitable::QueueOperation,
    blocking,
    items::QueueItems,
    operation::{Action, Batch},
    refusals,
};
use crate::ending;

fn collect(items: &Bound<'_, PyAny>) -> PyResult<Action> {
    ending::outlast();
    let items = items.try_iter()?.map(|item| item.map(Bound::unbind));
    Ok(Action::PutMany(Box::new(Batch::new(
        items.collect::<PyResult<_>>()?,
    ))))
}

impl Queue {
    /// Of items that were dropped. Some may have been reported already: `task_done` does not know
    /// which item it is for.
    fn count_as_done(core: &Core, count: usize) {
        for _ in 0..count {
            core.finish(1);
        }
        core.done.call_all();
    }
}

#[pymethods]
impl Queue {
    #[new]
    #[pyo3(signature = (maxsize = 0, *, name = None, fair = false))]
    fn new(py: Python<'_>, maxsize: i128, name: Option<String>, fair: bool) -> PyResult<Self> {
        Self::with(py, maxsize, name, |capacity| match fair {
            true => Handoff::in_order(capacity, Order::OldestFirst, true),
            false => Handoff::new(capacity),
        })
    }

    /// Puts `item` in, waiting while the queue is full.
    ///
    /// `timeout` is in seconds, None for no limit; with `block=False` nothing is waited for. Raises
    /// QueueFull when the time is up and QueueShutDown after a shutdown; the item is then not in the
    /// queue. Blocks the calling thread without the interpreter; Ctrl-C ends the wait at once. Never
    /// call it where it may wait on a loop's own thread: await `aput` there.
    #[pyo3(signature = (item, block = true, timeout = None))]
    fn put(
        slf: &Bound<'_, Self>,
        item: Py<PyAny>,
        block: bool,
        timeout: Option<f64>,
    ) -> PyResult<()> {
        let this = slf.get();
        let py = slf.py();
        let timeout = if block {
            this.timeout(py, timeout)?
        } else {
            Some(0.0)
        };
        match this.here(py)?.items.push(item, None) {
            Ok(()) => Ok(()),
            Err((Refusal::NotNow, item)) => {
                blocking::run(py, &Self::operation(slf, Action::Put(item)), timeout).map(drop)
            }
            Err((refusal, _)) => Err(refusals::of_put(py, this, refusal)),
        }
    }

    /// Puts `item` in, or raises QueueFull at once.
    ///
    /// Any thread, signal handlers and callbacks of event loops included. Raises QueueShutDown after a
    /// shutdown.
    fn put_nowait(&self, py: Python<'_>, item: Py<PyAny>) -> PyResult<()> {
        match self.here(py)?.items.push(item, None) {
            Ok(()) => Ok(()),
            Err((refusal, _)) => Err(refusals::of_put(py, self, refusal)),
        }
    }

    /// Puts all of `items` in, in order, waiting while the queue is full.
    ///
    /// The iterable is exhausted first, so an endless one never returns. The items go in as room comes;
    /// those of other putters may come between them. `timeout`, in seconds, is for the whole batch.
    /// Raises QueueFull or QueueShutDown, whose `accepted` says how many went in and stay in. About a
    /// third of the cost of single puts.
    #[pyo3(signature = (items, timeout = None))]
    fn put_many(
        slf: &Bound<'_, Self>,
        items: &Bound<'_, PyAny>,
        timeout: Option<f64>,
    ) -> PyResult<()> {
        let this = slf.get();
        let timeout = this.timeout(slf.py(), timeout)?;
        this.here(slf.py())?;
        let action = collect(items)?;
        blocking::run(slf.py(), &Self::operation(slf, action), timeout).map(drop)
    }

    /// Takes the oldest item out, waiting while there is none.
    ///
    /// `timeout` is in seconds, None for no limit; with `block=False` nothing is waited for. Raises
    /// QueueEmpty when the time is up, and QueueShutDown when the queue is shut down and drained. Blocks
    /// the calling thread without the interpreter; Ctrl-C ends the wait at once and takes nothing.
    #[pyo3(signature = (block = true, timeout = None))]
    fn get(slf: &Bound<'_, Self>, block: bool, timeout: Option<f64>) -> PyResult<Py<PyAny>> {
        let this = slf.get();
        let py = slf.py();
        let timeout = if block {
            this.timeout(py, timeout)?
        } else {
            Some(0.0)
        };
        match this.here(py)?.items.pop(None) {
            Ok(item) => Ok(item),
            Err(Refusal::NotNow) => blocking::run(py, &Self::operation(slf, Action::Get), timeout),
            Err(_) => Err(refusals::shut_down(py, this)),
        }
    }

    /// Takes the oldest item out, or raises QueueEmpty at once.
    ///
    /// Any thread, signal handlers and callbacks of event loops included. Raises QueueShutDown when the
    /// queue is shut down and drained.
    fn get_nowait(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self.here(py)?.items.pop(None) {
            Ok(item) => Ok(item),
            Err(Refusal::NotNow) => Err(refusals::empty(py, self, None)),
            Err(_) => Err(refusals::shut_down(py, self)),
        }
    }

    /// Takes between `min` and `max` items out, oldest first, as a list.
    ///
    /// Waits until `min` are there, holding none meanwhile, and returns what is there, so under load
    /// batches grow by themselves. With `min=0` it never waits. After a shutdown the rest comes even if
    /// it is fewer than `min`. Raises QueueEmpty when the `timeout` (seconds) is up, QueueShutDown when
    /// the queue is shut down and drained, Misuse if `min` can never be met.
    #[pyo3(signature = (max = 256, min = 1, timeout = None))]
    fn get_many(
        slf: &Bound<'_, Self>,
        max: isize,
        min: isize,
        timeout: Option<f64>,
    ) -> PyResult<Py<PyAny>> {
        let this = slf.get();
        let py = slf.py();
        let action = this.batch_bounds(py, max, min)?;
        let timeout = this.timeout(py, timeout)?;
        this.here(py)?;
        blocking::run(py, &Self::operation(slf, action), timeout)
    }

    /// As `put`, for tasks: awaited in asyncio, uvloop or trio.
    ///
    /// If there is room it does not yield, except that the loop gets a turn every 1,024 items or 100 µs.
    /// Cancelled, it has not put the item. Raises as `put` does, and Misuse outside of a loop.
    #[pyo3(signature = (item, timeout = None))]
    fn aput(
        slf: &Bound<'_, Self>,
        item: Py<PyAny>,
        timeout: Option<f64>,
    ) -> PyResult<QueueOperation> {
        Self::awaitable(slf, Action::Put(item), timeout)
    }

    /// As `get`, for tasks: awaited in asyncio, uvloop or trio.
    ///
    /// If an item is there it does not yield, except that the loop gets a turn, in which a cancel is
    /// seen, every 1,024 items or 100 µs. Cancelled, it has not taken an item; one that came in the same
    /// tick stays in the queue or goes to the next getter. Raises as `get` does, and Misuse outside of a
    /// loop.
    #[pyo3(signature = (timeout = None))]
    fn aget(slf: &Bound<'_, Self>, timeout: Option<f64>) -> PyResult<QueueOperation> {
        Self::awaitable(slf, Action::Get, timeout)
    }

    /// As `put_many`, for tasks.
    ///
    /// Cancelled, the items that went in before stay in; they are the first ones of the batch, and how
    /// many they are is not reported. Where that matters, put in pieces.
    #[pyo3(signature = (items, timeout = None))]
    fn aput_many(
        slf: &Bound<'_, Self>,
        items: &Bound<'_, PyAny>,
        timeout: Option<f64>,
    ) -> PyResult<QueueOperation> {
        Self::awaitable(slf, collect(items)?, timeout)
    }

    /// As `get_many`, for tasks; cancelled, it has taken nothing.
    #[pyo3(signature = (max = 256, min = 1, timeout = None))]
    fn aget_many(
        slf: &Bound<'_, Self>,
        max: isize,
        min: isize,
        timeout: Option<f64>,
    ) -> PyResult<QueueOperation> {
        let action = slf.get().batch_bounds(slf.py(), max, min)?;
        Self::awaitable(slf, action, timeout)
    }

    /// Looks at the item that the next get takes, and leaves it there, waiting while there is none.
    ///
    /// For a single consumer: with several, another one may take it before you do. `timeout` is in
    /// seconds, None for no limit; with `block=False` nothing is waited for. Raises QueueEmpty when the
    /// time is up, and QueueShutDown when the queue is shut down and drained. The first peek makes the
    /// queue one behind a short lock, for good.
    #[pyo3(signature = (block = true, timeout = None))]
    fn peek(slf: &Bound<'_, Self>, block: bool, timeout: Option<f64>) -> PyResult<Py<PyAny>> {
        let this = slf.get();
        let py = slf.py();
        let timeout = if block {
            this.timeout(py, timeout)?
        } else {
            Some(0.0)
        };
        this.here(py)?;
        blocking::run(py, &Self::operation(slf, Action::Peek), timeout)
    }

    /// As `peek`, or raises QueueEmpty at once.
    fn peek_nowait(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        Self::peek(slf, false, None)
    }

    /// As `peek`, for tasks; cancelled, it has changed nothing.
    #[pyo3(signature = (timeout = None))]
    fn apeek(slf: &Bound<'_, Self>, timeout: Option<f64>) -> PyResult<QueueOperation> {
        Self::awaitable(slf, Action::Peek, timeout)
    }

    /// Sets a place aside for an item that comes later, waiting while the queue is full.
    ///
    /// Returns a Reservation: `put(item)` on it never waits, and one that is left, released or dropped
    /// gives its place back. Reserved places count as taken for everybody who puts, and for `full`.
    /// `timeout` is in seconds, None for no limit; with `block=False` nothing is waited for. Raises
    /// QueueFull when the time is up and QueueShutDown after a shutdown. The first one makes the queue
    /// one behind a short lock, for good.
    #[pyo3(signature = (block = true, timeout = None))]
    fn reserve(slf: &Bound<'_, Self>, block: bool, timeout: Option<f64>) -> PyResult<Py<PyAny>> {
        let this = slf.get();
        let py = slf.py();
        let timeout = if block {
            this.timeout(py, timeout)?
        } else {
            Some(0.0)
        };
        this.here(py)?;
        blocking::run(py, &Self::operation(slf, Action::Reserve), timeout)
    }

    /// As `reserve`, for tasks; cancelled, it holds no place.
    #[pyo3(signature = (timeout = None))]
    fn areserve(slf: &Bound<'_, Self>, timeout: Option<f64>) -> PyResult<QueueOperation> {
        Self::awaitable(slf, Action::Reserve, timeout)
    }

    /// Drops what is inside and returns how many items that were; they count as done for `join`.
    ///
    /// Putters that wait for room are woken. What is put meanwhile by others may stay inside.
    fn clear(&self, py: Python<'_>) -> PyResult<usize> {
        let core = self.here(py)?;
        ending::outlast();
        let mut dropped = Vec::new();
        core.items.clear(core.items.len(), &mut dropped);
        Self::count_as_done(core, dropped.len());
        Ok(dropped.len())
    }

    /// Reports that an item taken out has been dealt with; `join` waits for that.
    ///
    /// Raises Misuse (a ValueError) if called more often than items were put.
    fn task_done(&self, py: Python<'_>) -> PyResult<()> {
        if self.here(py)?.finish(1) {
            return Ok(());
        }
        Err(refusals::misuse(
            py,
            self,
            "task_done() called too many times",
            "call it once for each item taken",
        ))
    }

    /// Waits until every item that was put has been reported by `task_done`.
    ///
    /// Raises Expired, a TimeoutError, when `timeout` seconds are up.
    #[pyo3(signature = (timeout = None))]
    fn join(slf: &Bound<'_, Self>, timeout: Option<f64>) -> PyResult<()> {
        let this = slf.get();
        let timeout = this.timeout(slf.py(), timeout)?;
        this.here(slf.py())?;
        blocking::run(slf.py(), &Self::operation(slf, Action::Join), timeout).map(drop)
    }

    /// As `join`, for tasks.
    #[pyo3(signature = (timeout = None))]
    fn ajoin(slf: &Bound<'_, Self>, timeout: Option<f64>) -> PyResult<QueueOperation> {
        Self::awaitable(slf, Action::Join, timeout)
    }

    /// Refuses further puts, now and for good; everybody who waits is told.
    ///
    /// Gets go on until the queue is drained and raise QueueShutDown then. With `immediate` what is
    /// inside is dropped, and counts as done for `join`. May be called again.
    #[pyo3(signature = (immediate = false))]
    fn shutdown(&self, py: Python<'_>, immediate: bool) -> PyResult<()> {
        let core = self.here(py)?;
        core.items.close();
        if immediate {
            ending::outlast();
            let mut dropped = Vec::new();
            core.items.clear(usize::MAX, &mut dropped);
            Self::count_as_done(core, dropped.len());
        }
        Ok(())
    }

    /// Whether `shutdown` was called.
    #[getter]
    fn is_shutdown(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.here(py)?.items.is_closed())
    }

    /// How many items fit; 0 without a bound. May be set at any time.
    ///
    /// A larger bound lets putters in that wait; a smaller one drops nothing, it only keeps further
    /// items out until enough have been taken. A `get_many` that waits for more than can ever be inside
    /// raises Misuse. The first change makes the queue one behind a short lock, for good.
    #[getter]
    fn maxsize(&self) -> usize {
        self.core.items.capacity().unwrap_or(0)
    }

    #[setter]
    fn set_maxsize(&self, py: Python<'_>, maxsize: i128) -> PyResult<()> {
        let core = self.here(py)?;
        let capacity = refusals::bound(py, self.name.as_deref(), maxsize)?;
        core.items.set_capacity((capacity > 0).then_some(capacity));
        Ok(())
    }

    /// A view with the names of `queue.Queue`: what janus and culsans call `sync_q`.
    #[getter]
    fn sync_q(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let class = CLASS.import(slf.py(), "penstock.queues.views", "SyncQueue")?;
        class.call1((slf,)).map(Bound::unbind)
    }

    /// A view with the names of `asyncio.Queue`: what janus and culsans call `async_q`.
    #[getter]
    fn async_q(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let class = CLASS.import(slf.py(), "penstock.queues.views", "AsyncQueue")?;
        class.call1((slf,)).map(Bound::unbind)
    }

    /// The name given, or None.
    #[getter]
    fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Whether waiters are served strictly in the order of their arrival.
    #[getter]
    fn is_fair(&self) -> bool {
        self.core.items.is_fair()
    }

    /// How many items are inside; with others at work, at some moment during the call.
    fn qsize(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.here(py)?.items.len())
    }

    /// Whether nothing is inside, at some moment during the call.
    fn empty(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.here(py)?.items.is_empty())
    }

    /// Whether nothing more fits, at some moment during the call; reserved places are taken.
    fn full(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.here(py)?.items.is_full())
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        self.qsize(py)
    }

    // `if queue:` asks whether there is one, with the standard library's queues as with this.
    fn __bool__(&self) -> bool {
        true
    }

    /// The raw figures of `statistics()`, in the order of its fields.
    #[expect(clippy::type_complexity, reason = "the fields of one named tuple")]
    fn _figures(
        &self,
        py: Python<'_>,
    ) -> PyResult<(
        usize,
        usize,
        usize,
        usize,
        usize,
        usize,
        usize,
        u64,
        u64,
        u64,
        usize,
    )> {
        let core = self.here(py)?;
        let counters = core.items.counters();
        let got = core.items.popped();
        let put = core.items.pushed();
        Ok((
            put.saturating_sub(got),
            self.maxsize(),
            counters.getters,
            counters.putters,
            core.unfinished(),
            put,
            got,
            counters.getter_wakes,
            counters.putter_wakes,
            counters.system_calls,
            core.items.reserved(),
        ))
    }

    /// The figures of this queue: QueueStatistics, with totals since its creation.
    ///
    /// Costs well below a microsecond and stops nobody; figures that belong to different moments may
    /// disagree by what happened in between.
    fn statistics(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        let class = py
            .import("penstock.queues.statistics")?
            .getattr("QueueStatistics")?;
        class.call1(slf.get()._figures(py)?).map(Bound::unbind)
    }

    fn __iter__(slf: Bound<'_, Self>) -> QueueItems {
        QueueItems::new(slf.unbind())
    }

    fn __aiter__(slf: Bound<'_, Self>) -> QueueItems {
        QueueItems::new(slf.unbind())
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let this = slf.get();
        let name = this
            .name
            .as_ref()
            .map_or_else(String::new, |name| format!(" '{name}'"));
        let class = slf.get_type().name()?;
        let head = format!("{class}{name}, maxsize {}", this.maxsize());
        if !this.owner.is_here() {
            return Ok(format!("<{head}, of process {}>", this.pid));
        }
        let shut_down = if this.core.items.is_closed() {
            ", shut down"
        } else {
            ""
        };
        Ok(format!(
            "<{head}, {} items{shut_down}>",
            this.core.items.len()
        ))
    }

    fn __reduce__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let class = slf.get_type();
        let class = class.cast::<PyType>()?.name()?;
        Err(PyTypeError::new_err(format!(
            "cannot pickle {class}: it joins threads and loops of one process"
        )))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let mut outcome = Ok(());
        // SAFETY: the collector runs while every other thread is stopped or waits to attach, and
        // pushes and pops happen attached, between two points where a thread can be stopped.
        unsafe {
            self.core.items.for_each(|item| {
                if outcome.is_ok() {
                    outcome = visit.call(item);
                }
            });
        }
        outcome
    }

    fn __clear__(&self) {
        if self.owner.is_here() {
            let mut items = Vec::new();
            self.core.items.clear(usize::MAX, &mut items);
        }
    }
}

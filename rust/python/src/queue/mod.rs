//! `Queue`: the hand-off of `penstock_core::ring` as a Python object.
//!
//! All pushes, pops and drops of items happen attached to the interpreter. So a garbage collector
//! that has stopped the world finds no push or pop half done, and items are released where that
//! is allowed.

mod awaitable;
mod blocking;
mod budget;
mod items;
mod operation;
mod refusals;

use std::mem::ManuallyDrop;

use penstock_core::{
    fork::Owner,
    ring::{Handoff, Refusal, Unfinished},
};
use pyo3::{PyTraverseError, exceptions::PyTypeError, gc::PyVisit, prelude::*, types::PyType};

use crate::waiter::Waiter;
pub(crate) use awaitable::{QueueOperation, install_steps};
pub(crate) use items::QueueItems;
use operation::{Action, Batch, Operation};

/// What is shared with waiters; on the heap, as Python objects are not aligned to cache lines.
struct Core {
    items: Handoff<Py<PyAny>, Waiter>,
    done: Unfinished<Waiter>,
}

impl Core {
    fn unfinished(&self) -> usize {
        self.done.count(self.items.pushed())
    }

    fn finish(&self, count: usize) -> bool {
        self.done.finish(count, || self.items.pushed()).is_ok()
    }
}

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
    fn core(&self) -> &Core {
        &self.core
    }

    fn label(&self) -> String {
        match (&self.name, self.core.items.capacity()) {
            (Some(name), _) => format!("Queue {name:?}"),
            (None, Some(bound)) => format!("Queue of maxsize {bound}"),
            (None, None) => "unbounded Queue".to_owned(),
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
            (Ok(min), Ok(max)) => match self.core.items.capacity() {
                Some(bound) if min > bound => refuse(
                    format!("min={min} can never be met, as no more than {bound} items fit"),
                    "lower min, or make the queue with a larger maxsize",
                ),
                _ => Ok(Action::GetMany { min, max }),
            },
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

fn collect(items: &Bound<'_, PyAny>) -> PyResult<Action> {
    let items = items.try_iter()?.map(|item| item.map(Bound::unbind));
    Ok(Action::PutMany(Batch::new(items.collect::<PyResult<_>>()?)))
}

#[pymethods]
impl Queue {
    #[new]
    #[pyo3(signature = (maxsize = 0, *, name = None))]
    fn new(py: Python<'_>, maxsize: isize, name: Option<String>) -> PyResult<Self> {
        let capacity = usize::try_from(maxsize).map_err(|_| {
            let object = name
                .as_ref()
                .map_or_else(|| "Queue".into(), |name| format!("Queue {name:?}"));
            crate::errors::error(
                py,
                crate::errors::Family::Misuse,
                &format!("{object}: maxsize={maxsize} is negative"),
                Some("give the number of items that fit, or 0 for a queue without bound"),
            )
        })?;
        let items = Handoff::new((capacity > 0).then_some(capacity));
        let core = Core {
            items,
            done: Unfinished::default(),
        };
        Ok(Self {
            core: ManuallyDrop::new(Box::new(core)),
            name,
            owner: Owner::current(),
            pid: std::process::id(),
        })
    }

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
        match this.here(py)?.items.push(item) {
            Ok(()) => Ok(()),
            Err((Refusal::Closed, _)) => Err(refusals::shut_down(py, this)),
            Err((Refusal::NotNow, item)) => {
                blocking::run(py, &Self::operation(slf, Action::Put(item)), timeout).map(drop)
            }
        }
    }

    fn put_nowait(&self, py: Python<'_>, item: Py<PyAny>) -> PyResult<()> {
        match self.here(py)?.items.push(item) {
            Ok(()) => Ok(()),
            Err((Refusal::Closed, _)) => Err(refusals::shut_down(py, self)),
            Err((Refusal::NotNow, _)) => Err(refusals::full(py, self, None)),
        }
    }

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

    #[pyo3(signature = (block = true, timeout = None))]
    fn get(slf: &Bound<'_, Self>, block: bool, timeout: Option<f64>) -> PyResult<Py<PyAny>> {
        let this = slf.get();
        let py = slf.py();
        let timeout = if block {
            this.timeout(py, timeout)?
        } else {
            Some(0.0)
        };
        match this.here(py)?.items.pop() {
            Ok(item) => Ok(item),
            Err(Refusal::Closed) => Err(refusals::shut_down(py, this)),
            Err(Refusal::NotNow) => blocking::run(py, &Self::operation(slf, Action::Get), timeout),
        }
    }

    fn get_nowait(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self.here(py)?.items.pop() {
            Ok(item) => Ok(item),
            Err(Refusal::Closed) => Err(refusals::shut_down(py, self)),
            Err(Refusal::NotNow) => Err(refusals::empty(py, self, None)),
        }
    }

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

    #[pyo3(signature = (item, timeout = None))]
    fn aput(
        slf: &Bound<'_, Self>,
        item: Py<PyAny>,
        timeout: Option<f64>,
    ) -> PyResult<QueueOperation> {
        Self::awaitable(slf, Action::Put(item), timeout)
    }

    #[pyo3(signature = (timeout = None))]
    fn aget(slf: &Bound<'_, Self>, timeout: Option<f64>) -> PyResult<QueueOperation> {
        Self::awaitable(slf, Action::Get, timeout)
    }

    #[pyo3(signature = (items, timeout = None))]
    fn aput_many(
        slf: &Bound<'_, Self>,
        items: &Bound<'_, PyAny>,
        timeout: Option<f64>,
    ) -> PyResult<QueueOperation> {
        Self::awaitable(slf, collect(items)?, timeout)
    }

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

    #[pyo3(signature = (timeout = None))]
    fn join(slf: &Bound<'_, Self>, timeout: Option<f64>) -> PyResult<()> {
        let this = slf.get();
        let timeout = this.timeout(slf.py(), timeout)?;
        this.here(slf.py())?;
        blocking::run(slf.py(), &Self::operation(slf, Action::Join), timeout).map(drop)
    }

    #[pyo3(signature = (timeout = None))]
    fn ajoin(slf: &Bound<'_, Self>, timeout: Option<f64>) -> PyResult<QueueOperation> {
        Self::awaitable(slf, Action::Join, timeout)
    }

    #[pyo3(signature = (immediate = false))]
    fn shutdown(&self, py: Python<'_>, immediate: bool) -> PyResult<()> {
        let core = self.here(py)?;
        core.items.close();
        if immediate {
            let mut dropped = Vec::new();
            core.items.clear(&mut dropped);
            // Task_done() may have been called for items not yet taken, as in the standard library.
            for _ in 0..dropped.len() {
                core.finish(1);
            }
            core.done.call_all();
        }
        Ok(())
    }

    #[getter]
    fn is_shutdown(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.here(py)?.items.is_closed())
    }

    #[getter]
    fn maxsize(&self) -> usize {
        self.core.items.capacity().unwrap_or(0)
    }

    #[getter]
    fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    fn qsize(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.here(py)?.items.len())
    }

    fn empty(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.here(py)?.items.is_empty())
    }

    fn full(&self, py: Python<'_>) -> PyResult<bool> {
        let items = &self.here(py)?.items;
        Ok(items.capacity().is_some_and(|bound| items.len() >= bound))
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        self.qsize(py)
    }

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
        ))
    }

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

    fn __repr__(&self) -> String {
        let bound = match (&self.name, self.core.items.capacity()) {
            (Some(_), Some(bound)) => format!(" of maxsize {bound}"),
            _ => String::new(),
        };
        if !self.owner.is_here() {
            return format!("<{}{bound} of process {}>", self.label(), self.pid);
        }
        let shut_down = if self.core.items.is_closed() {
            ", shut down"
        } else {
            ""
        };
        format!(
            "<{}{bound}: {} items{shut_down}>",
            self.label(),
            self.core.items.len()
        )
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
            self.core.items.clear(&mut items);
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // In a forked child a push of another thread may have been half done for ever, and the
        // drain would wait for it: the memory goes with the process.
        if self.owner.is_here() {
            // SAFETY: dropped once, here, and not used afterwards.
            unsafe { ManuallyDrop::drop(&mut self.core) };
        }
    }
}

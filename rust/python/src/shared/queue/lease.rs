//! `Lease`: an item that goes back to the queue unless it is acknowledged.

use std::sync::atomic::{AtomicBool, Ordering};

use penstock_core::{fork::Owner, shm::queue::Lease as Token};
use pyo3::{PyTraverseError, gc::PyVisit, prelude::*, types::PyAny};

use super::{SharedQueue, refusals};

/// An item of a queue with `ack=True`, as its taker has it: until `ack`, `give_back`, or the lease's end.
///
/// As a context manager it hands out the item, acknowledges it when the block ends, and gives it back
/// when the block raises. One that is simply dropped is another taker's when its time is up.
///
///     with queue.lease() as order:  # or: with await queue.alease() as order
///         book(order)
#[pyclass(frozen, generic, module = "penstock.shared")]
pub(crate) struct Lease {
    queue: Py<SharedQueue>,
    token: Token,
    item: Py<PyAny>,
    is_settled: AtomicBool,
    owner: Owner,
}

impl Lease {
    pub(super) fn new(
        queue: &Bound<'_, SharedQueue>,
        token: Token,
        item: Bound<'_, PyAny>,
    ) -> PyResult<Py<Self>> {
        let lease = Self {
            queue: queue.clone().unbind(),
            token,
            item: item.unbind(),
            is_settled: AtomicBool::new(false),
            owner: Owner::current(),
        };
        Py::new(queue.py(), lease)
    }

    /// The queue, where the item is this process's and not that of one it was forked from.
    fn queue(&self, py: Python<'_>) -> PyResult<&SharedQueue> {
        let queue = self.queue.get();
        if self.owner.is_here() {
            return Ok(queue);
        }
        Err(refusals::misuse(
            py,
            queue,
            "this lease was taken before the fork, by the parent of this process",
            "let the process settle a lease that has taken it; a child takes its own",
        ))
    }
}

#[pymethods]
impl Lease {
    /// What was put.
    #[getter]
    fn item(&self, py: Python<'_>) -> Py<PyAny> {
        self.item.clone_ref(py)
    }

    /// Whether it was acknowledged or given back here.
    #[getter]
    fn is_settled(&self) -> bool {
        self.is_settled.load(Ordering::Relaxed)
    }

    /// Says that the item was dealt with: nobody else gets it.
    ///
    /// Any thread; it never waits. Raises LeaseLost if the lease was over before: another taker may have
    /// the item by now, so what was done for it may be done twice; Misuse in a forked child of the taker.
    fn ack(&self, py: Python<'_>) -> PyResult<()> {
        let queue = self.queue(py)?;
        match queue.queue.acknowledge(self.token) {
            Ok(()) => self.is_settled.store(true, Ordering::Relaxed),
            Err(failure) => return Err(refusals::of_lease(py, queue, failure, self.is_settled())),
        }
        Ok(())
    }

    /// Hands the item back, for the next taker, who may be this one.
    ///
    /// Any thread; it never waits. Raises LeaseLost if the lease was over before, and Misuse in a forked child
    /// of the taker.
    fn give_back(&self, py: Python<'_>) -> PyResult<()> {
        let queue = self.queue(py)?;
        match queue.queue.give_back(self.token) {
            Ok(()) => self.is_settled.store(true, Ordering::Relaxed),
            Err(failure) => return Err(refusals::of_lease(py, queue, failure, self.is_settled())),
        }
        Ok(())
    }

    fn __enter__(&self, py: Python<'_>) -> Py<PyAny> {
        self.item(py)
    }

    fn __exit__(
        &self,
        py: Python<'_>,
        kind: &Bound<'_, PyAny>,
        _value: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        if self.is_settled() {
            return Ok(false);
        }
        if kind.is_none() {
            self.ack(py)?;
        } else {
            // The block's own error is what happened; that it came late for this as well says nothing.
            let _ = self.give_back(py);
        }
        Ok(false)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let this = slf.get();
        let settled = if this.is_settled() { ", settled" } else { "" };
        let item = this.item.bind(slf.py()).repr()?;
        let label = this.queue.get().label();
        Ok(format!("<Lease of {item} of {label}{settled}>"))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.queue)?;
        visit.call(&self.item)
    }
}

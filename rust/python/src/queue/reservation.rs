//! `Reservation`: a place in a queue, before there is an item for it.

use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::{PyTraverseError, gc::PyVisit, prelude::*};

use super::{Queue, refusals};

/// One place in a queue, held until an item is put into it or it is given back.
///
/// `queue.reserve()` and `queue.areserve()` make them. Use one where room must be certain before the
/// item exists: a message that is only fetched, a job that is only claimed when it can be passed on.
/// As a context manager it gives the place back on the way out, unless it was used; so it does when
/// it is dropped. The item's order is that of its `put`. Any thread may use it, once.
///
///     with queue.reserve(timeout=1.0) as place:
///         place.put(fetch())
#[pyclass(frozen, module = "penstock._native")]
pub(crate) struct Reservation {
    queue: Py<Queue>,
    is_held: AtomicBool,
}

impl Reservation {
    /// For a place that was just set aside.
    pub(super) fn new(queue: Py<Queue>) -> Self {
        Self {
            queue,
            is_held: AtomicBool::new(true),
        }
    }

    fn give_back(&self) {
        if self.is_held.swap(false, Ordering::AcqRel) {
            let queue = self.queue.get();
            // In a forked child there is nobody to give it to.
            if queue.owner.is_here() {
                queue.core().items.release();
            }
        }
    }
}

#[pymethods]
impl Reservation {
    /// Puts `item` into the place; never waits and never finds the queue full.
    ///
    /// Raises QueueShutDown if the queue was shut down meanwhile, and Misuse if the place was used or
    /// given back before. If it raises, the item is not in the queue; a PriorityQueue's refusal of an
    /// item that cannot be compared leaves the place as it is, for another item.
    fn put(&self, py: Python<'_>, item: Py<PyAny>) -> PyResult<()> {
        let queue = self.queue.get();
        let core = queue.here(py)?;
        if !self.is_held.swap(false, Ordering::AcqRel) {
            return Err(refusals::misuse(
                py,
                queue,
                "this reservation was used or given back",
                "reserve a place for each item",
            ));
        }
        core.items.push_reserved(item).map_err(|(refusal, _)| {
            let failure = refusals::of_put(py, queue, refusal);
            self.is_held.store(true, Ordering::Release);
            failure
        })
    }

    /// Gives the place back; a putter that waits is woken. May be called again, and after `put`.
    fn release(&self) {
        self.give_back();
    }

    /// Whether the place is still held: neither used nor given back.
    #[getter]
    fn is_held(&self) -> bool {
        self.is_held.load(Ordering::Acquire)
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, _exception: &Bound<'_, pyo3::types::PyTuple>) {
        self.give_back();
    }

    fn __repr__(&self) -> String {
        let held = if self.is_held() { "held" } else { "done" };
        format!("<Reservation in {}, {held}>", self.queue.get().label())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.queue)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.give_back();
    }
}

//! `LifoQueue` and `PriorityQueue`: the same queue, its items given out in another order.

use penstock_core::ring::{Comparison, Handoff, Order};
use pyo3::{ffi, prelude::*};

use super::Queue;
use crate::ending;

/// A last-in, first-out queue between threads and event loops: a bounded stack.
///
/// Everything is as with `Queue`, which it is a subclass of, except for the order: a get takes the
/// newest item, `get_many` the newest first, and a batch put in by `put_many` comes out reversed.
/// Use it where the freshest work matters most, or for a pool of things to reuse; under load the
/// oldest items stay inside without end. A get or put holds a short lock, with no Python code
/// within.
///
///     free = LifoQueue(8, name="connections")
///     free.put(connection)
///     connection = await free.aget(timeout=1.0)
#[pyclass(frozen, subclass, extends = Queue, module = "penstock")]
pub(crate) struct LifoQueue;

#[pymethods]
impl LifoQueue {
    #[new]
    #[pyo3(signature = (maxsize = 0, *, name = None, fair = false))]
    fn new(
        py: Python<'_>,
        maxsize: i128,
        name: Option<String>,
        fair: bool,
    ) -> PyResult<PyClassInitializer<Self>> {
        let queue = Queue::with(py, maxsize, name, |capacity| {
            Handoff::in_order(capacity, Order::NewestFirst, fair)
        })?;
        Ok(PyClassInitializer::from(queue).add_subclass(Self))
    }
}

/// A queue between threads and event loops that gives out the least item first.
///
/// Everything is as with `Queue`, which it is a subclass of, except for the order: a get takes the
/// item that is less than all others by `<`, and of equal ones the oldest. Entries are typically
/// tuples `(priority, data)`; where data cannot be compared use a dataclass with `order=True` and
/// `field(compare=False)`.
///
/// Only puts compare, about log2(n) times for n items inside; gets never do. So an item that cannot
/// be compared with those inside is refused by the put that brings it, with the error of the
/// comparison (TypeError), and changes nothing; of a batch, what came before it stays in and
/// `accepted` says how many. No lock is held while items are compared: a comparison may be slow,
/// raise, or use the queue. If another put or get came in between, the put compares anew. Items
/// must not change their order while they are inside.
///
///     jobs = PriorityQueue(1024)
///     jobs.put((2, "report"))
///     priority, name = await jobs.aget()
#[pyclass(frozen, subclass, extends = Queue, module = "penstock")]
pub(crate) struct PriorityQueue;

#[pymethods]
impl PriorityQueue {
    #[new]
    #[pyo3(signature = (maxsize = 0, *, name = None, fair = false))]
    fn new(
        py: Python<'_>,
        maxsize: i128,
        name: Option<String>,
        fair: bool,
    ) -> PyResult<PyClassInitializer<Self>> {
        let queue = Queue::with(py, maxsize, name, |capacity| {
            let comparison = Comparison { precedes, share };
            Handoff::in_order(capacity, Order::LeastFirst(comparison), fair)
        })?;
        Ok(PyClassInitializer::from(queue).add_subclass(Self))
    }
}

/// `a < b`. Where that raises, the exception stays set for whoever made the queue compare.
fn precedes(a: &Py<PyAny>, b: &Py<PyAny>) -> Option<bool> {
    ending::outlast();
    Python::attach(|_| {
        // SAFETY: attached, and two references that live during the call.
        match unsafe { ffi::PyObject_RichCompareBool(a.as_ptr(), b.as_ptr(), ffi::Py_LT) } {
            -1 => None,
            answer => Some(answer == 1),
        }
    })
}

/// Not by attaching once more, which may run destructors that wait for that: a lock is held.
fn share(item: &Py<PyAny>) -> Py<PyAny> {
    // SAFETY: pushes happen attached (see `queue`), and only they share items.
    item.clone_ref(unsafe { Python::assume_attached() })
}

//! `select`: one item from whichever of several queues has one.
//!
//! The waiter stands in the lists of all of them at once. Whoever is first calls it; it pops for
//! itself, and leaves all lists. A wake that a losing queue spent on it is passed on there, like
//! that of any getter that leaves (see `penstock_core::ring::wait`).

use std::{cell::Cell, sync::Arc};

use penstock_core::ring::Refusal;
use pyo3::{PyTraverseError, gc::PyVisit, prelude::*, types::PyTuple};

use super::{
    Queue,
    awaitable::QueueOperation,
    blocking,
    operation::{Action, Operation},
    refusals,
};
use crate::waiter::Waiter;

/// The queues of one `select`.
pub(super) struct Selection {
    queues: Vec<Py<Queue>>,
}

/// Where to begin looking: anywhere, so that no queue that is always ready hides another one.
fn start(count: usize) -> usize {
    thread_local! {
        static STATE: Cell<u64> = const { Cell::new(0x9E37_79B9_7F4A_7C15) };
    }
    STATE.with(|state| {
        // xorshift64*: Marsaglia's shifts, Vigna's multiplier.
        let mut x = state.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        state.set(x);
        let high = x.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(high).unwrap_or(0) % count
    })
}

impl Selection {
    /// Pops from one of the queues: `(queue, item)`. Those that are shut down and drained are
    /// passed over while there are others.
    pub(super) fn attempt(
        &self,
        py: Python<'_>,
        me: Option<&Arc<Waiter>>,
    ) -> PyResult<Option<Py<PyAny>>> {
        let count = self.queues.len();
        let start = start(count);
        let mut closed = 0;
        for index in (start..count).chain(0..start) {
            let queue = &self.queues[index];
            match queue.get().here(py)?.items.pop(me) {
                Ok(item) => {
                    let pair = (queue.clone_ref(py), item);
                    return Ok(Some(pair.into_pyobject(py)?.into_any().unbind()));
                }
                Err(Refusal::NotNow) => {}
                Err(_) => closed += 1,
            }
        }
        if closed < count {
            return Ok(None);
        }
        Err(refusals::all_shut_down(py, &self.label()))
    }

    pub(super) fn would_wait(&self) -> bool {
        let items = |queue: &Py<Queue>| queue.get().core().items.len();
        let closed = |queue: &Py<Queue>| queue.get().core().items.is_closed();
        self.queues.iter().all(|queue| items(queue) == 0) && !self.queues.iter().all(closed)
    }

    pub(super) fn enlist(&self, waiter: &Arc<Waiter>, previous: Option<&Arc<Waiter>>) {
        for queue in &self.queues {
            let items = &queue.get().core().items;
            items.enlist_getter(Arc::clone(waiter), previous);
        }
    }

    pub(super) fn leave(&self, waiter: &Arc<Waiter>) {
        for queue in &self.queues {
            queue.get().core().items.leave_getter(waiter);
        }
    }

    pub(super) fn label(&self) -> String {
        let labels = self.queues.iter().map(|queue| queue.get().label());
        labels.collect::<Vec<_>>().join(", ")
    }

    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.queues.iter().try_for_each(|queue| visit.call(queue))
    }
}

fn operation(
    queues: &Bound<'_, PyTuple>,
    timeout: Option<f64>,
) -> PyResult<(Operation, Option<f64>)> {
    let py = queues.py();
    let queues = queues.iter().map(|queue| match queue.cast_into::<Queue>() {
        Ok(queue) => Ok(queue.unbind()),
        Err(stranger) => Err(refusals::stranger(&stranger.into_inner())),
    });
    let queues = queues.collect::<PyResult<Vec<_>>>()?;
    let Some(first) = queues.first() else {
        return Err(refusals::nothing_to_select(py));
    };
    let timeout = first.get().timeout(py, timeout)?;
    for (index, queue) in queues.iter().enumerate() {
        queue.get().here(py)?;
        if queues[..index].iter().any(|other| other.is(queue)) {
            return Err(refusals::misuse(
                py,
                queue.get(),
                "select() got it twice",
                "give each queue once; all of them have the same chance",
            ));
        }
    }
    let queue = first.clone_ref(py);
    let action = Action::Select(Box::new(Selection { queues }));
    Ok((Operation { queue, action }, timeout))
}

/// Takes one item from whichever of `queues` has one: `(queue, item)`; awaited in any event loop.
///
/// Waits while all are empty, at most `timeout` seconds (None: no limit). The other queues lose
/// nothing, whoever wins and however the wait ends; cancelled, it has taken nothing. Of several
/// queues that have items one is chosen at random, so none is starved. A queue that is shut down and
/// drained is passed over while others are not. As with `aget` it does not yield if an item is there,
/// except for the loop's turn every 1,024 items or 100 µs. The cost grows with the number of queues: a
/// wait stands in each one's list.
///
/// Raises QueueEmpty when the time is up, QueueShutDown when all queues are shut down and drained,
/// Misuse for no queue or the same one twice.
///
///     winner, item = await select(orders, cancellations, timeout=1.0)
#[pyfunction]
#[pyo3(signature = (*queues, timeout = None))]
pub(crate) fn select(
    queues: &Bound<'_, PyTuple>,
    timeout: Option<f64>,
) -> PyResult<QueueOperation> {
    let (operation, timeout) = operation(queues, timeout)?;
    Ok(QueueOperation::new(operation, timeout))
}

/// As `select`, for threads: blocks the calling thread, without the interpreter.
///
/// Ctrl-C ends the wait of the main thread at once and takes nothing. Raises what `select` raises.
///
///     winner, item = select_blocking(orders, cancellations, timeout=1.0)
#[pyfunction]
#[pyo3(signature = (*queues, timeout = None))]
pub(crate) fn select_blocking(
    queues: &Bound<'_, PyTuple>,
    timeout: Option<f64>,
) -> PyResult<Py<PyAny>> {
    let (operation, timeout) = operation(queues, timeout)?;
    blocking::run(queues.py(), &operation, timeout)
}

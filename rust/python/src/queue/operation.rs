//! What can be waited for on a queue, in one shape for threads and for tasks.
//!
//! Guarantee: an attempt does the whole step or nothing (a batch of puts: as much as fits, and it
//! knows how far it came); between attempts no item is in the hands of the operation that a
//! getter should see or a putter has accepted.

use std::{
    ptr,
    sync::{Arc, Mutex},
    vec,
};

use penstock_core::{ring::Refusal, sync::lock};
use pyo3::{PyTraverseError, ffi, gc::PyVisit, prelude::*, types::PyList};

use super::{
    Queue, blocking::Waits, lull, refusals, reservation::Reservation, selection::Selection,
};
use crate::waiter::Waiter;

/// The items of a batch that are still to be put.
pub(super) struct Batch {
    left: Mutex<vec::IntoIter<Py<PyAny>>>,
    size: usize,
}

impl Batch {
    pub(super) fn new(items: Vec<Py<PyAny>>) -> Self {
        Self {
            size: items.len(),
            left: Mutex::new(items.into_iter()),
        }
    }

    fn accepted(&self) -> usize {
        self.size - lock(&self.left).len()
    }
}

pub(super) enum Action {
    Get,
    /// As `Get`, but the end of the queue ends an iteration.
    Next,
    GetMany {
        min: usize,
        max: usize,
    },
    /// Looks at what `Get` would take.
    Peek,
    Put(Py<PyAny>),
    PutMany(Box<Batch>),
    Reserve,
    Join,
    Select(Box<Selection>),
}

/// Who waits for the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Getters,
    Putters,
}

impl Side {
    pub(super) const fn other(self) -> Self {
        match self {
            Self::Getters => Self::Putters,
            Self::Putters => Self::Getters,
        }
    }
}

pub(crate) struct Operation {
    pub(super) queue: Py<Queue>,
    pub(super) action: Action,
}

/// A list that takes the items over, all at once.
pub(crate) fn list_of(py: Python<'_>, mut items: Vec<Py<PyAny>>) -> PyResult<Py<PyAny>> {
    let length = items.len();
    // SAFETY: attached. A new list has room for `length` references and nobody else knows it; its places
    // are filled before anything else runs, by those of the vector, which gives them up.
    unsafe {
        let list = ffi::PyList_New(length as ffi::Py_ssize_t);
        let list = Bound::from_owned_ptr_or_err(py, list)?;
        let places = (*list.as_ptr().cast::<ffi::PyListObject>()).ob_item;
        ptr::copy_nonoverlapping(items.as_ptr().cast(), places, length);
        items.set_len(0);
        Ok(list.unbind())
    }
}

impl Operation {
    /// Lets go of what it holds, at once, wherever this is called from.
    #[inline]
    pub(super) fn release(self, py: Python<'_>) {
        if let Action::Put(item) = self.action {
            drop(item.into_bound(py));
        }
        drop(self.queue.into_bound(py));
    }

    /// Tries once, as `me` if that waits already; `None` if it would have to wait.
    #[inline]
    pub(super) fn attempt(
        &self,
        py: Python<'_>,
        me: Option<&Arc<Waiter>>,
    ) -> PyResult<Option<Py<PyAny>>> {
        let queue = self.queue.get();
        // Once more: what was begun before a fork is not to be had behind it.
        let core = queue.here(py)?;
        let refusal = match &self.action {
            Action::Get | Action::Next => match core.items.pop(me) {
                Ok(item) => return Ok(Some(item)),
                Err(refusal) => refusal,
            },
            Action::GetMany { min, max } => {
                let mut items = Vec::new();
                match core.items.pop_many(*min, *max, &mut items, me) {
                    Ok(_) => return list_of(py, items).map(Some),
                    Err(Refusal::NotNow) if *min == 0 => {
                        return Ok(Some(PyList::empty(py).into()));
                    }
                    // The bound may have moved while this waited.
                    Err(Refusal::NotNow) => {
                        queue.within_bound(py, *min)?;
                        Refusal::NotNow
                    }
                    Err(refusal) => refusal,
                }
            }
            Action::Peek => match core.items.peek(|item| item.clone_ref(py), me) {
                Ok(item) => return Ok(Some(item)),
                Err(refusal) => refusal,
            },
            Action::Reserve => match core.items.reserve(me) {
                Ok(()) => {
                    let place = Reservation::new(self.queue.clone_ref(py));
                    return Py::new(py, place).map(|place| Some(place.into_any()));
                }
                Err(refusal) => refusal,
            },
            Action::Put(item) => match core.items.push(item.clone_ref(py), me) {
                Ok(()) => return Ok(Some(py.None())),
                Err((refusal, item)) => {
                    drop(item.into_bound(py)); // At once, wherever this was called from.
                    refusal
                }
            },
            Action::PutMany(batch) => {
                let mut left = lock(&batch.left);
                loop {
                    match core.items.push_many(&mut left, me) {
                        Ok(_) if left.len() == 0 => return Ok(Some(py.None())),
                        Ok(_) => {}
                        Err(refusal) => break refusal,
                    }
                }
            }
            Action::Join if core.unfinished() == 0 => return Ok(Some(py.None())),
            Action::Join => return Ok(None),
            Action::Select(selection) => return selection.attempt(py, me),
        };
        match refusal {
            Refusal::NotNow => Ok(None),
            refusal => Err(self.with_progress(py, refusals::of_put(py, queue, refusal))),
        }
    }

    fn with_progress(&self, py: Python<'_>, refusal: PyErr) -> PyErr {
        match &self.action {
            Action::PutMany(batch) => refusals::with_accepted(py, refusal, batch.accepted()),
            _ => refusal,
        }
    }

    /// What is raised when the time is up.
    pub(super) fn expired(&self, py: Python<'_>, timeout: Option<f64>) -> PyErr {
        let queue = self.queue.get();
        match &self.action {
            Action::Get | Action::Next | Action::Peek => refusals::empty(py, queue, timeout),
            Action::GetMany { min: 0 | 1, .. } => refusals::empty(py, queue, timeout),
            Action::GetMany { min, .. } => refusals::too_few(py, queue, *min, timeout),
            Action::Put(_) | Action::PutMany(_) | Action::Reserve => {
                self.with_progress(py, refusals::full(py, queue, timeout))
            }
            Action::Join => refusals::joining_expired(py, queue, timeout),
            Action::Select(selection) => refusals::all_empty(py, &selection.label(), timeout),
        }
    }

    pub(super) fn need(&self) -> usize {
        match &self.action {
            Action::GetMany { min, .. } => *min,
            _ => 1,
        }
    }

    /// Whether an attempt would most likely be refused for now.
    pub(super) fn would_wait(&self) -> bool {
        let core = self.queue.get().core();
        match &self.action {
            Action::Join => core.unfinished() > 0,
            Action::Select(selection) => selection.would_wait(),
            Action::Put(_) | Action::PutMany(_) | Action::Reserve => {
                core.items.is_full() && !core.items.is_closed()
            }
            _ => core.items.len() < self.need() && !core.items.is_closed(),
        }
    }

    /// Which side of its queue it is on; `None` if that is no single one.
    pub(super) fn side(&self) -> Option<Side> {
        match &self.action {
            Action::Get | Action::Next | Action::GetMany { .. } | Action::Peek => {
                Some(Side::Getters)
            }
            Action::Put(_) | Action::PutMany(_) | Action::Reserve => Some(Side::Putters),
            Action::Join | Action::Select(_) => None,
        }
    }

    /// Puts `waiter` to the right list, where `previous` stands if there was one; the next thing is
    /// another attempt.
    pub(super) fn enlist(&self, waiter: Arc<Waiter>, previous: Option<&Arc<Waiter>>) {
        let core = self.queue.get().core();
        match &self.action {
            Action::Get | Action::Next | Action::GetMany { .. } | Action::Peek => {
                core.items.enlist_getter(waiter, previous);
            }
            Action::Put(_) | Action::PutMany(_) | Action::Reserve => {
                core.items.enlist_putter(waiter, previous);
            }
            Action::Join => core.done.enlist(waiter, previous),
            Action::Select(selection) => selection.enlist(&waiter, previous),
        }
    }

    /// On every way out of waiting.
    pub(super) fn leave(&self, waiter: &Arc<Waiter>) {
        let core = self.queue.get().core();
        match &self.action {
            Action::Get | Action::Next | Action::GetMany { .. } | Action::Peek => {
                core.items.leave_getter(waiter);
            }
            Action::Put(_) | Action::PutMany(_) | Action::Reserve => {
                core.items.leave_putter(waiter);
            }
            Action::Join => core.done.leave(waiter),
            Action::Select(selection) => selection.leave(waiter),
        }
    }

    pub(super) fn verb(&self) -> &'static str {
        match &self.action {
            Action::Get => "aget",
            Action::Next => "__anext__",
            Action::GetMany { .. } => "aget_many",
            Action::Peek => "apeek",
            Action::Reserve => "areserve",
            Action::Put(_) => "aput",
            Action::PutMany(_) => "aput_many",
            Action::Join => "ajoin",
            Action::Select(_) => "select",
        }
    }

    /// What it works on, for people.
    pub(super) fn label(&self) -> String {
        match &self.action {
            Action::Select(selection) => selection.label(),
            _ => self.queue.get().label(),
        }
    }

    pub(super) fn qualified_name(&self) -> String {
        match &self.action {
            Action::Select(_) => self.verb().to_owned(),
            _ => format!("Queue.{}", self.verb()),
        }
    }

    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.queue)?;
        match &self.action {
            Action::Put(item) => visit.call(item),
            Action::PutMany(batch) => match batch.left.try_lock() {
                Ok(left) => left.as_slice().iter().try_for_each(|item| visit.call(item)),
                Err(_) => Ok(()),
            },
            Action::Select(selection) => selection.traverse(visit),
            _ => Ok(()),
        }
    }
}

impl Waits for Operation {
    fn attempt(&self, py: Python<'_>, me: Option<&Arc<Waiter>>) -> PyResult<Option<Py<PyAny>>> {
        Self::attempt(self, py, me)
    }

    fn attempt_behind_lull(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        lull::attempt(py, self)
    }

    fn need(&self) -> usize {
        Self::need(self)
    }

    fn enlist(&self, waiter: Arc<Waiter>, previous: Option<&Arc<Waiter>>) {
        Self::enlist(self, waiter, previous);
    }

    fn leave(&self, waiter: &Arc<Waiter>) {
        Self::leave(self, waiter);
    }

    fn expired(&self, py: Python<'_>, timeout: Option<f64>) -> PyErr {
        Self::expired(self, py, timeout)
    }
}

//! What can be waited for on a queue between processes, in one shape for threads and for tasks.
//!
//! Guarantee: an attempt does the whole step or nothing (a batch of puts: as much as fits, and it
//! knows how far it came); between attempts no item is in the hands of the operation that a taker
//! should see or a putter has accepted.

use std::sync::{Arc, Mutex};

use penstock_core::{
    shm::queue::{Shutdown, Side},
    sync::lock,
};
use pyo3::{PyTraverseError, gc::PyVisit, prelude::*, types::PyList};

use super::{super::Slab, SharedQueue, is_full, pack::Pack, refusals};
use crate::waiter::Waiter;

/// What a taker gets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// What was put.
    Item,
    /// The bytes of it, as programs in other languages see them.
    Bytes,
    /// A lease on it.
    Lease,
}

pub(super) enum Action {
    Take(Form),
    /// As `Take`, but the end of the queue ends an iteration.
    Next(Form),
    TakeMany {
        form: Form,
        min: usize,
        max: usize,
    },
    Put(Mutex<Pack>),
    PutMany(Mutex<Pack>),
    /// Memory for an array of so many bytes.
    Allocate(usize),
}

pub(crate) struct Operation {
    queue: Py<SharedQueue>,
    verb: &'static str,
    action: Action,
}

impl Operation {
    pub(super) fn new(queue: Py<SharedQueue>, verb: &'static str, action: Action) -> Self {
        Self {
            queue,
            verb,
            action,
        }
    }

    pub(super) fn queue(&self) -> &SharedQueue {
        self.queue.get()
    }

    pub(super) fn side(&self) -> Side {
        match &self.action {
            Action::Take(_) | Action::Next(_) | Action::TakeMany { .. } => Side::Items,
            Action::Put(_) | Action::PutMany(_) | Action::Allocate(_) => Side::Room,
        }
    }

    /// Tries once; `None` if it would have to wait.
    #[inline]
    pub(crate) fn attempt(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let queue = self.queue.bind(py);
        match &self.action {
            Action::Take(form) | Action::Next(form) => SharedQueue::take(queue, *form),
            Action::TakeMany { form, min, max } => {
                if *min > 1 && self.would_wait() {
                    return Ok(None);
                }
                let items = SharedQueue::take_many(queue, *form, *max)?;
                if items.is_empty() && *min > 0 {
                    return Ok(None);
                }
                PyList::new(py, items).map(|list| Some(list.into()))
            }
            Action::Put(pack) | Action::PutMany(pack) => {
                let sent = lock(pack).send(py, queue.get());
                match sent {
                    Ok(true) => Ok(Some(py.None())),
                    Ok(false) => Ok(None),
                    Err(failure) => Err(self.with_progress(py, failure)),
                }
            }
            Action::Allocate(length) => {
                let queue = queue.get();
                match py.detach(|| queue.queue.allocate(*length)) {
                    Ok(born) => Py::new(py, Slab::born(born)).map(|slab| Some(slab.into_any())),
                    Err(failure) if is_full(&failure) => Ok(None),
                    Err(failure) => Err(refusals::of(py, queue, failure)),
                }
            }
        }
    }

    fn with_progress(&self, py: Python<'_>, failure: PyErr) -> PyErr {
        match &self.action {
            Action::PutMany(pack) => refusals::with_accepted(py, failure, lock(pack).accepted()),
            _ => failure,
        }
    }

    /// What is raised when the time is up.
    pub(crate) fn expired(&self, py: Python<'_>, timeout: Option<f64>) -> PyErr {
        let queue = self.queue();
        match &self.action {
            Action::Take(_) | Action::Next(_) | Action::TakeMany { min: 0 | 1, .. } => {
                refusals::empty(py, queue, timeout)
            }
            Action::TakeMany { min, .. } => refusals::too_few(py, queue, *min, timeout),
            Action::Put(_) | Action::PutMany(_) | Action::Allocate(_) => {
                self.with_progress(py, refusals::full(py, queue, timeout))
            }
        }
    }

    pub(crate) fn need(&self) -> usize {
        match &self.action {
            Action::TakeMany { min, .. } => *min,
            _ => 1,
        }
    }

    /// Whether an attempt would most likely be refused for now.
    pub(crate) fn would_wait(&self) -> bool {
        let queue = &self.queue().queue;
        let has_too_few = match (self.side(), self.need()) {
            // Looking whether there is room costs what an attempt does.
            (Side::Room, _) => false,
            (Side::Items, 0 | 1) => queue.is_empty(),
            (Side::Items, need) => queue.len().is_ok_and(|length| length < need),
        };
        has_too_few && queue.is_shutdown() == Shutdown::Open && !queue.is_closed()
    }

    /// Puts `waiter` to the line, where `previous` stands if there was one; the next thing is another
    /// attempt.
    pub(crate) fn enlist(
        &self,
        py: Python<'_>,
        waiter: Arc<Waiter>,
        previous: Option<&Arc<Waiter>>,
    ) -> PyResult<()> {
        let queue = self.queue();
        let enlisted = queue.queue.enlist(self.side(), waiter, previous);
        enlisted.map_err(|failure| refusals::of(py, queue, failure))
    }

    /// On every way out of waiting.
    pub(crate) fn leave(&self, waiter: &Arc<Waiter>) {
        self.queue().queue.leave(self.side(), waiter);
    }

    pub(crate) fn iterates(&self) -> bool {
        matches!(self.action, Action::Next(_))
    }

    pub(crate) fn is_plain(&self) -> bool {
        matches!(self.action, Action::Take(Form::Item) | Action::Put(_))
    }

    pub(crate) fn verb(&self) -> &'static str {
        self.verb
    }

    pub(crate) fn label(&self) -> String {
        self.queue().label()
    }

    pub(crate) fn qualified_name(&self) -> String {
        format!("SharedQueue.{}", self.verb)
    }

    pub(crate) fn release(self, py: Python<'_>) {
        drop(self.action);
        drop(self.queue.into_bound(py));
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        // What is packed are strings of bytes or characters and buffers, which refer to nothing.
        visit.call(&self.queue)
    }
}

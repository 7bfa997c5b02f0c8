//! What a `QueueOperation` does: something on a queue of this process, on one between processes, or on the
//! calls of a C library.

use std::sync::Arc;

use pyo3::{PyTraverseError, gc::PyVisit, prelude::*};

use super::{
    lull,
    operation::{Action, Operation},
};
use crate::{callback, shared, waiter::Waiter};

/// See the module's head. All kinds keep the promise of [`Operation`]: an attempt does the whole step
/// or nothing.
pub(crate) enum Awaited {
    Here(Operation),
    Shared(shared::Operation),
    Called(callback::Operation),
}

impl From<Operation> for Awaited {
    fn from(operation: Operation) -> Self {
        Self::Here(operation)
    }
}

impl From<shared::Operation> for Awaited {
    fn from(operation: shared::Operation) -> Self {
        Self::Shared(operation)
    }
}

impl From<callback::Operation> for Awaited {
    fn from(operation: callback::Operation) -> Self {
        Self::Called(operation)
    }
}

/// The same expression for each kind.
macro_rules! each {
    ($awaited:expr, $operation:ident => $body:expr) => {
        match $awaited {
            Awaited::Here($operation) => $body,
            Awaited::Shared($operation) => $body,
            Awaited::Called($operation) => $body,
        }
    };
}

impl Awaited {
    #[inline]
    pub(super) fn attempt(
        &self,
        py: Python<'_>,
        me: Option<&Arc<Waiter>>,
    ) -> PyResult<Option<Py<PyAny>>> {
        match self {
            Self::Here(operation) => operation.attempt(py, me),
            Self::Shared(operation) => operation.attempt(py),
            Self::Called(operation) => operation.attempt(py),
        }
    }

    /// Whether an attempt would most likely be refused for now.
    pub(super) fn would_wait(&self) -> bool {
        each!(self, operation => operation.would_wait())
    }

    /// Tries once more behind a moment in which the other side may come, if that is of use.
    pub(super) fn attempt_behind_lull(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        match self {
            Self::Here(operation) => lull::attempt(py, operation),
            Self::Shared(_) => Ok(None),
            Self::Called(operation) => operation.attempt_behind_lull(py),
        }
    }

    pub(super) fn need(&self) -> usize {
        each!(self, operation => operation.need())
    }

    pub(super) fn enlist(
        &self,
        py: Python<'_>,
        waiter: Arc<Waiter>,
        previous: Option<&Arc<Waiter>>,
    ) -> PyResult<()> {
        match self {
            Self::Here(operation) => {
                operation.enlist(waiter, previous);
                Ok(())
            }
            Self::Shared(operation) => operation.enlist(py, waiter, previous),
            Self::Called(operation) => {
                operation.enlist(waiter, previous);
                Ok(())
            }
        }
    }

    pub(super) fn leave(&self, waiter: &Arc<Waiter>) {
        each!(self, operation => operation.leave(waiter));
    }

    /// What is raised when the time is up.
    pub(super) fn expired(&self, py: Python<'_>, timeout: Option<f64>) -> PyErr {
        each!(self, operation => operation.expired(py, timeout))
    }

    /// Whether the queue's end is the end of an iteration.
    pub(super) fn iterates(&self) -> bool {
        match self {
            Self::Here(operation) => matches!(operation.action, Action::Next),
            Self::Shared(operation) => operation.iterates(),
            Self::Called(operation) => operation.iterates(),
        }
    }

    /// Whether it is one of those that are made by the million.
    pub(super) fn is_plain(&self) -> bool {
        match self {
            Self::Here(operation) => matches!(operation.action, Action::Get | Action::Put(_)),
            Self::Shared(operation) => operation.is_plain(),
            Self::Called(operation) => operation.is_plain(),
        }
    }

    /// Lets go of what it holds, at once, wherever this is called from.
    #[inline]
    pub(super) fn release(self, py: Python<'_>) {
        each!(self, operation => operation.release(py));
    }

    pub(super) fn verb(&self) -> &'static str {
        each!(self, operation => operation.verb())
    }

    /// What it works on, for people.
    pub(super) fn label(&self) -> String {
        each!(self, operation => operation.label())
    }

    pub(super) fn qualified_name(&self) -> String {
        each!(self, operation => operation.qualified_name())
    }

    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        each!(self, operation => operation.traverse(visit))
    }
}

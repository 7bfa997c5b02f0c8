//! What can be waited for: the next call, or a batch of them.
//!
//! Guarantee: an attempt takes what it returns, or nothing. Where a `decode` fails in the middle of a batch,
//! what is before it is returned, the failure is raised to whoever takes next, and what is behind it
//! comes after that.

use std::{sync::Arc, thread, time::Instant};

use penstock_core::{
    callback::{Records, Taken},
    fork_gate::thread_token,
    luck::PATIENCE,
    sync::lock,
};
use pyo3::{
    PyTraverseError,
    exceptions::{PyRuntimeError, PyStopAsyncIteration, PyStopIteration},
    gc::PyVisit,
    intern,
    prelude::*,
};

use super::{CallbackBacklog, Kept, records::Reader};
use crate::{
    errors::{self, Family, error},
    queue::{Waits, list_of},
    waiter::Waiter,
};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Get,
    /// As `Get`, but the end ends an iteration.
    Next,
    GetMany {
        max: usize,
    },
}

pub(crate) struct Operation {
    pub(super) backlog: Py<CallbackBacklog>,
    pub(super) action: Action,
}

impl CallbackBacklog {
    /// This process's source.
    pub(super) fn here(&self, py: Python<'_>) -> PyResult<&super::Source> {
        if self.source.owner.is_here() {
            return Ok(&self.source);
        }
        let message = format!(
            "{} was opened in process {}, before the fork",
            self.label, self.pid
        );
        let hint = "open one in the forked child, and register it with the library there";
        Err(error(py, Family::Misuse, &message, Some(hint)))
    }

    fn is_kept_empty(&self) -> bool {
        self.decode.is_none() || lock(&self.kept).is_empty()
    }

    /// What `decode` makes of a call, or its failure with a note that says of which call.
    fn decoded<'py>(&self, call: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let Some(decode) = &self.decode else {
            return Ok(call);
        };
        let py = call.py();
        crate::ending::outlast();
        let arguments = call.cast::<pyo3::types::PyTuple>()?;
        decode.bind(py).call1(arguments).map_err(|failure| {
            let note = format!("raised by decode= for the call {call} of {}", self.label);
            let failure = self.not_an_end(py, failure);
            // The failure is what counts.
            let _ = failure
                .value(py)
                .call_method1(intern!(py, "add_note"), (note,));
            failure
        })
    }

    /// A failure that whoever iterates would take for the end becomes one that it does not (PEP 479).
    fn not_an_end(&self, py: Python<'_>, failure: PyErr) -> PyErr {
        let is_end = errors::is_closed(py, &failure)
            || failure.is_instance_of::<PyStopIteration>(py)
            || failure.is_instance_of::<PyStopAsyncIteration>(py);
        if !is_end {
            return failure;
        }
        let kind = failure.get_type(py);
        let better = PyRuntimeError::new_err(format!("decode= of {} raised {kind}", self.label));
        better.set_cause(py, Some(failure));
        better
    }

    fn missing(&self, py: Python<'_>, count: u64) -> PyErr {
        let message = format!(
            "{}: {count} calls are missing here: they came on a thread that takes, and such a call \
             cannot wait for itself",
            self.label
        );
        let hint = "raise max_items, or let another thread make the library call";
        error(py, Family::Full, &message, Some(hint))
    }

    fn ended(&self, py: Python<'_>) -> PyErr {
        let message = format!("{} is closed, and all its calls were taken", self.label);
        error(py, Family::Closed, &message, None)
    }

    /// Takes up to `max` calls, decoded; `None` if there are none yet.
    fn take<'py>(
        &self,
        py: Python<'py>,
        max: usize,
        mut each: impl FnMut(Bound<'py, PyAny>) -> PyResult<()>,
    ) -> PyResult<usize> {
        let source = self.here(py)?;
        if !self.is_kept_empty() {
            return self.take_kept(py, max, each);
        }
        let mut records = Records::default();
        let count = match source.backlog.take(max, thread_token(), &mut records) {
            Taken::Some(count) => count,
            Taken::NotNow => return Ok(0),
            Taken::Missing(count) => return Err(self.missing(py, count)),
            Taken::Ended => return Err(self.ended(py)),
        };
        let mut reader = Reader::new(source.backlog.shape().kinds(), &records);
        for nth in 0..count {
            let failure = match self.decoded(reader.next(py)?) {
                Ok(item) => {
                    each(item)?;
                    continue;
                }
                Err(failure) => failure,
            };
            let mut rest = Vec::with_capacity(count - nth);
            if nth > 0 {
                rest.push(Kept::Failure(failure.clone_ref(py)));
            }
            for _ in nth + 1..count {
                rest.push(Kept::Call(reader.next(py)?.unbind()));
            }
            let mut kept = lock(&self.kept);
            rest.into_iter().rev().for_each(|one| kept.push_front(one));
            drop(kept);
            // Others who wait were not called for what is there again.
            source.backlog.nudge();
            return if nth > 0 { Ok(nth) } else { Err(failure) };
        }
        Ok(count)
    }

    /// As `take`, of what was behind a failure.
    fn take_kept<'py>(
        &self,
        py: Python<'py>,
        max: usize,
        mut each: impl FnMut(Bound<'py, PyAny>) -> PyResult<()>,
    ) -> PyResult<usize> {
        let mut count = 0;
        while count < max {
            let next = lock(&self.kept).pop_front();
            let failure = match next {
                None => break,
                Some(Kept::Failure(failure)) => failure,
                Some(Kept::Call(call)) => match self.decoded(call.into_bound(py)) {
                    Ok(item) => {
                        each(item)?;
                        count += 1;
                        continue;
                    }
                    Err(failure) => failure,
                },
            };
            if count == 0 {
                return Err(failure);
            }
            lock(&self.kept).push_front(Kept::Failure(failure));
            break;
        }
        Ok(count)
    }
}

impl Operation {
    #[inline]
    pub(crate) fn release(self, py: Python<'_>) {
        drop(self.backlog.into_bound(py));
    }

    #[inline]
    pub(crate) fn attempt(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let backlog = self.backlog.get();
        match self.action {
            Action::Get | Action::Next => {
                let mut found = None;
                let keep = |item: Bound<'_, PyAny>| {
                    found = Some(item.unbind());
                    Ok(())
                };
                backlog.take(py, 1, keep).map(|_| found)
            }
            Action::GetMany { max } => {
                let mut items = Vec::new();
                let keep = |item: Bound<'_, PyAny>| {
                    items.push(item.unbind());
                    Ok(())
                };
                match backlog.take(py, max, keep)? {
                    0 => Ok(None),
                    _ => list_of(py, items).map(Some),
                }
            }
        }
    }

    /// Tries once more, behind a moment without the interpreter in which the next call may come, unless that
    /// was in vain lately. A library that calls every few µs would otherwise put the taker to sleep, and pay
    /// for a wake, every few calls: with 1 KiB each, 800,000 of them took 128,000 switches of the processor.
    pub(crate) fn attempt_behind_lull(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let backlog = self.backlog.get();
        let calls = &backlog.source.backlog;
        let before = calls.arrived();
        if !self.would_wait() {
            return self.attempt(py);
        }
        let look = || {
            let until = Instant::now() + PATIENCE;
            while calls.arrived() == before && Instant::now() < until {
                thread::yield_now(); // Whoever has something to run goes first.
            }
            calls.arrived() != before
        };
        if !backlog.luck.try_with(|| crate::ending::detached(py, look)) {
            return Ok(None);
        }
        self.attempt(py)
    }

    pub(crate) fn would_wait(&self) -> bool {
        let backlog = self.backlog.get();
        backlog.is_kept_empty()
            && backlog.source.backlog.is_empty()
            && !backlog.source.backlog.is_closed()
    }

    pub(crate) const fn need(&self) -> usize {
        1
    }

    pub(crate) fn enlist(&self, waiter: Arc<Waiter>, previous: Option<&Arc<Waiter>>) {
        self.backlog
            .get()
            .source
            .backlog
            .enlist_getter(waiter, previous);
    }

    pub(crate) fn leave(&self, waiter: &Arc<Waiter>) {
        let backlog = self.backlog.get();
        backlog.source.backlog.leave_getter(waiter);
        if !backlog.is_kept_empty() {
            backlog.source.backlog.nudge();
        }
    }

    pub(crate) fn expired(&self, py: Python<'_>, timeout: Option<f64>) -> PyErr {
        let label = &self.backlog.get().label;
        let message = match timeout {
            Some(seconds) => format!("{label} was not called within {seconds} s"),
            None => format!("{label} was not called"),
        };
        // As a queue's: `except queue.Empty` catches both.
        errors::named(py, "Empty", &message, None)
    }

    pub(crate) fn iterates(&self) -> bool {
        self.action == Action::Next
    }

    pub(crate) fn is_plain(&self) -> bool {
        !matches!(self.action, Action::GetMany { .. })
    }

    pub(crate) fn verb(&self) -> &'static str {
        match self.action {
            Action::Get => "aget",
            Action::Next => "__anext__",
            Action::GetMany { .. } => "aget_many",
        }
    }

    pub(crate) fn label(&self) -> String {
        self.backlog.get().label.clone()
    }

    pub(crate) fn qualified_name(&self) -> String {
        format!("CCallback.{}", self.verb())
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.backlog)
    }
}

impl Waits for Operation {
    fn attempt(&self, py: Python<'_>, _: Option<&Arc<Waiter>>) -> PyResult<Option<Py<PyAny>>> {
        Self::attempt(self, py)
    }

    fn attempt_behind_lull(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        Self::attempt_behind_lull(self, py)
    }

    fn need(&self) -> usize {
        1
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

//! The methods of `CallbackBacklog`, as Python code sees them.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use penstock_core::{
    callback::{Backlog, Bounds, IS_NATIVE, Kind, Overflow, STUBS, Shape, Slot},
    fork::Owner,
    fork_gate::thread_token,
    luck::Luck,
    sync::lock,
};
use pyo3::{PyTraverseError, exceptions::PyValueError, gc::PyVisit, prelude::*};

use super::{
    CallbackBacklog, Kept,
    operation::{Action, Operation},
    source::Source,
};
use crate::{
    errors::{self, Family, error},
    queue::{QueueOperation, run_blocking, spare},
};

/// An argument as `penstock.adapters` describes it: what it is, and its bits, or which argument is its length
/// and the size of a unit.
type Described = (String, usize, usize);

fn kind(described: &Described) -> PyResult<Kind> {
    let (name, first, second) = described;
    Ok(match name.as_str() {
        "bool" => Kind::Bool,
        "signed" => Kind::Signed(*first as u32),
        "unsigned" => Kind::Unsigned(*first as u32),
        "float" => Kind::Float,
        "double" => Kind::Double,
        "pointer" => Kind::Pointer,
        "text" => Kind::Text,
        "bytes" => Kind::Bytes {
            length: *first,
            unit: *second,
        },
        other => return Err(PyValueError::new_err(format!("no argument is {other:?}"))),
    })
}

fn overflow(name: &str) -> PyResult<Overflow> {
    Ok(match name {
        "block" => Overflow::Block,
        "drop_newest" => Overflow::DropNewest,
        "drop_oldest" => Overflow::DropOldest,
        "refuse" => Overflow::Refuse,
        other => return Err(PyValueError::new_err(format!("no overflow is {other:?}"))),
    })
}

impl CallbackBacklog {
    fn operation(slf: &Bound<'_, Self>, action: Action) -> Operation {
        Operation {
            backlog: slf.clone().unbind(),
            action,
        }
    }

    fn awaitable<'py>(
        slf: &Bound<'py, Self>,
        action: Action,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, QueueOperation>> {
        slf.get().here(slf.py())?;
        let timeout = slf.get().timeout(slf.py(), timeout)?;
        let operation = Self::operation(slf, action);
        if timeout.is_some() {
            return Bound::new(slf.py(), QueueOperation::new(operation, timeout));
        }
        spare::take(slf.py(), operation)
            .or_else(|operation| Bound::new(slf.py(), QueueOperation::new(operation, None)))
    }

    fn timeout(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<f64>> {
        match timeout {
            Some(seconds) if seconds.is_nan() || seconds < 0.0 => {
                let message = format!("{}: timeout={seconds} is no time to wait", self.label);
                let hint = "give seconds, zero or more, or None to wait without limit";
                Err(error(py, Family::Misuse, &message, Some(hint)))
            }
            Some(seconds) if seconds.is_infinite() => Ok(None),
            timeout => Ok(timeout),
        }
    }

    fn batch(&self, py: Python<'_>, max: isize) -> PyResult<Action> {
        match usize::try_from(max) {
            Err(_) | Ok(0) => {
                let message = format!("{}: max={max} takes nothing", self.label);
                Err(error(
                    py,
                    Family::Misuse,
                    &message,
                    Some("max is at least 1"),
                ))
            }
            Ok(max) => Ok(Action::GetMany { max }),
        }
    }

    fn blocking(
        slf: &Bound<'_, Self>,
        action: Action,
        timeout: Option<f64>,
    ) -> PyResult<Py<PyAny>> {
        let timeout = slf.get().timeout(slf.py(), timeout)?;
        run_blocking(slf.py(), &Self::operation(slf, action), timeout)
    }
}

#[pymethods]
impl CallbackBacklog {
    #[new]
    #[pyo3(signature = (arguments, *, label, returns, refuses, max_items, max_bytes, overflow_policy, decode))]
    #[expect(
        clippy::too_many_arguments,
        reason = "one constructor of ours calls it"
    )]
    fn new(
        arguments: Vec<Described>,
        label: String,
        returns: u64,
        refuses: u64,
        max_items: usize,
        max_bytes: usize,
        overflow_policy: &str,
        decode: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let kinds = arguments.iter().map(kind).collect::<PyResult<_>>()?;
        let bounds = Bounds {
            items: max_items,
            bytes: max_bytes,
            overflow: overflow(overflow_policy)?,
        };
        let source = Source {
            backlog: Backlog::new(Shape::new(kinds), bounds),
            owner: Owner::current(),
            returns,
            refuses,
        };
        Ok(Self {
            source: Arc::new(source),
            slot: Mutex::new(None),
            decode,
            kept: Mutex::new(VecDeque::new()),
            luck: Luck::new(),
            label,
            pid: std::process::id(),
        })
    }

    /// From now on calls come in: the address to hand to C.
    fn _open(&self, py: Python<'_>) -> PyResult<usize> {
        let source = self.here(py)?;
        source.backlog.expect(thread_token());
        let misuse = |message: &str, hint| error(py, Family::Misuse, message, Some(hint));
        if !IS_NATIVE {
            let message = format!("{}: no stubs for this processor", self.label);
            return Err(misuse(&message, "it works on x86-64 and AArch64"));
        }
        let mut slot = lock(&self.slot);
        if slot.is_some() {
            let message = format!("{} was opened before", self.label);
            return Err(misuse(
                &message,
                "make another one for another registration",
            ));
        }
        let receiver = Arc::clone(&self.source);
        let Some(opened) = Slot::open(receiver, source.returns) else {
            let message = format!("{}: all {STUBS} stubs are in use", self.label);
            let hint = "close callbacks that are not needed any more, or tell many operations apart by \
                        the pointer that the library hands through";
            return Err(error(py, Family::Full, &message, Some(hint)));
        };
        let address = opened.address();
        *slot = Some(opened);
        Ok(address)
    }

    /// Accepts no further calls and lets those go that wait for room.
    fn _stop(&self) {
        if self.source.owner.is_here() {
            self.source.backlog.close();
        }
    }

    /// As `_stop`, and calls do not even come here any more.
    fn _close(&self) {
        self._stop();
        if let Some(slot) = &*lock(&self.slot) {
            slot.close();
        }
    }

    /// Says that a call is still to come after the close.
    fn _expect_late(&self) {
        if let Some(slot) = &*lock(&self.slot) {
            slot.expect_late();
        }
    }

    /// How many calls came too late, of all C callbacks of this process.
    #[staticmethod]
    fn _all_late() -> u64 {
        Slot::all_late()
    }

    /// Whether it accepts no calls any more.
    #[getter]
    fn is_closed(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.here(py)?.backlog.is_closed())
    }

    /// Takes the oldest call, waiting while there is none.
    ///
    /// `timeout` is in seconds, None for no limit; raises Empty when the time is up, Closed when it is
    /// closed and drained, Full where calls are missing. Blocks the calling thread without the
    /// interpreter; Ctrl-C ends the wait at once and takes nothing. On a loop's thread await `aget`.
    #[pyo3(signature = (timeout = None))]
    fn get(slf: &Bound<'_, Self>, timeout: Option<f64>) -> PyResult<Py<PyAny>> {
        Self::blocking(slf, Action::Get, timeout)
    }

    /// Takes the oldest call, or raises Empty at once.
    fn get_nowait(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        Self::blocking(slf, Action::Get, Some(0.0))
    }

    /// Takes what is there, up to `max` calls and one at least, oldest first, as a list.
    ///
    /// Waits for the first one and for no other, so under load batches grow by themselves. Raises as
    /// `get` does.
    #[pyo3(signature = (max = 256, *, timeout = None))]
    fn get_many(slf: &Bound<'_, Self>, max: isize, timeout: Option<f64>) -> PyResult<Py<PyAny>> {
        let action = slf.get().batch(slf.py(), max)?;
        Self::blocking(slf, action, timeout)
    }

    /// As `get`, for tasks: awaited in asyncio, uvloop or trio.
    ///
    /// If there is a call it does not yield, but that the loop gets a turn every 1,024 calls or 100 µs.
    /// Cancelled, it has taken nothing.
    #[pyo3(signature = (timeout = None))]
    fn aget<'py>(
        slf: &Bound<'py, Self>,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, QueueOperation>> {
        Self::awaitable(slf, Action::Get, timeout)
    }

    /// As `get_many`, for tasks; the fastest way to take. Cancelled, it has taken nothing.
    #[pyo3(signature = (max = 256, *, timeout = None))]
    fn aget_many<'py>(
        slf: &Bound<'py, Self>,
        max: isize,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, QueueOperation>> {
        let action = slf.get().batch(slf.py(), max)?;
        Self::awaitable(slf, action, timeout)
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(slf: &Bound<'_, Self>) -> PyResult<Option<Py<PyAny>>> {
        match Self::blocking(slf, Action::Next, None) {
            Ok(item) => Ok(Some(item)),
            Err(failure) if errors::is_closed(slf.py(), &failure) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    fn __aiter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __anext__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, QueueOperation>> {
        Self::awaitable(slf, Action::Next, None)
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
        u64,
        u64,
        u64,
        u64,
        u64,
        u64,
        u64,
        u64,
    )> {
        let figures = self.here(py)?.backlog.figures();
        let late = lock(&self.slot).as_ref().map_or(0, Slot::late);
        let kept = lock(&self.kept).len();
        Ok((
            figures.items + kept,
            figures.bytes,
            figures.most_items,
            figures.most_bytes,
            figures.accepted,
            figures.taken - kept as u64,
            figures.dropped,
            figures.beyond,
            figures.waited,
            figures.late + late,
            figures.wakes,
            figures.system_calls,
        ))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.decode)?;
        if let Ok(kept) = self.kept.try_lock() {
            for one in &*kept {
                if let Kept::Call(call) = one {
                    visit.call(call)?;
                }
            }
        }
        Ok(())
    }
}

impl Drop for CallbackBacklog {
    fn drop(&mut self) {
        self._close();
    }
}

//! `Port`: one end of the link between a pool and one worker.

use std::{
    os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use penstock_core::shm::{
    self, Arrival, Kind, PortError, Waited, WorkerEnd,
    task::{State, TASKS},
};
use pyo3::{
    exceptions::{PyEOFError, PyOSError},
    prelude::*,
    types::{PyBytes, PyList, PyTuple},
};

use super::{arena::Arena, parcel::Parcel, slab::Slab};
use crate::{
    ending::detached,
    errors::{Family, error},
};

/// One end of a link; see `penstock.workers`.
#[pyclass(frozen, module = "penstock._native")]
pub(crate) struct Port {
    port: shm::Port,
    /// Whether what comes in belongs to this end alone.
    writable: bool,
    /// Something that came in made no sense; nothing behind it is believed.
    is_broken: AtomicBool,
}

#[pymethods]
impl Port {
    /// The kinds of message.
    #[classattr]
    const TASK: u32 = Kind::Task as u32;
    #[classattr]
    const VALUE: u32 = Kind::Value as u32;
    #[classattr]
    const RAISED: u32 = Kind::Raised as u32;
    #[classattr]
    const STOP: u32 = Kind::Stop as u32;
    /// How many tasks can lie with one worker.
    #[classattr]
    const SLOTS: usize = TASKS;
    /// How many buffers one message may carry, its stream left out.
    #[classattr]
    const BUFFERS: usize = shm::Port::most_slabs() - 1;

    /// The pool's end, and the descriptors that the worker's end is attached by: the caller
    /// hands them on and closes them.
    #[staticmethod]
    #[pyo3(signature = (arena, max_bytes, /))]
    fn create(arena: &Arena, max_bytes: usize) -> PyResult<(Self, [RawFd; 4])> {
        let (port, end) = shm::Port::create(&arena.0, max_bytes)?;
        let fds = [end.link, end.own, end.pool, end.bell].map(IntoRawFd::into_raw_fd);
        Ok((
            Self {
                port,
                writable: true,
                is_broken: AtomicBool::new(false),
            },
            fds,
        ))
    }

    /// The worker's end, and the arena for its results. Takes over the descriptors.
    #[staticmethod]
    #[pyo3(signature = (fds, participant, /))]
    fn attach(py: Python<'_>, fds: [RawFd; 4], participant: u32) -> PyResult<(Self, Arena)> {
        // SAFETY: the caller gives the descriptors away, as the docstring says.
        let [link, own, pool, bell] = fds.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
        let end = WorkerEnd {
            link,
            own,
            pool,
            bell,
        };
        let (port, arena) = shm::Port::attach(end, participant).map_err(|failure| {
            let hint = "pool and worker must run the same version of penstock";
            error(py, Family::Misuse, &failure.to_string(), Some(hint))
        })?;
        Ok((
            Self {
                port,
                writable: false,
                is_broken: AtomicBool::new(false),
            },
            Arena(arena),
        ))
    }

    /// Sends a message; `parcel` is `None` for one that is all head. False: no room now.
    #[pyo3(signature = (kind, slot, number, parcel, times=(0, 0), /))]
    fn send(
        &self,
        py: Python<'_>,
        kind: u32,
        slot: usize,
        number: u64,
        parcel: Option<&Parcel>,
        times: (u64, u64),
    ) -> PyResult<bool> {
        let kind = match kind {
            Self::TASK => Kind::Task,
            Self::VALUE => Kind::Value,
            Self::RAISED => Kind::Raised,
            Self::STOP => Kind::Stop,
            other => {
                let message = format!("there is no message of kind {other}");
                return Err(error(py, Family::Misuse, &message, None));
            }
        };
        let empty;
        let parcel = match parcel {
            Some(parcel) => &parcel.0,
            None => {
                empty = Arc::new(shm::Parcel::empty());
                &empty
            }
        };
        let sent = self.port.send(kind, slot, number, times, parcel);
        sent.map_err(|failure| broken(py, failure))
    }

    /// At most `limit` messages that have come in, each
    /// `(kind, slot, number, started, elapsed, stream, buffers)`.
    #[pyo3(signature = (limit, /))]
    fn receive<'py>(&self, py: Python<'py>, limit: usize) -> PyResult<Bound<'py, PyList>> {
        let messages = PyList::empty(py);
        if self.is_broken.load(Ordering::Relaxed) {
            return Err(broken(py, PortError::Corrupt));
        }
        while messages.len() < limit {
            match self.port.receive() {
                Ok(Some(arrival)) => messages.append(self.convert(py, arrival)?)?,
                Ok(None) => break,
                Err(failure) => {
                    self.is_broken.store(true, Ordering::Relaxed);
                    if messages.is_empty() {
                        return Err(broken(py, failure));
                    }
                    break; // those before it are sound; the next call says the rest
                }
            }
        }
        Ok(messages)
    }

    /// Asks to be rung for the next message. False: one is there already.
    fn doze(&self, py: Python<'_>) -> PyResult<bool> {
        self.port.doze().map_err(|failure| broken(py, failure))
    }

    /// Ends `doze`, and forgets the rings so far. False: the other side has closed its end.
    fn awake(&self) -> bool {
        self.port.awake();
        self.port.answer()
    }

    /// Asks to be rung when the other side has read on, after `send` said false. False: it has
    /// read on already.
    fn want_room(&self, py: Python<'_>) -> PyResult<bool> {
        self.port.want_room().map_err(|failure| broken(py, failure))
    }

    /// Whether the other side has ever looked for a message.
    fn met(&self) -> bool {
        self.port.met()
    }

    /// Lets go of parcels that the other side has read.
    fn settle(&self, py: Python<'_>) -> PyResult<()> {
        self.port.settle().map_err(|failure| broken(py, failure))
    }

    /// Sleeps until a message is there (or a signal came); raises `EOFError` when the other side
    /// has closed its end. False: `timeout` seconds have passed.
    #[pyo3(signature = (timeout=None, /))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let timeout = timeout.map(Duration::from_secs_f64);
        waited(py, detached(py, || self.port.wait(timeout)))
    }

    /// As `wait`, until there may be room to send.
    #[pyo3(signature = (timeout=None, /))]
    fn wait_for_room(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let timeout = timeout.map(Duration::from_secs_f64);
        waited(py, detached(py, || self.port.wait_for_room(timeout)))
    }

    /// The descriptor to poll for reading while dozing.
    fn fileno(&self) -> RawFd {
        self.port.bell().as_raw_fd()
    }

    /// Puts task `number` into `slot`, before it is sent.
    #[pyo3(signature = (slot, number, /))]
    fn offer(&self, py: Python<'_>, slot: usize, number: u64) -> PyResult<()> {
        self.slot(py, slot)?.offer(number);
        Ok(())
    }

    /// The worker begins it. False: it was recalled.
    #[pyo3(signature = (slot, number, /))]
    fn start(&self, py: Python<'_>, slot: usize, number: u64) -> PyResult<bool> {
        Ok(self.slot(py, slot)?.start(number))
    }

    /// The worker has ended it. False: the pool had decided its end.
    #[pyo3(signature = (slot, number, /))]
    fn finish(&self, py: Python<'_>, slot: usize, number: u64) -> PyResult<bool> {
        Ok(self.slot(py, slot)?.finish(number))
    }

    /// The pool takes it back. False: it has begun.
    #[pyo3(signature = (slot, number, /))]
    fn recall(&self, py: Python<'_>, slot: usize, number: u64) -> PyResult<bool> {
        Ok(self.slot(py, slot)?.recall(number))
    }

    /// The pool decides that it ends. False: it has not begun, or has ended by itself.
    #[pyo3(signature = (slot, number, /))]
    fn condemn(&self, py: Python<'_>, slot: usize, number: u64) -> PyResult<bool> {
        Ok(self.slot(py, slot)?.condemn(number))
    }

    /// How far it is; `None` if the slot's state is another task's, or makes no sense.
    #[pyo3(signature = (slot, number, /))]
    fn state(&self, py: Python<'_>, slot: usize, number: u64) -> PyResult<Option<&'static str>> {
        Ok(self.slot(py, slot)?.state(number).map(State::name))
    }
}

impl Port {
    fn slot(&self, py: Python<'_>, slot: usize) -> PyResult<&shm::task::TaskSlot> {
        self.port.task(slot).ok_or_else(|| {
            error(
                py,
                Family::Misuse,
                &format!("slot {slot} is not below {TASKS}"),
                None,
            )
        })
    }

    fn convert<'py>(&self, py: Python<'py>, arrival: Arrival) -> PyResult<Bound<'py, PyTuple>> {
        let mut slabs = arrival
            .slabs
            .into_iter()
            .map(|pinned| Slab::new(pinned, self.writable));
        let stream = match arrival.inline {
            Some(bytes) => PyBytes::new(py, &bytes).into_any(),
            // A record without inline bytes names at least one slab; `decode` saw to it.
            None => slabs.next().into_pyobject(py)?,
        };
        let buffers = PyList::empty(py);
        for slab in slabs {
            buffers.append(Bound::new(py, slab)?)?;
        }
        let Arrival {
            kind,
            slot,
            number,
            started,
            elapsed,
            ..
        } = arrival;
        (kind as u32, slot, number, started, elapsed, stream, buffers).into_pyobject(py)
    }
}

fn waited(py: Python<'_>, waited: Result<Waited, PortError>) -> PyResult<bool> {
    match waited.map_err(|failure| broken(py, failure))? {
        Waited::Ready => Ok(true),
        Waited::Expired => Ok(false),
        Waited::Interrupted => py.check_signals().map(|()| true),
        Waited::HungUp => Err(PyEOFError::new_err(
            "the pool has closed its end of the link",
        )),
    }
}

fn broken(py: Python<'_>, failure: PortError) -> PyErr {
    match failure {
        PortError::Corrupt => {
            let message = "the other process has written what no version of penstock writes";
            error(
                py,
                Family::Lost,
                message,
                Some("code in a task has damaged shared memory"),
            )
        }
        PortError::Io(failure) => PyOSError::new_err(failure),
    }
}

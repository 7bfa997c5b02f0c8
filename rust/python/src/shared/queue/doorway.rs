//! A named queue, as processes that know only its name find it.

use std::{os::fd::OwnedFd, time::Duration};

use penstock_core::{
    fork::PerProcess,
    shm::{
        AttachError,
        door::{self, DoorError},
        doorkeeper::{Attended, Claim},
        queue::{self as core, QueueError},
    },
    sync::{Arc, Mutex, lock},
};
use pyo3::{exceptions::PyOSError, prelude::*};

use super::{label, refusals};
use crate::{
    errors::{Family, error, named},
    waiter::Waiter,
};

type Queue = core::Queue<Waiter>;

/// How long a door that is there may keep its owner's new name waiting.
const GLANCE: Duration = Duration::from_millis(100);

/// The doors of a queue's name: one in each process that has it, from its first operation on.
pub(super) struct Doorway {
    name: String,
    here: PerProcess<Mutex<Option<Attended>>>,
}

impl Doorway {
    /// That of a new queue, whose name nobody else may have.
    pub(super) fn claim(py: Python<'_>, name: &str, queue: &Queue) -> PyResult<Self> {
        let taken = py.detach(|| match door::fetch(name, GLANCE, |_, _| Ok(())) {
            Err(DoorError::Nobody { .. }) => {
                Attended::open(name, Claim::New, queue.id(), queue.fd())
            }
            Ok(()) => Err(DoorError::Taken {
                name: name.into(),
                seat: 0,
            }),
            Err(failure) => Err(failure),
        });
        let attended = taken.map_err(|failure| refusal(py, name, failure, true))?;
        let this = Self::unopened(name);
        this.here
            .get_or_make(|| Arc::new(Mutex::new(Some(attended))));
        Ok(this)
    }

    /// That of a queue which somebody else has made.
    pub(super) fn unopened(name: &str) -> Self {
        Self {
            name: name.into(),
            here: PerProcess::new(),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether this process has opened its door.
    #[inline(always)]
    pub(super) fn is_open(&self) -> bool {
        self.here.get().is_some()
    }

    /// Opens this process's door. One that cannot be opened is done without: others have theirs.
    #[cold]
    pub(super) fn open(&self, queue: &Queue) {
        self.here.get_or_make(|| {
            let opened = Attended::open(&self.name, Claim::Further, queue.id(), queue.fd());
            Arc::new(Mutex::new(opened.ok()))
        });
    }

    /// Closes it, for good.
    pub(super) fn close(&self) {
        let here = self.here.get_or_make(|| Arc::new(Mutex::new(None)));
        drop(lock(here).take());
    }
}

/// The queue of that name, from whoever has it.
pub(super) fn fetch(py: Python<'_>, name: &str, patience: Duration) -> PyResult<Arc<Queue>> {
    let mut refused = None;
    let fetched = py.detach(|| {
        door::fetch(name, patience, |segment, id| {
            attach(segment, id, &mut refused)
        })
    });
    match (fetched, refused) {
        (Ok(queue), _) => Ok(queue),
        (Err(DoorError::Refused { .. }), Some(failure)) => {
            Err(refusals::of_labelled(py, &label(Some(name), 0), failure))
        }
        (Err(failure), _) => Err(refusal(py, name, failure, false)),
    }
}

fn attach(
    segment: OwnedFd,
    id: u128,
    refused: &mut Option<QueueError>,
) -> Result<Arc<Queue>, AttachError> {
    match Queue::attach(segment) {
        Ok(queue) if queue.id() == id => Ok(queue),
        Ok(_) => Err(AttachError::Damaged),
        Err(failure) => {
            *refused = Some(failure);
            Err(AttachError::Damaged)
        }
    }
}

fn refusal(py: Python<'_>, name: &str, failure: DoorError, is_new: bool) -> PyErr {
    let label = label(Some(name), 0);
    let message = format!("{label}: {failure}");
    match failure {
        DoorError::Name { .. } => {
            let hint = "names are addresses of the machine: give one in these characters, or none";
            error(py, Family::Misuse, &message, Some(hint))
        }
        DoorError::Io(failure) => PyOSError::new_err(failure),
        _ if is_new => {
            let message = format!("{label} exists already");
            let hint = "join it with SharedQueue.attach(name), or choose another name";
            named(py, "Conflict", &message, Some(hint))
        }
        DoorError::Silent { .. } => {
            let hint =
                "they may be stopped; give a longer timeout, or ask another process to let you in";
            named(py, "Expired", &message, Some(hint))
        }
        _ => {
            let hint =
                "a name is that of a queue which a living process of this user has, seen from here";
            error(py, Family::Misuse, &message, Some(hint))
        }
    }
}

//! The errors of a queue between processes, with its name and numbers in them.

use std::io;

use penstock_core::shm::{
    AttachError,
    door::DoorError,
    queue::{Lease as Token, QueueError},
};
use pyo3::{
    exceptions::{PyException, PyMemoryError, PyOSError},
    intern,
    prelude::*,
    sync::PyOnceLock,
    types::{PyBytes, PyDict, PyString},
};

use super::{
    Lease, SharedQueue, label,
    operation::Form,
    unpack::{Cause, Unreadable},
};
use crate::{
    errors::{Family, error, named},
    queue::refusals::{after, build},
};

pub(super) use crate::queue::refusals::with_accepted;

/// A put that can not be, or not now.
#[cold]
pub(super) fn of_put(py: Python<'_>, queue: &SharedQueue, failure: QueueError) -> PyErr {
    match failure {
        QueueError::Full => full(py, queue, None),
        failure => of(py, queue, failure),
    }
}

/// A take from a queue in which there will be nothing.
#[cold]
pub(super) fn of_take(py: Python<'_>, queue: &SharedQueue, failure: QueueError) -> PyErr {
    of(py, queue, failure)
}

#[cold]
pub(super) fn of(py: Python<'_>, queue: &SharedQueue, failure: QueueError) -> PyErr {
    match failure {
        QueueError::ShutDown => {
            let message = format!("{} is shut down", queue.label());
            build(py, intern!(py, "QueueShutDown"), message)
        }
        failure => of_labelled(py, &queue.label(), failure),
    }
}

/// As [`of`], for a queue that there is not yet.
#[cold]
pub(super) fn of_labelled(py: Python<'_>, label: &str, failure: QueueError) -> PyErr {
    let message = format!("{label}: {failure}");
    let misuse = |hint| error(py, Family::Misuse, &message, Some(hint));
    match failure {
        QueueError::TooLarge { .. } => misuse(
            "send it in parts, or make the queue with a larger max_bytes (for buffers, arena_bytes)",
        ),
        QueueError::TooMany { .. } => misuse("put fewer arrays into one item"),
        QueueError::Closed => {
            let message = format!("{label} was closed in this process");
            let hint = "close() comes last; another handle joins anew: SharedQueue.attach, or one pickled before";
            named(py, "Closed", &message, Some(hint))
        }
        QueueError::Crowded => {
            let hint = "let processes that need the queue no more close it, or end, and take what dead ones have put";
            named(py, "Rejected", &message, Some(hint))
        }
        QueueError::Namespace => misuse(
            "take part from processes that see each other: one container, or a shared pid namespace",
        ),
        QueueError::Attach(AttachError::Version { .. }) => {
            misuse("let all processes of a queue run the same version of penstock")
        }
        QueueError::Attach(_) => misuse("hand over what SharedQueue.fileno() gave"),
        QueueError::Door(failure) => of_door(py, label, failure),
        QueueError::Settings(_) => misuse("see the docstring of SharedQueue for what fits"),
        QueueError::Memory(_) => PyMemoryError::new_err(message),
        QueueError::Io(failure) => of_system(message, &failure),
        QueueError::Corrupt => error(
            py,
            Family::Lost,
            &message,
            Some(
                "a process has written there what no version of penstock writes; make a new queue",
            ),
        ),
        QueueError::Full | QueueError::ShutDown | QueueError::LeaseLost => {
            error(py, Family::Lost, &message, None)
        }
    }
}

/// What the system has refused.
fn of_system(message: String, failure: &io::Error) -> PyErr {
    match failure.raw_os_error() {
        _ if failure.kind() == io::ErrorKind::OutOfMemory => PyMemoryError::new_err(message),
        Some(number) => PyOSError::new_err((number, message)),
        None => PyOSError::new_err(message),
    }
}

/// A name that is taken, none, or nobody's.
fn of_door(py: Python<'_>, label: &str, failure: DoorError) -> PyErr {
    let message = format!("{label}: {failure}");
    let misuse = |hint| error(py, Family::Misuse, &message, Some(hint));
    match failure {
        DoorError::Taken { .. } => {
            let message = format!("{label} exists already");
            let hint = "join it with SharedQueue.attach(name), or choose another name";
            named(py, "Conflict", &message, Some(hint))
        }
        DoorError::Silent { .. } => {
            let hint = "they may be stopped: give a longer timeout";
            named(py, "Expired", &message, Some(hint))
        }
        DoorError::Name { .. } => {
            misuse("a name is an address of the machine: give one of these characters, or none")
        }
        DoorError::Nobody { .. } | DoorError::Refused { .. } => misuse(
            "a name is that of a queue which a living process of this user has, seen from here",
        ),
        DoorError::Io(failure) => of_system(message, &failure),
    }
}

pub(super) fn full(py: Python<'_>, queue: &SharedQueue, timeout: Option<f64>) -> PyErr {
    let figures = queue.queue.statistics().unwrap_or_default();
    let settings = queue.queue.settings();
    let items = settings.max_items.map_or_else(
        || format!("{} items", figures.items),
        |bound| format!("{} of {bound} items", figures.items),
    );
    let arrays = if figures.held > 0 {
        format!(
            ", {} of {} bytes of this process's arrays are out",
            figures.held, settings.arena_bytes
        )
    } else {
        String::new()
    };
    let message = format!(
        "{} is full: {items}, {} of {} bytes{arrays}{}",
        queue.label(),
        figures.bytes,
        settings.max_bytes,
        after(timeout)
    );
    build(py, intern!(py, "QueueFull"), message)
}

pub(super) fn empty(py: Python<'_>, queue: &SharedQueue, timeout: Option<f64>) -> PyErr {
    let message = format!("{} is empty{}", queue.label(), after(timeout));
    build(py, intern!(py, "QueueEmpty"), message)
}

pub(super) fn too_few(
    py: Python<'_>,
    queue: &SharedQueue,
    min: usize,
    timeout: Option<f64>,
) -> PyErr {
    let message = format!(
        "{} holds {} of the {min} items asked for{}",
        queue.label(),
        queue.queue.len().unwrap_or_default(),
        after(timeout)
    );
    build(py, intern!(py, "QueueEmpty"), message)
}

/// An acknowledgement, or a giving back, that came too late.
#[cold]
pub(super) fn of_lease(
    py: Python<'_>,
    queue: &SharedQueue,
    failure: QueueError,
    is_settled: bool,
) -> PyErr {
    let QueueError::LeaseLost = failure else {
        return of(py, queue, failure);
    };
    if is_settled {
        return misuse(
            py,
            queue,
            "this lease was settled before",
            "acknowledge an item, or give it back, once",
        );
    }
    let seconds = queue
        .queue
        .settings()
        .ack
        .map_or(0.0, |ack| ack.lease.as_secs_f64());
    let message = format!(
        "{}: the lease of {seconds} s is over, and its item is with another taker or on its way there",
        queue.label()
    );
    let hint = "make the lease longer than dealing with an item takes; it may have been done twice";
    shared(py, intern!(py, "LeaseLost"), &message, hint).unwrap_or_else(|failure| failure)
}

/// An item that was taken and can not be rebuilt.
#[cold]
pub(super) fn unreadable(
    queue: &Bound<'_, SharedQueue>,
    unreadable: Unreadable,
    lease: Option<Token>,
) -> PyErr {
    let py = queue.py();
    let this = queue.get();
    let Unreadable {
        code,
        record,
        cause,
    } = unreadable;
    if let Cause::Raised(raised) = &cause
        && !raised.is_instance_of::<PyException>(py)
    {
        return raised.clone_ref(py); // Ctrl-C in the middle of the item's own code.
    }
    let record = record.unwrap_or_else(|| PyBytes::new(py, b"").unbind());
    let length = record.bind(py).as_bytes().len();
    let label = this.label();
    let (message, hint, cause) = match cause {
        Cause::NoBytes => (
            format!("{label}: an item was put as an object (code {code}), not as bytes"),
            "take objects with get(); put bytes for get_bytes() with put_bytes()",
            None,
        ),
        Cause::Nonsense => (
            format!("{label}: an item of {length} bytes and code {code} stands for no object"),
            "records of programs in other languages have code 0",
            None,
        ),
        Cause::Raised(raised) => {
            let kind = raised.get_type(py).name().map(|name| name.to_string());
            let kind = kind.unwrap_or_else(|_| "an error".to_owned());
            let message = format!(
                "{label}: an item of {length} bytes cannot be rebuilt here: {kind}: {}",
                raised.value(py)
            );
            let hint = "let the taker import what the item is made of, or put plain data";
            (message, hint, Some(raised))
        }
    };
    let build = || -> PyResult<PyErr> {
        let failure = shared(py, intern!(py, "Unreadable"), &message, hint)?;
        let value = failure.value(py);
        value.setattr(intern!(py, "record"), &record)?;
        if let Some(token) = lease {
            let lease = Lease::new(queue, token, record.bind(py).clone().into_any())?;
            value.setattr(intern!(py, "lease"), lease)?;
        }
        failure.set_cause(py, cause);
        Ok(failure)
    };
    build().unwrap_or_else(|failure| failure)
}

/// An error of `penstock.shared.errors`.
fn shared(
    py: Python<'_>,
    class: &Bound<'_, PyString>,
    message: &str,
    hint: &str,
) -> PyResult<PyErr> {
    static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let module = MODULE.get_or_try_init(py, || {
        py.import("penstock.shared.errors").map(Bound::unbind)
    })?;
    let keywords = PyDict::new(py);
    keywords.set_item("hint", hint)?;
    let class = module.bind(py).getattr(class)?;
    let value = class.call((message,), Some(&keywords))?;
    Ok(PyErr::from_value(value))
}

pub(super) fn wrong_form(py: Python<'_>, queue: &SharedQueue, form: Form) -> PyErr {
    if form == Form::Lease {
        misuse(
            py,
            queue,
            "nothing is acknowledged here, so nothing is taken under a lease",
            "take with get(), or make the queue with ack=True",
        )
    } else {
        misuse(
            py,
            queue,
            "its items have to be acknowledged",
            "take them under a lease: with queue.lease() as item: ..., or make the queue without ack",
        )
    }
}

pub(super) fn misuse(py: Python<'_>, queue: &SharedQueue, complaint: &str, hint: &str) -> PyErr {
    let message = format!("{}: {complaint}", queue.label());
    error(py, Family::Misuse, &message, Some(hint))
}

/// A setting that makes no queue.
pub(super) fn setting(py: Python<'_>, name: Option<&str>, complaint: &str, hint: &str) -> PyErr {
    let object = name.map_or_else(|| "shared queue".to_owned(), |name| label(Some(name), 0));
    error(
        py,
        Family::Misuse,
        &format!("{object}: {complaint}"),
        Some(hint),
    )
}

//! The errors of a queue, with its name and numbers in them.
//!
//! The classes live in `penstock.queues.errors` and are looked up when the first one is raised:
//! they inherit from asyncio's, and a program of threads need not load asyncio before that.

use penstock_core::ring::Refusal;
use pyo3::{exceptions::PyTypeError, intern, prelude::*, sync::PyOnceLock};

use super::Queue;
use crate::errors::{Family, error};

static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();

fn build(py: Python<'_>, class: &Bound<'_, pyo3::types::PyString>, message: String) -> PyErr {
    let value = MODULE
        .get_or_try_init(py, || {
            py.import("penstock.queues.errors").map(Bound::unbind)
        })
        .and_then(|module| {
            // Past `__init__`, which would run Python code: three times as fast.
            let class = module.bind(py).getattr(class)?;
            class.call_method1(intern!(py, "__new__"), (&class, message))
        });
    match value {
        Ok(value) => PyErr::from_value(value),
        Err(failure) => failure,
    }
}

fn after(timeout: Option<f64>) -> String {
    timeout.map_or_else(String::new, |seconds| format!(" after {seconds} s"))
}

/// A put that found no room, with nothing to wait for, or no place at all.
#[cold]
pub(super) fn of_put(py: Python<'_>, queue: &Queue, refusal: Refusal) -> PyErr {
    match refusal {
        Refusal::NotNow => full(py, queue, None),
        Refusal::Closed => shut_down(py, queue),
        Refusal::Incomparable => PyErr::fetch(py),
    }
}

pub(super) fn full(py: Python<'_>, queue: &Queue, timeout: Option<f64>) -> PyErr {
    let items = &queue.core().items;
    let bound = items.capacity().unwrap_or(usize::MAX);
    let (there, reason) = if items.holds_places_back() {
        let reason = ", the other places are reserved or kept for those who wait";
        (items.len(), reason)
    } else {
        (bound, "")
    };
    let reason = if there < bound { reason } else { "" };
    let message = format!(
        "{} is full: {there} of {bound} items{reason}{}",
        queue.label(),
        after(timeout)
    );
    build(py, intern!(py, "QueueFull"), message)
}

pub(super) fn empty(py: Python<'_>, queue: &Queue, timeout: Option<f64>) -> PyErr {
    let items = &queue.core().items;
    let there = if items.holds_items_back() {
        items.len()
    } else {
        0
    };
    let message = match there {
        0 => format!("{} is empty{}", queue.label(), after(timeout)),
        _ => format!(
            "{} has nothing to spare{}: {there} inside, kept for those who wait",
            queue.label(),
            after(timeout)
        ),
    };
    build(py, intern!(py, "QueueEmpty"), message)
}

pub(super) fn too_few(py: Python<'_>, queue: &Queue, min: usize, timeout: Option<f64>) -> PyErr {
    let there = queue.core().items.len();
    let message = format!(
        "{} holds {there} of the {min} items asked for{}",
        queue.label(),
        after(timeout)
    );
    build(py, intern!(py, "QueueEmpty"), message)
}

pub(super) fn shut_down(py: Python<'_>, queue: &Queue) -> PyErr {
    build(
        py,
        intern!(py, "QueueShutDown"),
        format!("{} is shut down", queue.label()),
    )
}

pub(super) fn stranger(object: &Bound<'_, PyAny>) -> PyErr {
    match object.get_type().fully_qualified_name() {
        Ok(class) => PyTypeError::new_err(format!("select() takes penstock.Queue, not {class}")),
        Err(failure) => failure,
    }
}

pub(super) fn all_empty(py: Python<'_>, labels: &str, timeout: Option<f64>) -> PyErr {
    let message = format!("all are empty: {labels}{}", after(timeout));
    build(py, intern!(py, "QueueEmpty"), message)
}

pub(super) fn all_shut_down(py: Python<'_>, labels: &str) -> PyErr {
    let message = format!("all are shut down: {labels}");
    build(py, intern!(py, "QueueShutDown"), message)
}

pub(super) fn nothing_to_select(py: Python<'_>) -> PyErr {
    error(
        py,
        Family::Misuse,
        "select() got no queue",
        Some("give the queues to wait for, as arguments"),
    )
}

/// Says in `refusal` how many items of a batch went in before it.
pub(super) fn with_accepted(py: Python<'_>, refusal: PyErr, accepted: usize) -> PyErr {
    match refusal.value(py).setattr(intern!(py, "accepted"), accepted) {
        Ok(()) => refusal,
        Err(failure) => failure,
    }
}

pub(super) fn joining_expired(py: Python<'_>, queue: &Queue, timeout: Option<f64>) -> PyErr {
    let left = queue.core().unfinished();
    let message = format!(
        "{} has {left} unfinished items{}",
        queue.label(),
        after(timeout)
    );
    crate::errors::named(py, "Expired", &message, None)
}

pub(super) fn forked(py: Python<'_>, queue: &Queue) -> PyErr {
    error(
        py,
        Family::Misuse,
        &format!(
            "{} belongs to process {}, of which this is a fork",
            queue.label(),
            queue.pid()
        ),
        Some("make a new Queue in the child; between processes pass items by multiprocessing"),
    )
}

pub(super) fn misuse(py: Python<'_>, queue: &Queue, complaint: &str, hint: &str) -> PyErr {
    error(
        py,
        Family::Misuse,
        &format!("{}: {complaint}", queue.label()),
        Some(hint),
    )
}

/// The number of items that fit, as it was given; 0 is no bound.
pub(super) fn bound(py: Python<'_>, name: Option<&str>, maxsize: i128) -> PyResult<usize> {
    if let Some(bound) = isize::try_from(maxsize)
        .ok()
        .and_then(|it| usize::try_from(it).ok())
    {
        return Ok(bound);
    }
    let object = name.map_or_else(|| "queue".into(), |name| format!("queue '{name}'"));
    let complaint = if maxsize < 0 {
        "is negative"
    } else {
        "is more than any memory holds"
    };
    Err(error(
        py,
        Family::Misuse,
        &format!("{object}: maxsize={maxsize} {complaint}"),
        Some("give the number of items that fit, or 0 for a queue without bound"),
    ))
}

//! The errors of a queue, with its name and numbers in them.
//!
//! The classes live in `penstock.queues.errors` and are looked up when the first one is raised:
//! they inherit from asyncio's, and a program of threads need not load asyncio before that.

use pyo3::{intern, prelude::*, sync::PyOnceLock};

use super::Queue;
use crate::errors::{Family, error};

static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();

fn build(py: Python<'_>, class: &Bound<'_, pyo3::types::PyString>, message: String) -> PyErr {
    let value = MODULE
        .get_or_try_init(py, || {
            py.import("penstock.queues.errors").map(Bound::unbind)
        })
        .and_then(|module| {
            // Past `__init__`, which would run Python code: a thread may be here while the
            // interpreter ends (see `ending`). It is also three times as fast.
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

pub(super) fn full(py: Python<'_>, queue: &Queue, timeout: Option<f64>) -> PyErr {
    let bound = queue.core().items.capacity().unwrap_or(usize::MAX);
    let message = format!(
        "{} is full: {bound} of {bound} items{}",
        queue.label(),
        after(timeout)
    );
    build(py, intern!(py, "QueueFull"), message)
}

pub(super) fn empty(py: Python<'_>, queue: &Queue, timeout: Option<f64>) -> PyErr {
    let message = format!("{} is empty{}", queue.label(), after(timeout));
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

//! `CallbackBacklog`: calls of a C library's own threads, taken by threads and by tasks.
//!
//! The library's threads never come here: they call a stub of [`penstock_core::callback`] and leave their
//! arguments with a [`Source`], attached to nothing. Here records become Python objects, where they are
//! taken.

mod methods;
mod operation;
mod records;
mod source;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use penstock_core::{callback::Slot, luck::Luck};
use pyo3::prelude::*;

pub(crate) use operation::Operation;
use source::Source;

/// What stands before everything else that can be taken, since a `decode` failed in the middle of a batch.
enum Kept {
    /// The failure, to be raised to whoever takes next.
    Failure(PyErr),
    /// The arguments of a call that was behind it.
    Call(Py<PyAny>),
}

/// The calls of a C callback that came and were not taken yet.
///
/// `penstock.adapters` says what its methods do.
#[pyclass(frozen, weakref, subclass, generic, module = "penstock._native")]
pub(crate) struct CallbackBacklog {
    source: Arc<Source>,
    /// Set by `_open`, once.
    slot: Mutex<Option<Slot>>,
    decode: Option<Py<PyAny>>,
    kept: Mutex<VecDeque<Kept>>,
    /// Of takers that look for a moment before they sleep.
    luck: Luck,
    label: String,
    pid: u32,
}

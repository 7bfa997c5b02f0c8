//! A worker's end when its pool's process ends.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use penstock_core::lifeline;
use pyo3::prelude::*;

/// Kills this process's group as soon as the process behind `pidfd` has ended, even while Python
/// code holds the interpreter. Takes over the descriptor.
#[pyfunction]
#[pyo3(signature = (pidfd, /))]
pub(crate) fn die_with(pidfd: RawFd) -> PyResult<()> {
    // SAFETY: the caller gives the descriptor away, as the docstring says.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(lifeline::die_with(pidfd)?)
}

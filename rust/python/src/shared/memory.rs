//! Memory of a caller's own that other processes can map.

use std::os::fd::{IntoRawFd, RawFd};

use penstock_core::shm;
use pyo3::prelude::*;

/// The descriptor of a new file of `length` zeroes in memory, all of them there; the caller's to close. Raises
/// OSError where there is no memory for them.
#[pyfunction]
#[pyo3(signature = (length, /))]
pub(crate) fn plain_memory(py: Python<'_>, length: usize) -> PyResult<RawFd> {
    let fd = py.detach(|| shm::plain_memory(c"penstock-array", length))?;
    Ok(fd.into_raw_fd())
}

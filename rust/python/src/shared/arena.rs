//! `Arena`: the owner's side of a shared file of payloads.

use std::sync::Arc;

use penstock_core::shm::{self, ArenaError, ArenaMap};
use pyo3::{buffer::PyBuffer, exceptions::PyMemoryError, prelude::*, types::PyDict};

use super::parcel::Parcel;
use crate::errors::{Family, error};

/// Where this process places what it sends: one sparse, sealed file of at most `max_bytes`.
#[pyclass(frozen, module = "penstock._native")]
pub(crate) struct Arena(pub(super) Arc<shm::Arena>);

#[pymethods]
impl Arena {
    #[new]
    #[pyo3(signature = (max_bytes, /))]
    fn new(max_bytes: usize) -> PyResult<Self> {
        Ok(Self(shm::Arena::new(Arc::new(ArenaMap::create(
            max_bytes,
        )?))))
    }

    /// Copies a pickle stream and its out-of-band buffers to where they can be sent from.
    #[pyo3(signature = (stream, buffers, /))]
    fn pack(&self, py: Python<'_>, stream: &[u8], buffers: Vec<PyBuffer<u8>>) -> PyResult<Parcel> {
        let places: Vec<Place> = buffers
            .iter()
            .map(|buffer| Place(buffer.buf_ptr().cast_const().cast(), buffer.len_bytes()))
            .collect();
        let total = places.iter().map(|place| place.1).sum::<usize>() + stream.len();
        let pack = || {
            let places: Vec<_> = places.iter().map(|place| (place.0, place.1)).collect();
            // SAFETY: `buffers` keeps each exporter's memory in place until after the call (a
            // bytearray or an array cannot be resized meanwhile). Another thread may write into
            // one; then the copy is torn as it is for every reader of a shared buffer, which is
            // plain bytes being copied and no more.
            unsafe { shm::Parcel::pack(&self.0, stream, &places) }
        };
        // Letting the interpreter go costs about what copying 32 KiB does.
        let packed = if total > 32 << 10 {
            py.detach(pack)
        } else {
            pack()
        };
        packed
            .map(|parcel| Parcel(Arc::new(parcel)))
            .map_err(|failure| refusal(py, &failure))
    }

    /// Clears what a dead participant held.
    #[pyo3(signature = (participant, /))]
    fn bury(&self, py: Python<'_>, participant: u32) {
        py.detach(|| self.0.bury(participant));
    }

    /// `{"slabs", "held", "resident", "capacity"}`: the last three in bytes.
    fn usage<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let usage = self.0.usage();
        let figures = PyDict::new(py);
        figures.set_item("slabs", usage.slabs)?;
        figures.set_item("held", usage.held)?;
        figures.set_item("resident", usage.resident)?;
        figures.set_item("capacity", usage.capacity)?;
        Ok(figures)
    }
}

struct Place(*const u8, usize);

// SAFETY: the pointers are read by the thread that holds the buffers' views, detached or not.
unsafe impl Send for Place {}
// SAFETY: as above.
unsafe impl Sync for Place {}

fn refusal(py: Python<'_>, failure: &ArenaError) -> PyErr {
    let message = failure.to_string();
    match failure {
        ArenaError::TooLarge { .. } => error(
            py,
            Family::Misuse,
            &message,
            Some("raise max_bytes, or send less at a time"),
        ),
        ArenaError::Full { .. } => error(
            py,
            Family::Full,
            &message,
            Some("drop or copy the arrays that came out of it, or raise max_bytes"),
        ),
        ArenaError::Memory(_) => PyMemoryError::new_err(message),
        ArenaError::Forked => error(
            py,
            Family::Misuse,
            &message,
            Some("make another one in the child"),
        ),
    }
}

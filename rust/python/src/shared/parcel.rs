//! `Parcel`: a payload placed for sending.

use std::sync::Arc;

use penstock_core::shm;
use pyo3::prelude::*;

/// A payload in its sender's arena; sending it copies nothing, dropping it lets go of it.
#[pyclass(frozen, module = "penstock._native")]
pub(crate) struct Parcel(pub(super) Arc<shm::Parcel>);

#[pymethods]
impl Parcel {
    /// Bytes of stream and buffers.
    #[getter]
    fn nbytes(&self) -> usize {
        self.0.bytes()
    }
}

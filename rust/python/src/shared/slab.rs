//! `Slab`: bytes in another process's arena, as an object with the buffer interface.

use std::ffi::c_int;

use penstock_core::shm::Pinned;
use pyo3::{exceptions::PyBufferError, ffi, prelude::*};

/// Bytes that came through shared memory. An array made over it keeps it alive; when the last
/// user goes, the sender may use the memory again.
#[pyclass(frozen, module = "penstock._native")]
pub(crate) struct Slab {
    pinned: Pinned,
    writable: bool,
}

impl Slab {
    pub(super) fn new(pinned: Pinned, writable: bool) -> Self {
        Self { pinned, writable }
    }
}

#[pymethods]
impl Slab {
    #[getter]
    fn nbytes(&self) -> usize {
        self.pinned.content().1
    }

    /// # Safety
    /// Called by the interpreter with a view to fill in.
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        if view.is_null() {
            return Err(PyBufferError::new_err("there is no view to fill in"));
        }
        let this = slf.get();
        let (content, length) = this.pinned.content();
        let readonly = c_int::from(!this.writable);
        let length = length as ffi::Py_ssize_t;
        // SAFETY: the view is the interpreter's; it takes a reference to this object, which keeps
        // the pin and so the memory. Writable only in the process that is alone with the slab.
        let answer = unsafe {
            ffi::PyBuffer_FillInfo(
                view,
                slf.as_ptr(),
                content.as_ptr().cast(),
                length,
                readonly,
                flags,
            )
        };
        if answer < 0 {
            Err(PyErr::fetch(slf.py()))
        } else {
            Ok(())
        }
    }
}

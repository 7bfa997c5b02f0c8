//! `Slab`: bytes in an arena, this process's or another one's, as an object with the buffer interface.

use std::{ffi::c_int, ptr::NonNull};

use penstock_core::shm::{Pinned, queue::Born};
use pyo3::{exceptions::PyBufferError, ffi, prelude::*};

enum Hold {
    /// It came from another process, or went through a queue.
    Pinned(Pinned),
    /// It was born here.
    Born(Born),
}

/// Bytes in shared memory. An array made over it keeps it alive; when the last user goes, the sender
/// may use the memory again.
#[pyclass(frozen, module = "penstock._native")]
pub(crate) struct Slab {
    hold: Hold,
    writable: bool,
}

impl Slab {
    pub(super) fn new(pinned: Pinned, writable: bool) -> Self {
        Self {
            hold: Hold::Pinned(pinned),
            writable,
        }
    }

    /// One that this process may write to.
    pub(super) fn born(slab: Born) -> Self {
        Self {
            hold: Hold::Born(slab),
            writable: true,
        }
    }

    fn content(&self) -> (NonNull<u8>, usize) {
        match &self.hold {
            Hold::Pinned(pinned) => pinned.content(),
            Hold::Born(slab) => slab.content(),
        }
    }
}

#[pymethods]
impl Slab {
    #[getter]
    fn nbytes(&self) -> usize {
        self.content().1
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
        let (content, length) = this.content();
        let readonly = c_int::from(!this.writable);
        let length = length as ffi::Py_ssize_t;
        // SAFETY: the view is the interpreter's; it takes a reference to this object, which keeps
        // the pin and so the memory. Writable only in the process that is alone with the slab, or whose user was told so.
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

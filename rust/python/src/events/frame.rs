//! Which emissions the running code is in, so that those that call each other in a circle end.

use std::{cell::Cell, ptr};

use pyo3::{ffi, prelude::*};

use crate::errors::{Family, error};

thread_local! {
    static TOP: Cell<*const Frame> = const { Cell::new(ptr::null()) };
}

/// One emission whose handlers are being started, or one of whose handlers goes on, on this thread.
///
/// Lives on the stack of whoever runs the handler, below the frames that are entered later.
pub(super) struct Frame {
    before: *const Frame,
    /// Borrowed from the emission's route.
    key: *mut ffi::PyObject,
    depth: u32,
}

/// How deep the running code is.
pub(super) fn depth() -> u32 {
    let top = TOP.get();
    // SAFETY: a frame is taken off before it goes away, by the guard that put it there.
    unsafe { top.as_ref() }.map_or(0, |frame| frame.depth)
}

impl Frame {
    #[inline]
    pub(super) fn new(key: &Bound<'_, PyAny>, depth: u32) -> Self {
        Self {
            before: TOP.get(),
            key: key.as_ptr(),
            depth,
        }
    }

    #[inline]
    pub(super) fn enter(&self) -> Entered {
        TOP.set(self);
        Entered {
            before: self.before,
        }
    }
}

/// Takes the frame off again.
pub(super) struct Entered {
    before: *const Frame,
}

impl Drop for Entered {
    #[inline]
    fn drop(&mut self) {
        TOP.set(self.before);
    }
}

/// Raised where an emission would be deeper than its bus allows.
#[cold]
pub(super) fn too_deep(py: Python<'_>, bus: &str, limit: u32, key: &Bound<'_, PyAny>) -> PyErr {
    let mut names = vec![described(key)];
    let mut frame = TOP.get();
    while !frame.is_null() && names.len() < 6 {
        // SAFETY: as in `depth`; the key is held by the emission that the frame is of.
        unsafe {
            names.push(described(&Borrowed::from_ptr(py, (*frame).key)));
            frame = (*frame).before;
        }
    }
    names.reverse();
    let message = format!(
        "bus {bus}: handlers emit in a circle, {limit} emissions deep: … {}",
        names.join(" → ")
    );
    let hint = "let one of them not emit what leads back to it; max_depth= allows more";
    error(py, Family::Misuse, &message, Some(hint))
}

pub(super) fn described(key: &Bound<'_, PyAny>) -> String {
    let name = key.getattr("__qualname__").unwrap_or_else(|_| key.clone());
    name.str()
        .map_or_else(|_| "?".to_owned(), |text| text.to_string())
}

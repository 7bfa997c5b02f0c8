//! The last operation that ended at its first step, for the next one to be.
//!
//! Making and releasing the object took more than half of a ready `aget` beside the interpreter's own part
//! (callgrind: 500 of 850 instructions). Only where the interpreter has a global lock; only one that nobody
//! else refers to any more is used again, so whoever keeps an operation and awaits it twice is still
//! told so. It holds nothing meanwhile: neither the queue nor an item.

use std::{
    ptr,
    sync::atomic::{AtomicPtr, Ordering},
};

use pyo3::{ffi, prelude::*};

use super::{DONE, FRESH, HAS_GLOBAL_LOCK, QueueOperation};
use crate::queue::awaited::Awaited;

/// One reference, or null. Relaxed: the global lock orders it all.
static SPARE: AtomicPtr<ffi::PyObject> = AtomicPtr::new(ptr::null_mut());

/// Puts one aside that has ended at its first step, unless there is one already.
#[inline]
pub(super) fn keep(ended: Bound<'_, QueueOperation>) {
    let this = ended.get();
    if !HAS_GLOBAL_LOCK || this.timeout.is_some() || !SPARE.load(Ordering::Relaxed).is_null() {
        return;
    }
    debug_assert_eq!(this.state.load(Ordering::Relaxed), DONE);
    if !this.operation().is_some_and(Awaited::is_plain) {
        return;
    }
    // SAFETY: its first and only step has just ended, so nobody is inside: whoever else has the
    // object may ask for its name or end, which takes no longer than the lock is held.
    let operation = unsafe { (*this.operation.get()).take() };
    let py = ended.py();
    SPARE.store(ended.into_ptr(), Ordering::Relaxed);
    // Last, as a queue or an item that goes runs foreign code.
    if let Some(operation) = operation {
        operation.release(py);
    }
}

/// The one put aside, as a new one.
#[inline]
pub(crate) fn take(
    py: Python<'_>,
    operation: impl Into<Awaited>,
) -> Result<Bound<'_, QueueOperation>, Awaited> {
    let operation = operation.into();
    if !HAS_GLOBAL_LOCK || SPARE.load(Ordering::Relaxed).is_null() {
        return Err(operation);
    }
    let spare = SPARE.load(Ordering::Relaxed);
    SPARE.store(ptr::null_mut(), Ordering::Relaxed);
    // SAFETY: attached, and the reference that was put aside.
    let spare = unsafe { Bound::from_owned_ptr(py, spare).cast_into_unchecked::<QueueOperation>() };
    // SAFETY: a live object.
    if unsafe { ffi::Py_REFCNT(spare.as_ptr()) } != 1 {
        return Err(operation);
    }
    // SAFETY: the only reference is here, so nobody is inside.
    unsafe { *spare.get().operation.get() = Some(operation) };
    spare.get().state.store(FRESH, Ordering::Relaxed);
    Ok(spare)
}

//! The keys of dicts, of which a stream brings the same few again and again.

use std::{cell::UnsafeCell, ptr::NonNull};

use pyo3::{ffi, prelude::*};

use super::decode::{DecodeError, narrow_text};
use crate::queue::HAS_GLOBAL_LOCK;

/// What a key of up to 16 bytes is, in full.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Spelling {
    first: u64,
    last: u64,
    length: usize,
}

impl Spelling {
    const NONE: Self = Self {
        first: 0,
        last: 0,
        length: usize::MAX,
    };

    #[inline(always)]
    fn of(key: &[u8]) -> Option<Self> {
        let (first, last) = match (key.first_chunk::<8>(), key.last_chunk::<8>()) {
            (Some(first), Some(last)) => (u64::from_ne_bytes(*first), u64::from_ne_bytes(*last)),
            _ => match (key.first_chunk::<4>(), key.last_chunk::<4>()) {
                (Some(first), Some(last)) => (
                    u32::from_ne_bytes(*first).into(),
                    u32::from_ne_bytes(*last).into(),
                ),
                _ => {
                    let [first, .., last] = *key else {
                        return None;
                    };
                    let middle = key[key.len() / 2];
                    (u64::from(first), u64::from(middle) << 8 | u64::from(last))
                }
            },
        };
        let length = key.len();
        (length <= 16).then_some(Self {
            first,
            last,
            length,
        })
    }

    #[inline(always)]
    fn place(self) -> usize {
        let mixed = (self.first ^ self.last.rotate_left(29) ^ self.length as u64)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (mixed >> (u64::BITS - KEYS.ilog2())) as usize
    }
}

/// Keys that were seen lately. The same few keys come in every dict of a stream: one that is found
/// here is neither made nor hashed again.
struct Keys(UnsafeCell<[(Spelling, Option<NonNull<ffi::PyObject>>); KEYS]>);

const KEYS: usize = 256;

// SAFETY: used only where a global lock lets one thread at a time run, and for no longer than that.
unsafe impl Sync for Keys {}

static SEEN: Keys = Keys(UnsafeCell::new([(Spelling::NONE, None); KEYS]));

#[inline(always)]
pub(super) fn key<'py>(py: Python<'py>, content: &[u8]) -> Result<Bound<'py, PyAny>, DecodeError> {
    let spelling = Spelling::of(content).filter(|_| HAS_GLOBAL_LOCK);
    let Some(spelling) = spelling else {
        return narrow_text(py, content);
    };
    // SAFETY: the global lock is held, and nothing below until the end of the block lets go of it.
    let (seen, key) = unsafe { (*SEEN.0.get())[spelling.place()] };
    if let Some(key) = key
        && seen == spelling
    {
        // SAFETY: the table's own reference keeps it alive.
        return Ok(unsafe { Bound::from_borrowed_ptr(py, key.as_ptr()) });
    }
    let key = narrow_text(py, content)?;
    // SAFETY: the global lock again; what is put aside is an own reference, and what it replaces is
    // released once it is out of the table.
    unsafe {
        let place = &mut (*SEEN.0.get())[spelling.place()];
        let before = std::mem::replace(
            place,
            (spelling, NonNull::new(ffi::Py_NewRef(key.as_ptr()))),
        );
        if let Some(before) = before.1 {
            ffi::Py_DECREF(before.as_ptr());
        }
    }
    Ok(key)
}

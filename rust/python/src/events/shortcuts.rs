//! The shortest way through emits; see [`crate::shortcut`].

use std::sync::OnceLock;

use pyo3::{Borrowed, ffi, prelude::*};

use super::emitter::Emitter;
use crate::shortcut::{self, Call, Method, Shortcut, method};

static EMIT: OnceLock<Method> = OnceLock::new();
static EMIT_BLOCKING: OnceLock<Method> = OnceLock::new();

type Two<'a> = (
    Borrowed<'a, 'a, Emitter>,
    Borrowed<'a, 'a, PyAny>,
    Option<Borrowed<'a, 'a, PyAny>>,
);

/// A call with an event, or a name and data.
///
/// # Safety
/// The call is the interpreter's, of a method of `Emitter`.
#[inline(always)]
unsafe fn two<'a>(call: Call) -> Option<Two<'a>> {
    // SAFETY: attached, as the interpreter calls; a method's object is of its class, and there are as
    // many arguments as it says.
    unsafe {
        if !call.keywords.is_null() || !matches!(call.count, 1 | 2) {
            return None;
        }
        let py = Python::assume_attached();
        let slf = Borrowed::from_ptr(py, call.slf).cast_unchecked::<Emitter>();
        let event = Borrowed::from_ptr(py, *call.arguments);
        let data = (call.count == 2).then(|| Borrowed::from_ptr(py, *call.arguments.add(1)));
        Some((slf, event, data))
    }
}

fn answered(py: Python<'_>, result: PyResult<Bound<'_, PyAny>>) -> *mut ffi::PyObject {
    match result {
        Ok(value) => value.into_ptr(),
        Err(failure) => {
            failure.restore(py);
            std::ptr::null_mut()
        }
    }
}

/// # Safety
/// The call is the interpreter's, of `Emitter.emit`.
#[inline(always)]
unsafe fn emit(call: Call) -> *mut ffi::PyObject {
    // SAFETY: the caller's.
    unsafe {
        let Some((slf, event, data)) = two(call) else {
            return call.pass_on(&EMIT);
        };
        let data = data.map(|data| data.to_owned());
        answered(
            slf.py(),
            Emitter::emission(&slf, &event, data.as_ref()).map(Bound::into_any),
        )
    }
}

/// # Safety
/// The call is the interpreter's, of `Emitter._emit_blocking`.
#[inline(always)]
unsafe fn emit_blocking(call: Call) -> *mut ffi::PyObject {
    // SAFETY: the caller's.
    unsafe {
        let Some((slf, event, data)) = two(call) else {
            return call.pass_on(&EMIT_BLOCKING);
        };
        let data = data.map(|data| data.to_owned());
        answered(slf.py(), Emitter::blocking(&slf, &event, data.as_ref()))
    }
}

method!(emit_shortcut, call => emit(call));
method!(emit_blocking_shortcut, call => emit_blocking(call));

pub(crate) fn install_shortcuts(py: Python<'_>) -> PyResult<()> {
    shortcut::install::<Emitter>(
        py,
        [
            Shortcut {
                name: "emit",
                shortcut: emit_shortcut,
                whole: &EMIT,
            },
            Shortcut {
                name: "_emit_blocking",
                shortcut: emit_blocking_shortcut,
                whole: &EMIT_BLOCKING,
            },
        ],
    )
}

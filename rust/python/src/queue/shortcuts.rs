//! The shortest way into a queue: `put(item)`, `get()` and the like, called as they mostly are.
//!
//! A call without keywords that succeeds at once does nothing but push or pop; everything else goes on
//! to the method that PyO3 made (see [`crate::shortcut`]). Measured: a put and a get in one thread
//! went from 62 to 40 ns, where `queue.SimpleQueue` takes 49 (AMD EPYC, minima of five runs of two
//! million each).

use std::sync::OnceLock;

use pyo3::{Borrowed, ffi, prelude::*};

use super::{
    Queue,
    awaitable::{QueueOperation, spare},
    operation::Action,
};
use crate::shortcut::{self, Call, Method, Shortcut, method};

static PUT: OnceLock<Method> = OnceLock::new();
static PUT_NOWAIT: OnceLock<Method> = OnceLock::new();
static GET: OnceLock<Method> = OnceLock::new();
static APUT: OnceLock<Method> = OnceLock::new();
static AGET: OnceLock<Method> = OnceLock::new();

/// The queue, if the call is a plain one of so many arguments, and this is its process.
///
/// # Safety
/// The call is the interpreter's, of a method of `Queue`.
#[inline(always)]
unsafe fn plain(call: &Call, count: ffi::Py_ssize_t) -> Option<Borrowed<'_, '_, Queue>> {
    // SAFETY: the caller's.
    let queue = unsafe { call.plain::<Queue>(count) };
    queue.filter(|queue| queue.get().owner.is_here())
}

/// Pushes the only argument, if there is room for it and nothing has to be compared.
///
/// # Safety
/// The call is the interpreter's, of a method of `Queue` that puts.
#[inline(always)]
unsafe fn push(call: Call, whole: &OnceLock<Method>) -> *mut ffi::PyObject {
    // SAFETY: the caller's; a plain call of one argument has one.
    unsafe {
        if let Some(queue) = plain(&call, 1) {
            let items = &queue.get().core.items;
            if !items.compares() {
                match items.push(call.argument().to_owned().unbind(), None) {
                    Ok(()) => return ffi::Py_NewRef(ffi::Py_None()),
                    Err((_, item)) => drop(item.into_bound(queue.py())),
                }
            }
        }
        call.pass_on(whole)
    }
}

/// An operation to be awaited, if the call is a plain one of so many arguments.
///
/// # Safety
/// The call is the interpreter's, of a method of `Queue` that gives such an operation.
#[inline(always)]
unsafe fn operation(
    call: Call,
    count: ffi::Py_ssize_t,
    action: impl FnOnce() -> Action,
    whole: &OnceLock<Method>,
) -> *mut ffi::PyObject {
    // SAFETY: the caller's.
    unsafe {
        if let Some(queue) = plain(&call, count) {
            let made = spare::take(queue.py(), Queue::operation(&queue, action()))
                .or_else(|operation| Bound::new(queue.py(), QueueOperation::new(operation, None)));
            match made {
                Ok(made) => return made.into_any().into_ptr(),
                Err(failure) => {
                    failure.restore(queue.py());
                    return std::ptr::null_mut();
                }
            }
        }
        call.pass_on(whole)
    }
}

method!(put, call => push(call, &PUT));
method!(put_nowait, call => push(call, &PUT_NOWAIT));
method!(aput, call => operation(call, 1, || Action::Put(call.argument().to_owned().unbind()), &APUT));
method!(aget, call => operation(call, 0, || Action::Get, &AGET));
method!(get, call => {
    match plain(&call, 0).map(|queue| queue.get().core.items.pop(None)) {
        Some(Ok(item)) => item.into_ptr(),
        _ => call.pass_on(&GET),
    }
});

const SHORTCUTS: [Shortcut; 5] = [
    Shortcut {
        name: "put",
        shortcut: put,
        whole: &PUT,
    },
    Shortcut {
        name: "put_nowait",
        shortcut: put_nowait,
        whole: &PUT_NOWAIT,
    },
    Shortcut {
        name: "get",
        shortcut: get,
        whole: &GET,
    },
    Shortcut {
        name: "aput",
        shortcut: aput,
        whole: &APUT,
    },
    Shortcut {
        name: "aget",
        shortcut: aget,
        whole: &AGET,
    },
];

/// Puts each shortcut before the method it belongs to.
pub(crate) fn install(py: Python<'_>) -> PyResult<()> {
    shortcut::install::<Queue>(py, SHORTCUTS)
}

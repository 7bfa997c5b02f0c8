//! The shortest way into a shared queue; see [`crate::shortcut`].

use std::sync::OnceLock;

use penstock_core::shm::queue::Item;
use pyo3::{ffi, prelude::*, types::PyBytes};

use super::{
    super::{
        codes,
        short::{self, Room},
    },
    SharedQueue,
    operation::{Action, Form},
    pack::COPIED_ATTACHED,
};
use crate::{
    queue::{QueueOperation, spare},
    shortcut::{self, Call, Method, Shortcut, method},
};

static PUT: OnceLock<Method> = OnceLock::new();
static PUT_NOWAIT: OnceLock<Method> = OnceLock::new();
static PUT_BYTES: OnceLock<Method> = OnceLock::new();
static GET: OnceLock<Method> = OnceLock::new();
static GET_BYTES: OnceLock<Method> = OnceLock::new();
static AGET: OnceLock<Method> = OnceLock::new();

/// Sends the only argument, if it has a short code and there is room.
///
/// # Safety
/// The call is the interpreter's, of a method of `SharedQueue` that puts.
#[inline(always)]
unsafe fn send(call: Call, whole: &OnceLock<Method>) -> *mut ffi::PyObject {
    // SAFETY: the caller's; a plain call of one argument has one.
    unsafe {
        if let Some(queue) = call.plain::<SharedQueue>(1) {
            let mut room = Room::new();
            if let Some((code, bytes)) = short::encode(&call.argument(), &mut room)
                && is_sent(&queue, code, bytes)
            {
                return ffi::Py_NewRef(ffi::Py_None());
            }
        }
        call.pass_on(whole)
    }
}

/// Sends the only argument, if it is of the type `bytes` and there is room.
///
/// # Safety
/// As for `send`.
#[inline(always)]
unsafe fn send_bytes(call: Call, whole: &OnceLock<Method>) -> *mut ffi::PyObject {
    // SAFETY: as there.
    unsafe {
        if let Some(queue) = call.plain::<SharedQueue>(1)
            && let Ok(bytes) = call.argument().cast_exact::<PyBytes>()
            && is_sent(&queue, codes::RAW, bytes.as_bytes())
        {
            return ffi::Py_NewRef(ffi::Py_None());
        }
        call.pass_on(whole)
    }
}

#[inline(always)]
fn is_sent(queue: &Bound<'_, SharedQueue>, code: u16, bytes: &[u8]) -> bool {
    bytes.len() <= COPIED_ATTACHED && {
        let stream = bytes.into();
        let buffers = &[];
        let item = Item {
            code,
            stream,
            buffers,
        };
        queue.get().queue.send(&item).is_ok()
    }
}

/// Takes an item that is there; nothing else is begun here.
///
/// # Safety
/// The call is the interpreter's, of a method of `SharedQueue` that gets.
#[inline(always)]
unsafe fn take(call: Call, form: Form, whole: &OnceLock<Method>) -> *mut ffi::PyObject {
    // SAFETY: the caller's.
    unsafe {
        if let Some(queue) = call.plain::<SharedQueue>(0)
            && queue.get().queue.settings().ack.is_none()
        {
            match SharedQueue::take(&queue, form) {
                Ok(Some(item)) => return item.into_ptr(),
                Ok(None) => {}
                Err(failure) => {
                    failure.restore(queue.py());
                    return std::ptr::null_mut();
                }
            }
        }
        call.pass_on(whole)
    }
}

/// An operation to be awaited.
///
/// # Safety
/// The call is the interpreter's, of `SharedQueue.aget`.
#[inline(always)]
unsafe fn awaited(call: Call, whole: &OnceLock<Method>) -> *mut ffi::PyObject {
    // SAFETY: the caller's.
    unsafe {
        if let Some(queue) = call.plain::<SharedQueue>(0)
            && queue.get().queue.settings().ack.is_none()
        {
            let operation = SharedQueue::operation(&queue, "aget", Action::Take(Form::Item));
            let made = spare::take(queue.py(), operation)
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

method!(put, call => send(call, &PUT));
method!(put_nowait, call => send(call, &PUT_NOWAIT));
method!(put_bytes, call => send_bytes(call, &PUT_BYTES));
method!(get, call => take(call, Form::Item, &GET));
method!(get_bytes, call => take(call, Form::Bytes, &GET_BYTES));
method!(aget, call => awaited(call, &AGET));

const SHORTCUTS: [Shortcut; 6] = [
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
        name: "put_bytes",
        shortcut: put_bytes,
        whole: &PUT_BYTES,
    },
    Shortcut {
        name: "get_bytes",
        shortcut: get_bytes,
        whole: &GET_BYTES,
    },
    Shortcut {
        name: "get",
        shortcut: get,
        whole: &GET,
    },
    Shortcut {
        name: "aget",
        shortcut: aget,
        whole: &AGET,
    },
];

/// Puts each shortcut before the method it belongs to.
pub(crate) fn install(py: Python<'_>) -> PyResult<()> {
    shortcut::install::<SharedQueue>(py, SHORTCUTS)
}

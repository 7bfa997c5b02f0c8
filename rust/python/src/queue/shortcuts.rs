//! The shortest way into a queue: `put(item)`, `get()` and the like, called as they mostly are.
//!
//! PyO3's own way into a method parses the arguments by name and makes the call known to itself,
//! which takes as many instructions as the push or pop behind it. Here a call without keywords that
//! succeeds at once does nothing but push or pop; everything else goes on to the method that PyO3
//! made, whose name, signature and documentation stay in use. Measured: a put and a get in one thread
//! went from 62 to 40 ns, where `queue.SimpleQueue` takes 49 (AMD EPYC, minima of five runs of two
//! million each).
//!
//! PyO3 does not know that it was called, so what is dropped here is dropped through a `Bound`: a
//! bare reference would be put aside until PyO3's next turn.

use std::sync::OnceLock;

use pyo3::{Borrowed, exceptions::PySystemError, ffi, prelude::*};

use super::{
    Queue,
    awaitable::{QueueOperation, spare},
    operation::Action,
};

type Method = ffi::PyCFunctionFastWithKeywords;

/// A method of `Queue`: its shortcut and, once that is in place, PyO3's own function.
struct Shortcut {
    name: &'static str,
    shortcut: Method,
    whole: &'static OnceLock<Method>,
}

static PUT: OnceLock<Method> = OnceLock::new();
static PUT_NOWAIT: OnceLock<Method> = OnceLock::new();
static GET: OnceLock<Method> = OnceLock::new();
static APUT: OnceLock<Method> = OnceLock::new();
static AGET: OnceLock<Method> = OnceLock::new();

/// What the interpreter hands to a method, valid during the call.
#[derive(Clone, Copy)]
struct Call {
    slf: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    keywords: *mut ffi::PyObject,
}

impl Call {
    /// The queue, if the call is a plain one of so many arguments, and this is its process.
    ///
    /// # Safety
    /// The call is the interpreter's, of a method of `Queue`.
    #[inline(always)]
    unsafe fn plain(&self, count: ffi::Py_ssize_t) -> Option<Borrowed<'_, '_, Queue>> {
        // SAFETY: attached, as the interpreter calls; a method's object is of its class.
        let slf = unsafe {
            Borrowed::from_ptr(Python::assume_attached(), self.slf).cast_unchecked::<Queue>()
        };
        let is_plain = self.count == count && self.keywords.is_null();
        (is_plain && slf.get().owner.is_here()).then_some(slf)
    }

    /// The first argument.
    ///
    /// # Safety
    /// There is one.
    #[inline(always)]
    unsafe fn item(&self) -> Py<PyAny> {
        // SAFETY: attached; a live object in the interpreter's array.
        unsafe { Bound::from_borrowed_ptr(Python::assume_attached(), *self.arguments).unbind() }
    }

    /// The same call of PyO3's function.
    ///
    /// # Safety
    /// The call is the interpreter's, of the method that `whole` belongs to.
    #[cold]
    unsafe fn pass_on(self, whole: &OnceLock<Method>) -> *mut ffi::PyObject {
        let Some(whole) = whole.get() else {
            unreachable!("a shortcut is put in place after what it stands before");
        };
        // SAFETY: the same method with the same arguments.
        unsafe { whole(self.slf, self.arguments, self.count, self.keywords) }
    }
}

/// Pushes the only argument, if there is room for it and nothing has to be compared.
///
/// # Safety
/// The call is the interpreter's, of a method of `Queue` that puts.
#[inline(always)]
unsafe fn push(call: Call, whole: &OnceLock<Method>) -> *mut ffi::PyObject {
    // SAFETY: the caller's; a plain call of one argument has one.
    unsafe {
        if let Some(queue) = call.plain(1) {
            let items = &queue.get().core.items;
            if !items.compares() {
                match items.push(call.item(), None) {
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
        if let Some(queue) = call.plain(count) {
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

/// A function as the interpreter calls it, from one of a [`Call`].
macro_rules! method {
    ($name:ident, $call:ident => $body:expr) => {
        /// # Safety
        /// Called by the interpreter only, as this method of a live `Queue`.
        unsafe extern "C" fn $name(
            slf: *mut ffi::PyObject,
            arguments: *const *mut ffi::PyObject,
            count: ffi::Py_ssize_t,
            keywords: *mut ffi::PyObject,
        ) -> *mut ffi::PyObject {
            let $call = Call {
                slf,
                arguments,
                count,
                keywords,
            };
            // SAFETY: the call is the interpreter's.
            unsafe { $body }
        }
    };
}

method!(put, call => push(call, &PUT));
method!(put_nowait, call => push(call, &PUT_NOWAIT));
method!(aput, call => operation(call, 1, || Action::Put(call.item()), &APUT));
method!(aget, call => operation(call, 0, || Action::Get, &AGET));
method!(get, call => {
    match call.plain(0).map(|queue| queue.get().core.items.pop(None)) {
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
    let class = py.get_type::<Queue>();
    for Shortcut {
        name,
        shortcut,
        whole,
    } in SHORTCUTS
    {
        let descriptor = class.getattr(name)?;
        // SAFETY: a plain look at an object's type, and at a method's record only if it is a
        // method's. PyO3 keeps these records on the heap for ever and never reads them again; the
        // module is being initialised, so nobody calls the method meanwhile. The interpreter reads
        // the function at each call.
        unsafe {
            let is_method = descriptor.get_type_ptr() == &raw mut ffi::PyMethodDescr_Type;
            let record = is_method
                .then(|| (*descriptor.as_ptr().cast::<ffi::PyMethodDescrObject>()).d_method);
            let takes_keywords = ffi::METH_FASTCALL | ffi::METH_KEYWORDS;
            let Some(record) = record.filter(|record| (**record).ml_flags == takes_keywords) else {
                let message = format!("Queue.{name} is not called as its shortcut expects");
                return Err(PySystemError::new_err(message));
            };
            if whole
                .set((*record).ml_meth.PyCFunctionFastWithKeywords)
                .is_ok()
            {
                (*record).ml_meth.PyCFunctionFastWithKeywords = shortcut;
            }
        }
    }
    Ok(())
}

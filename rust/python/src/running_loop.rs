//! The asyncio loop that runs on the calling thread, without a system call.
//!
//! Up to Python 3.13 `asyncio._get_running_loop` asks for the process's number at each call, to tell a
//! forked child: 0.15 µs, as much as all else that a timeout costs. It looks at an object in the
//! thread's dict, which holds that number and the loop. Here the same object is read, and a child is
//! told by the count of forks that this module keeps anyway. How the object is laid out is nobody's
//! promise: it is tried out with a known loop first, and where anything is not as expected asyncio's own
//! function stays in use.

use std::sync::OnceLock;

use penstock_core::fork::Owner;
use pyo3::{
    ffi, intern,
    prelude::*,
    types::{PyList, PyString},
};

/// What asyncio puts into the thread's dict, as it was found.
struct Found {
    kind: *mut ffi::PyTypeObject,
    key: Py<PyString>,
    pid: u32,
    owner: Owner,
    /// asyncio's own function.
    whole: Py<PyAny>,
}

// SAFETY: the type is only compared with, and never freed while asyncio's own function is held.
unsafe impl Send for Found {}
// SAFETY: as above; nothing in it changes.
unsafe impl Sync for Found {}

static FOUND: OnceLock<Found> = OnceLock::new();

/// `PyRunningLoopHolder` of CPython 3.11 to 3.13.
#[repr(C)]
struct Holder {
    head: ffi::PyObject,
    running: *mut ffi::PyObject,
    pid: libc::pid_t,
}

/// The holder of the calling thread, borrowed; null if there is none.
///
/// # Safety
/// Attached.
#[inline(always)]
unsafe fn holder(key: *mut ffi::PyObject) -> *mut Holder {
    // SAFETY: the caller's; the dict is the thread's own, and its keys are plain strings.
    unsafe {
        let dict = ffi::PyThreadState_GetDict();
        if dict.is_null() {
            return std::ptr::null_mut();
        }
        let found = ffi::PyDict_GetItemWithError(dict, key);
        if found.is_null() {
            ffi::PyErr_Clear();
        }
        found.cast()
    }
}

unsafe extern "C" fn running_loop(
    _: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    let Some(found) = FOUND.get() else {
        unreachable!("made after it was found");
    };
    // SAFETY: called by the interpreter. What has this type has this layout, as was seen when it
    // was tried; it is not changed after it was made, and only this thread takes it out of its dict.
    unsafe {
        let holder = holder(found.key.as_ptr());
        if holder.is_null() {
            return ffi::Py_NewRef(ffi::Py_None());
        }
        let is_known = ffi::Py_TYPE(holder.cast()) == found.kind;
        if is_known && found.owner.is_here() && (*holder).pid as u32 == found.pid {
            return ffi::Py_NewRef((*holder).running);
        }
        ffi::PyObject_CallNoArgs(found.whole.as_ptr())
    }
}

struct Definition(ffi::PyMethodDef);

// SAFETY: two C strings and a function, none of which change.
unsafe impl Sync for Definition {}

static DEFINITION: Definition = Definition(ffi::PyMethodDef {
    ml_name: c"running_loop".as_ptr(),
    ml_meth: ffi::PyMethodDefPointer {
        PyCFunction: running_loop,
    },
    ml_flags: ffi::METH_NOARGS,
    ml_doc: c"The loop that runs on this thread, or None.".as_ptr(),
});

/// What to call in place of `asyncio._get_running_loop`: a faster function, or that one itself.
///
/// Takes asyncio's functions that get and set the running loop; for a moment none or another is set on this
/// thread. Call it once, from Python code that no loop interrupts.
#[pyfunction]
#[pyo3(signature = (get, set, /))]
pub(crate) fn running_loop_reader<'py>(
    py: Python<'py>,
    get: Bound<'py, PyAny>,
    set: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    if FOUND.get().is_none() {
        let before = get.call0()?;
        // Any object will do, and no loop is as unlike all others as a fresh one.
        let mark = PyList::empty(py).into_any();
        set.call1((&mark,))?;
        let found = look(py, &mark, &get);
        set.call1((before,))?;
        let Some(found) = found else {
            return Ok(get);
        };
        // In vain if another thread was faster.
        let _ = FOUND.set(found);
    }
    // SAFETY: the definition is static; no module, no self.
    unsafe {
        let definition = (&raw const DEFINITION.0).cast_mut();
        let none = std::ptr::null_mut();
        Bound::from_owned_ptr_or_err(py, ffi::PyCFunction_NewEx(definition, none, none))
    }
}

/// How the holder is laid out, if it is as it has been: `mark` is in it.
fn look(py: Python<'_>, mark: &Bound<'_, PyAny>, get: &Bound<'_, PyAny>) -> Option<Found> {
    let key = intern!(py, "__asyncio_running_event_loop__");
    // Before the number is asked for: a fork in between would make both useless, and not one of them.
    let owner = Owner::current();
    let pid = std::process::id();
    // SAFETY: attached. What is read lies within the object, as its type says how large it is.
    unsafe {
        let holder = holder(key.as_ptr());
        if holder.is_null() {
            return None;
        }
        let kind = ffi::Py_TYPE(holder.cast());
        let is_as_large = (*kind).tp_basicsize == size_of::<Holder>() as ffi::Py_ssize_t;
        let is_it = is_as_large
            && (*kind).tp_itemsize == 0
            && (*holder).running == mark.as_ptr()
            && (*holder).pid as u32 == pid;
        is_it.then(|| Found {
            kind,
            key: key.clone().unbind(),
            pid,
            owner,
            whole: get.clone().unbind(),
        })
    }
}

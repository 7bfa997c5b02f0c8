//! The asyncio loop that runs on the calling thread, without a system call.
//!
//! Up to Python 3.13 `asyncio._get_running_loop` asks for the process's number at each call, to tell a
//! forked child: 0.15 µs, as much as all else that a timeout costs. It looks at an object in the
//! thread's dict, which holds that number and the loop. Here the same object is read, and a child is
//! told by the count of forks that this module keeps anyway. How the object is laid out is nobody's
//! promise: it is tried out with a known loop first, and where anything is not as expected asyncio's own
//! function stays in use.

use std::sync::{
    OnceLock,
    atomic::{AtomicIsize, Ordering::Relaxed},
};

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

/// The loop that asyncio says runs on this thread, borrowed from where it is kept; null for none, and
/// nothing where that has not been found.
#[inline(always)]
fn kept(_py: Python<'_>) -> Option<*mut ffi::PyObject> {
    let found = FOUND.get()?;
    // SAFETY: attached, as the token says; the layout as in `running_loop`.
    unsafe {
        let holder = holder(found.key.as_ptr());
        if holder.is_null() {
            return Some(std::ptr::null_mut());
        }
        let is_known = ffi::Py_TYPE(holder.cast()) == found.kind;
        if !is_known || !found.owner.is_here() || (*holder).pid as u32 != found.pid {
            return None;
        }
        let running = (*holder).running;
        let is_none = running == ffi::Py_None();
        Some(if is_none {
            std::ptr::null_mut()
        } else {
            running
        })
    }
}

#[cold]
fn asked(py: Python<'_>) -> Option<Bound<'_, PyAny>> {
    let module = py.import(intern!(py, "asyncio")).ok()?;
    let running = module.call_method0(intern!(py, "_get_running_loop")).ok()?;
    (!running.is_none()).then_some(running)
}

/// Whether it is this loop that runs here.
#[inline]
pub(crate) fn is_running(event_loop: &Bound<'_, PyAny>) -> bool {
    match kept(event_loop.py()) {
        Some(running) => running == event_loop.as_ptr(),
        None => asked(event_loop.py()).is_some_and(|running| running.is(event_loop)),
    }
}

/// How many modules there were when trio was looked for last, and was not among them.
static WITHOUT_TRIO: AtomicIsize = AtomicIsize::new(-1);

/// Whether asyncio's loop runs here, or trio's may.
#[inline]
pub(crate) fn may_be_running(py: Python<'_>) -> bool {
    let is_trio_known = || {
        // SAFETY: attached; the dict of modules is lent, and so is what it holds.
        unsafe {
            let modules = ffi::PyImport_GetModuleDict();
            // Whoever imports trio adds dozens of modules. Half the price of looking for it.
            let count = ffi::PyDict_Size(modules);
            if count == WITHOUT_TRIO.load(Relaxed) {
                return false;
            }
            let trio = ffi::PyDict_GetItemWithError(modules, intern!(py, "trio").as_ptr());
            if trio.is_null() {
                ffi::PyErr_Clear();
                WITHOUT_TRIO.store(count, Relaxed);
            }
            !trio.is_null()
        }
    };
    match kept(py) {
        Some(running) if running.is_null() => is_trio_known(),
        Some(_) => true,
        None => asked(py).is_some() || is_trio_known(),
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

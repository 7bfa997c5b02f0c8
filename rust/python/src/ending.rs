//! Letting the interpreter go around a wait, and coming back to it unless it has ended.
//!
//! Before Python 3.14 a thread that comes back to an interpreter that is being finalised is ended
//! by `pthread_exit`, whose unwinding must not pass through Rust: the process would abort. Daemon
//! threads meet that whenever they wait here while the main thread ends. So once the ending has
//! begun (an exit function notes that), a thread looks before it comes back, and if there is
//! nothing to come back to it sleeps until the process is gone, as Python 3.14 makes it do.
//!
//! The exit function first lets those come back who were about to. Exit functions that run after
//! ours may still need a daemon thread, so nobody is held for longer than [`PATIENCE`] while the
//! interpreter is alive.

use std::{
    ffi::{CStr, c_int, c_void},
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use pyo3::prelude::*;

/// From the last exit function to the finalisation it takes microseconds.
const PATIENCE: Duration = Duration::from_millis(100);
const STEP: Duration = Duration::from_millis(1);

static BEGUN: AtomicBool = AtomicBool::new(false);
/// Threads on their way back.
static RETURNING: AtomicUsize = AtomicUsize::new(0);

/// Runs `wait` without the interpreter.
pub(crate) fn detached<T: Send>(py: Python<'_>, wait: impl FnOnce() -> T + Send) -> T {
    let result = py.detach(|| {
        let result = wait();
        RETURNING.fetch_add(1, Ordering::SeqCst);
        if BEGUN.load(Ordering::SeqCst) {
            RETURNING.fetch_sub(1, Ordering::SeqCst);
            look_before_returning();
            RETURNING.fetch_add(1, Ordering::SeqCst);
        }
        result
    });
    RETURNING.fetch_sub(1, Ordering::SeqCst);
    result
}

#[cold]
fn look_before_returning() {
    // SAFETY: neither call has arguments or can fail.
    if unsafe { libc::gettid() == libc::getpid() } {
        return; // The main thread is the one that finalises.
    }
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        while is_finalizing() {
            thread::park();
        }
        thread::sleep(STEP);
    }
}

fn is_finalizing() -> bool {
    type Function = unsafe extern "C" fn() -> c_int;
    static FUNCTION: OnceLock<Option<Function>> = OnceLock::new();
    let find = |name: &CStr| {
        // SAFETY: a terminated name; the answer is null or the address of that symbol.
        let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
        // SAFETY: under both names the interpreter exports `int name(void)`.
        (!address.is_null())
            .then(|| unsafe { std::mem::transmute::<*mut c_void, Function>(address) })
    };
    let function =
        FUNCTION.get_or_init(|| find(c"Py_IsFinalizing").or_else(|| find(c"_Py_IsFinalizing")));
    // SAFETY: reads one flag, attached or not, also while the interpreter is being torn down.
    function.is_some_and(|function| unsafe { function() != 0 })
}

/// Called by the interpreter when it begins to end.
#[pyfunction]
fn ending(py: Python<'_>) {
    BEGUN.store(true, Ordering::SeqCst);
    let deadline = Instant::now() + PATIENCE;
    while RETURNING.load(Ordering::SeqCst) > 0 && Instant::now() < deadline {
        py.detach(thread::yield_now);
    }
}

/// Has the interpreter call [`ending`].
pub(crate) fn watch(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let function = wrap_pyfunction!(ending, module)?;
    module
        .py()
        .import("atexit")?
        .call_method1("register", (function,))
        .map(drop)
}

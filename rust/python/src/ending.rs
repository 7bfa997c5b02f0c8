//! What becomes of a daemon thread when the interpreter ends: it sleeps until the process is gone.
//!
//! Before Python 3.14 the interpreter ends such a thread by `pthread_exit`, where it next asks to run Python
//! code: on its way back from a wait, or between two instructions of code that a frame of Rust has
//! called. The C library would unwind the thread's stack, and the process aborts at the first frame of
//! Rust that is met, PyO3's or ours. Python 3.14 makes the thread sleep instead, and so does a
//! thread here that has called [`outlast`] before it can get there.
//!
//! It does so from a clean-up function of the thread. Those run as the frames that registered them are
//! left, which the C library judges by the address of the record: one that is not on the thread's stack
//! counts as left at the first step, when nothing is unwound yet. (musl unwinds nothing, but runs
//! them, too.) So no frame goes away, no destructor runs, and what others see of the thread stays as it
//! was.

use std::{
    cell::OnceCell,
    ffi::{CStr, c_int, c_void},
    ptr,
    sync::OnceLock,
    thread,
    time::Duration,
};

use pyo3::prelude::*;

/// How often a thread that is being ended looks whether the interpreter is: it may say so to the
/// thread a moment before it says so to all.
const LOOKS: u32 = 100;
const STEP: Duration = Duration::from_millis(1);

/// The record of a registered function: `_pthread_cleanup_buffer` in glibc, of which musl's is the first
/// part. Both leave it to the caller where it is.
#[repr(C)]
struct Record {
    routine: *mut c_void,
    argument: *mut c_void,
    kind: c_int,
    previous: *mut Record,
}

type Routine = unsafe extern "C" fn(*mut c_void);
type Push = unsafe extern "C" fn(*mut Record, Routine, *mut c_void);
type Pop = unsafe extern "C" fn(*mut Record, c_int);

/// The thread's record: on the heap, hence on no stack. It goes when the thread's function has returned.
struct Registered {
    record: *mut Record,
    pop: Pop,
}

thread_local! {
    static REGISTERED: OnceCell<Option<Registered>> = const { OnceCell::new() };
}

/// From now on the calling thread, if the interpreter ends it, sleeps. To be called before it waits for
/// the interpreter, or runs Python code, below a frame of Rust; one look at a variable of the thread
/// but for the first time.
#[inline]
pub(crate) fn outlast() {
    // A thread whose own variables are gone is past its Python code.
    let _ = REGISTERED.try_with(|registered| {
        if registered.get().is_none() {
            let _ = registered.set(Registered::new());
        }
    });
}

impl Registered {
    #[cold]
    fn new() -> Option<Self> {
        // SAFETY: in glibc and musl the functions of these names have these types.
        let (push, pop) = unsafe {
            let push = symbol::<Push>(c"_pthread_cleanup_push")?;
            (push, symbol::<Pop>(c"_pthread_cleanup_pop")?)
        };
        let record = Box::into_raw(Box::new(Record {
            routine: ptr::null_mut(),
            argument: ptr::null_mut(),
            kind: 0,
            previous: ptr::null_mut(),
        }));
        // SAFETY: a record that stays where it is until it is taken off.
        unsafe { push(record, sleep_if_it_ends, ptr::null_mut()) };
        Some(Self { record, pop })
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        // SAFETY: the thread's function has returned, and with it all that registered something later.
        // Then nobody has the record.
        unsafe {
            (self.pop)(self.record, 0);
            drop(Box::from_raw(self.record));
        }
    }
}

/// Called by the C library on the thread that is being ended, whoever does so.
unsafe extern "C" fn sleep_if_it_ends(_: *mut c_void) {
    for _ in 0..LOOKS {
        while is_finalizing() {
            thread::park();
        }
        thread::sleep(STEP);
    }
}

/// Whether the interpreter ends.
pub(crate) fn is_finalizing() -> bool {
    type Function = unsafe extern "C" fn() -> c_int;
    static FUNCTION: OnceLock<Option<Function>> = OnceLock::new();
    // SAFETY: under both names the interpreter exports `int name(void)`.
    let function = FUNCTION.get_or_init(|| unsafe {
        symbol(c"Py_IsFinalizing").or_else(|| symbol(c"_Py_IsFinalizing"))
    });
    // SAFETY: reads one flag, attached or not, also while the interpreter is being torn down.
    function.is_some_and(|function| unsafe { function() != 0 })
}

/// The function of that name, if the process has one.
///
/// # Safety
/// `F` is the type of a pointer to it.
unsafe fn symbol<F: Copy>(name: &CStr) -> Option<F> {
    const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
    // SAFETY: a terminated name; the answer is null or the address of that symbol.
    let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    // SAFETY: of the same size, and by the caller's promise of that type.
    (!address.is_null()).then(|| unsafe { std::mem::transmute_copy(&address) })
}

/// Runs `wait` without the interpreter, and comes back to it unless it has ended.
pub(crate) fn detached<T: Send>(py: Python<'_>, wait: impl FnOnce() -> T + Send) -> T {
    outlast();
    py.detach(wait)
}

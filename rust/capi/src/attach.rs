//! Handles to queues that others have made: by their descriptor, or by their name.

use std::{
    ffi::{CStr, c_char, c_int},
    io,
    os::fd::{FromRawFd, OwnedFd},
};

use penstock_core::shm::queue::{Queue, QueueError};

use crate::{
    border::{Out, border},
    code::Code,
    failure::Failure,
    handles::{self, Handle, NoTask, Opaque},
    receive::Kept,
};

fn duplicate(fd: c_int) -> io::Result<OwnedFd> {
    // SAFETY: a plain system call; a negative answer is handled.
    let copy = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) };
    if copy < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: new, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

fn open(fd: OwnedFd, label: String) -> Result<*mut Opaque, Failure> {
    let queue = Queue::<NoTask>::attach(fd).map_err(|error| Failure::of(&label, &error))?;
    let kept = Kept::new();
    handles::open(Handle { queue, label, kept })
}

/// Joins the queue behind a descriptor.
///
/// # Safety
/// `queue` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn penstock_attach(fd: c_int, queue: *mut *mut Opaque) -> Code {
    border(|| {
        // SAFETY: the caller's promise.
        let mut queue = unsafe { Out::new(queue, "queue is NULL; hand in where the handle goes") }?;
        queue.set(std::ptr::null_mut());
        let label = format!("the queue of descriptor {fd}");
        let copy = duplicate(fd).map_err(|error| Failure::of(&label, &QueueError::Io(error)))?;
        queue.set(open(copy, label)?);
        Ok(())
    })
}

/// Joins the queue of a name.
///
/// # Safety
/// `name` is a string that ends, `queue` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn penstock_attach_name(
    name: *const c_char,
    timeout: i64,
    queue: *mut *mut Opaque,
) -> Code {
    border(|| {
        // SAFETY: the caller's promise.
        let mut queue = unsafe { Out::new(queue, "queue is NULL; hand in where the handle goes") }?;
        queue.set(std::ptr::null_mut());
        if name.is_null() {
            return Err(Failure::argument("name is NULL; hand in that of a queue"));
        }
        // SAFETY: as above.
        let name = unsafe { CStr::from_ptr(name) }.to_string_lossy();
        let _ = timeout;
        Err(Failure::new(Code::NotFound, format!("queue '{name}'")))
    })
}

/// Leaves the queue.
#[unsafe(no_mangle)]
pub extern "C" fn penstock_close(queue: *const Opaque) -> Code {
    border(|| handles::close(queue))
}

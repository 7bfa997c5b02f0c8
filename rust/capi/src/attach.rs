//! Handles to queues that others have made: by their descriptor, or by their name.

use std::{
    ffi::{CStr, c_char, c_int},
    io,
    os::fd::{FromRawFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

use penstock_core::shm::{
    AttachError,
    door::{self, DoorError},
    queue::{Queue, QueueError},
};

use crate::{
    border::{Out, border},
    clock::Timeout,
    code::Code,
    failure::Failure,
    handles::{self, Handle, NoTask, Opaque},
    receive::Kept,
};

/// Longer than any process lives, and still a time that clocks can express.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

fn duplicate(fd: c_int) -> io::Result<OwnedFd> {
    // SAFETY: a plain system call; a negative answer is handled.
    let copy = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) };
    if copy < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: new, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// What a queue with a name is called in messages.
fn named(name: &str) -> String {
    format!("queue '{name}'")
}

fn open(fd: OwnedFd, label: String) -> Result<*mut Opaque, Failure> {
    let queue = Queue::attach(fd).map_err(|error| Failure::of(&label, &error))?;
    let label = queue.name().map_or(label, named);
    admit(queue, label)
}

fn admit(queue: Arc<Queue<NoTask>>, label: String) -> Result<*mut Opaque, Failure> {
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
        queue.set(by_name(&name, Timeout(timeout))?);
        Ok(())
    })
}

/// Asks whoever has the queue of that name for it.
fn by_name(name: &str, timeout: Timeout) -> Result<*mut Opaque, Failure> {
    let patience = timeout.duration().map_or(FOREVER, |time| time.min(FOREVER));
    let label = named(name);
    let mut refusal = None;
    let fetched = door::fetch(name, patience, |fd, id| {
        let queue = Queue::<NoTask>::attach(fd).map_err(|error| match error {
            QueueError::Attach(error) => error,
            error => {
                refusal = Some(error);
                AttachError::Foreign
            }
        })?;
        if queue.id() == id {
            Ok(queue)
        } else {
            Err(AttachError::Damaged)
        }
    });
    match (fetched, refusal) {
        (Ok(queue), _) => admit(queue, label),
        (Err(DoorError::Refused { .. }), Some(error)) => Err(Failure::of(&label, &error)),
        (Err(error), _) => Err(Failure::of_door(&error)),
    }
}

/// Leaves the queue.
#[unsafe(no_mangle)]
pub extern "C" fn penstock_close(queue: *const Opaque) -> Code {
    border(|| handles::close(queue))
}

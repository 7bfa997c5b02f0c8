//! A descriptor that a forked child does not have.
//!
//! Close-on-exec acts on exec, not on fork, and a child need not exec. So a handler closes these in
//! the child, before it does anything else. It may neither lock nor allocate: it walks a list of
//! places that only grows. Descriptors come and go under a [`Guarded`], which no fork finds taken,
//! so the handler never meets one that is open and not in its place, or in its place and closed.

use std::{
    io,
    os::fd::{BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd},
    ptr,
    sync::{
        OnceLock,
        atomic::{AtomicI32, AtomicPtr, Ordering},
    },
};

use crate::{
    fork,
    fork_gate::{Guard, Guarded},
};

const VACANT: RawFd = -1;

/// Never freed, used again. `fd` is written under the lock, and by the handler, which is alone.
struct Place {
    fd: AtomicI32,
    next: Option<&'static Place>,
}

/// Written under the lock, read by the handler.
static PLACES: AtomicPtr<Place> = AtomicPtr::new(ptr::null_mut());

fn places() -> impl Iterator<Item = &'static Place> {
    // SAFETY: null, or a place that was leaked.
    let first = unsafe { PLACES.load(Ordering::Acquire).as_ref() };
    std::iter::successors(first, |place| place.next)
}

extern "C" fn in_child() {
    for place in places() {
        let fd = place.fd.swap(VACANT, Ordering::Relaxed);
        if fd != VACANT {
            // SAFETY: the child's own copy, which nobody uses: its owner is of the parent, and
            // gives it to nobody here.
            unsafe { libc::close(fd) };
        }
    }
}

/// While it lives, no thread of this process forks.
fn without_forks() -> Guard<'static, ()> {
    static FORKS: OnceLock<Guarded<()>> = OnceLock::new();
    let forks = FORKS.get_or_init(|| {
        // SAFETY: the handler lives in the text of this object, which is not unloaded while the
        // process runs; it loads, swaps and closes, which is safe after a fork.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
        Guarded::new(())
    });
    forks.lock()
}

/// See the module's head; closed when dropped.
pub(super) struct Kept {
    place: &'static Place,
    fd: RawFd,
    owner: fork::Owner,
}

impl Kept {
    /// Keeps what `make` opens; it does nothing else.
    pub(super) fn new(make: impl FnOnce() -> io::Result<OwnedFd>) -> io::Result<Self> {
        let _forks = without_forks();
        let fd = make()?.into_raw_fd();
        let vacant = places().find(|place| place.fd.load(Ordering::Relaxed) == VACANT);
        let place = vacant.unwrap_or_else(|| {
            let place = Box::leak(Box::new(Place {
                fd: AtomicI32::new(VACANT),
                next: places().next(),
            }));
            PLACES.store(place, Ordering::Release);
            place
        });
        place.fd.store(fd, Ordering::Relaxed);
        Ok(Self {
            place,
            fd,
            owner: fork::Owner::current(),
        })
    }

    /// None in a forked child.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        // SAFETY: open until `self` is dropped, in the process that opened it.
        let fd = || unsafe { BorrowedFd::borrow_raw(self.fd) };
        self.owner.is_here().then(fd)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if !self.owner.is_here() {
            return; // closed, and the place may be another's by now
        }
        let _forks = without_forks();
        self.place.fd.store(VACANT, Ordering::Relaxed);
        // SAFETY: opened for `self`, and closed by nobody else in this process.
        drop(unsafe { OwnedFd::from_raw_fd(self.fd) });
    }
}

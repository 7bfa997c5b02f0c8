//! Ends a process when another one ends, whatever its own threads are doing.
//!
//! `PR_SET_PDEATHSIG` follows the thread that forked, not the process; a pidfd follows the process.
//! The thread that watches it needs nobody's lock, so native code that never returns, or that
//! keeps the interpreter for itself, cannot keep the process alive.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
    ptr, thread,
};

/// Kills the group that this process leads as soon as the process behind `pidfd` has ended.
pub fn die_with(pidfd: OwnedFd) -> io::Result<()> {
    let watch = move || {
        let mut entry = libc::pollfd {
            fd: pidfd.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one entry, alive during the call.
        while unsafe { libc::poll(&raw mut entry, 1, -1) } < 1 {}
        // SAFETY: a plain system call; zero means the group of the calling process.
        unsafe { libc::kill(0, libc::SIGKILL) };
    };
    // A thread inherits the mask it is made under: signals are for the others.
    // SAFETY: both sets are filled in by libc before they are read.
    unsafe {
        let mut all = std::mem::zeroed();
        let mut before = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
        let started = thread::Builder::new()
            .name("penstock-lifeline".into())
            .spawn(watch);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, ptr::null_mut());
        started.map(drop)
    }
}

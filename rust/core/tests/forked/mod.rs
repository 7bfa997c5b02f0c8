//! Children that a test forks off, which stop and die, and words that they share with it.
#![allow(
    dead_code,
    reason = "each test file is a crate of its own and uses what it needs"
)]

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    ptr,
    sync::atomic::{AtomicU64, Ordering},
};

/// What a child ends with whose script panicked.
const FAILED: i32 = 99;

/// A child that has not been waited for to its end.
pub(crate) struct Child(libc::pid_t);

impl Child {
    /// Runs `script` in a child.
    pub(crate) fn run(script: impl FnOnce()) -> Self {
        Self::that_says(|| {
            script();
            0
        })
    }

    /// Runs `script` in a child, which says how it went by its exit code.
    pub(crate) fn that_says(script: impl FnOnce() -> i32) -> Self {
        // SAFETY: the child does what is asked of it and ends, whatever happens.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0);
        if pid == 0 {
            let code = catch_unwind(AssertUnwindSafe(script));
            // SAFETY: ends the child without the test runner's destructors.
            unsafe { libc::_exit(code.unwrap_or(FAILED)) };
        }
        Self(pid)
    }

    pub(crate) fn signal(&self, signal: i32) {
        // SAFETY: the child is ours and not reaped yet.
        assert_eq!(unsafe { libc::kill(self.0, signal) }, 0);
    }

    pub(crate) fn wait(&self, flags: i32) -> i32 {
        let mut status = 0;
        // SAFETY: as above; `status` is writable.
        let waited = unsafe { libc::waitpid(self.0, &raw mut status, flags) };
        assert_eq!(waited, self.0);
        status
    }

    /// Waits until it has stopped itself, or has been stopped.
    pub(crate) fn wait_until_stopped(&self) {
        let status = self.wait(libc::WUNTRACED);
        assert!(libc::WIFSTOPPED(status), "{}", libc::WEXITSTATUS(status));
    }

    pub(crate) fn end(self) {
        assert_eq!(code(self.wait(0)), 0);
    }

    pub(crate) fn kill(self) {
        self.signal(libc::SIGKILL);
        self.wait(0);
    }
}

/// What a child said that came to the end of its script.
pub(crate) fn code(status: i32) -> i32 {
    assert!(libc::WIFEXITED(status), "{status:x}");
    let code = libc::WEXITSTATUS(status);
    assert_ne!(code, FAILED, "the script failed");
    code
}

/// Words that parent and children share, outside of any queue.
pub(crate) struct Ledger(*const AtomicU64);

// SAFETY: atomics in a mapping that lives as long as the value.
unsafe impl Sync for Ledger {}

impl Ledger {
    const WORDS: usize = 512;

    pub(crate) fn new() -> Self {
        // SAFETY: a new mapping at an address of the kernel's choice.
        let at = unsafe {
            libc::mmap(
                ptr::null_mut(),
                Self::WORDS * 8,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(at, libc::MAP_FAILED);
        Self(at.cast())
    }

    pub(crate) fn word(&self, index: usize) -> &AtomicU64 {
        assert!(index < Self::WORDS);
        // SAFETY: inside the mapping, which lives as long as `self`.
        unsafe { &*self.0.add(index) }
    }

    pub(crate) fn add(&self, index: usize, value: u64) {
        self.word(index).fetch_add(value, Ordering::SeqCst);
    }

    pub(crate) fn get(&self, index: usize) -> u64 {
        self.word(index).load(Ordering::SeqCst)
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        // SAFETY: made in `new` with this length.
        unsafe { libc::munmap(self.0.cast_mut().cast(), Self::WORDS * 8) };
    }
}

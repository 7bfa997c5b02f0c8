//! Tells a forked child from its parent: what was made for the parent's threads and loops is
//! recognised in the child and refused or made anew instead of waited for.
//!
//! Guarantee: [`Owner::is_here`] is one relaxed load, true in the process that made the owner and
//! false in every process forked from it, from the first instruction after the fork.

use std::sync::{
    Once,
    atomic::{AtomicU32, Ordering},
};

/// Forks between the program's start and this process. Written by the handler below, before the
/// child has a second thread.
static EPOCH: AtomicU32 = AtomicU32::new(0);
static WATCH: Once = Once::new();

extern "C" fn in_child() {
    EPOCH.fetch_add(1, Ordering::Relaxed);
}

/// The process that made something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner(u32);

impl Owner {
    /// The calling process.
    #[must_use]
    pub fn current() -> Self {
        WATCH.call_once(|| {
            // SAFETY: the handler does one atomic addition, which is safe after a fork; it lives
            // in the text of this object, which is not unloaded while the process runs.
            unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
        });
        Self(EPOCH.load(Ordering::Relaxed))
    }

    /// Whether the calling process is the one that made it.
    #[inline(always)]
    #[must_use]
    pub fn is_here(self) -> bool {
        self.0 == EPOCH.load(Ordering::Relaxed)
    }
}

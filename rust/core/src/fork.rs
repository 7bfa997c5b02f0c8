//! Tells a forked child from its parent: what was made for the parent's threads and loops is
//! recognised in the child and refused or made anew instead of waited for.
//!
//! Guarantee: [`Owner::is_here`] is one relaxed load, true in the process that made the owner and
//! false in every process forked from it, from the first instruction after the fork.

use std::{
    ptr,
    sync::{
        Arc, Once,
        atomic::{AtomicPtr, AtomicU32, Ordering},
    },
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

/// A value that each process makes for itself. What a forked child inherits of its parent's is neither
/// used nor dropped there: its locks may be held by threads that do not exist any more.
///
/// Guarantee: lock-free; one acquiring load where the value has been made.
#[derive(Debug)]
pub struct PerProcess<T> {
    /// Null, or what the last process to ask has made. Swapped (AcqRel) by whoever finds it missing or a
    /// parent's, read (Acquire) by all.
    current: AtomicPtr<Made<T>>,
}

#[derive(Debug)]
struct Made<T> {
    owner: Owner,
    value: Arc<T>,
}

impl<T> PerProcess<T> {
    /// Nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            current: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// This process's value, if it has made one.
    pub fn get(&self) -> Option<&Arc<T>> {
        let current = self.current.load(Ordering::Acquire);
        // SAFETY: null, or a box that was leaked in `get_or_make` and is freed by `drop` only.
        let made = unsafe { current.as_ref() }?;
        made.owner.is_here().then_some(&made.value)
    }

    /// This process's value. When several threads ask at once, what all but one have made is dropped.
    pub fn get_or_make(&self, make: impl FnOnce() -> Arc<T>) -> &Arc<T> {
        if let Some(value) = self.get() {
            return value;
        }
        let made = Box::into_raw(Box::new(Made {
            owner: Owner::current(),
            value: make(),
        }));
        let mut seen = self.current.load(Ordering::Acquire);
        loop {
            // SAFETY: as in `get`.
            if let Some(other) = unsafe { seen.as_ref() }
                && other.owner.is_here()
            {
                // SAFETY: nobody else has seen what was made in vain.
                drop(unsafe { Box::from_raw(made) });
                return &other.value;
            }
            match self
                .current
                .compare_exchange(seen, made, Ordering::AcqRel, Ordering::Acquire)
            {
                // SAFETY: as in `get`. A parent's, if there was one, is left as it is.
                Ok(_) => return unsafe { &(*made).value },
                Err(other) => seen = other,
            }
        }
    }
}

impl<T> Default for PerProcess<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Drop for PerProcess<T> {
    fn drop(&mut self) {
        let current = *self.current.get_mut();
        // SAFETY: as in `get`; nobody else is there any more.
        if unsafe { current.as_ref() }.is_some_and(|made| made.owner.is_here()) {
            // SAFETY: as above.
            drop(unsafe { Box::from_raw(current) });
        }
    }
}

// SAFETY: what the pointer leads to is an `Arc<T>` beside plain data.
unsafe impl<T: Send + Sync> Send for PerProcess<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for PerProcess<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forked_child_makes_its_own_and_leaves_its_parents_alone() {
        struct Loud;
        impl Drop for Loud {
            fn drop(&mut self) {
                // SAFETY: ends the child with a status that the parent looks for.
                unsafe { libc::_exit(9) };
            }
        }
        let here = PerProcess::new();
        let first = Arc::as_ptr(here.get_or_make(|| Arc::new(Loud)));
        assert_eq!(first, Arc::as_ptr(here.get_or_make(|| Arc::new(Loud))));
        // SAFETY: the child looks, compares and ends at once.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let is_missing = here.get().is_none();
            let own = Arc::as_ptr(here.get_or_make(|| Arc::new(Loud)));
            let status = i32::from(!is_missing || own == first);
            // SAFETY: as above.
            unsafe { libc::_exit(status) };
        }
        let mut status = 0;
        // SAFETY: `child` is ours.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!(status, 0);
        std::mem::forget(here);
    }
}

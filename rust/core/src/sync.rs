//! The only door to atomics, locks and cells, so that loom or shuttle can stand in for them.
//!
//! Built with `--cfg penstock_failpoints`, every change of a word is a place at which a test can end the process.
//! Built with `--cfg penstock_loom` (a private name: `--cfg loom` would reach every crate in the
//! graph) the same code runs under loom's scheduler, and with `--cfg penstock_shuttle` under
//! shuttle's. Each finds what the other cannot:
//!
//! - loom tries every interleaving, and the values that weak orderings let a load return, of a few
//!   steps of two or three threads: a Release too few is seen there, or nowhere;
//! - shuttle draws interleavings at random and takes every ordering for SeqCst (its fence does
//!   nothing, as nothing is left to order), so it says nothing of orderings. But it carries many
//!   threads through long histories: protocols of several steps, laps, closes in between.

#[cfg(penstock_loom)]
pub use loom::{
    cell::UnsafeCell,
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
    },
    thread::yield_now,
};

#[cfg(penstock_shuttle)]
pub use shuttle::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
    },
    thread::yield_now,
};

#[cfg(not(any(penstock_loom, penstock_shuttle)))]
pub use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering, fence},
    },
    thread::yield_now,
};

#[cfg(not(any(penstock_loom, penstock_shuttle, penstock_failpoints)))]
pub use std::sync::atomic::{AtomicU32, AtomicU64};

#[cfg(penstock_failpoints)]
pub use crate::failpoints::{AtomicU32, AtomicU64};

/// `std::cell::UnsafeCell` with the closure-shaped access that loom's has.
#[cfg(not(any(penstock_loom, penstock_shuttle)))]
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct UnsafeCell<T: ?Sized>(std::cell::UnsafeCell<T>);

#[cfg(not(any(penstock_loom, penstock_shuttle)))]
impl<T> UnsafeCell<T> {
    /// Wraps `value`.
    pub const fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    /// Calls `f` with a pointer for reading; the caller upholds that nobody writes meanwhile.
    #[inline(always)]
    pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        f(self.0.get())
    }

    /// Calls `f` with a pointer for writing; the caller upholds that nobody else has access.
    #[inline(always)]
    pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}

/// Shuttle has no cell. This one lets others run in the middle of an access, and panics when one of
/// them comes in where nobody may.
#[cfg(penstock_shuttle)]
#[derive(Debug)]
pub struct UnsafeCell<T> {
    /// How many read now; [`UnsafeCell::WRITTEN`] while somebody writes.
    inside: AtomicUsize,
    value: std::cell::UnsafeCell<T>,
}

#[cfg(penstock_shuttle)]
impl<T> UnsafeCell<T> {
    const WRITTEN: usize = usize::MAX / 2;

    /// Wraps `value`.
    pub const fn new(value: T) -> Self {
        Self {
            inside: AtomicUsize::new(0),
            value: std::cell::UnsafeCell::new(value),
        }
    }

    /// Calls `f` with a pointer for reading; panics if somebody writes meanwhile.
    pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        let before = self.inside.fetch_add(1, Ordering::SeqCst);
        assert!(before < Self::WRITTEN, "a cell is read while it is written");
        let result = f(self.value.get());
        self.inside.fetch_sub(1, Ordering::SeqCst);
        result
    }

    /// Calls `f` with a pointer for writing; panics if somebody else has access meanwhile.
    pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        let before = self.inside.swap(Self::WRITTEN, Ordering::SeqCst);
        assert!(before == 0, "a cell is written while another is at it");
        let result = f(self.value.get());
        self.inside.store(0, Ordering::SeqCst);
        result
    }
}

/// A numbered place at which a test can end or stop the process.
#[inline(always)]
pub fn failpoint() {
    #[cfg(penstock_failpoints)]
    crate::failpoints::hit();
}

/// Locks `mutex`; a panic in another holder left the data consistent, as no critical section
/// in this crate calls out while it is half done.
pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    match mutex.lock() {
        Ok(guard) => guard,
        Err(poisoned) => poisoned.into_inner(),
    }
}

/// Keeps its content on cache lines of its own. 128 bytes: the prefetcher of x86 fetches lines
/// in pairs, and some ARM cores have lines of that length.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct CachePadded<T>(pub T);

impl<T> std::ops::Deref for CachePadded<T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        &self.0
    }
}

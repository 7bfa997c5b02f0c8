//! Locks that a fork never finds taken.
//!
//! A forked child has one thread; a mutex that another thread held at that moment stays locked
//! in it for ever, over data that may be half changed. So every [`Guarded`] is locked below one
//! process-wide read-write gate, and `pthread_atfork` takes the gate for writing around the fork:
//! the child starts with every `Guarded` free and whole.
//!
//! Guarantee: blocking, for slow paths only. A `Guarded` is never locked while the same thread
//! holds another (the gate prefers writers, so a fork between the two would stop both), and
//! nothing that holds one calls out, least of all into Python.

use crate::sync::{Mutex, MutexGuard, lock};
use std::ops::{Deref, DerefMut};

/// A mutex that is free in a forked child.
#[derive(Debug)]
pub struct Guarded<T>(Mutex<T>);

/// Access to a [`Guarded`] value; dropping it ends the access.
pub struct Guard<'a, T> {
    value: MutexGuard<'a, T>,
    // After `value`: fields are dropped in order, and the mutex must be free before the gate is.
    #[cfg(not(penstock_loom))]
    _gate: std::sync::RwLockReadGuard<'static, ()>,
}

impl<T> Guarded<T> {
    /// Wraps `value`; the first call in a process registers the fork handlers.
    pub fn new(value: T) -> Self {
        #[cfg(not(penstock_loom))]
        process::watch_forks();
        Self(Mutex::new(value))
    }

    /// Waits for access. Never call it while holding a guard of any `Guarded`.
    pub fn lock(&self) -> Guard<'_, T> {
        #[cfg(not(penstock_loom))]
        let gate = process::enter();
        Guard {
            value: lock(&self.0),
            #[cfg(not(penstock_loom))]
            _gate: gate,
        }
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

#[cfg(not(penstock_loom))]
pub use process::{survivor, thread_token};

/// The thread that came through the last fork; loom has no forks.
#[cfg(penstock_loom)]
pub fn survivor() -> u64 {
    0
}

#[cfg(not(penstock_loom))]
mod process {
    use std::{
        cell::{Cell, UnsafeCell},
        sync::{
            Once, RwLock, RwLockReadGuard, RwLockWriteGuard,
            atomic::{AtomicU64, Ordering},
        },
    };

    static GATE: RwLock<()> = RwLock::new(());
    static HELD: Held = Held(UnsafeCell::new(None));
    static REGISTER: Once = Once::new();
    /// Written by the only thread of a fresh child; read by anyone.
    static SURVIVOR: AtomicU64 = AtomicU64::new(0);
    static NEXT_TOKEN: AtomicU64 = AtomicU64::new(1);

    thread_local! {
        // Without a destructor, so that it can be read while the thread's other locals go.
        static TOKEN: Cell<u64> = const { Cell::new(0) };
    }

    struct Held(UnsafeCell<Option<RwLockWriteGuard<'static, ()>>>);

    // SAFETY: the cell is touched between `prepare` and `parent`/`child` only, by the thread that
    // forks, and while it holds the gate for writing: nobody else can be there.
    unsafe impl Sync for Held {}

    pub(super) fn watch_forks() {
        REGISTER.call_once(|| {
            // SAFETY: the handlers are functions of this shared object, which CPython never
            // unloads; they neither unwind nor allocate.
            unsafe { libc::pthread_atfork(Some(prepare), Some(parent), Some(child)) };
        });
    }

    pub(super) fn enter() -> RwLockReadGuard<'static, ()> {
        GATE.read().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    extern "C" fn prepare() {
        let gate = GATE
            .write()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        // SAFETY: see `Held`; the gate was taken in the line above.
        unsafe { *HELD.0.get() = Some(gate) };
    }

    extern "C" fn parent() {
        // SAFETY: see `Held`; this thread took the gate in `prepare`.
        drop(unsafe { (*HELD.0.get()).take() });
    }

    extern "C" fn child() {
        SURVIVOR.store(thread_token(), Ordering::Relaxed);
        // SAFETY: see `Held`; the child's one thread is the one that took the gate. The lock is a
        // futex word without an owner, so it can be released here.
        drop(unsafe { (*HELD.0.get()).take() });
    }

    /// The token of the thread that came through the last fork.
    pub fn survivor() -> u64 {
        SURVIVOR.load(Ordering::Relaxed)
    }

    /// A number for the calling thread that no other thread, past or future, has; never 0.
    pub fn thread_token() -> u64 {
        TOKEN.with(|token| {
            if token.get() == 0 {
                token.set(NEXT_TOKEN.fetch_add(1, Ordering::Relaxed));
            }
            token.get()
        })
    }
}

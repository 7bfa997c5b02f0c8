//! The list of those who wait for one side of a queue, and the flag that spares givers the lock.
//!
//! Guarantee: a waiter is woken at most once for each time it enlisted; a giver that sees
//! `armed = 0` after its fence leaves nobody asleep beside what it gave.
//!
//! The protocol (lost wakeups are the classic fault here, so each step has its reason):
//!
//! ```text
//! taker    pop: got it → done
//!          enlist (lock; append; armed ← 1; unlock);  fence;  pop: got it → leave, done;  sleep
//! giver    push;  fence;  if armed: notify (lock; take the first out; armed ← not empty; unlock; wake)
//! woken    pop: got it → leave;  empty, since somebody barged → enlist in front, and so on
//! leave    lock; take me out if I am in; armed ← not empty; unlock;  fence;  if items and armed: notify
//! ```
//! The fences are SeqCst on both sides: with release and acquire alone the giver may read
//! `armed = 0` while the taker reads "empty" (store buffering, on x86 too).
//! A woken waiter is out of the list, so while the only taker is busy givers see `armed = 0` and
//! make no system call. No item is ever in a waiter's hands before it runs, so no cancellation can
//! lose one; a waiter that leaves without having used its wake passes it on.

use std::collections::VecDeque;

use crate::sync::{Arc, AtomicBool, AtomicU64, CachePadded, Mutex, Ordering, lock};

/// What a wake did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// It will run, and that took no system call.
    Quietly,
    /// It will run, and a system call was made for it.
    BySystemCall,
    /// It can no longer run (its event loop has ended): the next one is tried.
    Gone,
}

/// Something that sleeps and can be woken: a thread, or a task of an event loop.
pub trait Wake {
    /// Wakes it.
    fn wake(&self) -> Woken;

    /// How many items (or free places) must be there for a wake to be of use.
    fn need(&self) -> usize {
        1
    }
}

/// Waiters in the order of their arrival; see the module's head.
pub struct WaitList<W> {
    /// Written under the lock, read by givers after a SeqCst fence: does the list hold anybody?
    armed: CachePadded<AtomicBool>,
    waiters: Mutex<VecDeque<Arc<W>>>,
    /// Written by givers (Relaxed), read for statistics: waiters woken so far, and with a call.
    wakes: AtomicU64,
    system_calls: AtomicU64,
}

impl<W> Default for WaitList<W> {
    fn default() -> Self {
        Self {
            armed: CachePadded(AtomicBool::new(false)),
            waiters: Mutex::new(VecDeque::new()),
            wakes: AtomicU64::new(0),
            system_calls: AtomicU64::new(0),
        }
    }
}

impl<W: Wake> WaitList<W> {
    /// Whether anybody waits. A giver calls this after a SeqCst fence.
    #[inline(always)]
    pub fn is_armed(&self) -> bool {
        self.armed.load(Ordering::Relaxed)
    }

    /// Puts `waiter` at the end, or in front if it was woken in vain. It must not be in the list.
    /// The caller then makes a SeqCst fence and looks once more before it sleeps.
    pub fn enlist(&self, waiter: Arc<W>, in_front: bool) {
        let mut waiters = lock(&self.waiters);
        debug_assert!(!waiters.iter().any(|other| Arc::ptr_eq(other, &waiter)));
        if in_front {
            waiters.push_front(waiter);
        } else {
            waiters.push_back(waiter);
        }
        self.armed.store(true, Ordering::Relaxed);
    }

    /// Takes `waiter` out. False if a giver already had.
    pub fn remove(&self, waiter: &Arc<W>) -> bool {
        let mut waiters = lock(&self.waiters);
        let found = waiters.iter().position(|other| Arc::ptr_eq(other, waiter));
        // Dropped here is one reference of the two that exist at least: nothing runs in the lock.
        if let Some(index) = found {
            waiters.remove(index);
        }
        self.armed.store(!waiters.is_empty(), Ordering::Relaxed);
        found.is_some()
    }

    /// Wakes the first waiter for whom `available` is enough; false if there is none. Passing
    /// over one that needs more leaves it in its place, neither woken nor forgotten.
    pub fn notify_one(&self, available: usize) -> bool {
        loop {
            let waiter = {
                let mut waiters = lock(&self.waiters);
                let found = waiters.iter().position(|waiter| waiter.need() <= available);
                let waiter = found.and_then(|index| waiters.remove(index));
                self.armed.store(!waiters.is_empty(), Ordering::Relaxed);
                waiter
            };
            // Outside the lock: a wake may make a system call or run foreign code.
            match waiter {
                None => return false,
                Some(waiter) if self.wake(&waiter) => return true,
                Some(_) => {}
            }
        }
    }

    /// Wakes everybody, whatever they need.
    pub fn notify_all(&self) {
        let waiters = {
            let mut waiters = lock(&self.waiters);
            self.armed.store(false, Ordering::Relaxed);
            std::mem::take(&mut *waiters)
        };
        for waiter in waiters {
            self.wake(&waiter);
        }
    }

    fn wake(&self, waiter: &Arc<W>) -> bool {
        let woken = waiter.wake();
        if woken == Woken::Gone {
            return false;
        }
        self.wakes.fetch_add(1, Ordering::Relaxed);
        if woken == Woken::BySystemCall {
            self.system_calls.fetch_add(1, Ordering::Relaxed);
        }
        true
    }

    /// How many wait now.
    pub fn len(&self) -> usize {
        lock(&self.waiters).len()
    }

    /// Whether nobody waits now.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many were woken so far.
    pub fn wakes(&self) -> u64 {
        self.wakes.load(Ordering::Relaxed)
    }

    /// How many of those wakes took a system call.
    pub fn system_calls(&self) -> u64 {
        self.system_calls.load(Ordering::Relaxed)
    }
}

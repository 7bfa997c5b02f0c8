//! Who waits on a queue, as the core sees it: a blocked thread or a task of an event loop.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use penstock_core::{
    park::Parker,
    ring::{Wake, Woken},
};

use crate::hub::Slot;

enum Seat {
    Thread(Arc<Parker>),
    Task(Arc<Slot>),
}

/// One wait; a task makes a new one for each sleep, a thread keeps its own for the whole wait.
pub(crate) struct Waiter {
    seat: Seat,
    need: usize,
    /// Set by the waker after it took this one off the list, cleared by the thread before it
    /// enlists again. A parker is shared by all waits of its thread, so its wakes may be stale.
    woken: AtomicBool,
}

impl Waiter {
    pub(crate) fn thread(parker: Arc<Parker>, need: usize) -> Arc<Self> {
        Arc::new(Self {
            seat: Seat::Thread(parker),
            need,
            woken: AtomicBool::new(false),
        })
    }

    pub(crate) fn task(slot: Arc<Slot>, need: usize) -> Arc<Self> {
        Arc::new(Self {
            seat: Seat::Task(slot),
            need,
            woken: AtomicBool::new(false),
        })
    }

    /// Whether it runs on another thread than the calling one.
    pub(crate) fn is_elsewhere(&self) -> bool {
        match &self.seat {
            Seat::Thread(_) => true,
            Seat::Task(slot) => !slot.is_here(),
        }
    }

    /// Whether it was woken since the last call; then it is on no list.
    pub(crate) fn take_wake(&self) -> bool {
        self.woken.swap(false, Ordering::AcqRel)
    }
}

impl Wake for Waiter {
    fn wake(&self) -> Woken {
        self.woken.store(true, Ordering::Release);
        match &self.seat {
            Seat::Thread(parker) if parker.unpark() => Woken::BySystemCall,
            Seat::Thread(_) => Woken::Quietly,
            Seat::Task(slot) => slot.wake(),
        }
    }

    fn need(&self) -> usize {
        self.need
    }
}

//! The queue without a language: a ring (or a list), who waits on either side, and the operations
//! that keep the two in step by the protocol of [`super::wait`].
//!
//! Guarantee: an accepted item is popped exactly once; no wake is lost, whoever cancels, times out
//! or closes. Every operation returns at once; sleeping is the caller's part:
//!
//! ```text
//! pop → NotNow;  enlist_getter;  pop → NotNow;  sleep;  pop;  leave_getter
//! ```
//! with `leave` on every way out, and `enlist` (in front) again where the pop after a sleep fails.

use std::vec;

use super::{
    Refusal,
    list::{List, Order},
    mpmc::Ring,
    wait::{WaitList, Wake},
};
use crate::sync::{Arc, Ordering, fence};

/// Up to this bound the slots are set aside at once (1 MiB of them); a queue with a larger bound
/// is bounded just as well, and its memory follows what is inside.
const RING_MAX: usize = 1 << 16;

/// Figures of one queue at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Counters {
    /// Waiting to take.
    pub getters: usize,
    /// Waiting for room.
    pub putters: usize,
    /// Getters woken so far.
    pub getter_wakes: u64,
    /// Putters woken so far.
    pub putter_wakes: u64,
    /// System calls made for those wakes.
    pub system_calls: u64,
}

#[expect(
    clippy::large_enum_variant,
    reason = "the ring is the usual case, and a box would cost its every use an indirection"
)]
enum Store<T> {
    Ring(Ring<T>),
    List(Box<List<T>>),
}

/// Calls the same method on whichever store there is.
macro_rules! store {
    ($self:ident, $store:ident => $call:expr) => {
        match &$self.store {
            Store::Ring($store) => $call,
            Store::List($store) => $call,
        }
    };
}

/// The queue; `W` is what waits.
pub struct Handoff<T, W> {
    store: Store<T>,
    getters: WaitList<W>,
    putters: WaitList<W>,
}

impl<T, W: Wake> Handoff<T, W> {
    /// A queue for `capacity` items, or without bound.
    ///
    /// # Panics
    /// If `capacity` is zero.
    #[must_use]
    pub fn new(capacity: Option<usize>) -> Self {
        assert!(capacity != Some(0), "a queue needs room for one item");
        let store = match capacity {
            Some(capacity) if capacity <= RING_MAX => Store::Ring(Ring::new(capacity)),
            _ => Store::List(Box::new(List::new(capacity, Order::OldestFirst))),
        };
        Self::of(store)
    }

    /// A queue for `capacity` items, or without bound, that gives its items out in `order`.
    ///
    /// # Panics
    /// If `capacity` is zero.
    #[must_use]
    pub fn in_order(capacity: Option<usize>, order: Order<T>) -> Self {
        assert!(capacity != Some(0), "a queue needs room for one item");
        Self::of(Store::List(Box::new(List::new(capacity, order))))
    }

    fn of(store: Store<T>) -> Self {
        Self {
            store,
            getters: WaitList::default(),
            putters: WaitList::default(),
        }
    }

    /// Pushes, and wakes a getter if one sleeps; or gives the item back.
    #[inline]
    pub fn push(&self, item: T) -> Result<(), (Refusal, T)> {
        store!(self, store => store.push(item))?;
        self.gave(1);
        Ok(())
    }

    /// Pushes as many as fit, in order, and wakes as many getters; what did not fit stays in the
    /// iterator.
    pub fn push_many(&self, items: &mut vec::IntoIter<T>) -> Result<usize, Refusal> {
        let count = store!(self, store => store.push_many(items))?;
        self.gave(count);
        Ok(count)
    }

    /// Pops, and wakes a putter if one sleeps.
    #[inline]
    pub fn pop(&self) -> Result<T, Refusal> {
        let item = store!(self, store => store.pop())?;
        self.made_room(1);
        Ok(item)
    }

    /// Pops between `min` and `max` items, in their order; fewer than `min`, but one at least, only
    /// once closed.
    pub fn pop_many(&self, min: usize, max: usize, out: &mut Vec<T>) -> Result<usize, Refusal> {
        let count = store!(self, store => store.pop_many(min, max, out))?;
        self.made_room(count);
        Ok(count)
    }

    #[inline]
    fn gave(&self, count: usize) {
        fence(Ordering::SeqCst);
        for _ in 0..count {
            if !self.getters.is_armed() || !self.getters.notify_one(self.len()) {
                break;
            }
        }
    }

    #[inline]
    fn made_room(&self, count: usize) {
        if self.capacity().is_none() {
            return;
        }
        fence(Ordering::SeqCst);
        for _ in 0..count {
            if !self.putters.is_armed() || !self.putters.notify_one(self.room()) {
                break;
            }
        }
    }

    /// Puts a getter to the list (in front if it was woken in vain). It must pop once more before
    /// it sleeps, and [`Handoff::leave_getter`] whatever comes of it.
    pub fn enlist_getter(&self, waiter: Arc<W>, in_front: bool) {
        self.getters.enlist(waiter, in_front);
        fence(Ordering::SeqCst);
    }

    /// Puts a putter to the list; as [`Handoff::enlist_getter`].
    pub fn enlist_putter(&self, waiter: Arc<W>, in_front: bool) {
        self.putters.enlist(waiter, in_front);
        fence(Ordering::SeqCst);
    }

    /// Every exit from waiting to get goes through here; a wake that is not used up is passed on.
    /// False if the waiter was in the list no more: it had been woken.
    pub fn leave_getter(&self, waiter: &Arc<W>) -> bool {
        let stood = self.getters.remove(waiter);
        fence(Ordering::SeqCst);
        if self.getters.is_armed() {
            let items = self.len();
            if items > 0 {
                self.getters.notify_one(items);
            }
        }
        stood
    }

    /// Every exit from waiting to put goes through here; a wake that is not used up is passed on.
    pub fn leave_putter(&self, waiter: &Arc<W>) {
        self.putters.remove(waiter);
        fence(Ordering::SeqCst);
        if self.putters.is_armed() {
            let room = self.room();
            if room > 0 {
                self.putters.notify_one(room);
            }
        }
    }

    /// Refuses all further pushes and wakes everybody. What is inside can still be popped. Who
    /// enlists after this looks again before it sleeps, and a closed queue never says "not now".
    pub fn close(&self) {
        store!(self, store => store.close());
        fence(Ordering::SeqCst);
        self.getters.notify_all();
        self.putters.notify_all();
    }

    /// Takes all that is inside into `out`; of a closed queue, all that ever will be.
    pub fn clear(&self, out: &mut Vec<T>) {
        while self.pop_many(1, usize::MAX, out).is_ok() {}
    }

    /// Whether [`Handoff::close`] was called.
    pub fn is_closed(&self) -> bool {
        store!(self, store => store.is_closed())
    }

    /// Items inside at some moment during the call.
    pub fn len(&self) -> usize {
        store!(self, store => store.len())
    }

    /// Whether nothing was inside at some moment during the call.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many fit; `None` without bound.
    pub fn capacity(&self) -> Option<usize> {
        match &self.store {
            Store::Ring(ring) => Some(ring.capacity()),
            Store::List(list) => list.capacity(),
        }
    }

    /// How many items were pushed so far. An item counts before it can be popped.
    pub fn pushed(&self) -> usize {
        store!(self, store => store.pushed())
    }

    /// How many items were popped so far.
    pub fn popped(&self) -> usize {
        store!(self, store => store.popped())
    }

    /// What a putter may count on.
    fn room(&self) -> usize {
        self.capacity()
            .map_or(usize::MAX, |capacity| capacity.saturating_sub(self.len()))
    }

    /// Figures for people and metrics.
    pub fn counters(&self) -> Counters {
        Counters {
            getters: self.getters.len(),
            putters: self.putters.len(),
            getter_wakes: self.getters.wakes(),
            putter_wakes: self.putters.wakes(),
            system_calls: self.getters.system_calls() + self.putters.system_calls(),
        }
    }

    /// Calls `visit` for every item, oldest first.
    ///
    /// # Safety
    /// No other thread may use the queue during the call.
    pub unsafe fn for_each(&self, visit: impl FnMut(&T)) {
        match &self.store {
            // SAFETY: the caller's promise is passed on.
            Store::Ring(ring) => unsafe { ring.for_each(visit) },
            Store::List(list) => list.for_each(visit),
        }
    }
}

//! The queue without a language: its items ([`super::store`]), who waits on either side, and the operations
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
    list::Order,
    store::Store,
    wait::{WaitList, Wake},
};
use crate::sync::{Arc, Ordering, fence};

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
        Self::of(Store::new(capacity))
    }

    /// A queue for `capacity` items, or without bound, that gives its items out in `order`.
    ///
    /// # Panics
    /// If `capacity` is zero.
    #[must_use]
    pub fn in_order(capacity: Option<usize>, order: Order<T>) -> Self {
        Self::of(Store::in_order(capacity, order))
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
        self.store.push(item)?;
        self.gave(1);
        Ok(())
    }

    /// Pushes as many as fit, in order, and wakes as many getters; what did not fit stays in the
    /// iterator.
    pub fn push_many(&self, items: &mut vec::IntoIter<T>) -> Result<usize, Refusal> {
        let count = self.store.push_many(items)?;
        self.gave(count);
        Ok(count)
    }

    /// Pops, and wakes a putter if one sleeps.
    #[inline]
    pub fn pop(&self) -> Result<T, Refusal> {
        let item = self.store.pop()?;
        self.made_room(1);
        Ok(item)
    }

    /// Pops between `min` and `max` items, in their order; fewer than `min`, but one at least, only
    /// once closed.
    pub fn pop_many(&self, min: usize, max: usize, out: &mut Vec<T>) -> Result<usize, Refusal> {
        let count = self.store.pop_many(min, max, out)?;
        self.made_room(count);
        Ok(count)
    }

    /// Shows the item that the next pop takes; `look` runs under a lock.
    pub fn peek<R>(&self, look: impl FnOnce(&T) -> R) -> Result<R, Refusal> {
        self.store.list().peek(look)
    }

    /// Sets a place aside, to be used by [`Handoff::push_reserved`] or given back.
    pub fn reserve(&self) -> Result<(), Refusal> {
        self.store.list().reserve()
    }

    /// Pushes into a reserved place and wakes a getter if one sleeps; or gives the item back, and
    /// then the place is still reserved.
    pub fn push_reserved(&self, item: T) -> Result<(), (Refusal, T)> {
        self.store.list().push_reserved(item)?;
        self.gave(1);
        Ok(())
    }

    /// Gives a reserved place back, and wakes a putter if one sleeps.
    pub fn release(&self) {
        self.store.list().release();
        self.made_room(1);
    }

    /// How many places are set aside.
    pub fn reserved(&self) -> usize {
        self.store.reserved()
    }

    /// Moves the bound, or takes it away. What is inside stays; whoever waits looks again: a putter
    /// as there may be room, a getter as its `min` may be out of reach.
    ///
    /// # Panics
    /// If `capacity` is zero.
    pub fn set_capacity(&self, capacity: Option<usize>) {
        assert!(capacity != Some(0), "a queue needs room for one item");
        self.store.list().set_capacity(capacity);
        fence(Ordering::SeqCst);
        self.putters.notify_all();
        self.getters.notify_all();
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
        if self.store.is_unbounded() {
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
        self.store.close();
        fence(Ordering::SeqCst);
        self.getters.notify_all();
        self.putters.notify_all();
    }

    /// Whether nothing more fits, at some moment during the call.
    pub fn is_full(&self) -> bool {
        self.room() == 0
    }

    /// Takes all that is inside into `out`; of a closed queue, all that ever will be.
    pub fn clear(&self, out: &mut Vec<T>) {
        while self.pop_many(1, usize::MAX, out).is_ok() {}
    }

    /// Whether [`Handoff::close`] was called.
    pub fn is_closed(&self) -> bool {
        self.store.is_closed()
    }

    /// Items inside at some moment during the call.
    pub fn len(&self) -> usize {
        self.store.len()
    }

    /// Whether nothing was inside at some moment during the call.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many fit; `None` without bound.
    pub fn capacity(&self) -> Option<usize> {
        self.store.capacity()
    }

    /// How many items were pushed so far. An item counts before it can be popped.
    pub fn pushed(&self) -> usize {
        self.store.pushed()
    }

    /// How many items were popped so far.
    pub fn popped(&self) -> usize {
        self.store.popped()
    }

    /// What a putter may count on.
    fn room(&self) -> usize {
        self.capacity().map_or(usize::MAX, |capacity| {
            capacity.saturating_sub(self.len() + self.reserved())
        })
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
        // SAFETY: the caller's promise is passed on.
        unsafe { self.store.for_each(visit) }
    }
}

//! The queue without a language: its items ([`super::store`]), who waits on either side, and the operations
//! that keep the two in step by the protocol of [`super::wait`].
//!
//! Guarantee: an accepted item is popped exactly once; no wake is lost, whoever cancels, times out
//! or closes. Every operation returns at once; sleeping is the caller's part:
//!
//! ```text
//! pop → NotNow;  enlist_getter;  pop → NotNow;  sleep;  pop;  leave_getter
//! ```
//! with `leave` on every way out, and `enlist` again (in the same place) where the pop after a
//! sleep fails. Who stands in a list says so with every attempt (`me`), since what is set aside for
//! it is refused to others; everybody else gives `None`.
//!
//! In a fair queue items and places are granted in the order of arrival: the k-th that waits to get
//! takes the k-th item, whichever of them runs first. Otherwise whoever comes takes, and only what
//! a waiter was called for in vain often enough is set aside (see [`super::line`]). After a close
//! nothing is set aside any more.

use std::vec;

mod behind;

use super::{
    Refusal,
    list::Order,
    store::Store,
    turns::Turns,
    wait::{WaitList, Wake},
};
use crate::sync::Arc;

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
    is_fair: bool,
    turns: Turns,
}

impl<T, W: Wake> Handoff<T, W> {
    /// A queue for `capacity` items, or without bound.
    ///
    /// # Panics
    /// If `capacity` is zero.
    #[must_use]
    pub fn new(capacity: Option<usize>) -> Self {
        Self::of(Store::new(capacity), false)
    }

    /// A queue for `capacity` items, or without bound, that gives its items out in `order`, and,
    /// if it is to be fair, to those who wait in the order in which they came.
    ///
    /// # Panics
    /// If `capacity` is zero.
    #[must_use]
    pub fn in_order(capacity: Option<usize>, order: Order<T>, is_fair: bool) -> Self {
        Self::of(Store::in_order(capacity, order), is_fair)
    }

    /// The same, for callers that come as `turns` says.
    ///
    /// # Safety
    /// If that is [`Turns::OneByOne`], operations exclude each other, and each happens before the
    /// next; as with an interpreter's lock held throughout. Only while a waiter's `wake` runs may
    /// others come in between.
    #[must_use]
    pub unsafe fn in_turns(mut self, turns: Turns) -> Self {
        self.store.set_turns(turns);
        self.turns = turns;
        self
    }

    fn of(store: Store<T>, is_fair: bool) -> Self {
        Self {
            turns: Turns::AtOnce,
            store,
            getters: WaitList::new(is_fair),
            putters: WaitList::new(is_fair),
            is_fair,
        }
    }

    /// Pushes, and wakes a getter if one sleeps; or gives the item back.
    #[inline]
    pub fn push(&self, item: T, me: Option<&Arc<W>>) -> Result<(), (Refusal, T)> {
        if self.putters.is_barred() {
            self.push_behind(item, me)?;
        } else {
            self.store.push(item)?;
        }
        self.gave(1);
        Ok(())
    }

    /// Pushes as many as fit, in order, and wakes as many getters; what did not fit stays in the
    /// iterator.
    pub fn push_many(
        &self,
        items: &mut vec::IntoIter<T>,
        me: Option<&Arc<W>>,
    ) -> Result<usize, Refusal> {
        let count = if self.putters.is_barred() {
            self.push_many_behind(items, me)?
        } else {
            self.store.push_many(items)?
        };
        self.gave(count);
        Ok(count)
    }

    /// Pops, and wakes a putter if one sleeps.
    #[inline]
    pub fn pop(&self, me: Option<&Arc<W>>) -> Result<T, Refusal> {
        let item = if self.getters.is_barred() {
            self.pop_behind(me)?
        } else {
            self.store.pop()?
        };
        self.made_room(1);
        Ok(item)
    }

    /// Pops between `min` and `max` items, in their order; fewer than `min`, but one at least, only
    /// once closed.
    pub fn pop_many(
        &self,
        min: usize,
        max: usize,
        out: &mut Vec<T>,
        me: Option<&Arc<W>>,
    ) -> Result<usize, Refusal> {
        let count = if self.getters.is_barred() {
            self.pop_many_behind(min, max, out, me)?
        } else {
            self.store.pop_many(min, max, out)?
        };
        self.made_room(count);
        Ok(count)
    }

    /// Shows the item that the next pop takes; `look` runs under a lock.
    pub fn peek<R>(&self, look: impl FnOnce(&T) -> R, me: Option<&Arc<W>>) -> Result<R, Refusal> {
        let list = self.store.list();
        if self.getters.is_barred() {
            return self.getting_behind(me, |nth, _| list.peek(nth, look));
        }
        list.peek(0, look)
    }

    /// Sets a place aside, to be used by [`Handoff::push_reserved`] or given back.
    pub fn reserve(&self, me: Option<&Arc<W>>) -> Result<(), Refusal> {
        let list = self.store.list();
        if self.putters.is_barred() {
            return self.putting_behind(me, |_| list.reserve());
        }
        list.reserve()
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
        self.turns.fence();
        self.putters.notify_all();
        self.getters.notify_all();
    }

    #[inline]
    fn gave(&self, count: usize) {
        self.turns.fence();
        for _ in 0..count {
            if !self.getters.is_armed() || !self.getters.notify(self.len()) {
                break;
            }
        }
    }

    #[inline]
    fn made_room(&self, count: usize) {
        if self.store.is_unbounded() {
            return;
        }
        self.turns.fence();
        for _ in 0..count {
            if !self.putters.is_armed() || !self.putters.notify(self.room()) {
                break;
            }
        }
    }

    /// Puts a getter to the list: at the end, or where `previous` stands, which was woken in vain
    /// or goes on sleeping. It must pop once more before it sleeps, and [`Handoff::leave_getter`]
    /// whatever comes of it.
    pub fn enlist_getter(&self, waiter: Arc<W>, previous: Option<&Arc<W>>) {
        self.getters.enlist(waiter, previous);
        self.turns.fence();
    }

    /// Puts a putter to the list; as [`Handoff::enlist_getter`].
    pub fn enlist_putter(&self, waiter: Arc<W>, previous: Option<&Arc<W>>) {
        self.putters.enlist(waiter, previous);
        self.turns.fence();
    }

    /// Every exit from waiting to get goes through here; a wake that is not used up is passed on.
    pub fn leave_getter(&self, waiter: &Arc<W>) {
        self.getters.remove(waiter);
        self.turns.fence();
        if self.getters.is_armed() {
            let items = self.len();
            if items > 0 {
                self.getters.notify(items);
            }
        }
    }

    /// Every exit from waiting to put goes through here; a wake that is not used up is passed on.
    pub fn leave_putter(&self, waiter: &Arc<W>) {
        self.putters.remove(waiter);
        self.turns.fence();
        if self.putters.is_armed() {
            let room = self.room();
            if room > 0 {
                self.putters.notify(room);
            }
        }
    }

    /// Whether a getter that was called and has not come yet is as asked for.
    pub fn getter_comes(&self, is_it: impl Fn(&W) -> bool) -> bool {
        self.getters.comes(is_it)
    }

    /// Whether a putter that was called and has not come yet is as asked for.
    pub fn putter_comes(&self, is_it: impl Fn(&W) -> bool) -> bool {
        self.putters.comes(is_it)
    }

    /// Refuses all further pushes and wakes everybody. What is inside can still be popped. Who
    /// enlists after this looks again before it sleeps, and a closed queue never says "not now".
    pub fn close(&self) {
        self.store.close();
        self.turns.fence();
        self.getters.notify_all();
        self.putters.notify_all();
    }

    /// Whether nothing more fits, at some moment during the call.
    pub fn is_full(&self) -> bool {
        self.room() == 0
    }

    /// Takes what is inside into `out`, up to `max` items, whoever it is set aside for; of a closed
    /// queue, all that ever will be.
    pub fn clear(&self, max: usize, out: &mut Vec<T>) {
        let mut left = max;
        while left > 0
            && let Ok(count) = self.store.pop_many(1, left, out)
        {
            left -= count;
            self.made_room(count);
        }
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

    /// Whether items are set aside for some who wait.
    pub fn holds_items_back(&self) -> bool {
        self.getters.is_barred()
    }

    /// Whether places are reserved, or set aside for some who wait.
    pub fn holds_places_back(&self) -> bool {
        self.putters.is_barred() || self.reserved() > 0
    }

    /// Whether a push compares items, which is foreign code.
    #[inline]
    pub fn compares(&self) -> bool {
        self.store.compares()
    }

    /// Whether waiters are served strictly in the order of their arrival.
    pub fn is_fair(&self) -> bool {
        self.is_fair
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

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
//!
//! A ring knows its slots and nothing else. When somebody first peeks, reserves or moves the bound,
//! its items move to a list, for good, in [`Handoff::list`]: the ring is closed, so that pushes and
//! pops find out on the path on which they find an end, and the common path pays nothing. Who is
//! told "closed" by a ring looks for the list, behind the gate that a move or a close holds. Items
//! are popped from the ring, by whomever, before they can be popped from the list, and pushed to
//! the list after the last push to the ring: their order is kept.

use std::{sync::OnceLock, vec};

use super::{
    Refusal,
    list::{List, Order},
    mpmc::Ring,
    wait::{WaitList, Wake},
};
use crate::sync::{Arc, Mutex, Ordering, fence, lock};

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

/// Calls the same method on whichever store holds the items now.
macro_rules! store {
    ($self:ident, $store:ident => $call:expr) => {
        match $self.now() {
            Now::Ring($store) => $call,
            Now::List($store) => $call,
        }
    };
}

enum Now<'a, T> {
    Ring(&'a Ring<T>),
    List(&'a List<T>),
}

/// The queue; `W` is what waits.
pub struct Handoff<T, W> {
    store: Store<T>,
    getters: WaitList<W>,
    putters: WaitList<W>,
    /// Where the items of a ring have moved to; set under the gate, once.
    list: OnceLock<Box<List<T>>>,
    /// Held while the items move and while the queue is closed.
    gate: Mutex<()>,
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
            list: OnceLock::new(),
            gate: Mutex::new(()),
        }
    }

    /// Where the items are.
    fn now(&self) -> Now<'_, T> {
        match &self.store {
            Store::List(list) => Now::List(list),
            Store::Ring(ring) if ring.is_closed() => match self.moved() {
                Some(list) => Now::List(list),
                None => Now::Ring(ring),
            },
            Store::Ring(ring) => Now::Ring(ring),
        }
    }

    /// The list to which a closed ring's items have moved, if that is why it is closed.
    #[cold]
    fn moved(&self) -> Option<&List<T>> {
        if self.list.get().is_none() {
            // Whoever is moving them has closed the ring and not yet said where they are.
            drop(lock(&self.gate));
        }
        self.list.get().map(Box::as_ref)
    }

    /// The store as a list, to which a ring's items move at the first call.
    fn list(&self) -> &List<T> {
        match &self.store {
            Store::List(list) => list,
            Store::Ring(ring) => {
                if self.list.get().is_none() {
                    self.move_out_of(ring);
                }
                self.list.get().expect("it was set under the gate")
            }
        }
    }

    fn move_out_of(&self, ring: &Ring<T>) {
        let _gate = lock(&self.gate);
        if self.list.get().is_some() {
            return;
        }
        let was_closed = ring.is_closed();
        let mut items = Vec::new();
        ring.retire(&mut items);
        // Nobody pops from the ring any more, so its count is final; what moves is not gone.
        let popped = ring.popped().wrapping_sub(items.len());
        let list = List::new(Some(ring.capacity()), Order::OldestFirst);
        list.adopt(items.into_iter(), popped, was_closed);
        let is_first = self.list.set(Box::new(list)).is_ok();
        debug_assert!(is_first, "the gate was held");
    }

    /// Pushes, and wakes a getter if one sleeps; or gives the item back.
    #[inline]
    pub fn push(&self, item: T) -> Result<(), (Refusal, T)> {
        match &self.store {
            Store::Ring(ring) => {
                if let Err((refusal, item)) = ring.push(item) {
                    self.push_past_ring(refusal, item)?;
                }
            }
            Store::List(list) => list.push(item)?,
        }
        self.gave(1);
        Ok(())
    }

    #[cold]
    fn push_past_ring(&self, refusal: Refusal, item: T) -> Result<(), (Refusal, T)> {
        if refusal == Refusal::Closed
            && let Some(list) = self.moved()
        {
            return list.push(item);
        }
        Err((refusal, item))
    }

    /// Pushes as many as fit, in order, and wakes as many getters; what did not fit stays in the
    /// iterator.
    pub fn push_many(&self, items: &mut vec::IntoIter<T>) -> Result<usize, Refusal> {
        let count = match &self.store {
            Store::Ring(ring) => match ring.push_many(items) {
                Err(Refusal::Closed) => match self.moved() {
                    Some(list) => list.push_many(items),
                    None => Err(Refusal::Closed),
                },
                outcome => outcome,
            },
            Store::List(list) => list.push_many(items),
        }?;
        self.gave(count);
        Ok(count)
    }

    /// Pops, and wakes a putter if one sleeps.
    #[inline]
    pub fn pop(&self) -> Result<T, Refusal> {
        let item = match &self.store {
            Store::Ring(ring) => match ring.pop() {
                Ok(item) => item,
                Err(refusal) => self.pop_past_ring(refusal)?,
            },
            Store::List(list) => list.pop()?,
        };
        self.made_room(1);
        Ok(item)
    }

    #[cold]
    fn pop_past_ring(&self, refusal: Refusal) -> Result<T, Refusal> {
        if refusal == Refusal::Closed
            && let Some(list) = self.moved()
        {
            return list.pop();
        }
        Err(refusal)
    }

    /// Pops between `min` and `max` items, in their order; fewer than `min`, but one at least, only
    /// once closed.
    pub fn pop_many(&self, min: usize, max: usize, out: &mut Vec<T>) -> Result<usize, Refusal> {
        let count = match &self.store {
            Store::Ring(ring) => match ring.pop_many(min, max, out) {
                Err(Refusal::Closed) => match self.moved() {
                    Some(list) => list.pop_many(min, max, out),
                    None => Err(Refusal::Closed),
                },
                outcome => outcome,
            },
            Store::List(list) => list.pop_many(min, max, out),
        }?;
        self.made_room(count);
        Ok(count)
    }

    /// Shows the item that the next pop takes; `look` runs under a lock.
    pub fn peek<R>(&self, look: impl FnOnce(&T) -> R) -> Result<R, Refusal> {
        self.list().peek(look)
    }

    /// Sets a place aside, to be used by [`Handoff::push_reserved`] or given back.
    pub fn reserve(&self) -> Result<(), Refusal> {
        self.list().reserve()
    }

    /// Pushes into a reserved place and wakes a getter if one sleeps; or gives the item back, and
    /// then the place is still reserved.
    pub fn push_reserved(&self, item: T) -> Result<(), (Refusal, T)> {
        self.list().push_reserved(item)?;
        self.gave(1);
        Ok(())
    }

    /// Gives a reserved place back, and wakes a putter if one sleeps.
    pub fn release(&self) {
        self.list().release();
        self.made_room(1);
    }

    /// How many places are set aside.
    pub fn reserved(&self) -> usize {
        match self.now() {
            Now::Ring(_) => 0,
            Now::List(list) => list.reserved(),
        }
    }

    /// Moves the bound, or takes it away. What is inside stays; whoever waits looks again: a putter
    /// as there may be room, a getter as its `min` may be out of reach.
    ///
    /// # Panics
    /// If `capacity` is zero.
    pub fn set_capacity(&self, capacity: Option<usize>) {
        assert!(capacity != Some(0), "a queue needs room for one item");
        self.list().set_capacity(capacity);
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
        if let Store::List(list) = &self.store
            && list.capacity().is_none()
        {
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
        {
            let _gate = lock(&self.gate);
            match (&self.store, self.list.get()) {
                (_, Some(list)) => list.close(),
                (Store::Ring(ring), None) => ring.close(),
                (Store::List(list), None) => list.close(),
            }
        }
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
        match (&self.store, self.list.get()) {
            (_, Some(list)) => list.capacity(),
            (Store::Ring(ring), None) => Some(ring.capacity()),
            (Store::List(list), None) => list.capacity(),
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
        match (&self.store, self.list.get()) {
            (_, Some(list)) => list.for_each(visit),
            // SAFETY: the caller's promise is passed on.
            (Store::Ring(ring), None) => unsafe { ring.for_each(visit) },
            (Store::List(list), None) => list.for_each(visit),
        }
    }
}

//! Where the items of a queue are: in a ring, in a list, or first in the one and then in the other.
//!
//! A ring knows its slots and nothing else. When somebody first peeks, reserves or moves the bound,
//! its items move to a list, for good, in [`Store::list`]: the ring is closed, so that pushes and
//! pops find out on the path on which they find an end, and the common path pays nothing. Who is
//! told "closed" by a ring looks for the list, behind the gate that a move or a close holds. Items
//! are popped from the ring, by whomever, before they can be popped from the list, and pushed to
//! the list after the last push to the ring: their order is kept.

use std::{sync::OnceLock, vec};

use super::{
    Refusal,
    list::{List, Order},
    mpmc::Ring,
    turns::Turns,
};
use crate::sync::{Mutex, lock};

/// Up to this bound the slots are set aside at once (1 MiB of them); a queue with a larger bound
/// is bounded just as well, and its memory follows what is inside.
const RING_MAX: usize = 1 << 16;

#[expect(
    clippy::large_enum_variant,
    reason = "the ring is the usual case, and a box would cost its every use an indirection"
)]
enum Kind<T> {
    Ring(Ring<T>),
    List(Box<List<T>>),
}

/// The store that holds the items at this moment.
enum Now<'a, T> {
    Ring(&'a Ring<T>),
    List(&'a List<T>),
}

/// See the module's head.
pub(super) struct Store<T> {
    kind: Kind<T>,
    /// Where the items of a ring have moved to; set under the gate, once.
    list: OnceLock<Box<List<T>>>,
    /// Held while the items move and while the queue is closed.
    gate: Mutex<()>,
}

impl<T> Store<T> {
    /// For `capacity` items, or without bound, in the order of their arrival.
    pub(super) fn new(capacity: Option<usize>) -> Self {
        assert!(capacity != Some(0), "a queue needs room for one item");
        match capacity {
            Some(capacity) if capacity <= RING_MAX => Self::of(Kind::Ring(Ring::new(capacity))),
            _ => Self::in_order(capacity, Order::OldestFirst),
        }
    }

    /// For `capacity` items, or without bound, given out in `order`.
    pub(super) fn in_order(capacity: Option<usize>, order: Order<T>) -> Self {
        assert!(capacity != Some(0), "a queue needs room for one item");
        Self::of(Kind::List(Box::new(List::new(capacity, order))))
    }

    fn of(kind: Kind<T>) -> Self {
        Self {
            kind,
            list: OnceLock::new(),
            gate: Mutex::new(()),
        }
    }

    /// See [`super::Handoff::in_turns`], whose promise this needs.
    pub(super) fn set_turns(&mut self, turns: Turns) {
        if let Kind::Ring(ring) = &mut self.kind {
            ring.turns = turns;
        }
    }

    /// Where the items are.
    fn now(&self) -> Now<'_, T> {
        match &self.kind {
            Kind::List(list) => Now::List(list),
            Kind::Ring(ring) if ring.is_closed() => match self.moved() {
                Some(list) => Now::List(list),
                None => Now::Ring(ring),
            },
            Kind::Ring(ring) => Now::Ring(ring),
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
    pub(super) fn list(&self) -> &List<T> {
        match &self.kind {
            Kind::List(list) => list,
            Kind::Ring(ring) => {
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

    /// Pushes one item, or gives it back.
    #[inline(always)]
    pub(super) fn push(&self, item: T) -> Result<(), (Refusal, T)> {
        match &self.kind {
            Kind::Ring(ring) => {
                if let Err((refusal, item)) = ring.push(item) {
                    return self.push_past_ring(refusal, item);
                }
                Ok(())
            }
            Kind::List(list) => list.push(item),
        }
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

    /// Pushes as many as fit, in order; what did not fit stays in the iterator.
    pub(super) fn push_many(&self, items: &mut vec::IntoIter<T>) -> Result<usize, Refusal> {
        match &self.kind {
            Kind::Ring(ring) => match ring.push_many(items) {
                Err(Refusal::Closed) => match self.moved() {
                    Some(list) => list.push_many(items),
                    None => Err(Refusal::Closed),
                },
                outcome => outcome,
            },
            Kind::List(list) => list.push_many(items),
        }
    }

    /// Pops one item.
    #[inline(always)]
    pub(super) fn pop(&self) -> Result<T, Refusal> {
        match &self.kind {
            Kind::Ring(ring) => match ring.pop() {
                Ok(item) => Ok(item),
                Err(refusal) => self.pop_past_ring(refusal),
            },
            Kind::List(list) => list.pop(),
        }
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
    pub(super) fn pop_many(
        &self,
        min: usize,
        max: usize,
        out: &mut Vec<T>,
    ) -> Result<usize, Refusal> {
        match &self.kind {
            Kind::Ring(ring) => match ring.pop_many(min, max, out) {
                Err(Refusal::Closed) => match self.moved() {
                    Some(list) => list.pop_many(min, max, out),
                    None => Err(Refusal::Closed),
                },
                outcome => outcome,
            },
            Kind::List(list) => list.pop_many(min, max, out),
        }
    }

    /// Pops the item that the pop after `nth` others would take.
    pub(super) fn pop_nth(&self, nth: usize) -> Result<T, Refusal> {
        if nth == 0 {
            return self.pop();
        }
        self.list().pop_nth(nth)
    }

    /// As [`Store::pop_many`], of what is left behind the first `nth` items.
    pub(super) fn pop_many_from(
        &self,
        nth: usize,
        min: usize,
        max: usize,
        out: &mut Vec<T>,
    ) -> Result<usize, Refusal> {
        if nth == 0 {
            return self.pop_many(min, max, out);
        }
        self.list().pop_many_from(nth, min, max, out)
    }

    /// Whether a push compares items, which is foreign code.
    pub(super) fn compares(&self) -> bool {
        matches!(&self.kind, Kind::List(list) if list.compares())
    }

    /// Whether there is no bound that a putter could wait at.
    #[inline(always)]
    pub(super) fn is_unbounded(&self) -> bool {
        matches!(&self.kind, Kind::List(list) if list.capacity().is_none())
    }

    pub(super) fn reserved(&self) -> usize {
        match self.now() {
            Now::Ring(_) => 0,
            Now::List(list) => list.reserved(),
        }
    }

    /// Refuses all further pushes, to whichever store.
    pub(super) fn close(&self) {
        let _gate = lock(&self.gate);
        match (&self.kind, self.list.get()) {
            (_, Some(list)) => list.close(),
            (Kind::Ring(ring), None) => ring.close(),
            (Kind::List(list), None) => list.close(),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        match &self.kind {
            Kind::List(list) => list.is_closed(),
            // A ring is closed, too, when its items move.
            Kind::Ring(ring) => ring.is_closed() && self.moved().is_none_or(List::is_closed),
        }
    }

    /// What the ring answers, unless its items began to move meanwhile: then they count as popped
    /// there, and only the list knows.
    fn settled(
        &self,
        of_ring: impl Fn(&Ring<T>) -> usize,
        of_list: impl Fn(&List<T>) -> usize,
    ) -> usize {
        match self.now() {
            Now::List(list) => of_list(list),
            Now::Ring(ring) => {
                let answer = of_ring(ring);
                match self.now() {
                    Now::Ring(_) => answer,
                    Now::List(list) => of_list(list),
                }
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.settled(Ring::len, List::len)
    }

    pub(super) fn pushed(&self) -> usize {
        match self.now() {
            Now::Ring(ring) => ring.pushed(),
            Now::List(list) => list.pushed(),
        }
    }

    pub(super) fn popped(&self) -> usize {
        self.settled(Ring::popped, List::popped)
    }

    pub(super) fn capacity(&self) -> Option<usize> {
        match (&self.kind, self.list.get()) {
            (_, Some(list)) => list.capacity(),
            (Kind::Ring(ring), None) => Some(ring.capacity()),
            (Kind::List(list), None) => list.capacity(),
        }
    }

    /// Calls `visit` for every item.
    ///
    /// # Safety
    /// No other thread may use the store during the call.
    pub(super) unsafe fn for_each(&self, visit: impl FnMut(&T)) {
        match (&self.kind, self.list.get()) {
            (_, Some(list)) => list.for_each(visit),
            // SAFETY: the caller's promise is passed on.
            (Kind::Ring(ring), None) => unsafe { ring.for_each(visit) },
            (Kind::List(list), None) => list.for_each(visit),
        }
    }
}

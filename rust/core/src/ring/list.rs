//! A queue behind one short lock: without bound, with one too large to set slots aside for, or in
//! another order than that of arrival.
//!
//! Guarantee: the same answers as [`super::Ring`]; blocking only for the length of an insertion or a
//! move out. Memory follows what is inside, not the bound.
//!
//! The bound may change at any time, and places may be reserved: both are read and moved under the
//! lock. A bound below what is inside drops nothing; it only refuses pushes. How an item finds its
//! place in the order of the items is told in `list/ordered.rs`.

mod ordered;

use std::{collections::VecDeque, vec};

use super::{
    Refusal,
    items::Items,
    runs::{Place, Runs},
};
use crate::sync::{AtomicUsize, Mutex, Ordering, lock};

/// How the items of a queue by priority compare.
pub struct Comparison<T> {
    /// Whether the first comes before the second; `None` if it cannot be said. Runs without lock.
    pub precedes: fn(&T, &T) -> Option<bool>,
    /// Another handle to the same item. Runs under the lock.
    pub share: fn(&T) -> T,
}

/// Which item comes out first.
pub enum Order<T> {
    /// A queue.
    OldestFirst,
    /// A stack.
    NewestFirst,
    /// The least item, among equals the oldest.
    LeastFirst(Comparison<T>),
}

/// The place that a push goes to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Room {
    Free,
    Reserved,
}

struct State<T> {
    items: Items<T>,
    closed: bool,
    popped: usize,
    reserved: usize,
}

/// What stands for no bound.
const UNBOUNDED: usize = usize::MAX;

/// See the module's head.
pub struct List<T> {
    state: Mutex<State<T>>,
    /// Written under the lock, read there and, for a look, without it (Relaxed).
    capacity: AtomicUsize,
    comparison: Option<Comparison<T>>,
}

impl<T> List<T> {
    /// A list for `capacity` items, or without bound.
    #[must_use]
    pub fn new(capacity: Option<usize>, order: Order<T>) -> Self {
        let (items, comparison) = match order {
            Order::OldestFirst => (Items::Line(VecDeque::new()), None),
            Order::NewestFirst => (Items::Stack(Vec::new()), None),
            Order::LeastFirst(comparison) => (Items::Sorted(Runs::new()), Some(comparison)),
        };
        let state = State {
            items,
            closed: false,
            popped: 0,
            reserved: 0,
        };
        Self {
            state: Mutex::new(state),
            capacity: AtomicUsize::new(capacity.unwrap_or(UNBOUNDED)),
            comparison,
        }
    }

    /// How many items fit; `None` without bound.
    #[inline(always)]
    #[must_use]
    pub fn capacity(&self) -> Option<usize> {
        let capacity = self.capacity.load(Ordering::Relaxed);
        (capacity != UNBOUNDED).then_some(capacity)
    }

    /// Sets the bound, or takes it away; what is inside stays.
    pub fn set_capacity(&self, capacity: Option<usize>) {
        let _state = lock(&self.state);
        let capacity = capacity.unwrap_or(UNBOUNDED);
        self.capacity.store(capacity, Ordering::Relaxed);
    }

    /// Takes over what another store held, oldest first, of which `popped` items are gone by now.
    pub(super) fn adopt(&self, items: impl Iterator<Item = T>, popped: usize, closed: bool) {
        let mut state = lock(&self.state);
        for item in items {
            state.items.insert(Place { run: 0, index: 0 }, item);
        }
        state.popped = popped;
        state.closed = closed;
    }

    /// Sets a place aside for [`List::push_reserved`] or [`List::release`].
    pub fn reserve(&self) -> Result<(), Refusal> {
        let mut state = lock(&self.state);
        match self.refusal_to_push(&state) {
            Some(refusal) => Err(refusal),
            None => {
                state.reserved += 1;
                Ok(())
            }
        }
    }

    /// Gives a reserved place back.
    pub fn release(&self) {
        let mut state = lock(&self.state);
        state.reserved = state.reserved.saturating_sub(1);
    }

    /// How many places are set aside.
    #[must_use]
    pub fn reserved(&self) -> usize {
        lock(&self.state).reserved
    }

    /// Pushes one item into a reserved place, or gives it back; then the place is still reserved.
    pub fn push_reserved(&self, item: T) -> Result<(), (Refusal, T)> {
        self.put(item, Room::Reserved)
    }

    /// Shows the item that the pop after `nth` others would take. `look` runs under the lock.
    pub fn peek<R>(&self, nth: usize, look: impl FnOnce(&T) -> R) -> Result<R, Refusal> {
        let state = lock(&self.state);
        state.items.get(nth).map(look).ok_or(state.refusal())
    }

    /// Pushes one item, or gives it back.
    #[inline]
    pub fn push(&self, item: T) -> Result<(), (Refusal, T)> {
        self.put(item, Room::Free)
    }

    #[inline(always)]
    fn put(&self, item: T, room: Room) -> Result<(), (Refusal, T)> {
        if let Some(comparison) = &self.comparison {
            return self.put_in_order(comparison, item, room);
        }
        let mut state = lock(&self.state);
        if let Some(refusal) = self.refusal_to_put(&state, room) {
            return Err((refusal, item));
        }
        state.accept(Place { run: 0, index: 0 }, item, room);
        Ok(())
    }

    /// Pushes as many of `items` as fit, in order; what did not fit stays in the iterator.
    pub fn push_many(&self, items: &mut vec::IntoIter<T>) -> Result<usize, Refusal> {
        if self.comparison.is_some() {
            return self.push_one_by_one(items);
        }
        let mut state = lock(&self.state);
        if state.closed {
            return Err(Refusal::Closed);
        }
        let count = items.len().min(self.room(&state));
        if count == 0 && items.len() > 0 {
            return Err(Refusal::NotNow);
        }
        match &mut state.items {
            Items::Line(line) => line.extend(items.take(count)),
            Items::Stack(stack) => stack.extend(items.take(count)),
            Items::Sorted(_) => unreachable!("a sorted list has a comparison"),
        }
        Ok(count)
    }

    #[inline]
    fn room(&self, state: &State<T>) -> usize {
        let taken = state.items.len() + state.reserved;
        self.capacity()
            .map_or(usize::MAX, |capacity| capacity.saturating_sub(taken))
    }

    #[inline(always)]
    fn refusal_to_push(&self, state: &State<T>) -> Option<Refusal> {
        let is_full = |bound| state.items.len() + state.reserved >= bound;
        if state.closed {
            Some(Refusal::Closed)
        } else if self.capacity().is_some_and(is_full) {
            Some(Refusal::NotNow)
        } else {
            None
        }
    }

    #[inline(always)]
    fn refusal_to_put(&self, state: &State<T>, room: Room) -> Option<Refusal> {
        match room {
            Room::Free => self.refusal_to_push(state),
            Room::Reserved => state.closed.then_some(Refusal::Closed),
        }
    }

    /// Pops one item.
    #[inline]
    pub fn pop(&self) -> Result<T, Refusal> {
        let mut state = lock(&self.state);
        state.pop().ok_or(state.refusal())
    }

    /// Pops between `min` and `max` items at once, in the list's order; fewer than `min`, but one
    /// at least, only from a closed list.
    pub fn pop_many(&self, min: usize, max: usize, out: &mut Vec<T>) -> Result<usize, Refusal> {
        let mut state = lock(&self.state);
        let there = state.items.len();
        if there == 0 || (there < min && !state.closed) {
            return Err(state.refusal());
        }
        let count = there.min(max);
        out.extend((0..count).map_while(|_| state.pop()));
        Ok(count)
    }

    /// Pops the item that the pop after `nth` others would take.
    pub fn pop_nth(&self, nth: usize) -> Result<T, Refusal> {
        let mut state = lock(&self.state);
        state.remove(nth).ok_or(state.refusal())
    }

    /// As [`List::pop_many`], of what is left behind the first `nth` items.
    pub fn pop_many_from(
        &self,
        nth: usize,
        min: usize,
        max: usize,
        out: &mut Vec<T>,
    ) -> Result<usize, Refusal> {
        if nth == 0 {
            return self.pop_many(min, max, out);
        }
        let mut state = lock(&self.state);
        let there = state.items.len().saturating_sub(nth);
        if there == 0 || (there < min && !state.closed) {
            return Err(state.refusal());
        }
        let count = there.min(max);
        out.extend((0..count).map_while(|_| state.remove(nth)));
        Ok(count)
    }

    /// Whether items are compared, which is foreign code.
    pub(super) fn compares(&self) -> bool {
        self.comparison.is_some()
    }

    /// Closes the list for pushes.
    pub fn close(&self) {
        lock(&self.state).closed = true;
    }

    /// Whether [`List::close`] was called.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        lock(&self.state).closed
    }

    /// How many items were pushed so far.
    #[must_use]
    pub fn pushed(&self) -> usize {
        let state = lock(&self.state);
        state.popped.wrapping_add(state.items.len())
    }

    /// How many items were popped so far.
    #[must_use]
    pub fn popped(&self) -> usize {
        lock(&self.state).popped
    }

    /// How many items are inside.
    #[must_use]
    pub fn len(&self) -> usize {
        lock(&self.state).items.len()
    }

    /// Whether nothing is inside.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls `visit` for every item, unless somebody is at work on the list: a garbage collector
    /// may have stopped that one, so it looks and never waits.
    pub fn for_each(&self, visit: impl FnMut(&T)) {
        if let Ok(state) = self.state.try_lock() {
            state.items.for_each(visit);
        }
    }
}

impl<T> State<T> {
    fn version(&self) -> u64 {
        self.items.sorted().map_or(0, Runs::version)
    }

    #[inline(always)]
    fn accept(&mut self, place: Place, item: T, room: Room) {
        self.items.insert(place, item);
        if room == Room::Reserved {
            self.reserved = self.reserved.saturating_sub(1);
        }
    }

    #[inline(always)]
    fn pop(&mut self) -> Option<T> {
        let item = self.items.pop()?;
        self.popped = self.popped.wrapping_add(1);
        Some(item)
    }

    fn remove(&mut self, nth: usize) -> Option<T> {
        let item = self.items.remove(nth)?;
        self.popped = self.popped.wrapping_add(1);
        Some(item)
    }

    fn refusal(&self) -> Refusal {
        if self.closed {
            Refusal::Closed
        } else {
            Refusal::NotNow
        }
    }
}

//! A queue behind one short lock: without bound, with one too large to set slots aside for, or in
//! another order than that of arrival.
//!
//! Guarantee: the same answers as [`super::Ring`]; blocking only for the length of an insertion or a
//! move out. Memory follows what is inside, not the bound.
//!
//! Comparing is foreign code: it may fail, take its time, or use this very queue. So no lock is
//! held while it runs. A push that has to compare looks at one item after the other, with a handle
//! of its own to each, and goes in if nothing was moved meanwhile; otherwise it searches anew,
//! which needs another push or pop to have succeeded. Only pushes compare, so what cannot be
//! compared is refused before it is inside, and no pop ever fails for it. A push goes behind its
//! equals: among them the oldest comes out first.
//!
//! The bound may change at any time, and places may be reserved: both are read and moved under the
//! lock. A bound below what is inside drops nothing; it only refuses pushes.

use std::{collections::VecDeque, vec};

use super::{
    Refusal,
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

enum Items<T> {
    Line(VecDeque<T>),
    Stack(Vec<T>),
    Sorted(Runs<T>),
}

/// The place that a push goes to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Room {
    Free,
    Reserved,
}

struct State<T> {
    items: Items<T>,
    /// Moves whenever a place in `Items::Sorted` may have changed its meaning.
    version: u64,
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
            version: 0,
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
            state.insert(Place { run: 0, index: 0 }, item);
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

    /// Shows the item that a pop would take. `look` runs under the lock.
    pub fn peek<R>(&self, look: impl FnOnce(&T) -> R) -> Result<R, Refusal> {
        let state = lock(&self.state);
        state.first().map(look).ok_or(state.refusal())
    }

    /// Pushes one item, or gives it back.
    #[inline]
    pub fn push(&self, item: T) -> Result<(), (Refusal, T)> {
        self.put(item, Room::Free)
    }

    #[inline]
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

    #[inline(never)]
    fn put_in_order(
        &self,
        comparison: &Comparison<T>,
        item: T,
        room: Room,
    ) -> Result<(), (Refusal, T)> {
        loop {
            let (version, place) = match self.search(comparison, &item, room) {
                Ok(Some(found)) => found,
                Ok(None) => continue,
                Err(refusal) => return Err((refusal, item)),
            };
            let mut state = lock(&self.state);
            if let Some(refusal) = self.refusal_to_put(&state, room) {
                return Err((refusal, item));
            }
            if state.version == version {
                state.accept(place, item, room);
                return Ok(());
            }
        }
    }

    /// Finds the place behind all that do not come after `item`, and the version for which that
    /// holds; `None` if something was moved meanwhile.
    fn search(
        &self,
        comparison: &Comparison<T>,
        item: &T,
        room: Room,
    ) -> Result<Option<(u64, Place)>, Refusal> {
        let (version, runs) = {
            let state = lock(&self.state);
            if let Some(refusal) = self.refusal_to_put(&state, room) {
                return Err(refusal);
            }
            (state.version, state.sorted().map_or(0, Runs::runs))
        };
        // Which run: the first whose last item comes after `item`.
        let (mut low, mut high) = (0, runs);
        while low < high {
            let run = usize::midpoint(low, high);
            let index = self.run_len(run).saturating_sub(1);
            match self.precedes(comparison, item, version, Place { run, index })? {
                Some(true) => high = run,
                Some(false) => low = run + 1,
                None => return Ok(None),
            }
        }
        if low == runs {
            let run = runs.saturating_sub(1);
            let index = self.run_len(run);
            return Ok(Some((version, Place { run, index })));
        }
        let run = low;
        let (mut low, mut high) = (0, self.run_len(run).saturating_sub(1));
        while low < high {
            let index = usize::midpoint(low, high);
            match self.precedes(comparison, item, version, Place { run, index })? {
                Some(true) => high = index,
                Some(false) => low = index + 1,
                None => return Ok(None),
            }
        }
        Ok(Some((version, Place { run, index: low })))
    }

    fn run_len(&self, run: usize) -> usize {
        let state = lock(&self.state);
        state.sorted().map_or(0, |runs| runs.run_len(run))
    }

    /// Whether `item` comes before the one at `place`; `None` if something was moved meanwhile.
    fn precedes(
        &self,
        comparison: &Comparison<T>,
        item: &T,
        version: u64,
        place: Place,
    ) -> Result<Option<bool>, Refusal> {
        let other = {
            let state = lock(&self.state);
            if state.version != version {
                return Ok(None);
            }
            let other = state.sorted().and_then(|runs| runs.get(place));
            other.map(comparison.share)
        };
        match other {
            None => Ok(None),
            Some(other) => (comparison.precedes)(item, &other)
                .map(Some)
                .ok_or(Refusal::Incomparable),
        }
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

    /// One at a time, as room or a comparison may fail at any of them: the caller comes again.
    fn push_one_by_one(&self, items: &mut vec::IntoIter<T>) -> Result<usize, Refusal> {
        if let Some(refusal) = self.refusal_to_push(&lock(&self.state)) {
            let nothing_to_do = items.len() == 0 && refusal == Refusal::NotNow;
            return if nothing_to_do { Ok(0) } else { Err(refusal) };
        }
        let Some(item) = items.next() else {
            return Ok(0);
        };
        match self.push(item) {
            Ok(()) => Ok(1),
            Err((refusal, item)) => {
                // Back in front of the rest.
                let rest: Vec<T> = std::iter::once(item).chain(items.by_ref()).collect();
                *items = rest.into_iter();
                Err(refusal)
            }
        }
    }

    #[inline]
    fn room(&self, state: &State<T>) -> usize {
        let taken = state.len() + state.reserved;
        self.capacity()
            .map_or(usize::MAX, |capacity| capacity.saturating_sub(taken))
    }

    #[inline]
    fn refusal_to_push(&self, state: &State<T>) -> Option<Refusal> {
        if state.closed {
            Some(Refusal::Closed)
        } else if self.room(state) == 0 {
            Some(Refusal::NotNow)
        } else {
            None
        }
    }

    #[inline]
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
        let there = state.len();
        if there == 0 || (there < min && !state.closed) {
            return Err(state.refusal());
        }
        let count = there.min(max);
        out.extend((0..count).map_while(|_| state.pop()));
        Ok(count)
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
        state.popped.wrapping_add(state.len())
    }

    /// How many items were popped so far.
    #[must_use]
    pub fn popped(&self) -> usize {
        lock(&self.state).popped
    }

    /// How many items are inside.
    #[must_use]
    pub fn len(&self) -> usize {
        lock(&self.state).len()
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
            match &state.items {
                Items::Line(line) => line.iter().for_each(visit),
                Items::Stack(stack) => stack.iter().for_each(visit),
                Items::Sorted(runs) => runs.iter().for_each(visit),
            }
        }
    }
}

impl<T> State<T> {
    fn len(&self) -> usize {
        match &self.items {
            Items::Line(line) => line.len(),
            Items::Stack(stack) => stack.len(),
            Items::Sorted(runs) => runs.len(),
        }
    }

    fn sorted(&self) -> Option<&Runs<T>> {
        match &self.items {
            Items::Sorted(runs) => Some(runs),
            Items::Line(_) | Items::Stack(_) => None,
        }
    }

    /// Puts `item` in: at `place` where the order is that of the items, else last.
    #[inline]
    fn insert(&mut self, place: Place, item: T) {
        match &mut self.items {
            Items::Line(line) => line.push_back(item),
            Items::Stack(stack) => stack.push(item),
            Items::Sorted(runs) => {
                runs.insert(place, item);
                self.version = self.version.wrapping_add(1);
            }
        }
    }

    #[inline]
    fn accept(&mut self, place: Place, item: T, room: Room) {
        self.insert(place, item);
        if room == Room::Reserved {
            self.reserved = self.reserved.saturating_sub(1);
        }
    }

    fn first(&self) -> Option<&T> {
        match &self.items {
            Items::Line(line) => line.front(),
            Items::Stack(stack) => stack.last(),
            Items::Sorted(runs) => runs.get(Place { run: 0, index: 0 }),
        }
    }

    #[inline]
    fn pop(&mut self) -> Option<T> {
        let item = match &mut self.items {
            Items::Line(line) => line.pop_front(),
            Items::Stack(stack) => stack.pop(),
            Items::Sorted(runs) => {
                self.version = self.version.wrapping_add(1);
                runs.pop_front()
            }
        }?;
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

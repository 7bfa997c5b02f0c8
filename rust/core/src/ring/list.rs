//! A queue behind one short lock: without bound, or with one too large to set slots aside for.
//!
//! Guarantee: the same answers as [`super::Ring`]; blocking only for the length of an append or a
//! move out. Memory follows what is inside, not the bound.

use std::{collections::VecDeque, vec};

use super::Refusal;
use crate::sync::{Mutex, lock};

struct State<T> {
    items: VecDeque<T>,
    closed: bool,
    popped: usize,
}

/// See the module's head.
pub struct List<T> {
    state: Mutex<State<T>>,
    capacity: Option<usize>,
}

impl<T> List<T> {
    /// A list for `capacity` items, or without bound.
    #[must_use]
    pub fn new(capacity: Option<usize>) -> Self {
        let state = State {
            items: VecDeque::new(),
            closed: false,
            popped: 0,
        };
        Self {
            state: Mutex::new(state),
            capacity,
        }
    }

    /// How many items fit; `None` without bound.
    #[must_use]
    pub fn capacity(&self) -> Option<usize> {
        self.capacity
    }

    /// Pushes one item, or gives it back.
    pub fn push(&self, item: T) -> Result<(), (Refusal, T)> {
        let mut state = lock(&self.state);
        if state.closed {
            Err((Refusal::Closed, item))
        } else if self.room(&state) == 0 {
            Err((Refusal::NotNow, item))
        } else {
            state.items.push_back(item);
            Ok(())
        }
    }

    /// Pushes as many of `items` as fit, in order; what did not fit stays in the iterator.
    pub fn push_many(&self, items: &mut vec::IntoIter<T>) -> Result<usize, Refusal> {
        let mut state = lock(&self.state);
        if state.closed {
            return Err(Refusal::Closed);
        }
        let count = items.len().min(self.room(&state));
        if count == 0 && items.len() > 0 {
            return Err(Refusal::NotNow);
        }
        state.items.extend(items.take(count));
        Ok(count)
    }

    fn room(&self, state: &State<T>) -> usize {
        self.capacity
            .map_or(usize::MAX, |capacity| capacity - state.items.len())
    }

    /// Pops one item.
    pub fn pop(&self) -> Result<T, Refusal> {
        let mut state = lock(&self.state);
        let item = state.items.pop_front().ok_or(state.refusal())?;
        state.popped = state.popped.wrapping_add(1);
        Ok(item)
    }

    /// Pops between `min` and `max` items at once, oldest first; fewer than `min`, but one at
    /// least, only from a closed list.
    pub fn pop_many(&self, min: usize, max: usize, out: &mut Vec<T>) -> Result<usize, Refusal> {
        let mut state = lock(&self.state);
        let there = state.items.len();
        if there == 0 || (there < min && !state.closed) {
            return Err(state.refusal());
        }
        let count = there.min(max);
        out.extend(state.items.drain(..count));
        state.popped = state.popped.wrapping_add(count);
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

    /// Calls `visit` for every item, oldest first, unless somebody is at work on the list: a
    /// garbage collector may have stopped that one, so it looks and never waits.
    pub fn for_each(&self, visit: impl FnMut(&T)) {
        if let Ok(state) = self.state.try_lock() {
            state.items.iter().for_each(visit);
        }
    }
}

impl<T> State<T> {
    fn refusal(&self) -> Refusal {
        if self.closed {
            Refusal::Closed
        } else {
            Refusal::NotNow
        }
    }
}

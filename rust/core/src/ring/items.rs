//! What a list holds, in one of three orders: the containers alone, without lock.

use std::collections::VecDeque;

use super::runs::{Place, Runs};

/// See the module's head.
pub(super) enum Items<T> {
    /// The oldest first.
    Line(VecDeque<T>),
    /// The newest first.
    Stack(Vec<T>),
    /// In the order of the items.
    Sorted(Runs<T>),
}

impl<T> Items<T> {
    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Line(line) => line.len(),
            Self::Stack(stack) => stack.len(),
            Self::Sorted(runs) => runs.len(),
        }
    }

    pub(super) fn sorted(&self) -> Option<&Runs<T>> {
        match self {
            Self::Sorted(runs) => Some(runs),
            Self::Line(_) | Self::Stack(_) => None,
        }
    }

    /// What the pop after `nth` others would take.
    pub(super) fn get(&self, nth: usize) -> Option<&T> {
        match self {
            Self::Line(line) => line.get(nth),
            Self::Stack(stack) => stack.get(stack.len().checked_sub(nth + 1)?),
            Self::Sorted(runs) => runs.get(runs.place(nth)),
        }
    }

    /// Puts `item` in: at `place` where the order is that of the items, else last.
    #[inline(always)]
    pub(super) fn insert(&mut self, place: Place, item: T) {
        match self {
            Self::Line(line) => line.push_back(item),
            Self::Stack(stack) => stack.push(item),
            Self::Sorted(runs) => runs.insert(place, item),
        }
    }

    #[inline(always)]
    pub(super) fn pop(&mut self) -> Option<T> {
        match self {
            Self::Line(line) => line.pop_front(),
            Self::Stack(stack) => stack.pop(),
            Self::Sorted(runs) => runs.pop_front(),
        }
    }

    /// Takes what [`Items::get`] shows; `nth` is small, or this is slow.
    pub(super) fn remove(&mut self, nth: usize) -> Option<T> {
        match self {
            Self::Line(line) => line.remove(nth),
            Self::Stack(stack) => {
                let index = stack.len().checked_sub(nth + 1)?;
                Some(stack.remove(index))
            }
            Self::Sorted(runs) => runs.remove(runs.place(nth)),
        }
    }

    pub(super) fn for_each(&self, visit: impl FnMut(&T)) {
        match self {
            Self::Line(line) => line.iter().for_each(visit),
            Self::Stack(stack) => stack.iter().for_each(visit),
            Self::Sorted(runs) => runs.iter().for_each(visit),
        }
    }
}

//! Items in order, as a line of short sorted runs: no step touches more than one run and the line.
//!
//! The container alone; who compares, and when, is told in `list/ordered.rs`. Source: the list of
//! lists of Python's sortedcontainers.

use std::collections::VecDeque;

/// A run that grows beyond this is cut in two.
const RUN_MAX: usize = 512;

/// Where an item is, or would go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) run: usize,
    pub(super) index: usize,
}

/// See the module's head. No run is empty, except that one may be left when nothing is inside.
pub(super) struct Runs<T> {
    runs: VecDeque<VecDeque<T>>,
    len: usize,
    /// Moves whenever a place may have changed its meaning.
    version: u64,
}

impl<T> Runs<T> {
    pub(super) const fn new() -> Self {
        Self {
            runs: VecDeque::new(),
            len: 0,
            version: 0,
        }
    }

    pub(super) const fn version(&self) -> u64 {
        self.version
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// How many runs hold items.
    pub(super) fn runs(&self) -> usize {
        if self.len == 0 { 0 } else { self.runs.len() }
    }

    /// How many items the run holds.
    pub(super) fn run_len(&self, run: usize) -> usize {
        self.runs.get(run).map_or(0, VecDeque::len)
    }

    pub(super) fn get(&self, place: Place) -> Option<&T> {
        self.runs.get(place.run)?.get(place.index)
    }

    /// Puts `item` at `place`, before what is there.
    pub(super) fn insert(&mut self, place: Place, item: T) {
        if self.runs.is_empty() {
            self.runs.push_back(VecDeque::new());
        }
        let run = &mut self.runs[place.run];
        run.insert(place.index, item);
        self.len += 1;
        self.version = self.version.wrapping_add(1);
        if run.len() > RUN_MAX {
            let upper = run.split_off(RUN_MAX / 2);
            self.runs.insert(place.run + 1, upper);
        }
    }

    pub(super) fn pop_front(&mut self) -> Option<T> {
        self.remove(Place { run: 0, index: 0 })
    }

    pub(super) fn remove(&mut self, place: Place) -> Option<T> {
        let run = self.runs.get_mut(place.run)?;
        let item = run.remove(place.index)?;
        if run.is_empty() && self.runs.len() > 1 {
            self.runs.remove(place.run);
        }
        self.len -= 1;
        self.version = self.version.wrapping_add(1);
        Some(item)
    }

    /// Where the item of that rank is, from zero; behind the last one if there are fewer.
    pub(super) fn place(&self, rank: usize) -> Place {
        let mut index = rank;
        for (run, items) in self.runs.iter().enumerate() {
            if index < items.len() {
                return Place { run, index };
            }
            index -= items.len();
        }
        Place {
            run: self.runs.len(),
            index,
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.runs.iter().flatten()
    }
}

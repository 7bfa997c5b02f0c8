//! Pushes into a list in the order of its items.
//!
//! Comparing is foreign code: it may fail, take its time, or use this very queue. So no lock is
//! held while it runs. A push that has to compare looks at one item after the other, with a handle
//! of its own to each, and goes in if nothing was moved meanwhile; otherwise it searches anew,
//! which needs another push or pop to have succeeded. Only pushes compare, so what cannot be
//! compared is refused before it is inside, and no pop ever fails for it. A push goes behind its
//! equals: among them the oldest comes out first.

use std::vec;

use super::{Comparison, List, Place, Refusal, Room, Runs};
use crate::sync::lock;

impl<T> List<T> {
    #[inline(never)]
    pub(super) fn put_in_order(
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
            if state.version() == version {
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
            (state.version(), state.items.sorted().map_or(0, Runs::runs))
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
        state.items.sorted().map_or(0, |runs| runs.run_len(run))
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
            if state.version() != version {
                return Ok(None);
            }
            let other = state.items.sorted().and_then(|runs| runs.get(place));
            other.map(comparison.share)
        };
        match other {
            None => Ok(None),
            Some(other) => (comparison.precedes)(item, &other)
                .map(Some)
                .ok_or(Refusal::Incomparable),
        }
    }

    /// One at a time, as room or a comparison may fail at any of them: the caller comes again.
    pub(super) fn push_one_by_one(&self, items: &mut vec::IntoIter<T>) -> Result<usize, Refusal> {
        if let Some(refusal) = self.refusal_to_push(&lock(&self.state)) {
            let nothing_to_do = items.len() == 0 && refusal == Refusal::NotNow;
            return if nothing_to_do { Ok(0) } else { Err(refusal) };
        }
        self.push_first(items, Room::Free)
    }

    /// Pushes the first of `items` into a reserved place, or leaves it in front.
    pub fn push_first_reserved(&self, items: &mut vec::IntoIter<T>) -> Result<usize, Refusal> {
        self.push_first(items, Room::Reserved)
    }

    fn push_first(&self, items: &mut vec::IntoIter<T>, room: Room) -> Result<usize, Refusal> {
        let Some(item) = items.next() else {
            return Ok(0);
        };
        match self.put(item, room) {
            Ok(()) => Ok(1),
            Err((refusal, item)) => {
                // Back in front of the rest.
                let rest: Vec<T> = std::iter::once(item).chain(items.by_ref()).collect();
                *items = rest.into_iter();
                Err(refusal)
            }
        }
    }
}

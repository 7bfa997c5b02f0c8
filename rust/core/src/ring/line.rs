//! Who waits at one side of a queue, in the order of arrival: the data alone, without lock.
//!
//! A waiter is *standing* until it is called, which is to be woken. It keeps its place until it
//! leaves, so one that was called in vain stands again where it stood. To *bar* is to have as
//! many items (or free places) set aside as one needs: nobody who comes later, and nobody who does
//! not bar, may take them. Whoever was called [`PATIENCE`] times in vain bars until it leaves; in
//! a fair line everybody does from the beginning, and then the line is served strictly in order.
//!
//! Most calls and most departures are at the head, so the run of called waiters there is counted.

use std::collections::VecDeque;

use super::wait::Wake;
use crate::sync::Arc;

/// How often others may take what a waiter was called for, before it bars.
const PATIENCE: u8 = 3;

struct Stander<W> {
    waiter: Arc<W>,
    is_called: bool,
    bars: bool,
    in_vain: u8,
}

/// See the module's head.
pub(super) struct Line<W> {
    standers: VecDeque<Stander<W>>,
    is_fair: bool,
    standing: usize,
    /// What is set aside for all that bar.
    set_aside: usize,
    /// How many at the head are called, without a gap.
    called: usize,
    /// What is set aside for those of them that bar.
    granted: usize,
}

impl<W: Wake> Stander<W> {
    fn set_aside(&self) -> usize {
        if self.bars { self.waiter.need() } else { 0 }
    }
}

impl<W: Wake> Line<W> {
    pub(super) const fn new(is_fair: bool) -> Self {
        Self {
            standers: VecDeque::new(),
            is_fair,
            standing: 0,
            set_aside: 0,
            called: 0,
            granted: 0,
        }
    }

    /// Puts `waiter` to the end. It must not be in the line.
    pub(super) fn join(&mut self, waiter: Arc<W>) {
        debug_assert!(self.position(&waiter).is_none(), "it waits here already");
        let stander = Stander {
            waiter,
            is_called: false,
            bars: self.is_fair,
            in_vain: 0,
        };
        self.standing += 1;
        self.set_aside += stander.set_aside();
        self.standers.push_back(stander);
    }

    /// Lets `next`, of the same need, stand where `previous` was; at the end if it is not there.
    pub(super) fn rejoin(&mut self, previous: &Arc<W>, next: Arc<W>) {
        debug_assert_eq!(
            previous.need(),
            next.need(),
            "what is set aside would not fit"
        );
        let Some(index) = self.position(previous) else {
            return self.join(next);
        };
        let stander = &mut self.standers[index];
        stander.waiter = next;
        if !stander.is_called {
            return;
        }
        if index < self.called {
            self.cut_called(index);
        }
        let stander = &mut self.standers[index];
        stander.is_called = false;
        self.standing += 1;
        stander.in_vain = stander.in_vain.saturating_add(1);
        if !stander.bars && stander.in_vain >= PATIENCE {
            stander.bars = true;
            self.set_aside += stander.set_aside();
        }
    }

    /// Takes `waiter` out, if it is in.
    pub(super) fn leave(&mut self, waiter: &Arc<W>) {
        let Some(index) = self.position(waiter) else {
            return;
        };
        // Dropped is one of the two references that exist at least: nothing runs in the lock.
        let Some(stander) = self.standers.remove(index) else {
            return;
        };
        self.set_aside -= stander.set_aside();
        if !stander.is_called {
            self.standing -= 1;
        }
        if index < self.called {
            self.called -= 1;
            self.granted -= stander.set_aside();
        } else {
            self.extend_called();
        }
    }

    /// Calls the next one for whom `available` is enough beside what is set aside for others.
    /// Passed over, a waiter stays where it is, neither called nor forgotten.
    pub(super) fn call(&mut self, available: usize) -> Option<Arc<W>> {
        let index = self.next(available)?;
        let stander = &mut self.standers[index];
        stander.is_called = true;
        self.standing -= 1;
        let waiter = Arc::clone(&stander.waiter);
        self.extend_called();
        Some(waiter)
    }

    fn next(&self, available: usize) -> Option<usize> {
        if self.standing == 0 {
            return None;
        }
        if self.set_aside > 0 {
            let mut needed = self.granted;
            for (index, stander) in self.standers.iter().enumerate().skip(self.called) {
                needed += stander.set_aside();
                if stander.bars && needed > available {
                    break;
                }
                if stander.bars && !stander.is_called {
                    return Some(index);
                }
            }
        }
        let free = available.saturating_sub(self.set_aside);
        let fits = |stander: &Stander<W>| {
            !stander.bars && !stander.is_called && stander.waiter.need() <= free
        };
        let found = self.standers.range(self.called..).position(fits);
        found.map(|index| index + self.called)
    }

    /// Calls everybody who stands.
    pub(super) fn call_all(&mut self) -> Vec<Arc<W>> {
        let mut waiters = Vec::with_capacity(self.standing);
        for stander in &mut self.standers {
            if !stander.is_called {
                stander.is_called = true;
                waiters.push(Arc::clone(&stander.waiter));
            }
        }
        self.standing = 0;
        self.extend_called();
        waiters
    }

    /// How much must be left for others by `me`, or by somebody who does not wait.
    pub(super) fn ahead_of(&self, me: Option<&Arc<W>>) -> usize {
        let Some(me) = me else {
            return self.set_aside;
        };
        let mut ahead = 0;
        for stander in &self.standers {
            if Arc::ptr_eq(&stander.waiter, me) && stander.bars {
                return ahead;
            }
            ahead += stander.set_aside();
        }
        ahead
    }

    pub(super) const fn is_fair(&self) -> bool {
        self.is_fair
    }

    /// Those who were called and have not come yet, up to the first who was not.
    pub(super) fn coming(&self) -> impl Iterator<Item = &Arc<W>> {
        self.standers.range(..self.called).map(|one| &one.waiter)
    }

    /// How many stand, not called yet.
    pub(super) const fn standing(&self) -> usize {
        self.standing
    }

    /// What is set aside for all that bar.
    pub(super) const fn set_aside(&self) -> usize {
        self.set_aside
    }

    fn position(&self, waiter: &Arc<W>) -> Option<usize> {
        let is_it = |stander: &Stander<W>| Arc::ptr_eq(&stander.waiter, waiter);
        self.standers.iter().position(is_it)
    }

    /// The run of called ones at the head ends at `index`.
    fn cut_called(&mut self, index: usize) {
        self.called = index;
        self.granted = self.standers.range(..index).map(Stander::set_aside).sum();
    }

    fn extend_called(&mut self) {
        while let Some(stander) = self.standers.get(self.called).filter(|next| next.is_called) {
            self.granted += stander.set_aside();
            self.called += 1;
        }
    }
}

#[cfg(all(test, not(penstock_loom)))]
mod tests {
    use proptest::prelude::*;

    use super::{super::wait::Woken, Arc, Line, PATIENCE, Wake};

    struct Waiter {
        need: usize,
    }

    impl Wake for Waiter {
        fn wake(&self) -> Woken {
            Woken::Quietly
        }

        fn need(&self) -> usize {
            self.need
        }
    }

    /// The same by definition: every figure is counted anew from the whole line.
    #[derive(Default)]
    struct Model {
        line: Vec<Entry>,
        is_fair: bool,
    }

    struct Entry {
        waiter: Arc<Waiter>,
        is_called: bool,
        in_vain: u8,
    }

    impl Model {
        fn bars(&self, entry: &Entry) -> bool {
            self.is_fair || entry.in_vain >= PATIENCE
        }

        fn set_aside(&self, entries: &[Entry]) -> usize {
            let barring = entries.iter().filter(|entry| self.bars(entry));
            barring.map(|entry| entry.waiter.need).sum()
        }

        fn ahead_of(&self, index: usize) -> usize {
            if self.bars(&self.line[index]) {
                self.set_aside(&self.line[..index])
            } else {
                self.set_aside(&self.line)
            }
        }

        /// The first barring one that is to be called; failing that, the first of the others. A
        /// barring one that has to wait holds up those behind it.
        fn call(&mut self, available: usize) -> Option<Arc<Waiter>> {
            let fits =
                |index: &usize| self.ahead_of(*index) + self.line[*index].waiter.need <= available;
            let all = || 0..self.line.len();
            let barring = || all().filter(|index| self.bars(&self.line[*index]));
            let served = barring()
                .take_while(fits)
                .find(|index| !self.line[*index].is_called);
            let others = || all().filter(|index| !self.bars(&self.line[*index]));
            let found = served
                .or_else(|| others().find(|index| fits(index) && !self.line[*index].is_called))?;
            self.line[found].is_called = true;
            Some(Arc::clone(&self.line[found].waiter))
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Join(usize),
        Rejoin(usize),
        Leave(usize),
        Call(usize),
        CallAll,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (1_usize..4).prop_map(Step::Join),
            4 => (0_usize..8).prop_map(Step::Rejoin),
            2 => (0_usize..8).prop_map(Step::Leave),
            6 => (0_usize..9).prop_map(Step::Call),
            1 => Just(Step::CallAll),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_line_does_what_its_definition_says(
            is_fair in any::<bool>(),
            steps in prop::collection::vec(step(), 1..80),
        ) {
            let mut line = Line::new(is_fair);
            let mut model = Model { is_fair, ..Model::default() };
            for step in steps {
                match step {
                    Step::Join(need) => {
                        let waiter = Arc::new(Waiter { need });
                        line.join(Arc::clone(&waiter));
                        model.line.push(Entry { waiter, is_called: false, in_vain: 0 });
                    }
                    Step::Rejoin(index) => {
                        if let Some(entry) = model.line.get_mut(index) {
                            let next = Arc::new(Waiter { need: entry.waiter.need });
                            line.rejoin(&entry.waiter, Arc::clone(&next));
                            entry.waiter = next;
                            entry.in_vain += u8::from(entry.is_called);
                            entry.is_called = false;
                        }
                    }
                    Step::Leave(index) => {
                        if index < model.line.len() {
                            line.leave(&model.line.remove(index).waiter);
                        }
                    }
                    Step::Call(available) => {
                        let (called, expected) = (line.call(available), model.call(available));
                        let address = |waiter: Option<Arc<Waiter>>| waiter.map(|it| Arc::as_ptr(&it));
                        prop_assert_eq!(address(called), address(expected));
                    }
                    Step::CallAll => {
                        let standing = model.line.iter().filter(|entry| !entry.is_called).count();
                        prop_assert_eq!(line.call_all().len(), standing);
                        model.line.iter_mut().for_each(|entry| entry.is_called = true);
                    }
                }
                let standing = model.line.iter().filter(|entry| !entry.is_called).count();
                prop_assert_eq!(line.standing(), standing);
                prop_assert_eq!(line.set_aside(), model.set_aside(&model.line));
                prop_assert_eq!(line.ahead_of(None), line.set_aside());
                for (index, entry) in model.line.iter().enumerate() {
                    prop_assert_eq!(line.ahead_of(Some(&entry.waiter)), model.ahead_of(index));
                }
            }
        }
    }
}

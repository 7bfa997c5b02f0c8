//! Which of the items ever put have been dealt with: the counter behind `task_done` and `join`.
//!
//! Guarantee: a joiner sleeps only while something is unfinished, and is woken when nothing is.
//! Puts cost nothing here: what was put is read from the queue's own position, so only what is
//! done is counted. The sleeping protocol is that of [`super::wait`], with "all is done" as what
//! the joiner takes and everybody woken at once, as taking it uses nothing up.

use super::wait::{WaitList, Wake};
use crate::sync::{Arc, AtomicUsize, Ordering, fence};

/// More was reported done than had been put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany;

/// See the module's head; `W` is what waits.
pub struct Unfinished<W> {
    /// Moved by those who report (compare-and-swap, SeqCst), read by joiners.
    done: AtomicUsize,
    joiners: WaitList<W>,
}

impl<W: Wake> Default for Unfinished<W> {
    fn default() -> Self {
        Self {
            done: AtomicUsize::new(0),
            joiners: WaitList::default(),
        }
    }
}

impl<W: Wake> Unfinished<W> {
    /// Reports `count` items done, of those that `put` says were put so far.
    pub fn finish(&self, count: usize, put: impl Fn() -> usize) -> Result<(), TooMany> {
        let mut done = self.done.load(Ordering::SeqCst);
        loop {
            if put().wrapping_sub(done) < count {
                return Err(TooMany);
            }
            let next = done.wrapping_add(count);
            match self
                .done
                .compare_exchange(done, next, Ordering::SeqCst, Ordering::SeqCst)
            {
                Ok(_) => break,
                Err(seen) => done = seen,
            }
        }
        fence(Ordering::SeqCst);
        if self.joiners.is_armed() && self.count(put()) == 0 {
            self.joiners.notify_all();
        }
        Ok(())
    }

    /// How many of `put` items are not done.
    pub fn count(&self, put: usize) -> usize {
        put.wrapping_sub(self.done.load(Ordering::SeqCst))
    }

    /// Puts a joiner to the list, or where `previous` stands; it looks at [`Unfinished::count`] once
    /// more before it sleeps.
    pub fn enlist(&self, waiter: Arc<W>, previous: Option<&Arc<W>>) {
        self.joiners.enlist(waiter, previous);
        fence(Ordering::SeqCst);
    }

    /// Every exit from waiting to join goes through here.
    pub fn leave(&self, waiter: &Arc<W>) {
        self.joiners.remove(waiter);
    }

    /// Wakes all joiners to look again.
    pub fn call_all(&self) {
        self.joiners.notify_all();
    }
}

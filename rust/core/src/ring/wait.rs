//! The list of those who wait for one side of a queue, and the flags that spare others its lock.
//!
//! Guarantee: a waiter is woken at most once for each time it enlisted; a giver that sees
//! `armed = 0` after its fence leaves nobody asleep beside what it gave.
//!
//! The protocol (lost wakeups are the classic fault here, so each step has its reason):
//!
//! ```text
//! taker    barred → pop what nobody ahead of me waits for, with the lock held; else pop: got it → done
//!          enlist (lock; stand at the end; armed ← 1; unlock);  fence;  pop: got it → leave, done;  sleep
//! giver    push;  fence;  if armed: notify (lock; call the first; armed ← others stand; unlock; wake)
//! woken    pop: got it → leave;  empty, since somebody barged → enlist in the same place, and so on
//! leave    lock; take me out; armed, barred ← what is left; unlock;  fence;  if items and armed: notify
//! ```
//! The fences are SeqCst on both sides: with release and acquire alone the giver may read
//! `armed = 0` while the taker reads "empty" (store buffering, on x86 too).
//! A called waiter does not count for `armed`, so while the only taker is busy givers see
//! `armed = 0` and make no system call. No item is ever in a waiter's hands before it runs, so no
//! cancellation can lose one; a waiter that leaves without having used its wake passes it on.
//!
//! `barred` says that something is set aside for somebody ([`super::line`]). Who does not see it
//! yet takes as if it were not set; that is one more that came in between, and nothing is lost by it,
//! as nobody is promised an item that it has not popped. Who is refused since all that is inside is
//! set aside enlists as if nothing were inside: those for whom it is set aside are called, or about to
//! look for themselves, and whoever of them leaves calls the next.

use std::iter;

use super::line::Line;
use crate::sync::{Arc, AtomicBool, AtomicU64, CachePadded, Mutex, MutexGuard, Ordering, lock};

/// What a wake did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// It will run, and that took no system call.
    Quietly,
    /// It will run, and a system call was made for it.
    BySystemCall,
    /// It can no longer run (its event loop has ended): the next one is tried.
    Gone,
}

/// Something that sleeps and can be woken: a thread, or a task of an event loop.
pub trait Wake {
    /// Wakes it.
    fn wake(&self) -> Woken;

    /// How many items (or free places) must be there for a wake to be of use.
    fn need(&self) -> usize {
        1
    }
}

/// Both are written under the lock of the line.
struct Flags {
    /// Read by givers after a SeqCst fence: does anybody stand in the line?
    armed: AtomicBool,
    /// Read by takers (Relaxed): is anything set aside?
    barred: AtomicBool,
}

/// Waiters in the order of their arrival; see the module's head.
pub struct WaitList<W> {
    flags: CachePadded<Flags>,
    line: Mutex<Line<W>>,
    /// Written by givers (Relaxed), read for statistics: waiters woken so far, and with a call.
    wakes: AtomicU64,
    system_calls: AtomicU64,
}

impl<W: Wake> Default for WaitList<W> {
    fn default() -> Self {
        Self::new(false)
    }
}

impl<W: Wake> WaitList<W> {
    /// An empty list; a fair one serves strictly in the order of arrival.
    #[must_use]
    pub fn new(is_fair: bool) -> Self {
        Self {
            flags: CachePadded(Flags {
                armed: AtomicBool::new(false),
                barred: AtomicBool::new(false),
            }),
            line: Mutex::new(Line::new(is_fair)),
            wakes: AtomicU64::new(0),
            system_calls: AtomicU64::new(0),
        }
    }

    /// Whether anybody stands in the line. A giver calls this after a SeqCst fence.
    #[inline(always)]
    pub fn is_armed(&self) -> bool {
        self.flags.armed.load(Ordering::Relaxed)
    }

    /// Whether something is set aside, so that who takes does so in [`WaitList::behind`].
    #[inline(always)]
    pub fn is_barred(&self) -> bool {
        self.flags.barred.load(Ordering::Relaxed)
    }

    fn publish(&self, line: &MutexGuard<'_, Line<W>>) {
        self.flags
            .armed
            .store(line.standing() > 0, Ordering::Relaxed);
        self.flags
            .barred
            .store(line.set_aside() > 0, Ordering::Relaxed);
    }

    /// Puts `waiter` into the line: where `previous` stands, or at the end. It may stand there
    /// itself, called. The caller then makes a SeqCst fence and looks once more before it sleeps.
    pub fn enlist(&self, waiter: Arc<W>, previous: Option<&Arc<W>>) {
        let mut line = lock(&self.line);
        match previous {
            Some(previous) => line.rejoin(previous, waiter),
            None => line.join(waiter),
        }
        self.publish(&line);
    }

    /// Takes `waiter` out.
    pub fn remove(&self, waiter: &Arc<W>) {
        let mut line = lock(&self.line);
        line.leave(waiter);
        self.publish(&line);
    }

    /// Calls `take` with what must be left for others by `me`, or by somebody who does not wait.
    /// Under the lock: nobody is set aside for, or served, meanwhile.
    pub fn behind<R>(&self, me: Option<&Arc<W>>, take: impl FnOnce(usize) -> R) -> R {
        let line = lock(&self.line);
        take(line.ahead_of(me))
    }

    /// Wakes the first waiter for whom `available` is enough, in a fair list all for whom it is
    /// enough together; false if there is none. Passing over one that needs more leaves it in its
    /// place, neither woken nor forgotten.
    pub fn notify(&self, available: usize) -> bool {
        loop {
            // All are called before the first is woken: one that runs and finds nothing stands
            // again, and would be called for the same figure without end.
            let (first, others) = {
                let mut line = lock(&self.line);
                let first = line.call(available);
                let others: Vec<_> = match &first {
                    Some(_) if line.is_fair() => iter::from_fn(|| line.call(available)).collect(),
                    _ => Vec::new(),
                };
                self.publish(&line);
                (first, others)
            };
            let Some(first) = first else {
                return false;
            };
            // Outside the lock: a wake may make a system call or run foreign code.
            let (mut any, mut all) = (false, true);
            for waiter in iter::once(first).chain(others) {
                if self.wake(&waiter) {
                    any = true;
                } else {
                    all = false;
                    self.remove(&waiter);
                }
            }
            // What is gone needs nothing: the next may be called in its place.
            if all || (any && !self.is_fair()) {
                return any;
            }
        }
    }

    /// Wakes everybody, whatever they need.
    pub fn notify_all(&self) {
        let waiters = {
            let mut line = lock(&self.line);
            let waiters = line.call_all();
            self.publish(&line);
            waiters
        };
        for waiter in waiters {
            if !self.wake(&waiter) {
                self.remove(&waiter);
            }
        }
    }

    fn wake(&self, waiter: &Arc<W>) -> bool {
        let woken = waiter.wake();
        if woken == Woken::Gone {
            return false;
        }
        self.wakes.fetch_add(1, Ordering::Relaxed);
        if woken == Woken::BySystemCall {
            self.system_calls.fetch_add(1, Ordering::Relaxed);
        }
        true
    }

    /// Whether one of those who were called first and have not come yet is as asked for.
    pub fn comes(&self, is_it: impl Fn(&W) -> bool) -> bool {
        lock(&self.line).coming().any(|waiter| is_it(waiter))
    }

    /// How many stand in the line now, not called yet.
    pub fn len(&self) -> usize {
        lock(&self.line).standing()
    }

    /// Whether nobody stands in the line now.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the line is served strictly in the order of arrival.
    pub fn is_fair(&self) -> bool {
        lock(&self.line).is_fair()
    }

    /// How many were woken so far.
    pub fn wakes(&self) -> u64 {
        self.wakes.load(Ordering::Relaxed)
    }

    /// How many of those wakes took a system call.
    pub fn system_calls(&self) -> u64 {
        self.system_calls.load(Ordering::Relaxed)
    }
}

//! Sees an event loop take too long over one turn, without waking one that is idle.
//!
//! The loop stamps the begin and the end of every turn (the time between two waits for events); a
//! thread sleeps until the turn under way would be too long. There is no heartbeat: while the loop
//! is idle the thread sleeps without a deadline, and the first turn afterwards wakes it; while the
//! loop is busy it looks once per threshold.
//!
//! Guarantee: stamping is wait-free but for two cases, which take a mutex that is held for a few
//! instructions: the thread sleeps without a deadline (so at most twice per threshold), and the
//! turn was too long. Every turn that took at least the threshold is told once as [`Told::Ended`],
//! before that as [`Told::Blocked`] if the thread got to see it.
//!
//! Why no turn is slept through: the loop stores `since`, then looks at `asleep`; the thread stores
//! `asleep`, then looks at `since` (all SeqCst), so one of them sees the other. If it is the loop,
//! it rings below the mutex, which the thread holds from storing `asleep` until it waits.
//!
//! In a forked child there is no such thread; the stamps then never ring.

use crate::{
    clock,
    fork::Owner,
    histogram::{Distribution, Histogram, Scale},
    sync::lock,
};
use std::{
    collections::VecDeque,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::Duration,
};

/// So many ended turns wait for the thread; beyond, the oldest is only counted.
const MAX_ENDED: usize = 64;

/// See the module.
pub struct Watchdog {
    threshold: u64,
    /// When the turn under way began; 0 between turns. Written by the loop.
    since: AtomicU64,
    /// Until the thread's next look nobody would wake it. Written by the thread.
    asleep: AtomicBool,
    /// When the last turn ended; written and read by the loop.
    ended: AtomicU64,
    /// Nanoseconds in turns, and between them; written by the loop.
    busy: AtomicU64,
    idle: AtomicU64,
    delays: Histogram,
    bed: Mutex<Bed>,
    bell: Condvar,
    process: Owner,
}

#[derive(Default)]
struct Bed {
    is_stopped: bool,
    /// The turn that was told last.
    told: u64,
    ended: VecDeque<(u64, u64)>,
}

/// What the thread is told. A turn is named by the moment it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// A turn has taken so many nanoseconds and goes on.
    Blocked(u64, u64),
    /// A turn has ended that took so many nanoseconds.
    Ended(u64, u64),
    /// There is nothing to watch any more.
    Stopped,
}

/// What is known of the turns.
#[derive(Clone, Debug)]
pub struct Turns {
    /// Seconds that each took.
    pub delays: Distribution,
    /// Nanoseconds in turns.
    pub busy: u64,
    /// Nanoseconds between turns.
    pub idle: u64,
}

impl Watchdog {
    /// For turns of at least `threshold` nanoseconds.
    #[must_use]
    pub fn new(threshold: u64) -> Self {
        Self {
            threshold: threshold.max(1),
            since: AtomicU64::new(0),
            asleep: AtomicBool::new(false),
            ended: AtomicU64::new(0),
            busy: AtomicU64::new(0),
            idle: AtomicU64::new(0),
            delays: Histogram::new(Scale::DEFAULT),
            bed: Mutex::new(Bed::default()),
            bell: Condvar::new(),
            process: Owner::current(),
        }
    }

    /// A turn begins. Called by the loop's thread alone, in turn with [`Self::end`].
    #[inline]
    pub fn begin(&self) {
        let now = clock::monotonic().max(1);
        let ended = self.ended.load(Relaxed);
        if ended != 0 {
            add(&self.idle, now.saturating_sub(ended));
        }
        self.since.store(now, SeqCst);
        if self.asleep.load(SeqCst) {
            self.ring();
        }
    }

    /// The turn ends; without one nothing happens.
    #[inline]
    pub fn end(&self) {
        let since = self.since.load(Relaxed);
        if since == 0 {
            return;
        }
        let now = clock::monotonic();
        let took = now.saturating_sub(since);
        self.since.store(0, SeqCst);
        self.ended.store(now, Relaxed);
        add(&self.busy, took);
        self.record(took);
        if took >= self.threshold {
            self.tell(since, took);
        }
    }

    /// Counts a delay that was measured otherwise.
    #[inline]
    pub fn record(&self, nanoseconds: u64) {
        self.delays.record(nanoseconds as f64 * 1e-9);
    }

    #[cold]
    fn tell(&self, since: u64, took: u64) {
        if self.process.is_here() {
            let mut bed = lock(&self.bed);
            if bed.ended.len() == MAX_ENDED {
                bed.ended.pop_front();
            }
            bed.ended.push_back((since, took));
            drop(bed);
            self.bell.notify_all();
        }
    }

    #[cold]
    fn ring(&self) {
        if self.process.is_here() {
            // Taken so that the thread is not between its look and its sleep.
            drop(lock(&self.bed));
            self.bell.notify_all();
        }
    }

    /// Whether the turn that began then goes on.
    #[must_use]
    pub fn is_in(&self, turn: u64) -> bool {
        self.since.load(SeqCst) == turn
    }

    /// Waits until there is something to tell. For one thread.
    #[must_use]
    pub fn next(&self) -> Told {
        let mut bed = lock(&self.bed);
        loop {
            if let Some((turn, took)) = bed.ended.pop_front() {
                return Told::Ended(turn, took);
            }
            if bed.is_stopped {
                return Told::Stopped;
            }
            self.asleep.store(true, SeqCst);
            let since = self.since.load(SeqCst);
            if since == 0 || since == bed.told {
                bed = self.wait(bed, None);
                self.asleep.store(false, SeqCst);
                continue;
            }
            self.asleep.store(false, SeqCst);
            let waited = clock::monotonic().saturating_sub(since);
            if waited >= self.threshold {
                if self.is_in(since) {
                    bed.told = since;
                    return Told::Blocked(since, waited);
                }
                continue;
            }
            bed = self.wait(bed, Some(Duration::from_nanos(self.threshold - waited)));
        }
    }

    fn wait<'a>(&self, bed: MutexGuard<'a, Bed>, timeout: Option<Duration>) -> MutexGuard<'a, Bed> {
        match timeout {
            None => self.bell.wait(bed).unwrap_or_else(PoisonError::into_inner),
            Some(timeout) => {
                self.bell
                    .wait_timeout(bed, timeout)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0
            }
        }
    }

    /// Ends the watch; what has ended so far is still told.
    pub fn stop(&self) {
        if self.process.is_here() {
            lock(&self.bed).is_stopped = true;
            self.bell.notify_all();
        }
    }

    /// What is known now.
    #[must_use]
    pub fn turns(&self) -> Turns {
        Turns {
            delays: self.delays.total(),
            busy: self.busy.load(Relaxed),
            idle: self.idle.load(Relaxed),
        }
    }
}

/// For a word with one writer.
fn add(cell: &AtomicU64, n: u64) {
    cell.store(cell.load(Relaxed).wrapping_add(n), Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::Arc, thread};

    const LONG: u64 = 3_600_000_000_000;

    fn spin(nanoseconds: u64) {
        let begun = clock::monotonic();
        while clock::monotonic() - begun < nanoseconds {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn a_long_turn_is_told_while_it_lasts_and_when_it_ends() {
        let dog = Arc::new(Watchdog::new(1_000_000));
        let watch = {
            let dog = Arc::clone(&dog);
            thread::spawn(move || dog.next())
        };
        dog.begin();
        let Told::Blocked(turn, waited) = watch.join().unwrap() else {
            panic!("the turn goes on, so that is all there is to tell");
        };
        assert!(waited >= 1_000_000);
        assert!(dog.is_in(turn));
        dog.end();
        let Told::Ended(ended, took) = dog.next() else {
            panic!("the turn has ended");
        };
        assert!(ended == turn && took >= waited);
        dog.stop();
        assert_eq!(dog.next(), Told::Stopped);
        assert_eq!(dog.turns().delays.count(), 1);
    }

    #[test]
    fn a_long_turn_that_nobody_saw_is_told_at_its_end() {
        let dog = Watchdog::new(1000);
        for _ in 0..3 {
            dog.begin();
            spin(2000);
            dog.end();
        }
        dog.stop();
        for _ in 0..3 {
            assert!(matches!(dog.next(), Told::Ended(_, took) if took >= 1000));
        }
        assert_eq!(dog.next(), Told::Stopped);
    }

    #[test]
    fn short_turns_are_not_told() {
        let dog = Watchdog::new(LONG);
        for _ in 0..100 {
            dog.begin();
            dog.end();
            dog.end();
        }
        dog.stop();
        assert_eq!(dog.next(), Told::Stopped);
        let turns = dog.turns();
        assert_eq!(turns.delays.count(), 100);
        assert!(turns.idle > 0);
    }

    /// Every long turn among many short ones is told once, whatever the two threads do meanwhile.
    #[test]
    fn none_is_slept_through() {
        let dog = Arc::new(Watchdog::new(200_000));
        let watch = {
            let dog = Arc::clone(&dog);
            thread::spawn(move || {
                let (mut seen, mut ended) = (Vec::new(), Vec::new());
                loop {
                    match dog.next() {
                        Told::Blocked(turn, _) => seen.push(turn),
                        Told::Ended(turn, _) => ended.push(turn),
                        Told::Stopped => return (seen, ended),
                    }
                }
            })
        };
        for n in 0..20_000 {
            dog.begin();
            if n % 500 == 0 {
                spin(250_000);
            }
            dog.end();
        }
        dog.stop();
        let (mut seen, mut ended) = watch.join().unwrap();
        assert!(ended.len() >= 40, "{}", ended.len());
        seen.dedup();
        let length = ended.len();
        ended.dedup();
        assert_eq!(ended.len(), length);
        assert!(seen.iter().all(|turn| ended.contains(turn)));
    }
}

//! A circuit breaker that all processes of a machine share.
//!
//! ```text
//! closed ── window says so ──> open ── open_for has passed, somebody asks ──> half-open
//!   ^                            ^                                              │
//!   └── success_threshold        └─────────── more than probe_failures ─────────┤
//!       probes succeeded ───────────────────────────────────────────────────────┘
//! ```
//! Each arrow is one compare-and-swap of the [`Word`], so exactly one caller on the machine makes it, and
//! a probe is counted in the same step in which it is let through: never more than are allowed.
//!
//! A probe has a [`Lease`] beside its bit. The lease is taken **before** the bit is set, and given back **after** it is
//! cleared; only the lease's owner touches the bit. So a holder that is killed anywhere leaves a lease with
//! its name on it, and whoever misses a probe takes that lease over, clears the bit as its owner, and
//! gives it back. Of a probe whose lease expired while its holder still runs, the answer counts no more.
//!
//! When it was opened cannot be in the same word. It is written by the first to see the new generation, with
//! that generation in it: if the one that opened it is killed before, the next caller does, and the breaker
//! stays open from then.
//!
//! Orders: a change of the word releases what its maker did before, and whoever reads the word acquires it. The lease
//! is taken with Acquire (the bit was cleared before it was given back) and given back with Release.
//!
//! Guarantee: lock-free; a closed breaker is one load to pass.

mod rules;
mod until;
mod window;
mod word;

pub use rules::{BreakerRules, WHOLE};
pub use window::{COUNT_MAX, Tally, Window};
pub use word::{ANSWERS_MAX, Mode, PROBES, State, Word};

use super::{
    courier::Courier,
    lease::{Holder, Lease, Lives},
};
use crate::sync::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed},
};
use until::Until;
use window::Outcomes;

/// See the module's head.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Breaker {
    /// Swapped by all (AcqRel), read by all (Acquire).
    word: AtomicU64,
    until: Until,
    /// 0, [`SINCE_LOOK`] or a moment; see [`Self::look_for_success`]. Stored by all (Relaxed).
    succeeded: AtomicU64,
    /// The generation that began because others said so, plus one. Stored by who began it (Relaxed).
    followed: AtomicU64,
    /// Whose the probes are. Swapped by all (AcqRel), read by all (Acquire).
    leases: [AtomicU64; PROBES],
    /// Tells leases of one holder apart. Raised by all (Relaxed).
    serial: AtomicU64,
    outcomes: Outcomes,
    /// Who speaks for this machine, where several have the same breaker.
    pub courier: Courier,
}

/// A call succeeded since somebody looked last.
const SINCE_LOOK: u64 = 1;

/// What a call was let through by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permit {
    /// A closed breaker, of this generation.
    Call(u64),
    /// A half-open one: the probe's number, and its lease's own part.
    Probe(usize, u64),
    /// A breaker that would not have, or does not count.
    Ghost,
}

/// A change of the state that a call made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// Before.
    pub from: State,
    /// After.
    pub to: State,
    /// Of the word, after.
    pub generation: u64,
}

impl Change {
    const fn between(from: Word, to: Word) -> Self {
        Self {
            from: from.state(),
            to: to.state(),
            generation: to.generation(),
        }
    }
}

const SERIAL_BITS: u32 = 12;

impl Breaker {
    /// As it is now.
    #[inline(always)]
    pub fn word(&self) -> Word {
        Word(self.word.load(Acquire))
    }

    /// What is in the window.
    pub fn tally(&self, rules: &BreakerRules, now: u64) -> Tally {
        let generation = self.word().generation();
        self.outcomes.tally(rules.window, generation, now)
    }

    /// The moment from which an open breaker lets probes through.
    pub fn until(&self, rules: &BreakerRules, now: u64) -> Option<u64> {
        let word = self.word();
        let is_open = word.state() == State::Open;
        is_open.then(|| self.until.of(word.generation(), now, rules.open_for))
    }

    /// Whether a call may be made, and whether that changed the state. `now` is asked for unless it is closed.
    #[inline]
    pub fn acquire(
        &self,
        rules: &BreakerRules,
        me: Holder,
        now: impl FnOnce() -> u64,
        lives: &impl Lives,
    ) -> (Option<Permit>, Option<Change>) {
        let word = self.word();
        match (word.mode(), word.state()) {
            (Mode::Normal | Mode::Shadow, State::Closed) => {
                (Some(Permit::Call(word.generation())), None)
            }
            (Mode::Disabled, _) => (Some(Permit::Ghost), None),
            (Mode::ForcedOpen, _) => (None, None),
            _ => self.ask(rules, me, now(), lives),
        }
    }

    #[cold]
    fn ask(
        &self,
        rules: &BreakerRules,
        me: Holder,
        now: u64,
        lives: &impl Lives,
    ) -> (Option<Permit>, Option<Change>) {
        let mut has_reclaimed = false;
        loop {
            let word = self.word();
            let refused = (word.mode() == Mode::Shadow).then_some(Permit::Ghost);
            let target = match (word.mode(), word.state()) {
                (Mode::Disabled, _) => return (Some(Permit::Ghost), None),
                (Mode::ForcedOpen, _) => return (None, None),
                (_, State::Closed) => return (Some(Permit::Call(word.generation())), None),
                (_, State::Open) => {
                    if now < self.until.of(word.generation(), now, rules.open_for) {
                        return (refused, None);
                    }
                    word.next(State::HalfOpen)
                }
                (_, State::HalfOpen) => word,
            };
            let taken = may_probe(rules, target)
                .then(|| self.take_lease(rules, target, me, now))
                .flatten();
            let Some((number, mine)) = taken else {
                // Once: what another has given back meanwhile is for the next caller.
                if has_reclaimed || !self.reclaim(rules, me, now, lives) {
                    return (refused, None);
                }
                has_reclaimed = true;
                continue;
            };
            if let Some(change) = self.begin_probe(rules, word, number, mine) {
                return (Some(Permit::Probe(number, mine.stub())), change);
            }
            self.leave_lease(number, mine);
        }
    }

    /// Sets the bit of a probe whose lease the caller owns, in `word` or what has become of it within the same
    /// generation: None if there is no room any more, otherwise the change that this was, if it was one.
    fn begin_probe(
        &self,
        rules: &BreakerRules,
        word: Word,
        number: usize,
        mine: Lease,
    ) -> Option<Option<Change>> {
        let mut seen = word;
        loop {
            let target = match seen.state() {
                State::Open if seen == word => seen.next(State::HalfOpen),
                State::HalfOpen if is_of(mine, seen.generation()) => seen,
                _ => return None,
            };
            let is_asked = matches!(target.mode(), Mode::Normal | Mode::Shadow);
            if !is_asked || !may_probe(rules, target) || target.has_probe(number) {
                return None;
            }
            match self.swap(seen, target.with_probe(number)) {
                Ok(()) => return Some((seen != target).then(|| Change::between(seen, target))),
                Err(other) => seen = other,
            }
        }
    }

    /// A probe's lease for the generation of `target`: free, or left over from an earlier one. More can be taken than
    /// probes may be out, so that one who is stopped between lease and bit is in nobody's way.
    fn take_lease(
        &self,
        rules: &BreakerRules,
        target: Word,
        me: Holder,
        now: u64,
    ) -> Option<(usize, Lease)> {
        let mine = self.new_lease(rules, target.generation(), me, now);
        (0..PROBES).find_map(|number| {
            let seen = Lease(self.leases[number].load(Acquire));
            let is_open = seen.is_free() || !is_of(seen, target.generation());
            let taken = is_open && !target.has_probe(number) && self.own(number, seen, mine);
            taken.then_some((number, mine))
        })
    }

    /// Takes the probes of dead holders, and expired ones, out of the word: whether there were any. A bit without a
    /// lease, too: its holder was paused between the two until the lease had expired.
    fn reclaim(&self, rules: &BreakerRules, me: Holder, now: u64, lives: &impl Lives) -> bool {
        lives.look();
        let mut any = false;
        for number in 0..PROBES {
            let seen = Lease(self.leases[number].load(Acquire));
            let word = self.word();
            let generation = if !seen.is_free() && seen.is_forfeited(now, lives) {
                seen.tag() >> SERIAL_BITS
            } else if seen.is_free() && word.state() == State::HalfOpen && word.has_probe(number) {
                word.generation()
            } else {
                continue;
            };
            let mine = self.new_lease(rules, generation, me, now);
            if self.own(number, seen, mine) {
                self.end_probe(number, mine, |word| word.without_probe(number));
                self.leave_lease(number, mine);
                any = true;
            }
        }
        any
    }

    fn new_lease(&self, rules: &BreakerRules, generation: u64, me: Holder, now: u64) -> Lease {
        let serial = self.serial.fetch_add(1, Relaxed) & ((1 << SERIAL_BITS) - 1);
        let tag = generation << SERIAL_BITS | serial;
        Lease::new(me, now, rules.probe_expires, tag)
    }

    /// Says how a call went: `ok` is None for one that tells nothing, as it was cancelled. `duration` is in
    /// nanoseconds; `now` is asked for where the moment matters.
    #[inline]
    pub fn record(
        &self,
        rules: &BreakerRules,
        me: Holder,
        permit: Permit,
        ok: Option<bool>,
        duration: u64,
        now: impl FnOnce() -> u64,
    ) -> Option<Change> {
        let is_slow = rules.slow_after > 0 && duration >= rules.slow_after;
        match permit {
            Permit::Ghost => None,
            Permit::Probe(number, stub) => {
                let has_failed = ok.map(|ok| !ok || is_slow && rules.slow_rate > 0);
                self.answer(rules, number, Lease::of(me, stub), has_failed, now)
            }
            Permit::Call(generation) => {
                let word = self.word();
                let counts = word.state() == State::Closed
                    && word.generation() == generation
                    && word.mode() != Mode::Disabled;
                let ok = ok.filter(|_| counts)?;
                if rules.window == Window::Consecutive {
                    if ok && word.failures_in_a_row() == 0 {
                        return None;
                    }
                    return self.count_in_a_row(rules, word, ok, now);
                }
                self.count(rules, word, !ok, is_slow, now())
            }
        }
    }

    fn count_in_a_row(
        &self,
        rules: &BreakerRules,
        word: Word,
        ok: bool,
        now: impl FnOnce() -> u64,
    ) -> Option<Change> {
        let mut seen = word;
        while seen.state() == State::Closed && seen.generation() == word.generation() {
            let count = if ok { 0 } else { seen.failures_in_a_row() + 1 };
            if count >= rules.failure_threshold && !ok {
                return self.open(rules, word.generation(), now());
            }
            match self.swap(seen, seen.with_failures_in_a_row(count)) {
                Ok(()) => break,
                Err(other) => seen = other,
            }
        }
        None
    }

    fn count(
        &self,
        rules: &BreakerRules,
        word: Word,
        has_failed: bool,
        is_slow: bool,
        now: u64,
    ) -> Option<Change> {
        let generation = word.generation();
        self.outcomes
            .add(rules.window, generation, has_failed, is_slow, now);
        let tally = self.outcomes.tally(rules.window, generation, now);
        if rules.is_too_much(tally) {
            self.open(rules, generation, now)
        } else {
            None
        }
    }

    /// Opens a closed breaker of this generation; None if somebody has done it before.
    #[cold]
    fn open(&self, rules: &BreakerRules, generation: u64, now: u64) -> Option<Change> {
        let mut seen = self.word();
        while seen.state() == State::Closed && seen.generation() == generation {
            let next = seen.next(State::Open);
            match self.swap(seen, next) {
                Ok(()) => {
                    self.until.of(next.generation(), now, rules.open_for);
                    return Some(Change::between(seen, next));
                }
                Err(other) => seen = other,
            }
        }
        None
    }

    /// Counts the answer of a probe, if it is still its holder's, and ends it.
    #[cold]
    fn answer(
        &self,
        rules: &BreakerRules,
        number: usize,
        mine: Lease,
        has_failed: Option<bool>,
        now: impl FnOnce() -> u64,
    ) -> Option<Change> {
        if number >= PROBES || self.leases[number].load(Acquire) != mine.0 {
            return None;
        }
        let change = self.end_probe(number, mine, |word| {
            let word = word.without_probe(number);
            match has_failed {
                None => word,
                Some(false) if word.successes() + 1 >= rules.success_threshold => {
                    word.next(State::Closed)
                }
                Some(false) => word.with_success(),
                Some(true) if word.failures() >= rules.probe_failures => word.next(State::Open),
                Some(true) => word.with_failure(),
            }
        });
        if let Some(change) = change
            && change.to == State::Open
        {
            self.until.of(change.generation, now(), rules.open_for);
        }
        self.leave_lease(number, mine);
        change
    }

    /// Changes the word for a probe whose lease the caller owns, if its generation lasts and its bit is set.
    fn end_probe(
        &self,
        number: usize,
        mine: Lease,
        ended: impl Fn(Word) -> Word,
    ) -> Option<Change> {
        let mut seen = self.word();
        while seen.state() == State::HalfOpen
            && is_of(mine, seen.generation())
            && seen.has_probe(number)
        {
            let next = ended(seen);
            match self.swap(seen, next) {
                Ok(()) if next.generation() != seen.generation() => {
                    return Some(Change::between(seen, next));
                }
                Ok(()) => break,
                Err(other) => seen = other,
            }
        }
        None
    }

    /// Remembers that a call succeeded: a load, and once after each look a store.
    #[inline]
    pub fn note_success(&self) {
        if self.succeeded.load(Relaxed) != SINCE_LOOK {
            self.succeeded.store(SINCE_LOOK, Relaxed);
        }
    }

    /// Nanoseconds since a call was last known to have succeeded, if one ever was.
    pub fn success_age(&self, now: u64) -> Option<u64> {
        match self.succeeded.load(Relaxed) {
            0 => None,
            SINCE_LOOK => Some(0),
            at => Some(now.saturating_sub(at)),
        }
    }

    /// Puts a date to the successes since the last look. By who speaks for the machine, now and then.
    pub fn look_for_success(&self, now: u64) {
        let at = now.max(SINCE_LOOK + 1);
        // In vain if there were none.
        let _ = self
            .succeeded
            .compare_exchange(SINCE_LOOK, at, Relaxed, Relaxed);
    }

    /// Whether the state began because others said so.
    pub fn is_followed(&self) -> bool {
        self.followed.load(Relaxed) == self.word().generation() + 1
    }

    /// Opens a closed breaker of this generation for `open_for` nanoseconds, or begins an open one's time anew,
    /// because others say so.
    #[cold]
    pub fn follow_open(&self, generation: u64, open_for: u64, now: u64) -> Option<Change> {
        self.follow(generation, State::Open, open_for, now)
    }

    /// Closes a breaker that is open because others said so.
    #[cold]
    pub fn follow_closed(&self, generation: u64, now: u64) -> Option<Change> {
        let may = self.word().state() == State::Open && self.is_followed();
        may.then(|| self.follow(generation, State::Closed, 0, now))
            .flatten()
    }

    fn follow(&self, generation: u64, to: State, open_for: u64, now: u64) -> Option<Change> {
        let mut seen = self.word();
        while seen.generation() == generation && seen.state() != State::HalfOpen {
            let next = seen.next(to);
            match self.swap(seen, next) {
                Ok(()) => {
                    self.followed.store(next.generation() + 1, Relaxed);
                    self.until.of(next.generation(), now, open_for);
                    return Some(Change::between(seen, next));
                }
                Err(other) => seen = other,
            }
        }
        None
    }

    /// Sets the mode, and says which it was.
    pub fn set_mode(&self, mode: Mode) -> Mode {
        let mut seen = self.word();
        loop {
            match self.swap(seen, seen.with_mode(mode)) {
                Ok(()) => return seen.mode(),
                Err(other) => seen = other,
            }
        }
    }

    /// Closes it, with an empty window; the mode stays.
    pub fn reset(&self, now: u64) -> Option<Change> {
        let mut seen = self.word();
        loop {
            let next = seen.next(State::Closed);
            match self.swap(seen, next) {
                Ok(()) => {
                    // So that what is written there is never far behind.
                    self.until.of(next.generation(), now, 0);
                    return (seen.state() != State::Closed).then(|| Change::between(seen, next));
                }
                Err(other) => seen = other,
            }
        }
    }

    fn swap(&self, from: Word, to: Word) -> Result<(), Word> {
        self.word
            .compare_exchange(from.0, to.0, AcqRel, Acquire)
            .map(|_| ())
            .map_err(Word)
    }

    fn own(&self, number: usize, from: Lease, to: Lease) -> bool {
        self.leases[number]
            .compare_exchange(from.0, to.0, AcqRel, Relaxed)
            .is_ok()
    }

    fn leave_lease(&self, number: usize, mine: Lease) {
        // In vain if it has expired and is another's.
        self.own(number, mine, Lease::FREE);
    }
}

/// Whether a lease is of this generation of the word, by its lower bits.
const fn is_of(lease: Lease, generation: u64) -> bool {
    (lease.tag() >> SERIAL_BITS) & 0xfff == generation & 0xfff
}

/// Whether one more may be out, and could still decide something.
const fn may_probe(rules: &BreakerRules, word: Word) -> bool {
    let out = word.probes().count_ones();
    let most = rules.success_threshold + rules.probe_failures;
    (out as usize) < rules.probes && out + word.successes() + word.failures() < most
}

//! The breaker's and the ledger's compare-and-swaps under loom.
//!
//! Each of these changes was tried, and seen by the models named:
//!
//! | change | red |
//! |---|---|
//! | `may_probe` always true | one of two probes, a dead holder's probe, what a probe did |
//! | `begin_probe` sets its bit without `may_probe` | one of two probes, a dead holder's probe |
//! | `open` looks at neither state nor generation | one of two failures |
//! | nobody is ever dead | a dead holder's probe, a dead holder's permit |
//! | everybody is dead | both, one of two probes, what a probe did, a permit has one holder |
//! | a probe's lease is stored, not swapped | one of two probes, a dead holder's probe |
//! | the word is swapped Relaxed, or swapped Release and read Relaxed | what a probe did |
//! | the ledger is swapped Relaxed, only Acquire, or only Release | a permit has one holder |
//! | the rate is stored, not swapped | a rate of one |
//!
//! These were tried too, and no model here sees them: the word read Relaxed or swapped Release, as one makes
//! up for the other; a probe's lease swapped Relaxed, as the word orders what a probe did; a lease that is not
//! given back, as there is another one; in `begin_probe` and `end_probe` the look at the probe's own bit, and in
//! the latter at the generation.
#![cfg(penstock_loom)]

use loom::{
    model::Builder,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};
use penstock_core::resilience::{
    Everybody, Holder, Lives,
    breaker::{Breaker, BreakerRules, Permit, State, Window},
    ledger::Ledger,
    rate::{Grant, Rate, RateRules},
};

fn model(body: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.max_branches = 20_000;
    builder.preemption_bound = builder.preemption_bound.or(Some(2));
    builder.check(body);
}

const RULES: BreakerRules = BreakerRules {
    window: Window::Consecutive,
    failure_threshold: 1,
    failure_rate: 0,
    slow_rate: 0,
    slow_after: 0,
    min_calls: 1,
    open_for: 100,
    probes: 1,
    success_threshold: 1,
    probe_failures: 0,
    probe_expires: 0,
};

const ONE: Holder = Holder::new(1, 1);
const TWO: Holder = Holder::new(2, 1);
const LATER: u64 = 1_000;

struct Dead(usize);

impl Lives for Dead {
    fn is_dead(&self, holder: Holder) -> bool {
        holder.row() == self.0
    }
}

fn ask(breaker: &Breaker, rules: &BreakerRules, me: Holder, lives: &impl Lives) -> Option<Permit> {
    breaker.acquire(rules, me, || LATER, lives).0
}

fn opened(rules: &BreakerRules) -> Arc<Breaker> {
    let breaker = Arc::new(Breaker::default());
    let permit = breaker.acquire(rules, ONE, || 0, &Everybody).0.unwrap();
    let change = breaker.record(rules, ONE, permit, Some(false), 0, || 0);
    assert_eq!(change.unwrap().to, State::Open);
    breaker
}

#[test]
fn of_two_that_ask_one_is_the_probe() {
    model(|| {
        let breaker = opened(&RULES);
        let other = {
            let breaker = Arc::clone(&breaker);
            thread::spawn(move || ask(&breaker, &RULES, TWO, &Everybody).is_some())
        };
        let mine = ask(&breaker, &RULES, ONE, &Everybody).is_some();
        assert!(mine != other.join().unwrap(), "exactly one");
        assert_eq!(breaker.word().probes().count_ones(), 1);
    });
}

#[test]
fn of_two_failures_one_opens_it() {
    model(|| {
        let breaker = Arc::new(Breaker::default());
        let fail = |breaker: &Breaker, me| {
            let permit = breaker.acquire(&RULES, me, || 0, &Everybody).0;
            permit.is_some_and(|permit| {
                breaker
                    .record(&RULES, me, permit, Some(false), 0, || 0)
                    .is_some()
            })
        };
        let other = {
            let breaker = Arc::clone(&breaker);
            thread::spawn(move || fail(&breaker, TWO))
        };
        let mine = fail(&breaker, ONE);
        assert!(mine != other.join().unwrap());
        let word = breaker.word();
        assert_eq!((word.state(), word.generation()), (State::Open, 1));
    });
}

/// A dead holder's probe is wanted by two at once, while one of them gives its own back.
#[test]
fn a_dead_holders_probe_goes_to_one() {
    model(|| {
        let breaker = opened(&RULES);
        let lost = ask(&breaker, &RULES, Holder::new(3, 1), &Everybody);
        assert!(lost.is_some());
        let other = {
            let breaker = Arc::clone(&breaker);
            thread::spawn(move || ask(&breaker, &RULES, TWO, &Dead(3)))
        };
        let mine = ask(&breaker, &RULES, ONE, &Dead(3));
        let theirs = other.join().unwrap();
        assert!(!(mine.is_some() && theirs.is_some()), "never both");
        // Both may have been in each other's way; then it is there for the next.
        if mine.is_none() && theirs.is_none() {
            assert!(ask(&breaker, &RULES, ONE, &Dead(3)).is_some());
        }
        assert_eq!(breaker.word().probes().count_ones(), 1);
    });
}

/// A probe that gives up, and one that asks meanwhile.
#[test]
fn what_a_probe_did_comes_before_the_next_one() {
    model(|| {
        let breaker = opened(&RULES);
        let seen = Arc::new(AtomicU64::new(0));
        let permit = ask(&breaker, &RULES, ONE, &Everybody).unwrap();
        let other = {
            let (breaker, seen) = (Arc::clone(&breaker), Arc::clone(&seen));
            thread::spawn(move || {
                if ask(&breaker, &RULES, TWO, &Everybody).is_some() {
                    assert_eq!(seen.load(Ordering::Relaxed), 1, "the first was done");
                }
            })
        };
        seen.store(1, Ordering::Relaxed);
        breaker.record(&RULES, ONE, permit, None, 0, || LATER);
        other.join().unwrap();
        let left = breaker.word().probes().count_ones();
        if left == 0 {
            assert!(ask(&breaker, &RULES, ONE, &Everybody).is_some(), "no wedge");
        }
    });
}

#[test]
fn two_probes_close_it_once() {
    const BOTH: BreakerRules = BreakerRules {
        probes: 2,
        success_threshold: 2,
        ..RULES
    };
    model(|| {
        let breaker = opened(&BOTH);
        let first = ask(&breaker, &BOTH, ONE, &Everybody).unwrap();
        let second = ask(&breaker, &BOTH, TWO, &Everybody).unwrap();
        let other = {
            let breaker = Arc::clone(&breaker);
            thread::spawn(move || breaker.record(&BOTH, TWO, second, Some(true), 0, || LATER))
        };
        let mine = breaker.record(&BOTH, ONE, first, Some(true), 0, || LATER);
        assert!(mine.is_some() != other.join().unwrap().is_some());
        assert_eq!(breaker.word().state(), State::Closed);
    });
}

#[test]
fn a_permit_has_one_holder_and_hands_over_what_was_done() {
    model(|| {
        let ledger = Arc::new(Ledger::default());
        let inside = Arc::new(AtomicU64::new(0));
        let visit = |ledger: &Ledger, inside: &AtomicU64, me| {
            if let Some(seat) = ledger.acquire(1, 0, me, 0, &Everybody) {
                // Relaxed: the permit orders them.
                let before = inside.load(Ordering::Relaxed);
                inside.store(before + 1, Ordering::Relaxed);
                assert!(ledger.release(seat, me));
                return 1;
            }
            0
        };
        let other = {
            let (ledger, inside) = (Arc::clone(&ledger), Arc::clone(&inside));
            thread::spawn(move || visit(&ledger, &inside, TWO))
        };
        let mine = visit(&ledger, &inside, ONE);
        let visits = mine + other.join().unwrap();
        assert_eq!(inside.load(Ordering::Relaxed), visits);
        assert!(visits >= 1 && ledger.out(1) == 0);
    });
}

#[test]
fn a_dead_holders_permit_goes_to_one() {
    model(|| {
        let ledger = Arc::new(Ledger::default());
        assert!(
            ledger
                .acquire(1, 0, Holder::new(3, 1), 0, &Everybody)
                .is_some()
        );
        let other = {
            let ledger = Arc::clone(&ledger);
            thread::spawn(move || ledger.acquire(1, 0, TWO, 0, &Dead(3)).is_some())
        };
        let mine = ledger.acquire(1, 0, ONE, 0, &Dead(3)).is_some();
        assert!(mine != other.join().unwrap());
    });
}

#[test]
fn a_rate_of_one_grants_one() {
    model(|| {
        let rules = RateRules::new(1.0, 1_000, 1).unwrap();
        let rate = Arc::new(Rate::default());
        let other = {
            let rate = Arc::clone(&rate);
            thread::spawn(move || rate.acquire(&rules, 1, 0, 0) == Grant::Now)
        };
        let mine = rate.acquire(&rules, 1, 0, 0) == Grant::Now;
        assert!(mine != other.join().unwrap());
    });
}

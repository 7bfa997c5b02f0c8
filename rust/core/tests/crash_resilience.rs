//! A process is killed before each of its stores in turn, while it holds a probe, a permit, or is about to: the next
//! one finds no wedge.
#![cfg(penstock_failpoints)]

mod forked;
mod states;

use std::time::Instant;

use forked::{Child, code};
use penstock_core::{
    failpoints,
    resilience::{
        breaker::{Breaker, BreakerRules, Permit, State, Window},
        home::Handle,
        ledger::Ledger,
    },
};
use states::{LONG, handle, unique};

const RULES: BreakerRules = BreakerRules {
    window: Window::Count(20),
    failure_threshold: 3,
    failure_rate: 0,
    slow_rate: 0,
    slow_after: 0,
    min_calls: 1,
    open_for: 1_000_000,
    probes: 2,
    success_threshold: 2,
    probe_failures: 0,
    probe_expires: 0,
};

fn ask(breaker: &Handle<Breaker>, now: u64) -> Option<Permit> {
    let here = breaker.here().unwrap();
    here.state().acquire(&RULES, here.me(), || now, here).0
}

fn say(breaker: &Handle<Breaker>, permit: Permit, ok: Option<bool>, now: u64) {
    let here = breaker.here().unwrap();
    let me = here.me();
    here.state().record(&RULES, me, permit, ok, 0, || now);
}

/// Runs the script in a child that is killed before its `number`-th store; whether it was.
fn killed(number: u64, script: impl FnOnce()) -> bool {
    let child = Child::run(|| {
        failpoints::arm(number, libc::SIGKILL);
        script();
        assert!(failpoints::disarm(), "it should have been killed");
    });
    let status = child.wait(0);
    if libc::WIFSIGNALED(status) {
        return true;
    }
    assert_eq!(code(status), 0);
    false
}

/// Opens it if it is closed, probes it, and closes it.
fn round(breaker: &Handle<Breaker>, now: u64) {
    for _ in 0..RULES.failure_threshold {
        if let Some(permit) = ask(breaker, now) {
            say(breaker, permit, Some(false), now);
        }
    }
    let later = now + RULES.open_for;
    let start = Instant::now();
    let mut probes = Vec::new();
    while breaker.here().unwrap().state().word().state() != State::Closed {
        assert!(
            start.elapsed() < LONG,
            "wedged: {:?}",
            breaker.here().unwrap().state().word()
        );
        // As many as may be out, and then their answers.
        match ask(breaker, later) {
            Some(permit) => probes.push(permit),
            None => probes
                .drain(..)
                .for_each(|permit| say(breaker, permit, Some(true), later)),
        }
    }
}

#[test]
fn a_breaker_is_never_wedged() {
    let name = unique("crash");
    let breaker = handle::<Breaker>(&name);
    let mut number = 1;
    let mut now = 0;
    while killed(number, || {
        let breaker = handle::<Breaker>(&name);
        round(&breaker, now);
        let permit = ask(&breaker, now).unwrap();
        say(&breaker, permit, None, now);
        for _ in 0..RULES.failure_threshold {
            let permit = ask(&breaker, now).unwrap();
            say(&breaker, permit, Some(false), now);
        }
        let probe = ask(&breaker, now + RULES.open_for).unwrap();
        say(&breaker, probe, None, now);
        let probe = ask(&breaker, now + RULES.open_for).unwrap();
        say(&breaker, probe, Some(false), now);
    }) {
        now += 10 * RULES.open_for;
        round(&breaker, now);
        assert!(ask(&breaker, now).is_some());
        now += 10 * RULES.open_for;
        number += 1;
    }
    assert!(number > 30, "only {number} places");
}

#[test]
fn a_permit_is_never_lost() {
    let name = unique("crash");
    let permits = handle::<Ledger>(&name);
    let take = |permits: &Handle<Ledger>| {
        let here = permits.here().unwrap();
        here.state().acquire(2, 0, here.me(), 0, here)
    };
    let mut number = 1;
    while killed(number, || {
        let permits = handle::<Ledger>(&name);
        let (one, _two) = (take(&permits).unwrap(), take(&permits).unwrap());
        let here = permits.here().unwrap();
        assert!(here.state().release(one, here.me()));
    }) {
        let start = Instant::now();
        let mut seats = Vec::new();
        while seats.len() < 2 {
            seats.extend(take(&permits));
            assert!(start.elapsed() < LONG, "{} of 2 permits", seats.len());
        }
        assert!(take(&permits).is_none(), "one too many");
        let here = permits.here().unwrap();
        for seat in seats {
            assert!(here.state().release(seat, here.me()));
        }
        number += 1;
    }
    assert!(number > 5, "only {number} places");
}

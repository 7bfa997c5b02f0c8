//! States of resilience by a name that no other test has.
#![allow(
    dead_code,
    reason = "each test file is a crate of its own and uses what it needs"
)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use penstock_core::resilience::{
    breaker::{Breaker, BreakerRules, Permit, State, Window},
    definition::Definition,
    home::{Handle, Home},
    table::State as Shared,
};

use crate::forked::Ledger;

/// A ceiling against hangs, nothing else.
pub(crate) const LONG: Duration = Duration::from_secs(300);

/// Waits until a word that the test's processes share has become so large.
pub(crate) fn wait(board: &Ledger, number: usize, least: u64) {
    let start = Instant::now();
    while board.get(number) < least {
        let value = board.get(number);
        assert!(start.elapsed() < LONG, "word {number} stays at {value}");
        thread::sleep(Duration::from_micros(50));
    }
}

pub(crate) fn unique(what: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("test-{what}-{}-{number}", std::process::id())
}

pub(crate) fn home<T: Shared>(name: &str) -> Arc<Home<T>> {
    let definition = Definition::new([("test", "1".to_owned())]);
    Home::new(Some(name.to_owned()), definition, |_: &T| ())
}

pub(crate) fn handle<T: Shared>(name: &str) -> Handle<T> {
    home(name).handle("").unwrap()
}

pub(crate) const RULES: BreakerRules = BreakerRules {
    window: Window::Consecutive,
    failure_threshold: 3,
    failure_rate: 0,
    slow_rate: 0,
    slow_after: 0,
    min_calls: 1,
    open_for: 1_000_000,
    probes: 5,
    success_threshold: 5,
    probe_failures: 0,
    probe_expires: 0,
};

pub(crate) fn ask(breaker: &Handle<Breaker>, now: u64) -> Option<Permit> {
    let here = breaker.here().unwrap();
    here.state().acquire(&RULES, here.me(), || now, here).0
}

pub(crate) fn say(breaker: &Handle<Breaker>, permit: Permit, ok: Option<bool>, now: u64) {
    let here = breaker.here().unwrap();
    let me = here.me();
    here.state().record(&RULES, me, permit, ok, 0, || now);
}

pub(crate) fn open(breaker: &Handle<Breaker>) {
    for _ in 0..RULES.failure_threshold {
        let permit = ask(breaker, 0).unwrap();
        say(breaker, permit, Some(false), 0);
    }
    assert_eq!(breaker.here().unwrap().state().word().state(), State::Open);
}

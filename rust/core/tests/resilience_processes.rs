//! Breakers, rates and permits that several processes share, some of which are killed.
#![cfg(not(any(penstock_loom, penstock_shuttle)))]

mod forked;
mod states;

use std::{sync::atomic::Ordering, thread, time::Instant};

use forked::{Child, Ledger};
use penstock_core::resilience::{
    breaker::{Breaker, State},
    definition::Definition,
    home::{Handle, Home},
    ledger::Ledger as Permits,
    rate::{Grant, Rate, RateRules},
};
use states::{LONG, RULES, ask, handle, open, say, unique, wait};

const PROCESSES: usize = 8;

#[test]
fn a_machine_lets_so_many_probes_through_in_a_million_tries() {
    let name = unique("probes");
    let breaker = handle::<Breaker>(&name);
    open(&breaker);
    let board = Ledger::new();
    let tries = 1_000_000 / PROCESSES as u64;
    let children: Vec<_> = (0..PROCESSES)
        .map(|_| {
            Child::run(|| {
                board.add(0, 1);
                wait(&board, 0, PROCESSES as u64);
                let now = RULES.open_for;
                let granted = (0..tries).filter(|_| ask(&breaker, now).is_some()).count();
                board.add(1, granted as u64);
                // Those that have probes out must live until all have tried.
                board.add(2, 1);
                wait(&board, 2, PROCESSES as u64);
            })
        })
        .collect();
    children.into_iter().for_each(Child::end);
    assert_eq!(board.get(1), RULES.probes as u64);
}

#[test]
fn what_opens_in_one_is_open_in_all() {
    let name = unique("open");
    let board = Ledger::new();
    let children: Vec<_> = (0..PROCESSES)
        .map(|_| {
            // Not inherited: each finds it by its name.
            Child::run(|| {
                let breaker = handle::<Breaker>(&name);
                board.add(0, 1);
                let start = Instant::now();
                while ask(&breaker, 0).is_some() {
                    assert!(start.elapsed() < LONG, "it never opens");
                    thread::yield_now();
                }
                board.add(1, 1);
                wait(&board, 1, PROCESSES as u64);
            })
        })
        .collect();
    wait(&board, 0, PROCESSES as u64);
    let breaker = handle::<Breaker>(&name);
    open(&breaker);
    children.into_iter().for_each(Child::end);
}

#[test]
fn a_killed_holders_probes_and_permits_are_given_to_the_next() {
    let name = unique("killed");
    let breaker = handle::<Breaker>(&name);
    let permits = handle::<Permits>(&name);
    open(&breaker);
    let board = Ledger::new();
    let now = RULES.open_for;
    let take = |permits: &Handle<Permits>| {
        let here = permits.here().unwrap();
        here.state().acquire(3, 0, here.me(), now, here)
    };
    let holder = Child::run(|| {
        for _ in 0..RULES.probes {
            assert!(ask(&breaker, now).is_some());
        }
        for _ in 0..3 {
            assert!(take(&permits).is_some());
        }
        board.add(0, 1);
        wait(&board, 1, 1);
    });
    wait(&board, 0, 1);
    assert!(ask(&breaker, now).is_none() && take(&permits).is_none());
    holder.kill();
    let start = Instant::now();
    let permit = loop {
        if let Some(permit) = ask(&breaker, now) {
            break permit;
        }
        assert!(start.elapsed() < LONG, "half-open is wedged");
    };
    while take(&permits).is_none() {
        assert!(start.elapsed() < LONG, "the permits are lost");
    }
    say(&breaker, permit, Some(true), now);
    for _ in 1..RULES.success_threshold {
        let permit = ask(&breaker, now).unwrap();
        say(&breaker, permit, Some(true), now);
    }
    assert_eq!(
        breaker.here().unwrap().state().word().state(),
        State::Closed
    );
    let here = permits.here().unwrap();
    assert_eq!(here.state().reclaim(now, here), 2, "nobody needed those");
    assert_eq!(here.state().out(3), 1);
}

#[test]
fn holders_killed_again_and_again_leave_no_wedge() {
    let name = unique("again");
    let breaker = handle::<Breaker>(&name);
    open(&breaker);
    let now = RULES.open_for;
    for round in 0..60u64 {
        let board = Ledger::new();
        let child = Child::run(|| {
            board.add(0, 1);
            loop {
                if let Some(permit) = ask(&breaker, now) {
                    say(&breaker, permit, None, now);
                }
            }
        });
        wait(&board, 0, 1);
        // Somewhere in between.
        for _ in 0..round * 50 {
            std::hint::spin_loop();
        }
        child.kill();
    }
    let start = Instant::now();
    let mut permits = Vec::new();
    while permits.len() < RULES.probes {
        permits.extend(ask(&breaker, now));
        assert!(
            start.elapsed() < LONG,
            "{} of its probes are there",
            permits.len()
        );
    }
    assert!(ask(&breaker, now).is_none());
    for permit in permits {
        say(&breaker, permit, Some(true), now);
    }
    assert_eq!(
        breaker.here().unwrap().state().word().state(),
        State::Closed
    );
}

#[test]
fn a_rate_is_kept_over_eight_processes() {
    let name = unique("rate");
    // Virtual time, which one process drives: what each was granted does not depend on the scheduler.
    let rules = RateRules::new(1_000.0, 1_000_000_000, 10).unwrap();
    let board = Ledger::new();
    let seconds = 1;
    let children: Vec<_> = (0..PROCESSES)
        .map(|_| {
            Child::run(|| {
                let rate = handle::<Rate>(&name);
                let here = rate.here().unwrap();
                board.add(0, 1);
                let mut granted = 0;
                loop {
                    let now = board.get(1);
                    if here.state().acquire(&rules, 1, 0, now) == Grant::Now {
                        granted += 1;
                    } else {
                        thread::yield_now();
                    }
                    if now >= seconds * 1_000_000_000 {
                        break;
                    }
                }
                board.add(2, granted);
            })
        })
        .collect();
    wait(&board, 0, PROCESSES as u64);
    let rate = handle::<Rate>(&name);
    // A call's worth at a time, and on when somebody has taken it.
    let start = Instant::now();
    for call in 0..=seconds * 1_000 {
        board.word(1).store(call * 1_000_000, Ordering::SeqCst);
        let taken = || {
            rate.here()
                .unwrap()
                .state()
                .available(&rules, call * 1_000_000)
                == 0
        };
        while call < seconds * 1_000 && !taken() {
            assert!(start.elapsed() < LONG, "nobody takes call {call}");
            thread::yield_now();
        }
    }
    children.into_iter().for_each(Child::end);
    let expected = seconds * 1_000 + 10;
    let granted = board.get(2);
    assert!(
        granted.abs_diff(expected) * 100 <= expected,
        "{granted} of {expected}"
    );
}

#[test]
fn a_forked_child_takes_part_as_itself() {
    let name = unique("fork");
    let permits = handle::<Permits>(&name);
    let here = permits.here().unwrap();
    let seat = here.state().acquire(2, 0, here.me(), 0, here).unwrap();
    let me = here.me();
    let child = Child::run(|| {
        let here = permits.here().unwrap();
        assert_ne!(here.me(), me, "a row of its own");
        assert!(!here.state().release(seat, here.me()), "the parent's");
        assert!(here.state().acquire(2, 0, here.me(), 0, here).is_some());
        assert!(here.state().acquire(2, 0, here.me(), 0, here).is_none());
    });
    child.end();
    // It has ended without a word, with a permit.
    let start = Instant::now();
    while here.state().acquire(2, 0, here.me(), 0, here).is_none() {
        assert!(start.elapsed() < LONG);
    }
    assert!(here.state().release(seat, here.me()));
    assert_eq!(permits.home().members(), [std::process::id()]);
}

#[test]
fn a_forked_childs_private_state_is_fresh() {
    let definition = Definition::new([("test", "1".to_owned())]);
    let permits = Home::new(None, definition, |_: &Permits| ())
        .handle("")
        .unwrap();
    let take = || {
        let here = permits.here().unwrap();
        here.state().acquire(1, 0, here.me(), 0, here)
    };
    assert!(take().is_some() && take().is_none());
    let child = Child::run(|| assert!(take().is_some()));
    child.end();
    assert!(take().is_none());
}

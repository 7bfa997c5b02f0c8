//! What the states that a machine shares cost, and how soon and how exactly they are shared:
//! `cargo run --release --example resilience_rates`.
//!
//! Eight forked processes find each state by its name. Of a breaker: the time of a call that it lets through, alone
//! and with all at it; and how long after the failure that opens it the last of them is refused. Of a rate: its
//! cost, and what was granted in a second beside what should be.
#![cfg(not(any(penstock_loom, penstock_shuttle)))]
#![allow(clippy::print_stdout)]

use std::{
    ptr,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

use penstock_core::{
    clock,
    resilience::{
        breaker::{Breaker, BreakerRules, WHOLE, Window},
        definition::Definition,
        home::{Handle, Home},
        rate::{Grant, Rate, RateRules},
        table::State,
    },
};

const PROCESSES: usize = 8;
const CALLS: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;

const RULES: BreakerRules = BreakerRules {
    window: Window::Count(100),
    failure_threshold: 0,
    failure_rate: WHOLE / 2,
    slow_rate: WHOLE,
    slow_after: SECOND,
    min_calls: 100,
    open_for: 60 * SECOND,
    probes: 1,
    success_threshold: 1,
    probe_failures: 0,
    probe_expires: 0,
};

fn handle<T: State>(name: &str) -> Handle<T> {
    let definition = Definition::new([("bench", "1".to_owned())]);
    let name = format!("bench-{}-{name}", std::process::id());
    let home = Home::new(Some(name), definition, |_: &T| ());
    home.handle("").unwrap()
}

fn call(breaker: &Handle<Breaker>, ok: bool) -> bool {
    let here = breaker.here().unwrap();
    let me = here.me();
    let (permit, _) = here.state().acquire(&RULES, me, clock::monotonic, here);
    let Some(permit) = permit else {
        return false;
    };
    here.state()
        .record(&RULES, me, permit, Some(ok), 0, clock::monotonic);
    true
}

/// Words that all processes see.
fn board() -> &'static [AtomicU64] {
    let (read, write) = (libc::PROT_READ, libc::PROT_WRITE);
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping, checked, that is never unmapped; zeros are valid words.
    unsafe {
        let at = libc::mmap(ptr::null_mut(), 4096, read | write, flags, -1, 0);
        assert_ne!(at, libc::MAP_FAILED);
        std::slice::from_raw_parts(at.cast(), 64)
    }
}

/// Runs `script` in so many children at once, and waits for all.
fn together(script: impl Fn(usize)) {
    let start = &board()[0];
    let children: Vec<_> = (0..PROCESSES)
        .map(|number| {
            // SAFETY: the child runs the script and ends.
            let pid = unsafe { libc::fork() };
            if pid == 0 {
                start.fetch_add(1, Ordering::SeqCst);
                while start.load(Ordering::SeqCst) < PROCESSES as u64 {
                    thread::yield_now();
                }
                script(number);
                // SAFETY: as above.
                unsafe { libc::_exit(0) };
            }
            pid
        })
        .collect();
    for pid in children {
        let mut status = 0;
        // SAFETY: a child that nobody else waits for.
        unsafe { libc::waitpid(pid, &raw mut status, 0) };
        assert_eq!(status, 0);
    }
}

/// CPU time of the calling process, in nanoseconds.
fn used() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is ours to write.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    time.tv_sec as u64 * SECOND + time.tv_nsec as u64
}

fn per_call(calls: u64, body: impl Fn()) -> u64 {
    let before = used();
    (0..calls).for_each(|_| body());
    (used() - before) / calls
}

fn main() {
    let breaker = handle::<Breaker>("cost");
    let alone = per_call(CALLS, || assert!(call(&breaker, true)));
    let times = board();
    together(|number| {
        let cost = per_call(CALLS, || assert!(call(&breaker, true)));
        times[number].store(cost, Ordering::SeqCst);
    });
    let costs = times[..PROCESSES]
        .iter()
        .map(|it| it.load(Ordering::SeqCst));
    let worst = costs.max().unwrap_or(0);
    println!(
        "breaker, window of 100, slow calls: {alone} ns alone, {worst} ns at most with {PROCESSES} at it"
    );

    let opened = board();
    let seen = board();
    let breaker = handle::<Breaker>("open");
    together(|number| {
        if number == 0 {
            // The others are asking by then.
            thread::sleep(Duration::from_millis(50));
            while call(&breaker, false) {
                opened[0].store(clock::monotonic(), Ordering::SeqCst);
            }
            return;
        }
        loop {
            let here = breaker.here().unwrap();
            let asked = here
                .state()
                .acquire(&RULES, here.me(), clock::monotonic, here);
            if asked.0.is_none() {
                seen[number].store(clock::monotonic(), Ordering::SeqCst);
                return;
            }
            thread::sleep(Duration::from_micros(100));
        }
    });
    let at = opened[0].load(Ordering::SeqCst);
    let last = seen[1..PROCESSES]
        .iter()
        .map(|it| it.load(Ordering::SeqCst));
    let late = last.max().unwrap_or(0).saturating_sub(at);
    println!(
        "breaker: the last of {PROCESSES} is refused {} µs after the failure that opened it",
        late / 1_000
    );

    let rules = RateRules::new(100_000.0, SECOND, 1_000).unwrap();
    let rate = handle::<Rate>("rate");
    let (granted, cost) = (board(), board());
    together(|number| {
        let here = rate.here().unwrap();
        let begin = clock::monotonic();
        let before = used();
        let (mut mine, mut asked) = (0, 0);
        loop {
            let now = clock::monotonic();
            if now - begin >= SECOND {
                break;
            }
            asked += 1;
            mine += u64::from(here.state().acquire(&rules, 1, 0, now) == Grant::Now);
        }
        granted[number].store(mine, Ordering::SeqCst);
        cost[number].store((used() - before) / asked.max(1), Ordering::SeqCst);
    });
    let all: u64 = granted[..PROCESSES]
        .iter()
        .map(|it| it.load(Ordering::SeqCst))
        .sum();
    let worst = cost[..PROCESSES]
        .iter()
        .map(|it| it.load(Ordering::SeqCst))
        .max();
    println!(
        "rate of 100,000 a second, burst of 1,000: {all} granted in one second by {PROCESSES}, {} ns each",
        worst.unwrap_or(0)
    );
}

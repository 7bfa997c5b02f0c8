//! Breakers, rates and permits that several processes share, some of which are killed.
#![cfg(not(any(penstock_loom, penstock_shuttle)))]

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    ptr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use penstock_core::{
    clock,
    resilience::{
        breaker::{Breaker, BreakerRules, Permit, State, Window},
        definition::Definition,
        home::{Handle, Home},
        ledger::Ledger,
        rate::{Grant, Rate, RateRules},
        table::{State as Shared, Table, TableError},
    },
};

/// A ceiling against hangs, nothing else.
const LONG: Duration = Duration::from_secs(60);
const PROCESSES: usize = 8;

struct Child(i32);

impl Child {
    fn run(script: impl FnOnce()) -> Self {
        // SAFETY: the child runs the script and ends.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0);
        if pid == 0 {
            let outcome = catch_unwind(AssertUnwindSafe(script));
            // SAFETY: as above.
            unsafe { libc::_exit(i32::from(outcome.is_err())) };
        }
        Self(pid)
    }

    fn kill(&self) {
        // SAFETY: a child of this process that nobody has reaped.
        unsafe { libc::kill(self.0, libc::SIGKILL) };
    }

    fn status(self) -> i32 {
        let mut status = 0;
        // SAFETY: as above.
        assert_eq!(unsafe { libc::waitpid(self.0, &raw mut status, 0) }, self.0);
        std::mem::forget(self);
        status
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
        // SAFETY: as above.
        unsafe { libc::waitpid(self.0, ptr::null_mut(), 0) };
    }
}

/// Words that the test's processes count in.
struct Board(ptr::NonNull<AtomicU64>);

// SAFETY: atomics in memory that is never unmapped.
unsafe impl Send for Board {}
// SAFETY: as above.
unsafe impl Sync for Board {}

impl Board {
    fn new() -> Self {
        // SAFETY: a new shared mapping, checked.
        let at = unsafe {
            libc::mmap(
                ptr::null_mut(),
                4096,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(at, libc::MAP_FAILED);
        Self(ptr::NonNull::new(at.cast()).unwrap())
    }

    fn word(&self, number: usize) -> &AtomicU64 {
        assert!(number < 512);
        // SAFETY: inside the mapping.
        unsafe { self.0.add(number).as_ref() }
    }

    fn add(&self, number: usize, count: u64) {
        self.word(number).fetch_add(count, Ordering::SeqCst);
    }

    fn get(&self, number: usize) -> u64 {
        self.word(number).load(Ordering::SeqCst)
    }

    fn wait(&self, number: usize, least: u64) {
        let start = Instant::now();
        while self.get(number) < least {
            assert!(
                start.elapsed() < LONG,
                "word {number} stays at {}",
                self.get(number)
            );
            thread::sleep(Duration::from_micros(50));
        }
    }
}

fn unique(what: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("test-{what}-{}-{number}", std::process::id())
}

fn home<T: Shared>(name: &str) -> Arc<Home<T>> {
    let definition = Definition::new([("test", "1".to_owned())]);
    Home::new(Some(name.to_owned()), definition, |_: &T| ())
}

fn handle<T: Shared>(name: &str) -> Handle<T> {
    home(name).handle("").unwrap()
}

const RULES: BreakerRules = BreakerRules {
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

fn ask(breaker: &Handle<Breaker>, now: u64) -> Option<Permit> {
    let here = breaker.here().unwrap();
    here.state().acquire(&RULES, here.me(), || now, here).0
}

fn say(breaker: &Handle<Breaker>, permit: Permit, ok: Option<bool>, now: u64) {
    let here = breaker.here().unwrap();
    let me = here.me();
    here.state().record(&RULES, me, permit, ok, 0, || now);
}

fn open(breaker: &Handle<Breaker>) {
    for _ in 0..RULES.failure_threshold {
        let permit = ask(breaker, 0).unwrap();
        say(breaker, permit, Some(false), 0);
    }
    assert_eq!(breaker.here().unwrap().state().word().state(), State::Open);
}

#[test]
fn a_machine_lets_so_many_probes_through_in_a_million_tries() {
    let name = unique("probes");
    let breaker = handle::<Breaker>(&name);
    open(&breaker);
    let board = Board::new();
    let tries = 1_000_000 / PROCESSES as u64;
    let children: Vec<_> = (0..PROCESSES)
        .map(|_| {
            Child::run(|| {
                board.add(0, 1);
                board.wait(0, PROCESSES as u64);
                let now = RULES.open_for;
                let granted = (0..tries).filter(|_| ask(&breaker, now).is_some()).count();
                board.add(1, granted as u64);
                // Those that have probes out must live until all have tried.
                board.add(2, 1);
                board.wait(2, PROCESSES as u64);
            })
        })
        .collect();
    for child in children {
        assert_eq!(child.status(), 0);
    }
    assert_eq!(board.get(1), RULES.probes as u64);
}

#[test]
fn what_opens_in_one_is_open_in_all() {
    let name = unique("open");
    let board = Board::new();
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
                board.wait(1, PROCESSES as u64);
            })
        })
        .collect();
    board.wait(0, PROCESSES as u64);
    let breaker = handle::<Breaker>(&name);
    open(&breaker);
    for child in children {
        assert_eq!(child.status(), 0);
    }
}

#[test]
fn a_killed_holders_probes_and_permits_are_given_to_the_next() {
    let name = unique("killed");
    let breaker = handle::<Breaker>(&name);
    let permits = handle::<Ledger>(&name);
    open(&breaker);
    let board = Board::new();
    let now = RULES.open_for;
    let take = |permits: &Handle<Ledger>| {
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
        board.wait(1, 1);
    });
    board.wait(0, 1);
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
    eprintln!("recovered after {:?}", start.elapsed());
    say(&breaker, permit, Some(true), now);
    for _ in 1..RULES.success_threshold {
        let permit = ask(&breaker, now).unwrap();
        say(&breaker, permit, Some(true), now);
    }
    assert_eq!(
        breaker.here().unwrap().state().word().state(),
        State::Closed
    );
    assert_eq!(permits.here().unwrap().state().out(3), 1);
}

#[test]
fn holders_killed_again_and_again_leave_no_wedge() {
    let name = unique("again");
    let breaker = handle::<Breaker>(&name);
    open(&breaker);
    let now = RULES.open_for;
    for round in 0..60u64 {
        let board = Board::new();
        let child = Child::run(|| {
            board.add(0, 1);
            loop {
                if let Some(permit) = ask(&breaker, now) {
                    say(&breaker, permit, None, now);
                }
            }
        });
        board.wait(0, 1);
        // Somewhere in between.
        for _ in 0..round * 50 {
            std::hint::spin_loop();
        }
        child.kill();
        child.status();
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
    let board = Board::new();
    let seconds = 3;
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
                    }
                    if now >= seconds * 1_000_000_000 {
                        break;
                    }
                }
                board.add(2, granted);
            })
        })
        .collect();
    board.wait(0, PROCESSES as u64);
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
    for child in children {
        assert_eq!(child.status(), 0);
    }
    let expected = seconds * 1_000 + 10;
    let granted = board.get(2);
    assert!(
        granted.abs_diff(expected) * 100 <= expected,
        "{granted} of {expected}"
    );
}

#[test]
fn another_definition_is_refused_by_name_while_somebody_takes_part() {
    let name = unique("definition");
    let first = handle::<Breaker>(&name);
    let definition = Definition::new([("test", "2".to_owned())]);
    let Err(TableError::Conflict {
        differences, pids, ..
    }) = Table::<Breaker>::join(&name, &definition).map(|_| ())
    else {
        panic!("two definitions of one breaker");
    };
    assert_eq!(differences, "test=2 here, 1 there");
    assert_eq!(pids, [std::process::id()]);
    first.home().leave();
    drop(first);
    let second = Table::<Breaker>::join(&name, &definition).unwrap();
    assert!(second.path().exists());
}

#[test]
fn the_last_one_removes_it_and_a_killed_one_is_found_out() {
    let name = unique("last");
    let first = handle::<Ledger>(&name);
    let path = Table::<Ledger>::join(&name, first.home().definition())
        .unwrap()
        .path()
        .to_owned();
    assert!(path.exists(), "one is left");
    drop(first);
    assert!(!path.exists());

    let board = Board::new();
    let child = Child::run(|| {
        let permits = handle::<Ledger>(&name);
        let here = permits.here().unwrap();
        assert!(here.state().acquire(1, 0, here.me(), 0, here).is_some());
        board.add(0, 1);
        board.wait(1, 1);
    });
    board.wait(0, 1);
    child.kill();
    child.status();
    assert!(path.exists(), "nobody could remove it");
    // Whoever makes another table removes it.
    let other = handle::<Rate>(&unique("other"));
    assert!(!path.exists());
    drop(other);
}

#[test]
fn a_state_does_not_outlive_all_that_made_it() {
    let name = unique("stale");
    let board = Board::new();
    let child = Child::run(|| {
        open(&handle::<Breaker>(&name));
        board.add(0, 1);
        board.wait(1, 1);
    });
    board.wait(0, 1);
    let witness = handle::<Breaker>(&name);
    assert!(ask(&witness, 0).is_none(), "it is open");
    drop(witness);
    child.kill();
    child.status();
    assert!(ask(&handle::<Breaker>(&name), 0).is_some(), "a new one");
}

#[test]
fn a_forked_child_takes_part_as_itself() {
    let name = unique("fork");
    let permits = handle::<Ledger>(&name);
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
    assert_eq!(child.status(), 0);
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
    let permits = Home::new(None, definition, |_: &Ledger| ())
        .handle("")
        .unwrap();
    let take = || {
        let here = permits.here().unwrap();
        here.state().acquire(1, 0, here.me(), 0, here)
    };
    assert!(take().is_some() && take().is_none());
    let child = Child::run(|| assert!(take().is_some()));
    assert_eq!(child.status(), 0);
    assert!(take().is_none());
}

#[test]
fn damaged_files_are_refused_and_unfinished_ones_replaced() {
    let name = unique("damaged");
    let table = Table::<Rate>::join(&name, &Definition::new([("a", "1".to_owned())])).unwrap();
    let path: PathBuf = table.path().to_owned();
    let definition = Definition::new([("a", "1".to_owned())]);
    let sound = fs::read(&path).unwrap();
    drop(table);
    for (at, what) in [
        (0, "magic"),
        (8, "version"),
        (12, "kind"),
        (16, "length"),
        (24, "size"),
        (32, "text"),
        (40, "digest"),
        (48, "checksum"),
        (128, "definition"),
    ] {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x55;
        write_private(&path, &bytes);
        let refused = Table::<Rate>::join(&name, &definition).map(|_| ());
        assert!(
            matches!(
                refused,
                Err(TableError::Damaged { .. } | TableError::Version { .. })
            ),
            "{what}: {refused:?}"
        );
    }
    write_private(&path, &sound[..100]);
    assert!(matches!(
        Table::<Rate>::join(&name, &definition),
        Err(TableError::Damaged { .. })
    ));
    write_private(&path, &vec![0; sound.len()]);
    let table = Table::<Rate>::join(&name, &definition).unwrap();
    assert_eq!(table.members(), [std::process::id()]);
}

#[test]
fn whatever_the_words_hold_nothing_breaks() {
    let name = unique("hostile");
    let breaker = handle::<Breaker>(&name);
    let permits = handle::<Ledger>(&name);
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..2_000 {
        scribble(breaker.here().unwrap().state(), &mut seed);
        scribble(permits.here().unwrap().state(), &mut seed);
        for now in [0, clock::monotonic(), 1 << 58] {
            if let Some(permit) = ask(&breaker, now) {
                say(&breaker, permit, Some(seed & 1 == 0), now);
            }
            let here = permits.here().unwrap();
            if let Some(seat) = here.state().acquire(1024, 0, here.me(), now, here) {
                assert!(here.state().release(seat, here.me()));
            }
        }
    }
}

fn scribble<T>(state: &T, seed: &mut u64) {
    let words = std::mem::size_of::<T>() / 8;
    let at = ptr::from_ref(state).cast::<AtomicU64>();
    for number in 0..words {
        *seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        // SAFETY: inside the state, which is atomic words only.
        unsafe { (*at.add(number)).store(*seed ^ *seed >> 29, Ordering::Relaxed) };
    }
}

fn write_private(path: &PathBuf, bytes: &[u8]) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

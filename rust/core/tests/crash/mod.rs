//! Scripts whose process is killed, or stopped, before each of its stores in turn.
#![allow(
    dead_code,
    reason = "each test file is a crate of its own and uses what it needs"
)]

use std::sync::Mutex;

use penstock_core::{
    failpoints,
    shm::queue::{Acknowledged, Queue, QueueError, Settings, Shutdown, Side},
};

use crate::{
    forked::{Child, Ledger, code},
    participants::{self, LONG, Received, TestQueue, put, sleep_until, without_leases},
};

/// What a child ends with that came to the end of its script before its number.
pub(crate) const THROUGH: i32 = 42;

/// One at a time: each forks, and looks at its children only.
pub(crate) static TURN: Mutex<()> = Mutex::new(());

/// Runs `script` in a child, which gets `signal` at its `number`-th store.
pub(crate) fn child(number: u64, signal: i32, script: impl FnOnce()) -> Child {
    Child::that_says(|| {
        failpoints::arm(number, signal);
        script();
        if failpoints::disarm() { THROUGH } else { 0 }
    })
}

/// Kills a child at each store of `script` in turn, each time in a world of its own, which `check` looks at
/// afterwards.
pub(crate) fn kill_at_every_store<W>(
    world: impl Fn() -> W,
    script: impl Fn(&W),
    check: impl Fn(&W, bool),
) {
    let _turn = TURN.lock();
    for number in 1.. {
        let world = world();
        let status = child(number, libc::SIGKILL, || script(&world)).wait(0);
        if libc::WIFSIGNALED(status) {
            assert_eq!(libc::WTERMSIG(status), libc::SIGKILL);
            check(&world, true);
            continue;
        }
        assert_eq!(code(status), THROUGH);
        check(&world, false);
        assert!(number > 20, "no script is as short as that");
        return;
    }
}

/// Stops a child at each store in turn; `meanwhile` runs while it is stopped, `check` when it has ended.
pub(crate) fn stop_at_every_store<W>(
    world: impl Fn() -> W,
    script: impl Fn(&W),
    meanwhile: impl Fn(&W),
    check: impl Fn(&W),
) {
    let _turn = TURN.lock();
    for number in 1.. {
        let world = world();
        let child = child(number, libc::SIGSTOP, || script(&world));
        let mut status = child.wait(libc::WUNTRACED);
        let is_stopped = libc::WIFSTOPPED(status);
        meanwhile(&world);
        if is_stopped {
            child.signal(libc::SIGCONT);
            status = child.wait(0);
        }
        let code = code(status);
        check(&world);
        if code == THROUGH {
            assert!(!is_stopped && number > 20);
            return;
        }
        assert_eq!(code, 0);
    }
}

pub(crate) fn take_leased(queue: &TestQueue, max: usize) -> Vec<Received> {
    match participants::take_leased(queue, max) {
        Err(QueueError::ShutDown) => Vec::new(),
        seen => seen.unwrap(),
    }
}

pub(crate) fn take(queue: &TestQueue, max: usize) -> Vec<Vec<u8>> {
    without_leases(take_leased(queue, max))
}

/// Whoever died is buried, nothing is left of it, and the queue works.
pub(crate) fn check_nothing_is_left(queue: &TestQueue) {
    sleep_until(queue, Side::Items, "something is left", || {
        // What was acknowledged half may come back late.
        for (_, lease) in take_leased(queue, 99) {
            queue.acknowledge(lease.unwrap()).unwrap();
        }
        let figures = queue.statistics().unwrap();
        (
            figures.participants,
            figures.dead,
            figures.slabs,
            figures.leased,
        ) == (1, 0, 0, 0)
    });
    if queue.is_shutdown() == Shutdown::Open {
        put(queue, b"works");
        put(queue, &[1; 40_000]);
        let seen = take_leased(queue, 9);
        assert_eq!(seen.len(), 2);
        for (_, lease) in seen {
            lease
                .into_iter()
                .for_each(|lease| queue.acknowledge(lease).unwrap());
        }
    }
    assert_eq!(queue.len().unwrap(), 0);
}

pub(crate) struct World {
    pub(crate) queue: TestQueue,
    pub(crate) ledger: Ledger,
}

pub(crate) const BEGUN: usize = 0;
pub(crate) const DONE: usize = 1;
pub(crate) const ACKED: usize = 2;

impl World {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            queue: Queue::create(settings).unwrap(),
            ledger: Ledger::new(),
        }
    }

    pub(crate) fn plain() -> Self {
        Self::new(Settings::new(1 << 20))
    }

    pub(crate) fn acknowledged() -> Self {
        Self::new(Settings {
            ack: Some(Acknowledged {
                lease: LONG,
                leases: 8,
            }),
            ..Settings::new(1 << 20)
        })
    }
}

pub(crate) fn numbered(number: u64) -> Vec<u8> {
    // Every third has a slab of its own.
    let length = if number % 3 == 2 { 20_000 } else { 16 };
    (number.to_le_bytes().into_iter().cycle().take(length)).collect()
}

pub(crate) fn number_of(content: &[u8]) -> u64 {
    let number = u64::from_le_bytes(content[..8].try_into().unwrap());
    assert_eq!(content, numbered(number), "not as it was sent");
    number
}

pub(crate) fn numbers(contents: &[Vec<u8>]) -> Vec<u64> {
    contents.iter().map(|content| number_of(content)).collect()
}

pub(crate) fn put_numbers(queue: &TestQueue, count: u64) {
    (0..count).for_each(|number| put(queue, &numbered(number)));
}

pub(crate) fn with_items_to_acknowledge() -> World {
    let world = World::acknowledged();
    put_numbers(&world.queue, 6);
    world
}

/// Takes and acknowledges all there is: bits of the numbers.
pub(crate) fn acknowledge_all(queue: &TestQueue, wanted: u64) -> u64 {
    let mut bits = 0_u64;
    sleep_until(queue, Side::Items, "an item has not come back", || {
        for (content, lease) in take_leased(queue, 99) {
            bits |= 1 << number_of(&content);
            queue.acknowledge(lease.unwrap()).unwrap();
        }
        bits & wanted == wanted
    });
    bits
}

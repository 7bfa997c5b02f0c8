//! A process is killed, or stopped, before each of its stores in turn; those who are left go on.
//!
//! RUSTFLAGS="--cfg penstock_failpoints" cargo test --release --target-dir target/failpoints --test crash
#![cfg(penstock_failpoints)]

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    ptr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use penstock_core::{
    failpoints,
    ring::{Wake, Woken},
    shm::queue::{
        Acknowledged, Batch, Item, Lease, Queue, QueueError, Settings, Shutdown, Side, Taken,
    },
};

/// A ceiling against hangs, nothing else.
const LONG: Duration = Duration::from_secs(60);

/// What a child ends with that came to the end of its script before its number.
const THROUGH: i32 = 42;

struct Nobody;

impl Wake for Nobody {
    fn wake(&self) -> Woken {
        Woken::Gone
    }
}

type TestQueue = Arc<Queue<Nobody>>;

/// One at a time: each forks, and looks at its children only.
static TURN: Mutex<()> = Mutex::new(());

/// Words that parent and child share, outside of any queue.
struct Ledger(*const AtomicU64);

impl Ledger {
    const WORDS: usize = 8;

    fn new() -> Self {
        // SAFETY: a new mapping at an address of the kernel's choice.
        let at = unsafe {
            libc::mmap(
                ptr::null_mut(),
                Self::WORDS * 8,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(at, libc::MAP_FAILED);
        Self(at.cast())
    }

    fn word(&self, index: usize) -> &AtomicU64 {
        assert!(index < Self::WORDS);
        // SAFETY: inside the mapping, which lives as long as `self`.
        unsafe { &*self.0.add(index) }
    }

    fn add(&self, index: usize, value: u64) {
        self.word(index).fetch_add(value, Ordering::SeqCst);
    }

    fn get(&self, index: usize) -> u64 {
        self.word(index).load(Ordering::SeqCst)
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        // SAFETY: made in `new` with this length.
        unsafe { libc::munmap(self.0.cast_mut().cast(), Self::WORDS * 8) };
    }
}

/// Runs `script` in a child, which gets `signal` at its `number`-th store.
fn child(number: u64, signal: i32, script: impl FnOnce()) -> i32 {
    // SAFETY: the child runs the script and ends.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            failpoints::arm(number, signal);
            script();
            failpoints::disarm()
        }));
        let status = match outcome {
            Ok(true) => THROUGH,
            Ok(false) => 0,
            Err(_) => 13,
        };
        // SAFETY: as above.
        unsafe { libc::_exit(status) };
    }
    child
}

fn wait(child: i32, flags: i32) -> i32 {
    let mut status = 0;
    // SAFETY: `child` is ours.
    let waited = unsafe { libc::waitpid(child, &raw mut status, flags) };
    assert_eq!(waited, child);
    status
}

fn send_signal(child: i32, signal: i32) {
    // SAFETY: `child` is ours and not reaped yet.
    assert_eq!(unsafe { libc::kill(child, signal) }, 0);
}

fn ended(status: i32) -> i32 {
    assert!(libc::WIFEXITED(status), "{status:x}");
    let code = libc::WEXITSTATUS(status);
    assert_ne!(code, 13, "the script failed");
    code
}

/// Kills a child at each store of `script` in turn, each time in a world of its own, which `check` looks at
/// afterwards.
fn kill_at_every_store<W>(world: impl Fn() -> W, script: impl Fn(&W), check: impl Fn(&W, bool)) {
    let _turn = TURN.lock();
    for number in 1.. {
        let world = world();
        let status = wait(child(number, libc::SIGKILL, || script(&world)), 0);
        if libc::WIFSIGNALED(status) {
            assert_eq!(libc::WTERMSIG(status), libc::SIGKILL);
            check(&world, true);
            continue;
        }
        assert_eq!(ended(status), THROUGH);
        check(&world, false);
        assert!(number > 20, "no script is as short as that");
        return;
    }
}

/// Stops a child at each store in turn; `meanwhile` runs while it is stopped, `check` when it has ended.
fn stop_at_every_store<W>(
    world: impl Fn() -> W,
    script: impl Fn(&W),
    meanwhile: impl Fn(&W),
    check: impl Fn(&W),
) {
    let _turn = TURN.lock();
    for number in 1.. {
        let world = world();
        let child = child(number, libc::SIGSTOP, || script(&world));
        let mut status = wait(child, libc::WUNTRACED);
        let is_stopped = libc::WIFSTOPPED(status);
        meanwhile(&world);
        if is_stopped {
            send_signal(child, libc::SIGCONT);
            status = wait(child, 0);
        }
        let code = ended(status);
        check(&world);
        if code == THROUGH {
            assert!(!is_stopped && number > 20);
            return;
        }
        assert_eq!(code, 0);
    }
}

fn item(bytes: &[u8]) -> Item<'_> {
    Item {
        code: 7,
        stream: bytes.into(),
        buffers: &[],
    }
}

fn put(queue: &TestQueue, bytes: &[u8]) {
    queue.send(&item(bytes)).unwrap();
}

fn content(taken: &Taken<'_>) -> Vec<u8> {
    match &taken.stream {
        None => taken.inline.to_vec(),
        Some(stream) => {
            let (at, length) = stream.content();
            // SAFETY: pinned.
            unsafe { std::slice::from_raw_parts(at.as_ptr(), length) }.to_vec()
        }
    }
}

fn take_leased(queue: &TestQueue, max: usize) -> Vec<(Vec<u8>, Option<Lease>)> {
    let mut batch = Batch::new();
    match queue.take(max, usize::MAX, &mut batch) {
        Ok(_) | Err(QueueError::ShutDown) => {}
        Err(other) => panic!("{other}"),
    }
    let mut seen = Vec::new();
    while let Some(taken) = batch.pop() {
        seen.push((content(&taken), taken.lease));
    }
    seen
}

fn take(queue: &TestQueue, max: usize) -> Vec<Vec<u8>> {
    let seen = take_leased(queue, max).into_iter();
    seen.map(|(content, _)| content).collect()
}

/// Sleeps on a side, as who waits there does, until `is_done`.
fn sleep_until(queue: &TestQueue, what: &str, mut is_done: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    let mut sleeper = queue.sleeper(Side::Items).unwrap();
    loop {
        sleeper.arm();
        if is_done() {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{what}: {:?}",
            queue.statistics()
        );
        sleeper.park(Some(Instant::now() + Duration::from_millis(1)));
    }
}

/// Whoever died is buried, nothing is left of it, and the queue works.
fn check_nothing_is_left(queue: &TestQueue) {
    sleep_until(queue, "something is left", || {
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

struct World {
    queue: TestQueue,
    ledger: Ledger,
}

const BEGUN: usize = 0;
const DONE: usize = 1;
const ACKED: usize = 2;

impl World {
    fn new(settings: Settings) -> Self {
        Self {
            queue: Queue::create(settings).unwrap(),
            ledger: Ledger::new(),
        }
    }

    fn plain() -> Self {
        Self::new(Settings::new(1 << 20))
    }

    fn acknowledged() -> Self {
        Self::new(Settings {
            ack: Some(Acknowledged {
                lease: LONG,
                leases: 8,
            }),
            ..Settings::new(1 << 20)
        })
    }
}

fn numbered(number: u64) -> Vec<u8> {
    // Every third has a slab of its own.
    let length = if number % 3 == 2 { 20_000 } else { 16 };
    (number.to_le_bytes().into_iter().cycle().take(length)).collect()
}

fn number_of(content: &[u8]) -> u64 {
    let number = u64::from_le_bytes(content[..8].try_into().unwrap());
    assert_eq!(content, numbered(number), "not as it was sent");
    number
}

fn numbers(contents: &[Vec<u8>]) -> Vec<u64> {
    contents.iter().map(|content| number_of(content)).collect()
}

fn put_numbers(queue: &TestQueue, count: u64) {
    (0..count).for_each(|number| put(queue, &numbered(number)));
}

/// Sends one by one, and two together.
fn sender(world: &World) {
    let World { queue, ledger } = world;
    for number in 0..4 {
        ledger.add(BEGUN, 1);
        put(queue, &numbered(number));
        ledger.add(DONE, 1);
    }
    ledger.add(BEGUN, 2);
    let contents = [numbered(4), numbered(6)];
    let items = [item(&contents[0]), item(&contents[1])];
    assert_eq!(queue.send_many(&items).unwrap(), 2);
    ledger.add(DONE, 2);
    queue.close();
}

fn check_sent(world: &World, seen: &[u64]) {
    let expected = [0, 1, 2, 3, 4, 6];
    assert!(expected.starts_with(seen), "{seen:?}");
    let count = seen.len() as u64;
    assert!(
        world.ledger.get(DONE) <= count,
        "what was accepted is there"
    );
    assert!(count <= world.ledger.get(BEGUN));
}

#[test]
fn a_sender_is_killed() {
    kill_at_every_store(World::plain, sender, |world, _| {
        check_sent(world, &numbers(&take(&world.queue, 99)));
        check_nothing_is_left(&world.queue);
    });
}

#[test]
fn a_sender_is_stopped() {
    let seen = Mutex::new(Vec::new());
    stop_at_every_store(
        World::plain,
        sender,
        |world| {
            let got = numbers(&take(&world.queue, 99));
            check_sent(world, &got);
            *seen.lock().unwrap() = got;
            put(&world.queue, b"another's");
            assert!(take(&world.queue, 99).contains(&b"another's".to_vec()));
        },
        |world| {
            let mut seen = seen.lock().unwrap();
            seen.extend(numbers(&take(&world.queue, 99)));
            assert_eq!(*seen, [0, 1, 2, 3, 4, 6]);
            check_nothing_is_left(&world.queue);
        },
    );
}

fn with_items() -> World {
    let world = World::plain();
    put_numbers(&world.queue, 6);
    world
}

fn taker(world: &World) {
    let World { queue, ledger } = world;
    for max in [1, 1, 2, 1] {
        ledger.add(BEGUN, max);
        assert_eq!(take(queue, max as usize).len() as u64, max);
        ledger.add(DONE, max);
    }
    queue.close();
}

/// What is left, by what the taker says that it took.
fn check_left(world: &World, left: &[u64]) {
    let all: Vec<u64> = (0..6).collect();
    assert!(all.ends_with(left), "{left:?}");
    let taken = 6 - left.len() as u64;
    assert!(world.ledger.get(DONE) <= taken && taken <= world.ledger.get(BEGUN));
}

#[test]
fn a_taker_is_killed() {
    kill_at_every_store(with_items, taker, |world, _| {
        check_left(world, &numbers(&take(&world.queue, 99)));
        check_nothing_is_left(&world.queue);
    });
}

#[test]
fn a_taker_is_stopped() {
    let taken = |world: &World, max| take(&world.queue, max);
    stop_at_every_store(
        with_items,
        |world| {
            // Others take, too, while it is stopped: it gets what is left.
            for max in [1, 1, 2, 1] {
                world.ledger.add(DONE, taken(world, max).len() as u64);
            }
            world.queue.close();
        },
        |world| {
            let got = numbers(&taken(world, 2));
            world.ledger.add(DONE, got.len() as u64);
            put(&world.queue, &numbered(6));
        },
        |world| {
            let rest = numbers(&take(&world.queue, 99));
            assert!(rest.is_sorted());
            assert_eq!(world.ledger.get(DONE) + rest.len() as u64, 7, "each once");
            check_nothing_is_left(&world.queue);
        },
    );
}

fn with_items_to_acknowledge() -> World {
    let world = World::acknowledged();
    put_numbers(&world.queue, 6);
    world
}

fn acknowledging_taker(world: &World) {
    let World { queue, ledger } = world;
    for max in [1, 2, 2] {
        let mut seen = take_leased(queue, max);
        let (content, lease) = seen.remove(0);
        // Said before it is done: what was not said must come back.
        ledger.add(ACKED, 1 << number_of(&content));
        queue.acknowledge(lease.unwrap()).unwrap();
        ledger.add(DONE, 1 << number_of(&content));
        if max == 2 && ledger.get(BEGUN) == 0 {
            ledger.add(BEGUN, 1);
            queue.give_back(seen.remove(0).1.unwrap()).unwrap();
        }
    }
    queue.close();
}

/// Takes and acknowledges all there is: bits of the numbers.
fn acknowledge_all(queue: &TestQueue, wanted: u64) -> u64 {
    let mut bits = 0_u64;
    sleep_until(queue, "an item has not come back", || {
        for (content, lease) in take_leased(queue, 99) {
            bits |= 1 << number_of(&content);
            queue.acknowledge(lease.unwrap()).unwrap();
        }
        bits & wanted == wanted
    });
    bits
}

#[test]
fn one_that_acknowledges_is_killed() {
    kill_at_every_store(
        with_items_to_acknowledge,
        acknowledging_taker,
        |world, _| {
            let wanted = 0b11_1111 & !world.ledger.get(ACKED);
            let seen = acknowledge_all(&world.queue, wanted);
            assert_eq!(seen & world.ledger.get(DONE), 0, "it was dealt with");
            check_nothing_is_left(&world.queue);
        },
    );
}

#[test]
fn one_that_claims_what_came_back_is_killed() {
    kill_at_every_store(
        || {
            let world = with_items_to_acknowledge();
            let leases = take_leased(&world.queue, 99);
            assert_eq!(leases.len(), 6);
            for (_, lease) in leases {
                world.queue.give_back(lease.unwrap()).unwrap();
            }
            world
        },
        |world| {
            let World { queue, ledger } = world;
            for max in [2, 9] {
                for (content, lease) in take_leased(queue, max) {
                    ledger.add(ACKED, 1 << number_of(&content));
                    queue.acknowledge(lease.unwrap()).unwrap();
                    ledger.add(DONE, 1 << number_of(&content));
                }
            }
            queue.close();
        },
        |world, _| {
            let wanted = 0b11_1111 & !world.ledger.get(ACKED);
            let seen = acknowledge_all(&world.queue, wanted);
            assert_eq!(seen & world.ledger.get(DONE), 0, "it was dealt with");
            check_nothing_is_left(&world.queue);
        },
    );
}

/// Somebody has died with everything that one can have: a record and a slab under way, a slab
/// looked at, an item under a lease.
fn after_a_death(world: World) -> World {
    let World { queue, .. } = &world;
    let status = wait(
        child(u64::MAX, 0, || {
            put(queue, &numbered(0));
            put(queue, &numbered(2));
            put(queue, &numbered(5));
            let mut batch = Batch::new();
            queue.take(1, usize::MAX, &mut batch).unwrap();
            queue.take(1, usize::MAX, &mut batch).unwrap();
            let mut sleeper = queue.sleeper(Side::Room).unwrap();
            sleeper.arm();
            // SAFETY: ends the child as a kill does, with everything as it is.
            unsafe { libc::_exit(THROUGH) };
        }),
        0,
    );
    assert_eq!(ended(status), THROUGH);
    world
}

fn undertaker(world: &World) {
    world.queue.look_around().unwrap();
    world.queue.look_around().unwrap();
    world.queue.close();
}

#[test]
fn an_undertaker_is_killed() {
    kill_at_every_store(
        || after_a_death(World::plain()),
        undertaker,
        |world, _| {
            assert_eq!(numbers(&take(&world.queue, 99)), [5]);
            check_nothing_is_left(&world.queue);
        },
    );
}

#[test]
fn an_undertaker_is_stopped() {
    stop_at_every_store(
        || after_a_death(World::plain()),
        undertaker,
        |world| {
            assert_eq!(numbers(&take(&world.queue, 99)), [5]);
            // Newcomers find a seat that is not being cleared.
            let other = Queue::<Nobody>::attach(world.queue.fd().try_clone_to_owned().unwrap());
            let other = other.unwrap();
            put(&other, &numbered(2));
            assert_eq!(numbers(&take(&world.queue, 99)), [2]);
            put(&other, &numbered(8));
        },
        |world| {
            assert_eq!(numbers(&take(&world.queue, 99)), [8]);
            check_nothing_is_left(&world.queue);
        },
    );
}

#[test]
fn an_undertaker_of_leases_is_killed() {
    kill_at_every_store(
        || after_a_death(World::acknowledged()),
        undertaker,
        |world, _| {
            let seen = acknowledge_all(&world.queue, 0b10_0101);
            assert_eq!(seen, 0b10_0101);
            check_nothing_is_left(&world.queue);
        },
    );
}

/// A dead process has an item of ours under a lease; we go on sending, and use slabs again.
fn with_a_lease_of_a_dead_one() -> World {
    let world = World::acknowledged();
    put(&world.queue, &numbered(2));
    let status = wait(
        child(u64::MAX, 0, || {
            assert_eq!(take_leased(&world.queue, 1).len(), 1);
            // SAFETY: ends the child as a kill does, with everything as it is.
            unsafe { libc::_exit(THROUGH) };
        }),
        0,
    );
    assert_eq!(ended(status), THROUGH);
    world
}

fn use_slabs_again(world: &World) {
    for _ in 0..4 {
        put(&world.queue, &[0xEE; 20_000]);
        // Its own: the items of the dead one are looked for by others.
        for (content, lease) in take_leased(&world.queue, 1) {
            if content.len() == 20_000 && content[0] == 0xEE {
                world.queue.acknowledge(lease.unwrap()).unwrap();
            } else {
                world.queue.give_back(lease.unwrap()).unwrap();
            }
        }
    }
}

fn drain_what_was_used(world: &World) {
    let mut seen = 0;
    sleep_until(&world.queue, "the item has not come back", || {
        for (content, lease) in take_leased(&world.queue, 9) {
            if content[0] != 0xEE {
                seen |= 1 << number_of(&content);
            }
            world.queue.acknowledge(lease.unwrap()).unwrap();
        }
        seen == 0b100
    });
}

#[test]
fn an_undertaker_of_leases_is_stopped_while_the_sender_goes_on() {
    stop_at_every_store(
        with_a_lease_of_a_dead_one,
        undertaker,
        use_slabs_again,
        |world| {
            drain_what_was_used(world);
            check_nothing_is_left(&world.queue);
        },
    );
}

#[test]
fn an_undertaker_of_leases_is_killed_while_the_sender_goes_on() {
    kill_at_every_store(with_a_lease_of_a_dead_one, undertaker, |world, _| {
        use_slabs_again(world);
        drain_what_was_used(world);
        check_nothing_is_left(&world.queue);
    });
}

#[test]
fn one_that_is_stopped_with_a_lease_keeps_the_item_for_as_long_as_that_lasts() {
    stop_one_with_leases(false);
}

#[test]
fn one_that_is_stopped_claiming_keeps_the_item_for_as_long_as_a_lease_lasts() {
    stop_one_with_leases(true);
}

fn stop_one_with_leases(came_back: bool) {
    let world = || {
        let world = World::new(Settings {
            ack: Some(Acknowledged {
                lease: Duration::from_millis(1),
                leases: 8,
            }),
            ..Settings::new(1 << 20)
        });
        put_numbers(&world.queue, 3);
        if came_back {
            for (_, lease) in take_leased(&world.queue, 3) {
                // Its time may be over already; then it is for all, too.
                let _ = world.queue.give_back(lease.unwrap());
            }
        }
        world
    };
    let seen = Mutex::new(0);
    stop_at_every_store(
        world,
        |world| {
            let World { queue, ledger } = world;
            for (content, lease) in take_leased(queue, 2) {
                if queue.acknowledge(lease.unwrap()).is_ok() {
                    ledger.add(DONE, 1 << number_of(&content));
                }
            }
            queue.close();
        },
        |world| {
            // All that it has not acknowledged comes to us, stopped as it is.
            let wanted = 0b111 & !world.ledger.get(DONE);
            *seen.lock().unwrap() = wanted;
            let acked = acknowledge_all_but_one(&world.queue, wanted);
            assert_eq!(acked | world.ledger.get(DONE), 0b111);
        },
        |world| check_nothing_is_left(&world.queue),
    );
}

/// As `acknowledge_all`, but the one that may have been acknowledged by a process which was stopped before it
/// could say so.
fn acknowledge_all_but_one(queue: &TestQueue, wanted: u64) -> u64 {
    let mut bits = 0_u64;
    sleep_until(queue, "an item has not come back", || {
        for (content, lease) in take_leased(queue, 99) {
            bits |= 1 << number_of(&content);
            let _ = queue.acknowledge(lease.unwrap());
        }
        let figures = queue.statistics().unwrap();
        bits & wanted == wanted || (figures.items == 0 && figures.leased == 0)
    });
    bits | (wanted & !bits & wanted.wrapping_neg())
}

#[test]
fn one_that_shuts_down_is_killed() {
    kill_at_every_store(
        with_items,
        |world| {
            world.queue.shutdown(false).unwrap();
            world.queue.close();
        },
        |world, _| {
            let World { queue, .. } = world;
            let accepted = match queue.send(&item(&numbered(6))) {
                Ok(()) => 1,
                Err(QueueError::ShutDown) => {
                    // Not for some only.
                    assert_ne!(queue.is_shutdown(), Shutdown::Open);
                    0
                }
                Err(other) => panic!("{other}"),
            };
            queue.shutdown(false).unwrap();
            assert!(matches!(queue.send(&item(b"x")), Err(QueueError::ShutDown)));
            assert_eq!(numbers(&take(queue, 99)).len() as u64, 6 + accepted);
            assert!(matches!(
                queue.take(1, 1, &mut Batch::new()),
                Err(QueueError::ShutDown)
            ));
            check_nothing_is_left(queue);
        },
    );
}

#[test]
fn one_that_shuts_down_is_stopped() {
    stop_at_every_store(
        with_items,
        |world| {
            world.queue.shutdown(true).unwrap();
            world.queue.close();
        },
        |world| {
            // Whatever it has got to: an answer, at once.
            let _ = world.queue.send(&item(&numbered(6)));
            let _ = take(&world.queue, 1);
        },
        |world| {
            assert!(matches!(
                world.queue.take(1, 1, &mut Batch::new()),
                Err(QueueError::ShutDown)
            ));
            check_nothing_is_left(&world.queue);
        },
    );
}

#[test]
fn all_seats_are_used_by_ones_that_die() {
    let _turn = TURN.lock();
    let world = World::plain();
    for number in 1..400 {
        let script = || {
            match world.queue.send(&item(&numbered(number % 60))) {
                Ok(()) => world.ledger.add(DONE, 1),
                Err(QueueError::Crowded) => world.ledger.add(BEGUN, 1),
                Err(other) => panic!("{other}"),
            }
            world.queue.close();
        };
        // Nobody else takes part: the next to come has to clear what is left.
        wait(child(number % 100 + 1, libc::SIGKILL, script), 0);
    }
    assert!(
        world.ledger.get(BEGUN) > 0,
        "so many dead senders' items fill it"
    );
    assert!(take(&world.queue, 999).len() as u64 >= world.ledger.get(DONE));
    check_nothing_is_left(&world.queue);
}

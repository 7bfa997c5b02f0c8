//! Who sends, takes or shuts down is killed, or stopped, before each of its stores in turn; those who are left go on.
//!
//! RUSTFLAGS="--cfg penstock_failpoints" cargo test --release --target-dir target/failpoints --test crash_items
#![cfg(penstock_failpoints)]

use std::sync::Mutex;

use penstock_core::shm::queue::{Batch, QueueError, Shutdown};

mod crash;
mod forked;
mod participants;

use crash::{
    BEGUN, DONE, TURN, World, check_nothing_is_left, child, kill_at_every_store, numbered, numbers,
    put_numbers, stop_at_every_store, take,
};
use participants::{item, put};

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
        child(number % 100 + 1, libc::SIGKILL, script).wait(0);
    }
    assert!(
        world.ledger.get(BEGUN) > 0,
        "so many dead senders' items fill it"
    );
    assert!(take(&world.queue, 999).len() as u64 >= world.ledger.get(DONE));
    check_nothing_is_left(&world.queue);
}

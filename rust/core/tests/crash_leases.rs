//! Who has items under leases is killed, or stopped, before each of its stores in turn; the items come back.
//!
//! RUSTFLAGS="--cfg penstock_failpoints" cargo test --release --target-dir target/failpoints --test crash_leases
#![cfg(penstock_failpoints)]

use std::{sync::Mutex, time::Duration};

use penstock_core::shm::queue::{Acknowledged, Settings, Side};

mod crash;
mod forked;
mod participants;

use crash::{
    ACKED, BEGUN, DONE, World, acknowledge_all, check_nothing_is_left, kill_at_every_store,
    number_of, put_numbers, stop_at_every_store, take_leased, with_items_to_acknowledge,
};
use participants::{TestQueue, sleep_until};

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
    sleep_until(queue, Side::Items, "an item has not come back", || {
        for (content, lease) in take_leased(queue, 99) {
            bits |= 1 << number_of(&content);
            let _ = queue.acknowledge(lease.unwrap());
        }
        let figures = queue.statistics().unwrap();
        bits & wanted == wanted || (figures.items == 0 && figures.leased == 0)
    });
    bits | (wanted & !bits & wanted.wrapping_neg())
}

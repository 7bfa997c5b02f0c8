//! Who clears away what the dead have left is killed, or stopped, before each of its stores in turn.
//!
//! RUSTFLAGS="--cfg penstock_failpoints" cargo test --release --target-dir target/failpoints --test crash_burials
#![cfg(penstock_failpoints)]

use penstock_core::shm::queue::{Batch, Side};

mod crash;
mod forked;
mod participants;

use crash::{
    THROUGH, World, acknowledge_all, check_nothing_is_left, child, kill_at_every_store, number_of,
    numbered, numbers, stop_at_every_store, take, take_leased,
};
use forked::code;
use participants::{another, put, sleep_until};

/// Somebody has died with everything that one can have: a record and a slab under way, a slab
/// looked at, an item under a lease.
fn after_a_death(world: World) -> World {
    let World { queue, .. } = &world;
    let dead = child(u64::MAX, 0, || {
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
    });
    assert_eq!(code(dead.wait(0)), THROUGH);
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
            let other = another(&world.queue);
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
    let dead = child(u64::MAX, 0, || {
        assert_eq!(take_leased(&world.queue, 1).len(), 1);
        // SAFETY: ends the child as a kill does, with everything as it is.
        unsafe { libc::_exit(THROUGH) };
    });
    assert_eq!(code(dead.wait(0)), THROUGH);
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
    sleep_until(
        &world.queue,
        Side::Items,
        "the item has not come back",
        || {
            for (content, lease) in take_leased(&world.queue, 9) {
                if content[0] != 0xEE {
                    seen |= 1 << number_of(&content);
                }
                world.queue.acknowledge(lease.unwrap()).unwrap();
            }
            seen == 0b100
        },
    );
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

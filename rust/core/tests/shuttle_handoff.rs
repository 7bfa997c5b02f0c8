//! Getters and putters that sleep, give up, come late or are shut out, under shuttle. Who sleeps
//! beside what it waits for shows as a deadlock.
//!
//! Broken by hand, and seen to fail here, by a deadlock unless said otherwise:
//! - `push`: the flag looked at before the item is in; `enlist`: the flag not set; a leave that clears it
//!   for those who stay;
//! - `leave_getter`, `leave_putter`: the unused wake not passed on;
//! - `close`: the getters not told; `set_capacity`: the putters not told; `release`: no putter told;
//!   `push_reserved`: no getter told; `Unfinished::finish`: no joiner told;
//! - `notify`: a getter called that needs more than there is;
//! - `is_full_at`: full by the stamp alone: a push refused beside room;
//! - while the items move: the gate not waited for (refused as closed), the mark of a retired ring not set
//!   (fewer than `min` before a close), the list set before it is filled (more came out than was put).
//!
//! Broken and not seen: a batch that wakes one getter only (whoever leaves calls the next: it costs time
//! and no item); a retired ring emptied item by item, and `close` without the gate (`loom_move` sees both).
#![cfg(penstock_shuttle)]

mod history;
mod room;
mod schedules;

use history::Order;
use room::{Patience, Room, Without, items};
use schedules::{below, explore, linger, one_of};
use shuttle::{sync::Arc, thread::JoinHandle};

fn all_home<R>(threads: Vec<JoinHandle<R>>) -> Vec<R> {
    threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .collect()
}

/// A ring or a list.
fn any_room() -> Arc<Room> {
    Room::new(one_of(&[Some(1), Some(2), Some(3), None]))
}

fn fair_room() -> Arc<Room> {
    Room::fair(
        one_of(&[Some(1), Some(2), Some(3), None]),
        Order::OldestFirst,
    )
}

/// Puts `count` items, one by one and in batches, and waits for room; is through when all are put.
fn put_all(room: &Room, giver: u32, count: u32) -> bool {
    let mut number = 0;
    while number < count {
        let end = (number + one_of(&[1, 1, 2, 3])).min(count);
        if room
            .put(items(giver, number..end), Patience::Endless)
            .is_err()
        {
            return false;
        }
        number = end;
    }
    true
}

fn putters(room: &Arc<Room>, givers: u32, count: u32) -> Vec<JoinHandle<bool>> {
    (1..=givers)
        .map(|giver| room.beside(move |room| put_all(room, giver, count)))
        .collect()
}

/// Each takes whatever there is: one with a `min` may hold up the others until there is enough for it.
fn getters(room: &Arc<Room>) -> Vec<JoinHandle<()>> {
    [(1, 1), (1, 2), (1, 3)]
        .map(|(min, max)| room.beside(move |room| room.get_all(min, max)))
        .into()
}

/// Comes to get, or to put one item, and gives up soon.
fn come_and_go(room: &Room, giver: u32) {
    for number in 0..3 {
        let patience = one_of(&[Patience::Timed, Patience::Cancelled]);
        if one_of(&[true, false]) {
            let _ = room.get(1, one_of(&[1, 2]), patience);
        } else {
            let _ = room.put(items(giver, number..number + 1), patience);
        }
    }
}

/// Nobody puts any more: all that was put is got before anybody is shut out.
fn finish(room: &Room, getting: Vec<JoinHandle<()>>) {
    room.join();
    room.look();
    room.close();
    all_home(getting);
    assert!(room.queue.is_empty());
    room.history.must_hold();
    let waiting = room.queue.counters();
    assert_eq!((waiting.getters, waiting.putters), (0, 0));
}

fn all_is_got(room: &Arc<Room>) {
    let getting = getters(room);
    let putting = putters(room, 3, 5);
    room.look();
    assert_eq!(all_home(putting), [true; 3]);
    finish(room, getting);
}

fn some_give_up(room: &Arc<Room>) {
    let passing: Vec<_> = (11..=13)
        .map(|giver| room.beside(move |room| come_and_go(room, giver)))
        .collect();
    let getting = getters(room);
    let putting = putters(room, 2, 4);
    all_home(passing);
    assert_eq!(all_home(putting), [true; 2]);
    finish(room, getting);
}

fn shut_down(room: &Arc<Room>) {
    let mut getting = getters(room);
    let min = room.queue.capacity().unwrap_or(2).min(2);
    getting.push(room.beside(move |room| room.get_all(min, 3)));
    let putting = putters(room, 3, 4);
    let passing = room.beside(|room| come_and_go(room, 11));
    for _ in 0..below(8) {
        linger();
    }
    room.close();
    room.look();
    all_home(putting);
    all_home(getting);
    passing.join().unwrap();
    room.history.must_hold();
    let waiting = room.queue.counters();
    assert_eq!((waiting.getters, waiting.putters), (0, 0));
}

#[test]
fn all_that_is_put_is_got() {
    explore(|| all_is_got(&any_room()));
}

#[test]
fn nobody_sleeps_on_for_one_who_gave_up() {
    explore(|| some_give_up(&any_room()));
}

#[test]
fn a_shutdown_sends_all_home() {
    explore(|| shut_down(&any_room()));
}

#[test]
fn in_a_fair_queue_all_that_is_put_is_got() {
    explore(|| all_is_got(&fair_room()));
}

#[test]
fn in_a_fair_queue_nobody_sleeps_on_for_one_who_gave_up() {
    explore(|| some_give_up(&fair_room()));
}

#[test]
fn in_a_fair_queue_a_shutdown_sends_all_home() {
    explore(|| shut_down(&fair_room()));
}

/// Reserves places, and fills them or gives them back.
fn fill_places(room: &Room, giver: u32, patience: Patience) {
    for number in 0..4 {
        let place = giver * 100 + number;
        match room.reserve(place, patience) {
            Ok(()) => {}
            Err(Without::GaveUp) => continue,
            Err(Without::Closed) => return,
        }
        linger();
        if one_of(&[true, true, false]) {
            room.put_reserved(place, items(giver, number..number + 1)[0]);
        } else {
            room.release(place);
        }
    }
}

fn move_bounds(room: &Room) {
    for _ in 0..3 {
        linger();
        room.set_bound(one_of(&[Some(1), Some(2), Some(3), None]));
    }
}

/// Places, bounds and looks, in a queue whose items lie in a list from the start.
fn with_all_a_list_can(room: &Arc<Room>) {
    let getting = [(1, 1), (1, 2)]
        .map(|(min, max)| room.beside(move |room| room.get_all(min, max)))
        .into();
    let putting = [
        room.beside(|room| fill_places(room, 21, Patience::Endless)),
        room.beside(|room| fill_places(room, 22, Patience::Timed)),
        room.beside(|room| assert!(put_all(room, 1, 4))),
        room.beside(|room| {
            let _ = room.peek(one_of(&[Patience::Timed, Patience::Cancelled]));
            room.look();
        }),
        room.beside(move_bounds),
    ];
    all_home(putting.into());
    finish(room, getting);
}

fn ordered_room(order: Order) -> Arc<Room> {
    Room::in_order(one_of(&[Some(1), Some(2), None]), order)
}

#[test]
fn places_and_bounds_of_a_line() {
    explore(|| with_all_a_list_can(&ordered_room(Order::OldestFirst)));
}

#[test]
fn places_and_bounds_of_a_stack() {
    explore(|| with_all_a_list_can(&ordered_room(Order::NewestFirst)));
}

#[test]
fn places_and_bounds_by_priority() {
    explore(|| with_all_a_list_can(&ordered_room(Order::LeastFirst)));
}

#[test]
fn places_and_bounds_of_a_fair_queue() {
    explore(|| {
        let orders = [Order::OldestFirst, Order::NewestFirst, Order::LeastFirst];
        with_all_a_list_can(&Room::fair(
            one_of(&[Some(1), Some(2), None]),
            one_of(&orders),
        ));
    });
}

#[test]
fn the_items_move_to_a_list_in_between() {
    explore(|| {
        let room = Room::new(one_of(&[Some(1), Some(2), Some(3)]));
        let getting = getters(&room);
        let putting = putters(&room, 2, 4);
        let moving = [
            room.beside(|room| fill_places(room, 21, Patience::Timed)),
            room.beside(|room| {
                let min = room.queue.capacity().unwrap_or(2).min(2);
                let _ = room.get(min, 3, Patience::Timed);
            }),
            room.beside(|room| {
                linger();
                let _ = room.peek(Patience::Timed);
                room.look();
            }),
        ];
        room.look();
        all_home(moving.into());
        assert_eq!(all_home(putting), [true; 2]);
        finish(&room, getting);
    });
}

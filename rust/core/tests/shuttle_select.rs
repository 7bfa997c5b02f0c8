//! Selects over several queues beside their own getters, under shuttle. Who sleeps beside an item
//! of any of its queues shows as a deadlock.
//!
//! Broken by hand, and seen to fail here by a deadlock: `leave_getter`: the unused wake not passed on;
//! `close`: the getters not told; `push`: the flag looked at before the item is in; a leave that clears the
//! flag for those who stay.
#![cfg(penstock_shuttle)]

mod history;
mod room;
mod schedules;

use history::{Order, Side};
use penstock_core::ring::Refusal;
use room::{Patience, Room, Sleeper, Standing, Without, items, wait};
use schedules::{below, explore, linger, one_of};
use shuttle::{
    sync::Arc,
    thread::{self, JoinHandle},
};

type Rooms = Arc<Vec<Arc<Room>>>;

fn three_rooms() -> Rooms {
    let room = |_| Room::new(one_of(&[Some(1), Some(2), None]));
    Arc::new((0..3).map(room).collect())
}

/// One of them serves in order.
fn rooms_one_of_them_fair() -> Rooms {
    let bounds = [Some(1), Some(2), None];
    Arc::new(vec![
        Room::new(one_of(&bounds)),
        Room::fair(one_of(&bounds), Order::OldestFirst),
        Room::new(one_of(&bounds)),
    ])
}

fn beside<R: Send + 'static>(
    rooms: &Rooms,
    body: impl FnOnce(&Rooms) -> R + Send + 'static,
) -> JoinHandle<R> {
    let rooms = Arc::clone(rooms);
    thread::spawn(move || body(&rooms))
}

/// Gets one item of any of the rooms, looking from `first` on; closed when all of them are.
fn select(rooms: &Rooms, first: usize, patience: Patience) -> Result<history::Item, Without> {
    let me = Sleeper::new(1);
    let standing = rooms
        .iter()
        .map(|room| Standing::new(room, Side::Getting, &me))
        .collect();
    let look = |me: Option<&Arc<Sleeper>>| {
        let mut closed = 0;
        for index in 0..rooms.len() {
            match rooms[(first + index) % rooms.len()].try_get((1, 1), me) {
                Ok(items) => return Some(Ok(items[0])),
                Err(Refusal::Closed) => closed += 1,
                Err(_) => {}
            }
        }
        (closed == rooms.len()).then_some(Err(Without::Closed))
    };
    wait(patience, &me, standing, look).unwrap_or(Err(Without::GaveUp))
}

fn select_all(rooms: &Rooms, first: usize) {
    while select(rooms, first, Patience::Endless).is_ok() {}
}

fn put_round(rooms: &Rooms, giver: u32) {
    for number in 0..6 {
        let room = &rooms[below(rooms.len())];
        if room
            .put(items(giver, number..number + 1), Patience::Endless)
            .is_err()
        {
            return;
        }
    }
}

fn finish(rooms: &Rooms, threads: Vec<JoinHandle<()>>) {
    for thread in threads {
        thread.join().unwrap();
    }
    for room in rooms.iter() {
        room.history.must_hold();
        assert_eq!(room.queue.counters().getters, 0);
    }
}

fn all_is_selected(rooms: &Rooms) {
    let taking = vec![
        beside(rooms, |rooms| select_all(rooms, 0)),
        beside(rooms, |rooms| select_all(rooms, 1)),
        beside(rooms, |rooms| rooms[2].get_all(1, 1)),
    ];
    let putting: Vec<_> = (1..=3)
        .map(|giver| beside(rooms, move |rooms| put_round(rooms, giver)))
        .collect();
    for putter in putting {
        putter.join().unwrap();
    }
    for room in rooms.iter() {
        room.join();
    }
    for room in rooms.iter() {
        room.close();
    }
    finish(rooms, taking);
}

fn some_give_up(rooms: &Rooms) {
    let selecting: Vec<_> = (0..2)
        .map(|first| {
            beside(rooms, move |rooms| {
                for _ in 0..3 {
                    let patience = one_of(&[Patience::Timed, Patience::Cancelled]);
                    let _ = select(rooms, first, patience);
                }
            })
        })
        .collect();
    let taking = (0..3)
        .map(|room| beside(rooms, move |rooms| rooms[room].get_all(1, 2)))
        .collect();
    let putting: Vec<_> = (1..=2)
        .map(|giver| beside(rooms, move |rooms| put_round(rooms, giver)))
        .collect();
    for thread in putting.into_iter().chain(selecting) {
        thread.join().unwrap();
    }
    for room in rooms.iter() {
        room.join();
    }
    for room in rooms.iter() {
        room.close();
    }
    finish(rooms, taking);
}

fn closed_one_by_one(rooms: &Rooms) {
    let mut threads = vec![
        beside(rooms, |rooms| select_all(rooms, 0)),
        beside(rooms, |rooms| select_all(rooms, 2)),
        beside(rooms, |rooms| rooms[1].get_all(1, 2)),
    ];
    threads.extend((1..=2).map(|giver| beside(rooms, move |rooms| put_round(rooms, giver))));
    for room in rooms.iter() {
        linger();
        room.close();
    }
    finish(rooms, threads);
}

#[test]
fn all_that_is_put_is_selected_or_got() {
    explore(|| all_is_selected(&three_rooms()));
}

#[test]
fn the_losing_queues_serve_their_own_getters() {
    explore(|| some_give_up(&three_rooms()));
}

#[test]
fn closes_in_between_end_it_when_all_are_closed() {
    explore(|| closed_one_by_one(&three_rooms()));
}

#[test]
fn a_fair_queue_among_them_changes_nothing() {
    explore(|| all_is_selected(&rooms_one_of_them_fair()));
    explore(|| some_give_up(&rooms_one_of_them_fair()));
    explore(|| closed_one_by_one(&rooms_one_of_them_fair()));
}

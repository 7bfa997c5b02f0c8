//! A ring whose items move to a list while others push, pop and wait, under loom.
//!
//! RUSTFLAGS="--cfg penstock_loom" cargo test --release --target-dir target/loom --test 'loom_*'
//!
//! Weakened by hand, and seen to fail here:
//! - `Ring::retire`: the stamps loaded Relaxed: a violated causality (`pushes_go_on_in_order`);
//! - `Ring::close` Relaxed, `is_retired` without its fence, the mark not set or set after the close: a
//!   batch below its `min` (`a_batch_still_waits_for_its_minimum`).
//!
//! Steps left out or turned round, and seen to fail here:
//! - `moved`: the gate not waited for: a push refused as closed while the items move
//!   (`pushes_go_on_in_order` and others);
//! - `Ring::retire`: what is inside taken item by item: an item overtaken by the next
//!   (`pops_go_on_in_order`); a push under way not waited for: its item lost;
//! - `move_out_of`: the list set before the items are in it: a violated causality; what was popped not
//!   carried over (`pops_go_on_in_order`); the close not carried over, or `close` without the gate: a
//!   close that is forgotten (`a_close_is_not_forgotten`);
//! - `List`: reserved places not counted (`a_place_is_taken_once`);
//! - `set_capacity`: the putters not told (`a_larger_bound_lets_a_putter_in`); `release`: no putter told
//!   (`a_place_that_is_given_back_is_taken`): deadlocks.
//!
//! Weakened and not seen, as nothing depends on it:
//! - `Ring::retire`: its mark stored Relaxed, as the close after it releases; `head` and `tail` loaded
//!   Relaxed, as `tail` stands still after its own close and the swap tells whether `head` did; that swap
//!   Relaxed, as indices carry no data;
//! - `move_out_of`: no second look under the gate: a second mover finds nothing and drops a list.
#![cfg(penstock_loom)]

mod waiting;

use loom::{sync::Arc, thread};
use penstock_core::ring::Refusal;
use waiting::{Queue, beside, give, model, sleeper, take_many_from};

fn take_many(queue: &Queue, min: usize) -> Result<Vec<u32>, Refusal> {
    take_many_from(queue, (min, 2), None)
}

fn take(queue: &Queue) -> u32 {
    let mut items = Vec::new();
    while items.is_empty() {
        match queue.pop_many(1, 1, &mut items, None) {
            Ok(_) => {}
            Err(_) => thread::yield_now(),
        }
    }
    items[0]
}

/// Any use that a ring cannot serve.
fn move_items(queue: &Queue) {
    let _ = queue.peek(|_| (), None);
}

fn queue(capacity: usize, items: &[u32]) -> Arc<Queue> {
    let queue = Queue::new(Some(capacity));
    for item in items {
        queue.push(*item, None).unwrap();
    }
    Arc::new(queue)
}

#[test]
fn pushes_go_on_in_order() {
    model(|| {
        let queue = queue(2, &[]);
        let giver = beside(&queue, |queue| {
            queue.push(1, None).unwrap();
            queue.push(2, None).unwrap();
        });
        move_items(&queue);
        assert_eq!([take(&queue), take(&queue)], [1, 2]);
        giver.join().unwrap();
        assert_eq!((queue.pushed(), queue.popped()), (2, 2));
    });
}

#[test]
fn pops_go_on_in_order() {
    model(|| {
        let queue = queue(2, &[1, 2]);
        let mover = beside(&queue, move_items);
        assert_eq!([take(&queue), take(&queue)], [1, 2]);
        mover.join().unwrap();
        assert_eq!((queue.pushed(), queue.popped(), queue.len()), (2, 2, 0));
    });
}

#[test]
fn two_movers_move_once() {
    model(|| {
        let queue = queue(2, &[1]);
        let mover = beside(&queue, move_items);
        move_items(&queue);
        assert_eq!(queue.pop(None), Ok(1));
        mover.join().unwrap();
        assert_eq!(queue.pop(None), Err(Refusal::NotNow));
    });
}

#[test]
fn a_close_is_not_forgotten() {
    model(|| {
        let queue = queue(2, &[1]);
        let mover = beside(&queue, move_items);
        queue.close();
        assert_eq!(queue.push(2, None), Err((Refusal::Closed, 2)));
        mover.join().unwrap();
        assert!(queue.is_closed());
        assert_eq!(queue.pop(None), Ok(1));
        assert_eq!(queue.pop(None), Err(Refusal::Closed));
    });
}

#[test]
fn a_batch_still_waits_for_its_minimum() {
    model(|| {
        let queue = queue(2, &[1]);
        let taker = beside(&queue, |queue| take_many(queue, 2));
        move_items(&queue);
        queue.push(2, None).unwrap();
        assert_eq!(taker.join().unwrap(), Ok(vec![1, 2]));
    });
}

#[test]
fn who_sleeps_is_woken_by_the_list() {
    model(|| {
        let queue = queue(2, &[]);
        let taker = beside(&queue, |queue| take_many(queue, 1));
        move_items(&queue);
        queue.push(1, None).unwrap();
        assert_eq!(taker.join().unwrap(), Ok(vec![1]));
    });
}

#[test]
fn who_sleeps_is_woken_by_a_push_beside_the_move() {
    model(|| {
        let queue = queue(2, &[]);
        let me = sleeper(1);
        queue.enlist_getter(Arc::clone(&me), None);
        let giver = beside(&queue, |queue| queue.push(1, None).unwrap());
        move_items(&queue);
        me.sleep();
        assert_eq!(queue.pop(Some(&me)), Ok(1));
        queue.leave_getter(&me);
        giver.join().unwrap();
    });
}

#[test]
fn what_moves_is_neither_gone_nor_closed() {
    model(|| {
        let queue = queue(2, &[1]);
        let asker = beside(&queue, |queue| (queue.is_closed(), queue.len()));
        move_items(&queue);
        assert_eq!(asker.join().unwrap(), (false, 1));
    });
}

#[test]
fn a_larger_bound_lets_a_putter_in() {
    model(|| {
        let queue = queue(1, &[1]);
        let giver = beside(&queue, |queue| give(queue, 2));
        queue.set_capacity(Some(2));
        giver.join().unwrap();
        assert_eq!(queue.len(), 2);
    });
}

#[test]
fn a_place_that_is_given_back_is_taken() {
    model(|| {
        let queue = queue(1, &[]);
        queue.reserve(None).unwrap();
        let giver = beside(&queue, |queue| give(queue, 1));
        queue.release();
        giver.join().unwrap();
        assert_eq!(queue.pop(None), Ok(1));
    });
}

#[test]
fn a_place_is_taken_once() {
    model(|| {
        let queue = queue(1, &[]);
        let other = beside(&queue, |queue| queue.reserve(None).is_ok());
        let mine = queue.push(1, None).is_ok();
        assert!(mine != other.join().unwrap());
    });
}

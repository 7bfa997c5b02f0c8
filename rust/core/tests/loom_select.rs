//! One waiter in the lists of two queues, under loom. A lost wake shows as a deadlock.
//!
//! RUSTFLAGS="--cfg penstock_loom" cargo test --release --target-dir target/loom --test 'loom_*'
//!
//! Weakened by hand, and seen to fail here by a deadlock:
//! - the fence in `gave`;
//! - `leave_getter`: the unused wake not passed on (the losing queue's other getter sleeps on);
//! - `select` below: the losing queue not left (a later wake there goes to one who is not there);
//! - `select` below: no second look between enlisting and sleeping;
//! - `close`: the getters not told.
//!
//! Weakened and not seen: the fence in `enlist_getter`: these queues are rings, whose empty test has a fence
//! of its own (see `loom_handoff`).
#![cfg(penstock_loom)]

mod waiting;

use loom::{sync::Arc, thread};
use penstock_core::ring::Refusal;
use waiting::{Queue, Sleeper, model, sleeper, take};

/// As the binding does it: in both lists, look at both, sleep, look at both, leave both.
fn select(one: &Queue, two: &Queue) -> Result<u32, Refusal> {
    let look = |me: &Arc<Sleeper>| {
        one.pop(Some(me)).or_else(|first| {
            two.pop(Some(me)).map_err(|second| match (first, second) {
                (Refusal::Closed, Refusal::Closed) => Refusal::Closed,
                _ => Refusal::NotNow,
            })
        })
    };
    let mut previous: Option<Arc<Sleeper>> = None;
    loop {
        let me = sleeper(1);
        one.enlist_getter(Arc::clone(&me), previous.as_ref());
        two.enlist_getter(Arc::clone(&me), previous.as_ref());
        let mut outcome = look(&me);
        if outcome == Err(Refusal::NotNow) {
            me.sleep();
            outcome = look(&me);
        }
        if outcome != Err(Refusal::NotNow) {
            one.leave_getter(&me);
            two.leave_getter(&me);
            return outcome;
        }
        previous = Some(me);
    }
}

fn two_queues() -> (Arc<Queue>, Arc<Queue>) {
    (Arc::new(Queue::new(Some(2))), Arc::new(Queue::new(Some(2))))
}

fn selector(one: &Arc<Queue>, two: &Arc<Queue>) -> thread::JoinHandle<Result<u32, Refusal>> {
    let (one, two) = (Arc::clone(one), Arc::clone(two));
    thread::spawn(move || select(&one, &two))
}

#[test]
fn an_item_in_either_queue_wakes_it() {
    for second in [false, true] {
        model(move || {
            let (one, two) = two_queues();
            let selecting = selector(&one, &two);
            if second { &two } else { &one }.push(7, None).unwrap();
            assert_eq!(selecting.join().unwrap(), Ok(7));
        });
    }
}

#[test]
fn the_losing_queue_serves_its_other_getter() {
    model(|| {
        let (one, two) = two_queues();
        let selecting = selector(&one, &two);
        let taking = {
            let two = Arc::clone(&two);
            thread::spawn(move || take(&two))
        };
        one.push(1, None).unwrap();
        two.push(2, None).unwrap();
        let selected = selecting.join().unwrap().unwrap();
        if selected == 2 {
            // Then the other getter still waits for one, and here it is.
            two.push(one.pop(None).unwrap(), None).unwrap();
        }
        assert_eq!(selected + taking.join().unwrap(), 3);
    });
}

#[test]
fn a_close_of_both_ends_it_and_a_close_of_one_does_not() {
    model(|| {
        let (one, two) = two_queues();
        let selecting = selector(&one, &two);
        one.close();
        two.close();
        assert_eq!(selecting.join().unwrap(), Err(Refusal::Closed));
    });
    model(|| {
        let (one, two) = two_queues();
        let selecting = selector(&one, &two);
        one.close();
        two.push(7, None).unwrap();
        assert_eq!(selecting.join().unwrap(), Ok(7));
    });
}

//! Every interleaving of a task's ends: exactly one of them happens.
//!
//! Weakened by hand and seen to fail here: `start` as a plain store (run although recalled); words
//! without the task's number (a late worker starts the slot's next task).
#![cfg(penstock_loom)]

use loom::{sync::Arc, thread};
use penstock_core::shm::task::{State, TaskSlot};

#[test]
fn loom_a_task_is_run_or_recalled() {
    loom::model(|| {
        let slot = Arc::new(TaskSlot::default());
        slot.offer(1);
        let theirs = Arc::clone(&slot);
        let worker = thread::spawn(move || theirs.start(1));
        let recalled = slot.recall(1);
        assert_ne!(worker.join().unwrap(), recalled);
    });
}

#[test]
fn loom_a_task_finishes_or_is_condemned() {
    loom::model(|| {
        let slot = Arc::new(TaskSlot::default());
        slot.offer(1);
        let theirs = Arc::clone(&slot);
        let worker = thread::spawn(move || theirs.start(1) && theirs.finish(1));
        let recalled = slot.recall(1);
        let condemned = !recalled && slot.condemn(1);
        let finished = worker.join().unwrap();
        assert_eq!(
            u8::from(recalled) + u8::from(condemned) + u8::from(finished),
            1
        );
        let ended = [
            (recalled, State::Recalled),
            (condemned, State::Killed),
            (finished, State::Done),
        ];
        let (_, state) = ended.into_iter().find(|(happened, _)| *happened).unwrap();
        assert_eq!(slot.state(1), Some(state));
    });
}

#[test]
fn loom_a_late_worker_leaves_the_next_task_alone() {
    loom::model(|| {
        let slot = Arc::new(TaskSlot::default());
        slot.offer(1);
        let theirs = Arc::clone(&slot);
        let worker = thread::spawn(move || theirs.start(1));
        if slot.recall(1) {
            slot.offer(2);
        }
        if worker.join().unwrap() {
            assert_eq!(slot.state(1), Some(State::Running));
        } else {
            assert_eq!(slot.state(2), Some(State::Queued));
        }
    });
}

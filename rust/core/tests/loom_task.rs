//! Every interleaving of a task's ends: exactly one of them happens.
//!
//! Each shift taken apart, a look and then a store, and seen to fail here:
//! - `start`: run although recalled (all models with a worker that starts);
//! - `finish`: done although condemned (`loom_a_task_finishes_or_is_condemned`);
//! - `recall`: recalled although run (the same models as `start`);
//! - `condemn`: killed although done (`loom_a_running_task_finishes_or_is_condemned`; the longer model
//!   would need three preemptions for it).
//!
//! Words without the task's number: a late worker starts the slot's next task
//! (`loom_a_late_worker_leaves_the_next_task_alone`).
//!
//! Weakened and not seen: every ordering, down to Relaxed. All is decided by the order of one word's own
//! changes, and nothing is read by its leave: what a task is, and what came of it, goes through the
//! lanes. Release and Acquire stay, so that a word seen never runs ahead of what its writer did before.
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
fn loom_a_running_task_finishes_or_is_condemned() {
    loom::model(|| {
        let slot = Arc::new(TaskSlot::default());
        slot.offer(1);
        assert!(slot.start(1));
        let theirs = Arc::clone(&slot);
        let worker = thread::spawn(move || theirs.finish(1));
        let condemned = slot.condemn(1);
        assert_ne!(worker.join().unwrap(), condemned);
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

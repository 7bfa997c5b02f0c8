//! Threads and tasks that wait at the queue between processes, and who wakes them.
#![cfg(not(any(penstock_loom, penstock_shuttle)))]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use penstock_core::shm::queue::{Batch, Queue, QueueError, Settings, Side};

mod participants;

use participants::{Task, another, bounded, get, is_full, item, put, put_waiting, small, take};

#[test]
fn a_sleeping_taker_is_woken() {
    let queue = small();
    let there = another(&queue);
    for round in 0..200_u32 {
        thread::scope(|scope| {
            let waiting = scope.spawn(|| get(&there, 1).unwrap());
            if round % 2 == 0 {
                while queue.statistics().unwrap().getters == 0 {
                    thread::yield_now();
                }
            }
            put(&queue, &round.to_le_bytes());
            assert_eq!(waiting.join().unwrap(), [round.to_le_bytes()]);
        });
    }
    assert_eq!(queue.statistics().unwrap().getters, 0);
}

#[test]
fn nobody_awake_costs_a_call() {
    let queue = small();
    let there = another(&queue);
    for _ in 0..100 {
        put(&queue, b"x");
        take(&there, 1).unwrap();
    }
    let figures = queue.statistics().unwrap();
    assert_eq!((figures.system_calls, figures.wakes), (0, 0));
}

#[test]
fn several_threads_of_one_process_share_a_seat() {
    const ITEMS: u64 = 30_000;
    let queue = bounded(50);
    let there = another(&queue);
    let sum = AtomicU64::new(0);
    let (sum, queue, there) = (&sum, &queue, &there);
    thread::scope(|scope| {
        let takers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(move || {
                    loop {
                        match get(there, 3) {
                            Err(QueueError::ShutDown) => return,
                            seen => seen.unwrap().iter().for_each(|content| {
                                let number = content.as_slice().try_into().unwrap();
                                sum.fetch_add(u64::from_le_bytes(number), Ordering::Relaxed);
                            }),
                        }
                    }
                })
            })
            .collect();
        let senders: Vec<_> = (0..4)
            .map(|sender| {
                scope.spawn(move || {
                    for number in 0..ITEMS {
                        put_waiting(queue, &(number * 4 + sender).to_le_bytes()).unwrap();
                    }
                })
            })
            .collect();
        senders
            .into_iter()
            .for_each(|sender| sender.join().unwrap());
        queue.shutdown(false).unwrap();
        takers.into_iter().for_each(|taker| taker.join().unwrap());
    });
    let count = 4 * ITEMS;
    assert_eq!(sum.load(Ordering::Relaxed), count * (count - 1) / 2);
}

#[test]
fn tasks_are_called_one_an_item() {
    let queue = small();
    let there = another(&queue);
    let tasks: Vec<Arc<Task>> = (0..3).map(|_| Arc::default()).collect();
    for task in &tasks {
        there.enlist(Side::Items, Arc::clone(task), None).unwrap();
        assert!(take(&there, 1).unwrap().is_empty());
    }
    for (number, task) in tasks.iter().enumerate() {
        put(&queue, &[number as u8]);
        task.sleep();
        assert_eq!(take(&there, 1).unwrap(), [[number as u8]]);
        there.leave(Side::Items, task);
    }
    assert_eq!(queue.statistics().unwrap().getters, 0);
}

#[test]
fn a_task_that_leaves_passes_its_wake_on() {
    let queue = small();
    let there = another(&queue);
    let tasks: Vec<Arc<Task>> = (0..2).map(|_| Arc::default()).collect();
    for task in &tasks {
        there.enlist(Side::Items, Arc::clone(task), None).unwrap();
    }
    put(&queue, b"x");
    tasks[0].sleep();
    there.leave(Side::Items, &tasks[0]);
    tasks[1].sleep();
    assert_eq!(take(&there, 1).unwrap(), [b"x"]);
    there.leave(Side::Items, &tasks[1]);
}

#[test]
fn threads_and_tasks_of_one_seat_are_both_called() {
    let queue = small();
    let there = another(&queue);
    for _ in 0..50 {
        let task = Arc::new(Task::default());
        there.enlist(Side::Items, Arc::clone(&task), None).unwrap();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| get(&there, 1).unwrap());
            put(&queue, b"x");
            put(&queue, b"x");
            task.sleep();
            while take(&there, 1).unwrap().is_empty() {
                there
                    .enlist(Side::Items, Arc::clone(&task), Some(&task))
                    .unwrap();
                if !take(&there, 1).unwrap().is_empty() {
                    break;
                }
                task.sleep();
            }
            there.leave(Side::Items, &task);
            assert_eq!(waiting.join().unwrap(), [b"x"]);
        });
    }
}

#[test]
fn a_task_that_waits_for_room_is_called() {
    let queue = bounded(4);
    let there = another(&queue);
    for _ in 0..4 {
        put(&queue, b"x");
    }
    let task = Arc::new(Task::default());
    for _ in 0..20 {
        queue.enlist(Side::Room, Arc::clone(&task), None).unwrap();
        assert!(is_full(queue.send(&item(b"x"))));
        take(&there, 1).unwrap();
        task.sleep();
        put(&queue, b"x");
        queue.leave(Side::Room, &task);
    }
}

#[test]
fn who_waits_for_the_arena_is_woken_by_the_last_view() {
    let settings = Settings {
        arena_bytes: 1 << 20,
        ..Settings::new(1 << 20)
    };
    let queue = Queue::<Task>::create(settings).unwrap();
    let there = another(&queue);
    put(&queue, &vec![1; 1 << 20]);
    let mut batch = Batch::new();
    there.take(1, usize::MAX, &mut batch).unwrap();
    let taken = batch.pop().unwrap();
    thread::scope(|scope| {
        let putting = scope.spawn(|| put_waiting(&queue, &vec![2; 1 << 20]));
        while there.statistics().unwrap().putters == 0 {
            thread::yield_now();
        }
        drop(taken);
        putting.join().unwrap().unwrap();
    });
    assert_eq!(take(&there, 1).unwrap(), [vec![2; 1 << 20]]);
}

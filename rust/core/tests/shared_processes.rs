//! The queue between processes that fork, stop and die.
#![cfg(not(any(penstock_loom, penstock_shuttle)))]

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use penstock_core::{
    park::Parked,
    shm::queue::{Batch, Queue, QueueError, Settings, Side},
};

mod forked;
mod participants;

use forked::{Child, Ledger};
use participants::{LONG, Task, TestQueue, another, put_waiting, sleep_until, small};

fn put(queue: &TestQueue, number: u64) {
    // Every seventh has a slab of its own.
    let length = if number % 7 == 6 { 20_000 } else { 8 };
    let content: Vec<u8> = number
        .to_le_bytes()
        .into_iter()
        .cycle()
        .take(length)
        .collect();
    put_waiting(queue, &content).unwrap();
}

fn number_of(content: &[u8]) -> u64 {
    let number = |bytes: &[u8]| u64::from_le_bytes(bytes[..8].try_into().unwrap());
    let first = number(content);
    assert!(content.chunks_exact(8).all(|word| number(word) == first));
    first
}

fn take(queue: &TestQueue) -> Option<u64> {
    let taken = participants::take(queue, 1).unwrap();
    taken.first().map(|content| number_of(content))
}

fn get(queue: &TestQueue) -> u64 {
    number_of(&participants::get(queue, 1).unwrap()[0])
}

fn wait_until(queue: &TestQueue, what: &str, is_so: impl Fn() -> bool) {
    sleep_until(queue, Side::Room, what, is_so);
}

fn getters(queue: &TestQueue) -> usize {
    queue.statistics().unwrap().getters
}

#[test]
fn an_item_for_one_that_died_asleep_goes_to_another() {
    let queue = small();
    for round in 0..20 {
        let dying = Child::run(|| {
            get(&queue);
        });
        wait_until(&queue, "it does not sleep", || getters(&queue) == 1);
        let living = Child::run(|| assert_eq!(get(&queue), round));
        wait_until(&queue, "nor that one", || getters(&queue) == 2);
        dying.kill();
        put(&queue, round);
        living.end();
    }
    wait_until(&queue, "the dead sit there still", || {
        queue.statistics().unwrap().participants == 1
    });
}

#[test]
fn seats_of_those_who_died_asleep_are_free_again() {
    let queue = small();
    // More than there are seats, and nobody has called them.
    for _ in 0..70 {
        let dying = Child::run(|| {
            get(&queue);
        });
        wait_until(&queue, "it does not sleep", || getters(&queue) == 1);
        dying.kill();
        wait_until(&queue, "the dead sits there still", || {
            queue.statistics().unwrap().participants == 1
        });
    }
}

#[test]
fn one_that_is_stopped_asleep_holds_an_item_up_for_a_while_only() {
    let queue = small();
    let stopped = Child::run(|| {
        get(&queue);
    });
    wait_until(&queue, "it does not sleep", || getters(&queue) == 1);
    let living = Child::run(|| {
        get(&queue);
    });
    wait_until(&queue, "nor that one", || getters(&queue) == 2);
    stopped.signal(libc::SIGSTOP);
    stopped.wait_until_stopped();
    // One of two wakes may go to the one that is stopped.
    put(&queue, 1);
    living.end();
    put(&queue, 2);
    stopped.signal(libc::SIGCONT);
    stopped.end();
}

#[test]
fn a_burial_wakes_those_who_sleep() {
    let queue = small();
    let woken = (0..3).any(|_| {
        let dying = Child::run(|| {
            get(&queue);
        });
        wait_until(&queue, "it does not sleep", || getters(&queue) == 1);
        let mut sleeper = queue.sleeper(Side::Items).unwrap();
        sleeper.arm();
        dying.kill();
        loop {
            // Woken by the burial, or by the end of a second's sleep, where that came first.
            let parked = sleeper.park(None);
            if queue.statistics().unwrap().participants == 1 {
                return parked == Parked::Woken;
            }
            sleeper.arm();
        }
    });
    assert!(woken);
}

#[test]
fn children_and_their_children_join_by_themselves() {
    let queue = small();
    put(&queue, 0);
    let mut held = Batch::new();
    put(&queue, 6);
    take(&queue).unwrap();
    queue.take(1, usize::MAX, &mut held).unwrap();
    let mut sleeper = queue.sleeper(Side::Items).unwrap();
    sleeper.arm();
    Child::run(|| {
        // What is the parent's is left alone.
        drop(sleeper);
        drop(held);
        put(&queue, 1);
        Child::run(|| {
            put(&queue, 2);
            queue.close();
        })
        .end();
        queue.close();
        Child::run(|| {
            // Closed is what its parent is, not what it is.
            put(&queue, 3);
        })
        .end();
    })
    .end();
    let seen: Vec<u64> = (0..3).map(|_| get(&queue)).collect();
    let mut sorted = seen.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, [1, 2, 3], "{seen:?}");
    wait_until(&queue, "children sit there still", || {
        queue.statistics().unwrap().participants == 1
    });
}

#[test]
fn a_fork_while_other_threads_are_at_it_leaves_the_child_free() {
    let queue = small();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    put(&queue, 6);
                    put(&queue, 1);
                    // One of a child's, too.
                    for _ in 0..3 {
                        take(&queue);
                    }
                }
            });
        }
        for _ in 0..100 {
            Child::run(|| {
                put(&queue, 1);
                put(&queue, 6);
                take(&queue);
                queue.close();
            })
            .end();
        }
        is_over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn who_knows_the_name_comes_in_by_any_that_lives() {
    let name = format!("penstock-test-{}", std::process::id());
    let find = || Queue::<Task>::find(&name, LONG);
    let create = || Queue::<Task>::create_named(Settings::new(1 << 20), &name);
    assert!(matches!(find(), Err(QueueError::Door(_))), "nobody has it");
    let queue = create().unwrap();
    assert_eq!(queue.name(), Some(&*name));
    assert!(matches!(create(), Err(QueueError::Door(_))), "it is taken");
    let late = find().unwrap();
    assert_eq!((late.id(), late.settings()), (queue.id(), queue.settings()));
    // The one that has made it goes; it can be asked for still.
    queue.close();
    let child = Child::run(|| put(&find().unwrap(), 3));
    assert_eq!(get(&late), 3);
    child.end();
    assert!(
        matches!(create(), Err(QueueError::Door(_))),
        "it is taken still"
    );
    drop(late);
    match create() {
        Ok(queue) => drop(queue),
        Err(error) => panic!("{error}"),
    }
    for name in ["", "a/b", &"x".repeat(65)] {
        let answer = Queue::<Task>::create_named(Settings::new(1 << 20), name);
        assert!(matches!(answer, Err(QueueError::Door(_))), "{name}");
    }
}

#[test]
fn what_was_sent_and_not_taken_by_the_dead_arrives_once_and_in_order() {
    const ROUNDS: u64 = 40;
    let queue = Queue::create(Settings {
        max_items: Some(64),
        ..Settings::new(1 << 20)
    })
    .unwrap();
    // Per sender: how many it has begun and ended to put. Per taker: how many it has begun and ended to get.
    let ledger = Ledger::new();
    let seen = Mutex::new(Vec::new());
    let is_over = AtomicBool::new(false);
    let mut lost = 0;
    thread::scope(|scope| {
        scope.spawn(|| {
            let mine = another(&queue);
            loop {
                let was_over = is_over.load(Ordering::Acquire);
                match take(&mine) {
                    Some(number) => seen.lock().unwrap().push(number),
                    None if was_over => return,
                    None => {
                        let mut sleeper = mine.sleeper(Side::Items).unwrap();
                        sleeper.arm();
                        if mine.is_empty() {
                            sleeper.park(Some(Instant::now() + Duration::from_millis(5)));
                        }
                    }
                }
            }
        });
        for round in 0..ROUNDS {
            let sender = Child::run(|| {
                let begun = ledger.word(4 * round as usize);
                let done = ledger.word(4 * round as usize + 1);
                for number in 0.. {
                    begun.store(number + 1, Ordering::SeqCst);
                    put(&queue, round << 32 | number);
                    done.store(number + 1, Ordering::SeqCst);
                }
            });
            let taker = Child::run(|| {
                let begun = ledger.word(4 * round as usize + 2);
                let done = ledger.word(4 * round as usize + 3);
                for number in 0.. {
                    begun.store(number + 1, Ordering::SeqCst);
                    get(&queue);
                    done.store(number + 1, Ordering::SeqCst);
                }
            });
            // Until both have done something, and some steps more.
            let deadline = Instant::now() + LONG;
            while [1, 3].iter().any(|word| {
                ledger
                    .word(4 * round as usize + word)
                    .load(Ordering::SeqCst)
                    < 20 + round * 3
            }) {
                assert!(Instant::now() < deadline, "{:?}", queue.statistics());
                thread::yield_now();
            }
            taker.kill();
            sender.kill();
        }
        is_over.store(true, Ordering::Release);
    });
    let seen = seen.into_inner().unwrap();
    let (mut sent, mut most) = (0, 0);
    for round in 0..ROUNDS {
        let of = |word: usize| {
            ledger
                .word(4 * round as usize + word)
                .load(Ordering::SeqCst)
        };
        sent += of(1);
        most += of(0);
        lost += of(3);
        let numbers: Vec<u64> = seen
            .iter()
            .filter(|number| **number >> 32 == round)
            .copied()
            .collect();
        assert!(
            numbers.is_sorted_by(|one, two| one < two),
            "in order, each once"
        );
    }
    let arrived = seen.len() as u64 + lost;
    // A taker that died had one item in its hands at most, and a sender had one half sent.
    assert!(arrived + ROUNDS >= sent, "{arrived} of {sent}");
    assert!(arrived <= most, "{arrived} of {most}");
    wait_until(&queue, "something is left", || {
        let figures = queue.statistics().unwrap();
        figures.dead == 0 && figures.participants == 1 && figures.slabs == 0
    });
}

//! What the living see of the dead: who only polls, who asks for figures, and who shuts a queue down at once.
//!
//! Weakened by hand, and seen to fail here:
//! - `Local::look` looks at nobody (the first three), or `take`, `send_many` and `allocate` do not ask it;
//! - `statistics` does not look (figures);
//! - `leases::drop_returned` does nothing, or is not called by `give_back`, `inherit`, `leave` or `shutdown` (the
//!   last four, one each).
#![cfg(not(any(penstock_loom, penstock_shuttle)))]

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use penstock_core::{
    ring::{Wake, Woken},
    shm::queue::{Acknowledged, Batch, Item, Lease, Queue, QueueError, Settings, Taken},
};

/// A ceiling against hangs, nothing else.
const LONG: Duration = Duration::from_secs(60);

struct Nobody;

impl Wake for Nobody {
    fn wake(&self) -> Woken {
        Woken::Gone
    }
}

type TestQueue = Arc<Queue<Nobody>>;

/// What each item has: a slab of its own.
static SLAB: [u8; 20_000] = [7; 20_000];

fn item(bytes: &[u8]) -> Item<'_> {
    Item {
        code: 7,
        stream: bytes.into(),
        buffers: &[],
    }
}

fn another(queue: &TestQueue) -> TestQueue {
    Queue::attach(queue.fd().try_clone_to_owned().unwrap()).unwrap()
}

/// Items are out for longer than any test takes.
fn acknowledged() -> TestQueue {
    Queue::create(Settings {
        ack: Some(Acknowledged {
            lease: 100 * LONG,
            leases: 64,
        }),
        ..Settings::new(1 << 20)
    })
    .unwrap()
}

fn poll(queue: &TestQueue) -> Option<Lease> {
    let mut batch = Batch::new();
    queue.take(1, usize::MAX, &mut batch).unwrap();
    batch.pop().map(|taken: Taken<'_>| taken.lease.unwrap())
}

/// Runs a script in a child, which then dies as by a kill, with everything as it is.
fn die_after(script: impl FnOnce()) {
    // SAFETY: the child runs the script and ends.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        let outcome = catch_unwind(AssertUnwindSafe(script));
        // SAFETY: as above.
        unsafe { libc::_exit(i32::from(outcome.is_err())) };
    }
    let mut status = 0;
    // SAFETY: `child` is ours.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0, "the script failed");
}

fn until<T>(mut answer: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + LONG;
    loop {
        if let Some(answer) = answer() {
            return answer;
        }
        assert!(Instant::now() < end, "it does not come");
        thread::yield_now();
    }
}

fn leave_one_with_the_dead(queue: &TestQueue) {
    queue.send(&item(&SLAB)).unwrap();
    die_after(|| {
        poll(queue).unwrap();
    });
}

#[test]
fn who_only_polls_gets_a_dead_takers_items() {
    let queue = acknowledged();
    leave_one_with_the_dead(&queue);
    let lease = until(|| poll(&queue));
    queue.acknowledge(lease).unwrap();
    assert_eq!(queue.statistics().unwrap().leased, 0);
}

#[test]
fn who_only_puts_gets_the_memory_that_a_dead_one_looked_at() {
    let whole = vec![1; 1 << 20];
    let queue: TestQueue = Queue::create(Settings {
        arena_bytes: 1 << 20,
        ..Settings::new(1 << 21)
    })
    .unwrap();
    for by_allocation in [false, true] {
        queue.send(&item(&whole)).unwrap();
        die_after(|| {
            let mut batch = Batch::new();
            assert_eq!(queue.take(1, usize::MAX, &mut batch).unwrap(), 1);
            std::mem::forget(batch);
        });
        until(|| {
            let answer = if by_allocation {
                queue.allocate(1 << 20).map(drop)
            } else {
                queue.send(&item(&whole))
            };
            match answer {
                Ok(()) => Some(()),
                Err(QueueError::Full) => None,
                Err(other) => panic!("{other}"),
            }
        });
        queue.take(1, usize::MAX, &mut Batch::new()).unwrap();
    }
}

#[test]
fn figures_count_the_living() {
    let queue = acknowledged();
    let onlooker = another(&queue);
    for round in 0..5 {
        die_after(|| queue.send(&item(b"x")).unwrap());
        // Who takes no part knows it, too.
        let seen = onlooker.statistics().unwrap();
        assert_eq!((seen.participants, seen.dead), (usize::from(round > 0), 1));
        let seen = queue.statistics();
        if round == 0 {
            // This one has taken no part so far.
            assert_eq!(seen.unwrap().participants, 0);
        } else {
            let seen = seen.unwrap();
            // What the dead one has put is inside.
            assert_eq!((seen.participants, seen.dead), (1, 1));
        }
        queue.acknowledge(poll(&queue).unwrap()).unwrap();
        let seen = queue.statistics().unwrap();
        assert_eq!((seen.participants, seen.dead, seen.items), (1, 0, 0));
    }
}

fn nothing_is_out(queue: &TestQueue) {
    assert!(matches!(
        queue.take(1, usize::MAX, &mut Batch::new()),
        Err(QueueError::ShutDown)
    ));
    let seen = queue.statistics().unwrap();
    assert_eq!((seen.leased, seen.slabs, seen.items), (0, 0, 0));
    assert_eq!((seen.participants, seen.dead), (1, 0));
}

#[test]
fn an_end_at_once_drops_what_the_dead_had_under_a_lease() {
    let queue = acknowledged();
    leave_one_with_the_dead(&queue);
    queue.shutdown(true).unwrap();
    nothing_is_out(&queue);
    // Nor what they die with later.
    let queue = acknowledged();
    queue.send(&item(&SLAB)).unwrap();
    die_after(|| {
        poll(&queue).unwrap();
        queue.shutdown(true).unwrap();
    });
    nothing_is_out(&queue);
}

#[test]
fn an_end_at_once_drops_what_had_come_back() {
    let queue = acknowledged();
    queue.send(&item(&SLAB)).unwrap();
    queue.give_back(poll(&queue).unwrap()).unwrap();
    queue.shutdown(true).unwrap();
    nothing_is_out(&queue);
}

#[test]
fn what_comes_back_after_an_end_at_once_is_dropped() {
    let queue = acknowledged();
    queue.send(&item(&SLAB)).unwrap();
    let lease = poll(&queue).unwrap();
    queue.shutdown(true).unwrap();
    assert_eq!(queue.statistics().unwrap().leased, 1, "it is dealt with");
    queue.give_back(lease).unwrap();
    assert!(matches!(
        queue.acknowledge(lease),
        Err(QueueError::LeaseLost)
    ));
    nothing_is_out(&queue);
}

#[test]
fn who_leaves_after_an_end_at_once_takes_its_leases_along() {
    let queue = acknowledged();
    let other = another(&queue);
    queue.send(&item(&SLAB)).unwrap();
    poll(&other).unwrap();
    queue.shutdown(true).unwrap();
    other.close();
    nothing_is_out(&queue);
}

#[test]
fn what_was_given_back_is_held_until_another_has_it_and_no_longer() {
    let queue = acknowledged();
    let other = another(&queue);
    queue.send(&item(&SLAB)).unwrap();
    other.give_back(poll(&other).unwrap()).unwrap();
    let lease = poll(&queue).unwrap();
    queue.acknowledge(lease).unwrap();
    // The one that gave it back does nothing more: its sentinel sees that it is gone.
    until(|| (queue.statistics().unwrap().slabs == 0).then_some(()));
}

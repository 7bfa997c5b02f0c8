//! Items of the queue between processes that come back unless they are acknowledged.
#![cfg(not(any(penstock_loom, penstock_shuttle)))]

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use penstock_core::{
    park::Parked,
    shm::queue::{Acknowledged, Batch, Lease, Queue, QueueError, Settings, Side},
};

mod participants;

use participants::{LONG, TestQueue, another, put};

fn acknowledged(lease: Duration, leases: u32) -> TestQueue {
    let settings = Settings {
        ack: Some(Acknowledged { lease, leases }),
        ..Settings::new(1 << 20)
    };
    Queue::create(settings).unwrap()
}

fn take_leased(queue: &TestQueue, max: usize) -> Vec<(Vec<u8>, Lease)> {
    let seen = participants::take_leased(queue, max).unwrap().into_iter();
    seen.map(|(content, lease)| (content, lease.unwrap()))
        .collect()
}

#[test]
fn what_is_not_acknowledged_comes_back() {
    let queue = acknowledged(LONG, 4);
    let there = another(&queue);
    put(&queue, b"small");
    put(&queue, &vec![7; 100_000]);
    let first = take_leased(&there, 9);
    assert_eq!(first.len(), 2);
    assert_eq!(queue.statistics().unwrap().leased, 2);
    there.acknowledge(first[0].1).unwrap();
    assert!(matches!(
        there.acknowledge(first[0].1),
        Err(QueueError::LeaseLost)
    ));
    assert!(take_leased(&queue, 9).is_empty());
    there.give_back(first[1].1).unwrap();
    let again = take_leased(&queue, 9);
    assert_eq!(again[0].0, vec![7; 100_000]);
    assert!(matches!(
        there.acknowledge(first[1].1),
        Err(QueueError::LeaseLost)
    ));
    queue.acknowledge(again[0].1).unwrap();
    let figures = queue.statistics().unwrap();
    assert_eq!((figures.leased, figures.items), (0, 0));
    there.take(1, 1, &mut Batch::new()).unwrap();
    drop(there);
    assert_eq!(queue.statistics().unwrap().slabs, 0);
}

#[test]
fn a_lease_that_is_over_goes_to_the_next() {
    let queue = acknowledged(Duration::from_millis(1), 4);
    let there = another(&queue);
    put(&queue, b"x");
    let first = take_leased(&there, 1);
    let second = get_leased(&queue);
    assert_eq!(second.0, b"x");
    assert!(matches!(
        there.acknowledge(first[0].1),
        Err(QueueError::LeaseLost)
    ));
}

fn get_leased(queue: &TestQueue) -> (Vec<u8>, Lease) {
    let deadline = Instant::now() + LONG;
    let mut sleeper = queue.sleeper(Side::Items).unwrap();
    loop {
        sleeper.arm();
        if let Some(found) = take_leased(queue, 1).pop() {
            return found;
        }
        assert_ne!(sleeper.park(Some(deadline)), Parked::Expired, "nobody rang");
    }
}

#[test]
fn leases_run_out_and_an_acknowledgement_makes_room() {
    let queue = acknowledged(LONG, 2);
    let there = another(&queue);
    for number in 0..3_u8 {
        put(&queue, &[number]);
    }
    let first = take_leased(&there, 9);
    assert_eq!(first.len(), 2);
    assert!(take_leased(&there, 9).is_empty());
    thread::scope(|scope| {
        let waiting = scope.spawn(|| get_leased(&there).0);
        while queue.statistics().unwrap().getters == 0 {
            thread::yield_now();
        }
        there.acknowledge(first[1].1).unwrap();
        assert_eq!(waiting.join().unwrap(), [2]);
    });
}

#[test]
fn who_leaves_hands_back_what_it_has_not_acknowledged() {
    let queue = acknowledged(LONG, 4);
    let there = another(&queue);
    put(&queue, b"small");
    put(&queue, &vec![7; 100_000]);
    assert_eq!(take_leased(&there, 9).len(), 2);
    drop(there);
    let mut seen: Vec<_> = (0..2).map(|_| get_leased(&queue).0.len()).collect();
    seen.sort_unstable();
    assert_eq!(seen, [5, 100_000]);
}

#[test]
fn an_item_is_acknowledged_once_however_often_its_lease_lapses() {
    const ITEMS: usize = 500;
    const TAKERS: usize = 3;
    let queue = acknowledged(Duration::from_micros(2), 4);
    let times: Vec<_> = (0..ITEMS).map(|_| AtomicUsize::new(0)).collect();
    let (done, began) = (AtomicUsize::new(0), Instant::now());
    let work = |taker: TestQueue| {
        while done.load(Ordering::Relaxed) < ITEMS && began.elapsed() < LONG {
            for (content, lease) in take_leased(&taker, 2) {
                // Until the other one has found it lapsed, or not.
                thread::yield_now();
                if taker.acknowledge(lease).is_ok() {
                    let number = usize::from_ne_bytes(content.try_into().unwrap());
                    times[number].fetch_add(1, Ordering::Relaxed);
                    done.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..TAKERS {
            let taker = another(&queue);
            scope.spawn(|| work(taker));
        }
        for number in 0..ITEMS {
            put(&queue, &number.to_ne_bytes());
        }
    });
    let times: Vec<_> = times.into_iter().map(AtomicUsize::into_inner).collect();
    assert_eq!(times, vec![1; ITEMS]);
}

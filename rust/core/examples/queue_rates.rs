//! How fast the queue between processes is by itself: `cargo run --release --example queue_rates`.
//!
//! A forked child takes while the parent sends, records of one size one by one and in batches; then the two
//! answer each other, asleep in between and looking.
#![cfg(not(any(penstock_loom, penstock_shuttle)))]
#![allow(clippy::print_stdout)]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use penstock_core::{
    ring::{Wake, Woken},
    shm::queue::{Batch, Item, Queue, QueueError, Settings, Side},
};

struct Nobody;

impl Wake for Nobody {
    fn wake(&self) -> Woken {
        Woken::Gone
    }
}

fn take_all(queue: &Queue<Nobody>, count: usize, batch_size: usize) {
    let (mut seen, mut bytes) = (0, 0);
    let mut batch = Batch::new();
    let mut sleeper = queue.sleeper(Side::Items).unwrap();
    while seen < count {
        let mut got = queue.take(batch_size, usize::MAX, &mut batch).unwrap();
        if got == 0 {
            sleeper.arm();
            got = queue.take(batch_size, usize::MAX, &mut batch).unwrap();
            if got == 0 {
                sleeper.park(None);
                continue;
            }
        }
        seen += got;
        while let Some(taken) = batch.pop() {
            bytes += taken.inline.len();
        }
    }
    assert!(bytes > 0);
}

fn send_all(queue: &Queue<Nobody>, count: usize, batch_size: usize, content: &[u8]) {
    let items = vec![
        Item {
            code: 0,
            stream: content.into(),
            buffers: &[],
        };
        batch_size
    ];
    let mut sleeper = queue.sleeper(Side::Room).unwrap();
    let mut sent = 0;
    while sent < count {
        let items = &items[..batch_size.min(count - sent)];
        match queue.send_many(items) {
            Ok(went) => sent += went,
            Err(QueueError::Full) => {
                sleeper.arm();
                match queue.send_many(items) {
                    Ok(went) => sent += went,
                    Err(_) => drop(sleeper.park(None)),
                }
            }
            Err(other) => panic!("{other}"),
        }
    }
}

fn rate(size: usize, count: usize, batch_size: usize) -> (f64, u64) {
    let queue: Arc<Queue<Nobody>> = Queue::create(Settings::new(8 << 20)).unwrap();
    let back: Arc<Queue<Nobody>> = Queue::create(Settings::new(1 << 20)).unwrap();
    // SAFETY: the child takes, answers and ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        send_all(&back, 1, 1, b"ready");
        take_all(&queue, count, batch_size);
        send_all(&back, 1, 1, b"done");
        // SAFETY: as above.
        unsafe { libc::_exit(0) };
    }
    take_all(&back, 1, 1);
    let content = vec![7; size];
    let begun = Instant::now();
    send_all(&queue, count, batch_size, &content);
    take_all(&back, 1, 1);
    let time: Duration = begun.elapsed();
    // SAFETY: `child` is ours.
    unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
    let calls = queue.statistics().unwrap().system_calls;
    (count as f64 / time.as_secs_f64(), calls)
}

/// What it takes a record to go there and another to come back, the median of many.
fn round_trip(spin: Duration) -> Duration {
    const ROUNDS: usize = 20_000;
    let queue: Arc<Queue<Nobody>> = Queue::create(Settings::new(1 << 20)).unwrap();
    let back: Arc<Queue<Nobody>> = Queue::create(Settings::new(1 << 20)).unwrap();
    let get = |queue: &Queue<Nobody>| {
        if !queue.spin(Side::Items, spin) || queue.is_empty() {
            take_all(queue, 1, 1);
        } else {
            assert_eq!(queue.take(1, usize::MAX, &mut Batch::new()).unwrap(), 1);
        }
    };
    // SAFETY: the child answers and ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        for _ in 0..ROUNDS {
            get(&queue);
            send_all(&back, 1, 1, b"pong");
        }
        // SAFETY: as above.
        unsafe { libc::_exit(0) };
    }
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let begun = Instant::now();
            send_all(&queue, 1, 1, b"ping");
            get(&back);
            begun.elapsed()
        })
        .collect();
    // SAFETY: `child` is ours.
    unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
    times.sort_unstable();
    times[ROUNDS / 2]
}

fn main() {
    for (name, spin) in [("asleep", 0), ("looking", 1000)] {
        let time = round_trip(Duration::from_micros(spin));
        println!("round trip, {name}: {time:?}");
    }
    for (size, count, batch) in [
        (16, 3_000_000, 1),
        (64, 3_000_000, 1),
        (64, 20_000_000, 256),
        (1024, 2_000_000, 1),
        (1024, 4_000_000, 64),
    ] {
        for _ in 0..3 {
            let (rate, calls) = rate(size, count, batch);
            println!(
                "{size:5} B, {batch:3} at a time: {:6.2} M/s, {calls} calls",
                rate / 1e6
            );
        }
    }
}

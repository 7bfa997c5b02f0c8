//! Who comes to the queue between processes and goes, and what is refused.
#![cfg(not(any(penstock_loom, penstock_shuttle)))]

use std::{sync::Arc, thread, time::Duration};

use penstock_core::shm::queue::{Acknowledged, Batch, Queue, QueueError, Settings};

mod participants;

use participants::{LONG, Task, another, bounded, get, item, put, put_waiting, small, take};

#[test]
fn shutdown_lets_takers_drain_and_refuses_senders() {
    let queue = small();
    let there = another(&queue);
    put(&queue, b"left");
    thread::scope(|scope| {
        let third = another(&queue);
        put(&third, b"more");
        queue.shutdown(false).unwrap();
        assert!(matches!(queue.send(&item(b"x")), Err(QueueError::ShutDown)));
        assert!(matches!(there.send(&item(b"x")), Err(QueueError::ShutDown)));
        let waiting = scope.spawn(|| {
            let mut seen = 0;
            while let Ok(items) = get(&there, 1) {
                seen += items.len();
            }
            seen
        });
        assert_eq!(waiting.join().unwrap(), 2);
    });
    assert!(matches!(take(&queue, 1), Err(QueueError::ShutDown)));
}

#[test]
fn an_immediate_shutdown_wakes_all_and_drops_what_is_inside() {
    let queue = bounded(1);
    let there = another(&queue);
    thread::scope(|scope| {
        put(&queue, b"x");
        let putting = scope.spawn(|| put_waiting(&queue, b"y"));
        let empty = small();
        let other = another(&empty);
        let getting = scope.spawn(move || get(&other, 1));
        while there.statistics().unwrap().putters == 0 || empty.statistics().unwrap().getters == 0 {
            thread::yield_now();
        }
        there.shutdown(true).unwrap();
        empty.shutdown(true).unwrap();
        assert!(matches!(putting.join().unwrap(), Err(QueueError::ShutDown)));
        assert!(matches!(getting.join().unwrap(), Err(QueueError::ShutDown)));
    });
    assert!(matches!(take(&queue, 1), Err(QueueError::ShutDown)));
    assert_eq!(queue.len().unwrap(), 0);
}

#[test]
fn close_leaves_what_was_sent_and_wakes_who_sleeps_here() {
    let queue = small();
    let there = another(&queue);
    put(&queue, b"before");
    put(&queue, &vec![8; 100_000]);
    thread::scope(|scope| {
        let getting = scope.spawn(|| {
            let other = another(&queue);
            let taken = get(&other, 9).unwrap();
            let closing = scope.spawn({
                let other = Arc::clone(&other);
                move || {
                    while other.statistics().is_ok_and(|figures| figures.getters == 0) {
                        thread::yield_now();
                    }
                    other.close();
                }
            });
            let answer = get(&other, 1);
            closing.join().unwrap();
            (taken, answer)
        });
        let (taken, answer) = getting.join().unwrap();
        assert_eq!(taken, [b"before".to_vec(), vec![8; 100_000]]);
        assert!(matches!(answer, Err(QueueError::Closed)));
    });
    put(&queue, b"after");
    queue.close();
    assert!(queue.is_closed());
    assert!(matches!(queue.send(&item(b"x")), Err(QueueError::Closed)));
    assert!(matches!(take(&queue, 1), Err(QueueError::Closed)));
    assert_eq!(take(&there, 9).unwrap(), [b"after"]);
}

#[test]
fn seats_are_used_again_and_again() {
    let queue = small();
    for round in 0..300_u32 {
        let other = another(&queue);
        put(&other, &round.to_le_bytes());
        put(&other, &vec![round as u8; 50_000]);
        if round % 3 == 0 {
            assert_eq!(take(&queue, 2).unwrap().len(), 2);
            drop(other);
        } else {
            drop(other);
            let seen = take(&queue, 2).unwrap();
            assert_eq!(
                seen,
                [round.to_le_bytes().to_vec(), vec![round as u8; 50_000]]
            );
        }
    }
}

#[test]
fn a_view_keeps_the_seat_of_a_closed_queue() {
    let queue = small();
    let there = another(&queue);
    put(&queue, &vec![6; 100_000]);
    let mut batch = Batch::new();
    there.take(1, usize::MAX, &mut batch).unwrap();
    let taken = batch.pop().unwrap();
    there.close();
    assert_eq!(queue.statistics().unwrap().participants, 2);
    assert_eq!(queue.statistics().unwrap().slabs, 1);
    let stream = taken.stream.unwrap();
    // SAFETY: pinned.
    assert_eq!(unsafe { stream.content().0.read() }, 6);
    drop(stream);
    assert_eq!(queue.statistics().unwrap().participants, 1);
    assert_eq!(queue.statistics().unwrap().slabs, 0);
}

#[test]
fn sixty_four_take_part_and_one_more_is_refused() {
    let queue = small();
    put(&queue, b"x");
    let others: Vec<_> = (1..64).map(|_| another(&queue)).collect();
    for (number, other) in others.iter().enumerate() {
        if number >= 55 {
            // The last seats are for takers.
            assert!(matches!(other.send(&item(b"y")), Err(QueueError::Crowded)));
            other.take(0, 0, &mut Batch::new()).unwrap();
        }
        put(other, b"y");
    }
    let late = another(&queue);
    assert!(matches!(late.send(&item(b"z")), Err(QueueError::Crowded)));
    assert!(matches!(take(&late, 1), Err(QueueError::Crowded)));
    drop(others);
    assert_eq!(take(&queue, 100).unwrap().len(), 64);
    put(&late, b"z");
}

#[test]
fn foreign_and_damaged_segments_are_refused() {
    let queue = small();
    let length = queue.fd().try_clone_to_owned().unwrap();
    let file = std::fs::File::from(length);
    use std::os::unix::fs::FileExt;
    for offset in [0, 8, 12, 16, 24, 32, 48, 2048, 2064, 2072, 2088, 2104] {
        let mut before = [0; 1];
        file.read_at(&mut before, offset).unwrap();
        file.write_at(&[before[0] ^ 0x55], offset).unwrap();
        let fd = queue.fd().try_clone_to_owned().unwrap();
        let answer = Queue::<Task>::attach(fd);
        assert!(matches!(answer, Err(QueueError::Attach(_))), "{offset}");
        file.write_at(&before, offset).unwrap();
    }
    put(&another(&queue), b"x");
}

#[test]
fn settings_that_make_no_queue_are_refused() {
    let sound = Settings::new(1 << 20);
    let lease = |lease, leases| Some(Acknowledged { lease, leases });
    for settings in [
        Settings::new(0),
        Settings::new(usize::MAX),
        Settings {
            max_items: Some(0),
            ..sound
        },
        Settings {
            ack: lease(Duration::ZERO, 5),
            ..sound
        },
        Settings {
            ack: lease(LONG, 0),
            ..sound
        },
    ] {
        assert!(matches!(
            Queue::<Task>::create(settings),
            Err(QueueError::Settings(_))
        ));
    }
}

//! The queue between processes, as threads and forked children use it.
#![cfg(not(any(penstock_loom, penstock_shuttle)))]

use std::{
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use penstock_core::{
    park::Parked,
    ring::{Wake, Woken},
    shm::queue::{Acknowledged, Batch, Item, Lease, Queue, QueueError, Settings, Side},
};

/// A ceiling against hangs, nothing else.
const LONG: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Task {
    is_woken: Mutex<bool>,
    call: Condvar,
}

impl Wake for Task {
    fn wake(&self) -> Woken {
        *self.is_woken.lock().unwrap() = true;
        self.call.notify_all();
        Woken::Quietly
    }
}

impl Task {
    fn sleep(&self) {
        let is_woken = self.is_woken.lock().unwrap();
        let (mut is_woken, timeout) = self
            .call
            .wait_timeout_while(is_woken, LONG, |is_woken| !*is_woken)
            .unwrap();
        assert!(!timeout.timed_out(), "nobody called");
        *is_woken = false;
    }
}

type TestQueue = Arc<Queue<Task>>;

fn item(bytes: &[u8]) -> Item<'_> {
    Item {
        code: 7,
        stream: bytes.into(),
        buffers: &[],
    }
}

/// The same queue as another process would see it: a seat of its own.
fn another(queue: &TestQueue) -> TestQueue {
    Queue::attach(queue.fd().try_clone_to_owned().unwrap()).unwrap()
}

fn small() -> TestQueue {
    Queue::create(Settings::new(1 << 20)).unwrap()
}

fn bounded(items: u32) -> TestQueue {
    let settings = Settings {
        max_items: Some(items),
        ..Settings::new(1 << 20)
    };
    Queue::create(settings).unwrap()
}

fn put(queue: &TestQueue, bytes: &[u8]) {
    queue.send(&item(bytes)).unwrap();
}

fn all_of(batch: &mut Batch) -> Vec<Vec<u8>> {
    let mut seen = Vec::new();
    while let Some(taken) = batch.pop() {
        assert_eq!(taken.code, 7);
        seen.push(match &taken.stream {
            None => taken.inline.to_vec(),
            Some(stream) => {
                let (at, length) = stream.content();
                // SAFETY: pinned.
                unsafe { std::slice::from_raw_parts(at.as_ptr(), length) }.to_vec()
            }
        });
    }
    seen
}

fn take(queue: &TestQueue, max: usize) -> Result<Vec<Vec<u8>>, QueueError> {
    let mut batch = Batch::new();
    queue.take(max, usize::MAX, &mut batch)?;
    Ok(all_of(&mut batch))
}

/// As a blocking get does.
fn get(queue: &TestQueue, max: usize) -> Result<Vec<Vec<u8>>, QueueError> {
    let deadline = Instant::now() + LONG;
    let seen = take(queue, max)?;
    if !seen.is_empty() {
        return Ok(seen);
    }
    let mut sleeper = queue.sleeper(Side::Items)?;
    loop {
        sleeper.arm();
        let seen = take(queue, max)?;
        if !seen.is_empty() {
            return Ok(seen);
        }
        assert_ne!(sleeper.park(Some(deadline)), Parked::Expired, "nobody rang");
    }
}

/// As a blocking put does.
fn put_waiting(queue: &TestQueue, bytes: &[u8]) -> Result<(), QueueError> {
    let deadline = Instant::now() + LONG;
    let mut sleeper = queue.sleeper(Side::Room)?;
    loop {
        match queue.send(&item(bytes)) {
            Err(QueueError::Full) => {}
            answer => return answer,
        }
        sleeper.arm();
        match queue.send(&item(bytes)) {
            Err(QueueError::Full) => {}
            answer => return answer,
        }
        assert_ne!(sleeper.park(Some(deadline)), Parked::Expired, "nobody rang");
    }
}

fn is_full(answer: Result<(), QueueError>) -> bool {
    matches!(answer, Err(QueueError::Full))
}

#[test]
fn items_go_from_one_to_the_other_in_order() {
    let here = small();
    let there = another(&here);
    put(&here, b"one");
    put(&here, b"");
    put(&here, &[3; 5000]);
    assert_eq!(there.len().unwrap(), 3);
    assert_eq!(take(&there, 2).unwrap(), [b"one".to_vec(), vec![]]);
    assert_eq!(take(&there, 2).unwrap(), [vec![3; 5000]]);
    assert!(take(&there, 2).unwrap().is_empty());
    put(&there, b"back");
    assert_eq!(take(&here, 9).unwrap(), [b"back"]);
    let figures = there.statistics().unwrap();
    assert_eq!((figures.participants, figures.items), (2, 0));
    assert_eq!((figures.sent, figures.taken), (1, 3));
}

#[test]
fn a_batch_goes_in_and_out_at_once() {
    let here = small();
    let there = another(&here);
    let contents: Vec<Vec<u8>> = (0..1000_u32).map(|n| n.to_le_bytes().to_vec()).collect();
    let items: Vec<Item> = contents.iter().map(|content| item(content)).collect();
    assert_eq!(here.send_many(&items).unwrap(), 1000);
    let mut batch = Batch::new();
    assert_eq!(there.take(600, 100, &mut batch).unwrap(), 25);
    assert_eq!(there.take(600, usize::MAX, &mut batch).unwrap(), 600);
    assert_eq!(there.take(600, usize::MAX, &mut batch).unwrap(), 375);
    assert_eq!(batch.len(), 1000);
    assert_eq!(all_of(&mut batch), contents);
}

#[test]
fn senders_are_served_in_turn() {
    let queue = small();
    let (one, two) = (another(&queue), another(&queue));
    for number in 0..100_u8 {
        put(&one, &[1, number]);
        put(&two, &[2, number]);
    }
    let seen = take(&queue, 50).unwrap();
    let firsts = seen.iter().filter(|content| content[0] == 1).count();
    assert_eq!(firsts, 25);
    let ones: Vec<_> = (0..4).map(|_| take(&queue, 1).unwrap()[0][0]).collect();
    assert!(ones == [1, 2, 1, 2] || ones == [2, 1, 2, 1], "{ones:?}");
}

#[test]
fn bounds_hold_in_items_and_in_bytes() {
    let queue = bounded(3);
    for _ in 0..3 {
        put(&queue, b"x");
    }
    assert!(is_full(queue.send(&item(b"x"))));
    let other = another(&queue);
    assert!(is_full(other.send(&item(b"x"))));
    take(&queue, 1).unwrap();
    put(&other, b"x");
    assert!(is_full(queue.send(&item(b"x"))));
    let contents = [item(b"a"), item(b"b"), item(b"c"), item(b"d")];
    take(&queue, 9).unwrap();
    assert_eq!(queue.send_many(&contents).unwrap(), 3);

    let queue = Queue::<Task>::create(Settings::new(64 << 10)).unwrap();
    let mut count = 0;
    while !is_full(queue.send(&item(&[0; 1000]))) {
        count += 1;
    }
    assert_eq!(count, (64 << 10) / 1016);
}

#[test]
fn an_item_of_all_the_bytes_fits_and_one_more_does_not() {
    let queue = small();
    let there = another(&queue);
    for _ in 0..3 {
        put(&queue, &vec![5; 1 << 20]);
        assert!(is_full(queue.send(&item(&[1]))) || queue.len().unwrap() == 2);
        let seen = take(&there, 9).unwrap();
        assert_eq!(seen[0], vec![5; 1 << 20]);
    }
    let too_large = vec![0; (1 << 20) + 1];
    assert!(matches!(
        queue.send(&item(&too_large)),
        Err(QueueError::TooLarge { largest, .. }) if largest == 1 << 20
    ));
    put(&queue, b"usable");
}

#[test]
fn large_buffers_are_views_that_hold_their_slab() {
    let queue = Queue::<Task>::create(Settings::new(4 << 20)).unwrap();
    let there = another(&queue);
    let large = vec![9_u8; 300_000];
    let buffers = [large[..].into(), large[..10].into()];
    let sent = Item {
        code: 3,
        stream: b"head"[..].into(),
        buffers: &buffers,
    };
    queue.send(&sent).unwrap();
    let mut batch = Batch::new();
    assert_eq!(there.take(1, usize::MAX, &mut batch).unwrap(), 1);
    let taken = batch.pop().unwrap();
    assert_eq!((taken.code, taken.inline), (3, &b"head"[..]));
    let [one, two] = &taken.buffers[..] else {
        panic!("two buffers")
    };
    assert_eq!((one.content().1, two.content().1), (300_000, 10));
    // SAFETY: pinned.
    let seen = unsafe { std::slice::from_raw_parts(one.content().0.as_ptr(), 300_000) };
    assert_eq!(seen, large);
    assert_eq!(queue.statistics().unwrap().slabs, 2);
    drop(taken);
    assert_eq!(queue.statistics().unwrap().slabs, 0);
}

#[test]
fn what_was_born_in_the_arena_is_not_copied() {
    let queue = Queue::<Task>::create(Settings::new(4 << 20)).unwrap();
    let there = another(&queue);
    let born = queue.allocate(1 << 20).unwrap();
    let (at, length) = born.content();
    // SAFETY: the memory is this test's own.
    unsafe { at.write_bytes(4, length) };
    // SAFETY: as above; it lives on.
    let buffers = [unsafe {
        penstock_core::shm::queue::Buffer::new(at.as_ptr().add(1000).cast_const(), 5000)
    }];
    let sent = Item {
        code: 1,
        stream: b""[..].into(),
        buffers: &buffers,
    };
    queue.send(&sent).unwrap();
    assert_eq!(queue.statistics().unwrap().slabs, 1);
    let mut batch = Batch::new();
    there.take(1, usize::MAX, &mut batch).unwrap();
    let taken = batch.pop().unwrap();
    let (seen, length) = taken.buffers[0].content();
    assert_eq!(length, 5000);
    // SAFETY: the memory is this test's own, and pinned there.
    unsafe {
        at.add(1000).write(77);
        assert_eq!(seen.read(), 77);
    }
    drop(born);
    assert_eq!(queue.statistics().unwrap().slabs, 1, "it is looked at");
    drop(taken);
    assert_eq!(queue.statistics().unwrap().slabs, 0);
}

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

fn acknowledged(lease: Duration, leases: u32) -> TestQueue {
    let settings = Settings {
        ack: Some(Acknowledged { lease, leases }),
        ..Settings::new(1 << 20)
    };
    Queue::create(settings).unwrap()
}

fn take_leased(queue: &TestQueue, max: usize) -> Vec<(Vec<u8>, Lease)> {
    let mut batch = Batch::new();
    queue.take(max, usize::MAX, &mut batch).unwrap();
    let mut seen = Vec::new();
    while let Some(taken) = batch.pop() {
        let content = match &taken.stream {
            None => taken.inline.to_vec(),
            Some(stream) => {
                let (at, length) = stream.content();
                // SAFETY: pinned.
                unsafe { std::slice::from_raw_parts(at.as_ptr(), length) }.to_vec()
            }
        };
        seen.push((content, taken.lease.unwrap()));
    }
    seen
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

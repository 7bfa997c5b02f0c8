//! What those who take part in a shared queue do: send, take, wait.
#![allow(
    dead_code,
    reason = "each test file is a crate of its own and uses what it needs"
)]

use std::{
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};

use penstock_core::{
    park::Parked,
    ring::{Wake, Woken},
    shm::queue::{Batch, Item, Lease, Queue, QueueError, Settings, Side, Taken},
};

/// A ceiling against hangs, nothing else.
pub(crate) const LONG: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(crate) struct Task {
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
    pub(crate) fn sleep(&self) {
        let is_woken = self.is_woken.lock().unwrap();
        let (mut is_woken, timeout) = self
            .call
            .wait_timeout_while(is_woken, LONG, |is_woken| !*is_woken)
            .unwrap();
        assert!(!timeout.timed_out(), "nobody called");
        *is_woken = false;
    }
}

pub(crate) type TestQueue = Arc<Queue<Task>>;

pub(crate) fn item(bytes: &[u8]) -> Item<'_> {
    Item {
        code: 7,
        stream: bytes.into(),
        buffers: &[],
    }
}

/// The same queue as another process would see it: a seat of its own.
pub(crate) fn another(queue: &TestQueue) -> TestQueue {
    Queue::attach(queue.fd().try_clone_to_owned().unwrap()).unwrap()
}

pub(crate) fn small() -> TestQueue {
    Queue::create(Settings::new(1 << 20)).unwrap()
}

pub(crate) fn bounded(items: u32) -> TestQueue {
    let settings = Settings {
        max_items: Some(items),
        ..Settings::new(1 << 20)
    };
    Queue::create(settings).unwrap()
}

pub(crate) fn put(queue: &TestQueue, bytes: &[u8]) {
    queue.send(&item(bytes)).unwrap();
}

/// What an item holds, and its lease where it has one.
pub(crate) type Received = (Vec<u8>, Option<Lease>);

pub(crate) fn content(taken: &Taken<'_>) -> Vec<u8> {
    match &taken.stream {
        None => taken.inline.to_vec(),
        Some(stream) => {
            let (at, length) = stream.content();
            // SAFETY: pinned.
            unsafe { std::slice::from_raw_parts(at.as_ptr(), length) }.to_vec()
        }
    }
}

pub(crate) fn all_of(batch: &mut Batch) -> Vec<Received> {
    let mut seen = Vec::new();
    while let Some(taken) = batch.pop() {
        assert_eq!(taken.code, 7);
        seen.push((content(&taken), taken.lease));
    }
    seen
}

pub(crate) fn without_leases(seen: Vec<Received>) -> Vec<Vec<u8>> {
    seen.into_iter().map(|(content, _)| content).collect()
}

/// Up to `max` items, each with its lease where there are any.
pub(crate) fn take_leased(queue: &TestQueue, max: usize) -> Result<Vec<Received>, QueueError> {
    let mut batch = Batch::new();
    queue.take(max, usize::MAX, &mut batch)?;
    Ok(all_of(&mut batch))
}

pub(crate) fn take(queue: &TestQueue, max: usize) -> Result<Vec<Vec<u8>>, QueueError> {
    Ok(without_leases(take_leased(queue, max)?))
}

/// As a blocking get does.
pub(crate) fn get(queue: &TestQueue, max: usize) -> Result<Vec<Vec<u8>>, QueueError> {
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
        let parked = sleeper.park(Some(deadline));
        assert_ne!(
            parked,
            Parked::Expired,
            "nobody rang: {:?}",
            queue.statistics()
        );
    }
}

/// As a blocking put does.
pub(crate) fn put_waiting(queue: &TestQueue, bytes: &[u8]) -> Result<(), QueueError> {
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
        let parked = sleeper.park(Some(deadline));
        assert_ne!(
            parked,
            Parked::Expired,
            "nobody rang: {:?}",
            queue.statistics()
        );
    }
}

/// Sleeps on a side now and then, as who waits there does, until `is_done`.
pub(crate) fn sleep_until(
    queue: &TestQueue,
    side: Side,
    what: &str,
    mut is_done: impl FnMut() -> bool,
) {
    let deadline = Instant::now() + LONG;
    let mut sleeper = queue.sleeper(side).unwrap();
    loop {
        sleeper.arm();
        if is_done() {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{what}: {:?}",
            queue.statistics()
        );
        sleeper.park(Some(Instant::now() + Duration::from_millis(1)));
    }
}

pub(crate) fn is_full(answer: Result<(), QueueError>) -> bool {
    matches!(answer, Err(QueueError::Full))
}

//! Who shuts a queue down at once is killed, or stopped, before each of its stores in turn; nothing stays out under a
//! lease.
//!
//! RUSTFLAGS="--cfg penstock_failpoints" cargo test --release --target-dir target/failpoints --test crash_ends
#![cfg(penstock_failpoints)]

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use penstock_core::{
    failpoints,
    ring::{Wake, Woken},
    shm::queue::{Acknowledged, Batch, Item, Lease, Queue, QueueError, Settings, Taken},
};

/// A ceiling against hangs, nothing else.
const LONG: Duration = Duration::from_secs(60);

/// What a child ends with that came to the end of its script before its number.
const THROUGH: i32 = 42;

struct Nobody;

impl Wake for Nobody {
    fn wake(&self) -> Woken {
        Woken::Gone
    }
}

type TestQueue = Arc<Queue<Nobody>>;

/// One at a time: each forks, and looks at its children only.
static TURN: Mutex<()> = Mutex::new(());

/// Runs `script` in a child, which gets `signal` at its `number`-th store.
fn child(number: u64, signal: i32, script: impl FnOnce()) -> i32 {
    // SAFETY: the child runs the script and ends.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            failpoints::arm(number, signal);
            script();
            failpoints::disarm()
        }));
        let status = match outcome {
            Ok(true) => THROUGH,
            Ok(false) => 0,
            Err(_) => 13,
        };
        // SAFETY: as above.
        unsafe { libc::_exit(status) };
    }
    child
}

fn wait(child: i32, flags: i32) -> i32 {
    let mut status = 0;
    // SAFETY: `child` is ours.
    let waited = unsafe { libc::waitpid(child, &raw mut status, flags) };
    assert_eq!(waited, child);
    status
}

fn ended(status: i32) -> i32 {
    assert!(libc::WIFEXITED(status), "{status:x}");
    let code = libc::WEXITSTATUS(status);
    assert_ne!(code, 13, "the script failed");
    code
}

/// `None`: the queue is over, or is being ended.
fn lease(queue: &TestQueue) -> Option<Lease> {
    let mut batch = Batch::new();
    match queue.take(1, usize::MAX, &mut batch) {
        Ok(_) | Err(QueueError::ShutDown) => {}
        Err(other) => panic!("{other}"),
    }
    batch.pop().and_then(|taken: Taken<'_>| taken.lease)
}

/// What another one has ended meanwhile is nobody's.
fn give_back(queue: &TestQueue, lease: Option<&Lease>) {
    match lease.map_or(Ok(()), |lease| queue.give_back(*lease)) {
        Ok(()) | Err(QueueError::LeaseLost) => {}
        Err(other) => panic!("{other}"),
    }
}

/// Five items with slabs of this process; a dead one has the first under a lease, and the second has come back.
fn world() -> TestQueue {
    let queue: TestQueue = Queue::create(Settings {
        ack: Some(Acknowledged {
            lease: 100 * LONG,
            leases: 16,
        }),
        ..Settings::new(1 << 20)
    })
    .unwrap();
    for _ in 0..5 {
        queue
            .send(&Item {
                code: 7,
                stream: vec![7; 20_000].as_slice().into(),
                buffers: &[],
            })
            .unwrap();
    }
    let dead = child(u64::MAX, 0, || {
        lease(&queue).unwrap();
        // SAFETY: ends the child as a kill does, with everything as it is.
        unsafe { libc::_exit(THROUGH) };
    });
    assert_eq!(ended(wait(dead, 0)), THROUGH);
    queue.give_back(lease(&queue).unwrap()).unwrap();
    queue
}

/// Has one item given back before the end, one after it, and one under a lease when it leaves.
fn script(queue: &TestQueue) {
    let leases: Vec<_> = (0..3).map_while(|_| lease(queue)).collect();
    give_back(queue, leases.first());
    queue.shutdown(true).unwrap();
    give_back(queue, leases.get(1));
    queue.close();
}

fn check(queue: &TestQueue) {
    queue.shutdown(true).unwrap();
    assert!(matches!(
        queue.take(1, 1, &mut Batch::new()),
        Err(QueueError::ShutDown)
    ));
    let end = Instant::now() + LONG;
    loop {
        let seen = queue.statistics().unwrap();
        let all = (
            seen.participants,
            seen.dead,
            seen.leased,
            seen.slabs,
            seen.items,
        );
        if all == (1, 0, 0, 0, 0) {
            return;
        }
        assert!(Instant::now() < end, "something is left: {seen:?}");
        thread::yield_now();
    }
}

#[test]
fn who_ends_a_queue_at_once_is_killed() {
    let _turn = TURN.lock();
    for number in 1.. {
        let queue = world();
        let status = wait(child(number, libc::SIGKILL, || script(&queue)), 0);
        check(&queue);
        if !libc::WIFSIGNALED(status) {
            assert_eq!(ended(status), THROUGH);
            assert!(number > 20, "no script is as short as that");
            return;
        }
    }
}

#[test]
fn who_ends_a_queue_at_once_is_stopped() {
    let _turn = TURN.lock();
    for number in 1.. {
        let queue = world();
        let child = child(number, libc::SIGSTOP, || script(&queue));
        let mut status = wait(child, libc::WUNTRACED);
        let is_stopped = libc::WIFSTOPPED(status);
        // Another one ends it meanwhile.
        queue.shutdown(true).unwrap();
        if is_stopped {
            // SAFETY: `child` is ours and not reaped yet.
            assert_eq!(unsafe { libc::kill(child, libc::SIGCONT) }, 0);
            status = wait(child, 0);
        }
        let code = ended(status);
        check(&queue);
        if code == THROUGH {
            assert!(!is_stopped);
            assert!(number > 20, "no script is as short as that");
            return;
        }
    }
}

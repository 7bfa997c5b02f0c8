//! Every interleaving of writing, retiring and reading: a total counts each record once.
//!
//! `RUSTFLAGS="--cfg penstock_loom" cargo test -p penstock-core --test loom_shards --release`
//! with a target folder of its own.
//!
//! Steps changed by hand, and seen to fail here:
//! - `Home::retire`: nothing folded; folding below a second lock, after the removal (a total in between
//!   misses the records) or before it (counts them twice);
//! - `Home::total`: the live shards read after the unlock, or the base read below a lock of its own:
//!   records missed, or counted twice.
//!
//! The orderings inside a shard are the shard's own affair; of the pair below, `second` stored or loaded
//! Relaxed, or loaded after `first`, is seen too: a second half without its first.
#![cfg(penstock_loom)]

use penstock_core::{
    shards::{Home, Shard},
    sync::{
        Arc, AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
};

/// Two cells, as a histogram has its bounds and its buckets: `first` is published by `second`.
struct Pair {
    first: AtomicU64,
    second: AtomicU64,
}

impl Pair {
    fn record(&self) {
        self.first.store(self.first.load(Relaxed) + 1, Relaxed);
        self.second.store(self.second.load(Relaxed) + 1, Release);
    }
}

impl Shard for Pair {
    type Shape = ();
    type Total = (u64, u64);

    fn new((): ()) -> Self {
        Self {
            first: AtomicU64::new(0),
            second: AtomicU64::new(0),
        }
    }

    fn zero((): ()) -> (u64, u64) {
        (0, 0)
    }

    fn add_to(&self, total: &mut (u64, u64)) {
        total.1 += self.second.load(Acquire);
        total.0 += self.first.load(Relaxed);
    }
}

fn write(home: &Home<Pair>, owner: u64, times: u64) {
    let shard = home.attach(owner);
    for _ in 0..times {
        shard.record();
    }
    home.retire(Arc::as_ptr(&shard));
}

fn check(before: (u64, u64), after: (u64, u64), most: u64) {
    for (first, second) in [before, after] {
        assert!(second <= first && first <= most, "{first} {second}");
    }
    assert!(
        before.0 <= after.0 && before.1 <= after.1,
        "a total never shrinks"
    );
}

#[test]
fn loom_a_retiring_thread_against_a_reader() {
    loom::model(|| {
        let home = Arc::new(Home::<Pair>::new(()));
        let writer = {
            let home = Arc::clone(&home);
            loom::thread::spawn(move || write(&home, 1, 2))
        };
        let before = home.total();
        let after = home.total();
        check(before, after, 2);
        writer.join().unwrap();
        assert_eq!(home.total(), (2, 2));
        assert_eq!(home.live(), 0);
    });
}

#[test]
fn loom_a_total_beside_a_retirement() {
    loom::model(|| {
        let home = Arc::new(Home::<Pair>::new(()));
        let shard = home.attach(1);
        shard.record();
        shard.record();
        let reader = {
            let home = Arc::clone(&home);
            loom::thread::spawn(move || home.total())
        };
        home.retire(Arc::as_ptr(&shard));
        assert_eq!(reader.join().unwrap(), (2, 2));
    });
}

#[test]
fn loom_two_threads_that_come_and_go_against_a_reader() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let home = Arc::new(Home::<Pair>::new(()));
        let writers = [1, 2].map(|owner| {
            let home = Arc::clone(&home);
            loom::thread::spawn(move || write(&home, owner, 1))
        });
        let before = home.total();
        let after = home.total();
        check(before, after, 2);
        for writer in writers {
            writer.join().unwrap();
        }
        assert_eq!(home.total(), (2, 2));
    });
}

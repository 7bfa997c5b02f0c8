//! The inbox of an event loop under loom. A wake that the loop never sees shows as a deadlock.
//!
//! RUSTFLAGS="--cfg penstock_loom" cargo test --release --target-dir target/loom --test 'loom_*'
//!
//! One lock orders it all, so there is no ordering to weaken (`rings` is a figure for people). Steps
//! changed by hand, and seen to fail here:
//! - `answer`: the bell cleared after the list was taken; `pending` not cleared: deadlocks
//!   (`every_post_is_answered`);
//! - `close`: the entries not given back, or the bell kept: an entry that nobody has
//!   (`a_post_is_answered_given_back_or_refused`).
//!
//! Changed and not seen, since it costs system calls and no entry: `pending` not set, so that every post
//! rings. `shuttle_hub` counts the rings.
#![cfg(penstock_loom)]

use loom::{
    model::Builder,
    sync::{Arc, Condvar, Mutex},
    thread,
};
use penstock_core::hub::{Bell, Inbox, Posted};

/// As an eventfd: a counter that stays up until it is read.
#[derive(Default)]
struct Counter {
    count: Mutex<u32>,
    rung: Condvar,
}

impl Counter {
    fn wait(&self) {
        let mut count = self.count.lock().unwrap();
        while *count == 0 {
            count = self.rung.wait(count).unwrap();
        }
    }
}

impl Bell for Counter {
    fn ring(&self) {
        *self.count.lock().unwrap() += 1;
        self.rung.notify_one();
    }

    fn clear(&self) {
        *self.count.lock().unwrap() = 0;
    }
}

fn model(body: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.max_branches = 10_000;
    builder.preemption_bound = builder.preemption_bound.or(Some(2));
    builder.check(body);
}

#[test]
fn every_post_is_answered() {
    model(|| {
        let inbox = Arc::new(Inbox::new(Counter::default()));
        let posters: Vec<_> = [1_u32, 2]
            .into_iter()
            .map(|entry| {
                let inbox = Arc::clone(&inbox);
                thread::spawn(move || assert_ne!(inbox.post(entry), Posted::Refused))
            })
            .collect();
        let mut seen = Vec::new();
        while seen.len() < 2 {
            inbox.bell().unwrap().wait();
            seen.extend(inbox.answer());
        }
        seen.sort_unstable();
        assert_eq!(seen, [1, 2]);
        for poster in posters {
            poster.join().unwrap();
        }
        assert!((1..=2).contains(&inbox.rings()));
    });
}

#[test]
fn a_post_is_answered_given_back_or_refused() {
    model(|| {
        let inbox = Arc::new(Inbox::new(Counter::default()));
        let poster = {
            let inbox = Arc::clone(&inbox);
            thread::spawn(move || inbox.post(1_u32))
        };
        let given_back = inbox.close().len();
        let accepted = usize::from(poster.join().unwrap() != Posted::Refused);
        assert_eq!(given_back, accepted);
        assert_eq!(inbox.post(2), Posted::Refused);
    });
}

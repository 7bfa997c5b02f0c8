//! The ring under shuttle: several givers and takers over many laps, with batches and closes.
//!
//! Broken by hand, and seen to fail here:
//! - `fill`: the stamp stored before the value; `empty`: before the value is out: a cell written while
//!   another is at it, or an item doubled;
//! - `is_full_at`: full by the stamp alone: a push refused beside room;
//! - `pop`: empty by the stamp alone: "not now" beside an item, "closed" beside one, an item lost;
//! - `pop_many`: no wait for a push under way: fewer than `min` before a close; no second look at
//!   `head`: it looks at a past that never ends;
//! - `len`: no second look: more popped than pushed.
#![cfg(penstock_shuttle)]

mod history;
mod room;
mod schedules;

use history::{Answer, History, Order};
use penstock_core::ring::{Refusal, Ring};
use room::{got_or_not, items, put_first, put_or_not};
use schedules::{below, explore, linger, one_of};
use shuttle::{
    sync::Arc,
    thread::{self, JoinHandle},
};

struct Bench {
    ring: Ring<history::Item>,
    history: History,
}

impl Bench {
    fn new() -> Arc<Self> {
        let capacity = one_of(&[1, 2, 3, 5]);
        Arc::new(Self {
            ring: Ring::new(capacity),
            history: History::new(Order::OldestFirst, Some(capacity)),
        })
    }

    fn beside<R: Send + 'static>(
        self: &Arc<Self>,
        body: impl FnOnce(&Self) -> R + Send + 'static,
    ) -> JoinHandle<R> {
        let bench = Arc::clone(self);
        thread::spawn(move || body(&bench))
    }

    /// Puts eight items, one by one and in batches, unless the ring is closed before.
    fn give(&self, giver: u32) {
        let mut number = 0;
        while number < 8 {
            let end = (number + one_of(&[1, 1, 2, 3])).min(8);
            let mut left = items(giver, number..end);
            while !left.is_empty() {
                let put = || {
                    put_first(
                        &mut left,
                        |item| self.ring.push(item),
                        |rest| self.ring.push_many(rest),
                    )
                };
                match self.history.call(put, put_or_not) {
                    Ok(_) => {}
                    Err(Refusal::NotNow) => thread::yield_now(),
                    Err(_) => return,
                }
            }
            number = end;
        }
    }

    /// Takes until the ring is closed and drained.
    fn take_all(&self) {
        loop {
            let (min, max) = one_of(&[(1, 1), (1, 1), (1, 3), (2, 4)]);
            // Never more than fit, which nobody could wait for.
            let min = min.min(self.ring.capacity());
            let pop = || {
                if max == 1 {
                    return self.ring.pop().map(|item| vec![item]);
                }
                let mut out = Vec::new();
                self.ring.pop_many(min, max, &mut out).map(|_| out)
            };
            match self.history.call(pop, |got| got_or_not(got, min)) {
                Ok(_) => {}
                Err(Refusal::NotNow) => thread::yield_now(),
                Err(_) => return,
            }
        }
    }

    fn look(&self) {
        let count = || self.ring.len();
        self.history
            .call(count, |count| Some(Answer::Counted(*count)));
        let ask = || self.ring.is_closed();
        self.history
            .call(ask, |closed| Some(Answer::IsClosed(*closed)));
    }

    fn close(&self) {
        self.history.done(Answer::Close, || self.ring.close());
    }
}

fn all_home(threads: Vec<JoinHandle<()>>) {
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn givers_and_takers_over_many_laps() {
    explore(|| {
        let bench = Bench::new();
        let givers = (1..=3).map(|giver| bench.beside(move |bench| bench.give(giver)));
        let givers = givers.collect();
        let takers = (0..3).map(|_| bench.beside(Bench::take_all)).collect();
        bench.look();
        all_home(givers);
        bench.look();
        bench.close();
        all_home(takers);
        assert_eq!(bench.ring.pushed(), 24);
        assert_eq!(bench.ring.popped(), 24);
        bench.history.must_hold();
    });
}

#[test]
fn a_close_in_between() {
    explore(|| {
        let bench = Bench::new();
        let givers = (1..=3).map(|giver| bench.beside(move |bench| bench.give(giver)));
        let givers = givers.collect();
        let takers = (0..2).map(|_| bench.beside(Bench::take_all)).collect();
        for _ in 0..below(8) {
            linger();
        }
        bench.close();
        bench.look();
        all_home(givers);
        all_home(takers);
        bench.history.must_hold();
    });
}

#[test]
fn what_is_inside_goes_on_elsewhere() {
    explore(|| {
        let bench = Bench::new();
        let givers = (1..=2).map(|giver| bench.beside(move |bench| bench.give(giver)));
        let givers = givers.collect();
        // No batch waits for a minimum here: below it a retired ring refuses, and keeps what it has
        // for the one that moves it.
        let takers = (0..2)
            .map(|_| {
                bench.beside(|bench| {
                    loop {
                        let pop = || bench.ring.pop().map(|item| vec![item]);
                        match bench.history.call(pop, |got| got_or_not(got, 1)) {
                            Ok(_) => {}
                            Err(Refusal::NotNow) => thread::yield_now(),
                            Err(_) => return,
                        }
                    }
                })
            })
            .collect();
        for _ in 0..below(8) {
            linger();
        }
        let retire = || {
            let mut rest = Vec::new();
            bench.ring.retire(&mut rest);
            rest
        };
        bench.history.done(Answer::Close, || {
            bench
                .history
                .call(retire, |rest| Some(Answer::Got(rest.clone())));
        });
        all_home(givers);
        all_home(takers);
        bench.history.must_hold();
    });
}

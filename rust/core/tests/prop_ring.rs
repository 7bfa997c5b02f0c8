//! The stores against the plainest queue there is, one thread; then many threads against what a
//! history of a queue must look like: nothing lost, nothing doubled, each giver's order kept.
#![cfg(not(penstock_loom))]

use std::{collections::VecDeque, sync::Arc, thread};

use penstock_core::ring::{Handoff, Refusal, Turns, Wake, Woken};
use proptest::prelude::*;

/// Never waits: these tests try again instead.
struct Nobody;

impl Wake for Nobody {
    fn wake(&self) -> Woken {
        Woken::Gone
    }
}

#[derive(Debug, Clone)]
enum Step {
    Push,
    Pop,
    PushMany(usize),
    PopMany(usize, usize),
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Push),
        6 => Just(Step::Pop),
        3 => (0..9_usize).prop_map(Step::PushMany),
        3 => (0..5_usize, 1..9_usize).prop_map(|(min, more)| Step::PopMany(min, min + more)),
        1 => Just(Step::Close),
    ]
}

struct Model {
    items: VecDeque<u64>,
    capacity: usize,
    closed: bool,
}

impl Model {
    fn refusal(&self) -> Refusal {
        if self.closed {
            Refusal::Closed
        } else {
            Refusal::NotNow
        }
    }

    fn room(&self) -> usize {
        self.capacity - self.items.len()
    }

    fn pop_many(&mut self, min: usize, max: usize) -> Result<Vec<u64>, Refusal> {
        let there = self.items.len();
        if there == 0 || (there < min && !self.closed) {
            return Err(self.refusal());
        }
        Ok(self.items.drain(..there.min(max)).collect())
    }
}

fn agree(capacity: usize, bounded: Option<usize>, steps: &[Step]) {
    for turns in [Turns::AtOnce, Turns::OneByOne] {
        // SAFETY: one thread uses it.
        let queue = unsafe { Handoff::new(bounded).in_turns(turns) };
        agrees(&queue, capacity, steps);
    }
}

fn agrees(queue: &Handoff<u64, Nobody>, capacity: usize, steps: &[Step]) {
    let mut model = Model {
        items: VecDeque::new(),
        capacity,
        closed: false,
    };
    let (mut next, mut popped) = (0, 0);
    for step in steps {
        match step {
            Step::Push => {
                let outcome = queue.push(next, None).map_err(|(refusal, item)| {
                    assert_eq!(item, next);
                    refusal
                });
                if model.closed || model.room() == 0 {
                    assert_eq!(outcome, Err(model.refusal()));
                } else {
                    assert_eq!(outcome, Ok(()));
                    model.items.push_back(next);
                    next += 1;
                }
            }
            Step::Pop => {
                let expected = model.items.pop_front().ok_or(model.refusal());
                popped += usize::from(expected.is_ok());
                assert_eq!(queue.pop(None), expected);
            }
            Step::PushMany(count) => {
                let mut items = (next..next + *count as u64).collect::<Vec<_>>().into_iter();
                let outcome = queue.push_many(&mut items, None);
                if model.closed || (model.room() == 0 && *count > 0) {
                    assert_eq!(outcome, Err(model.refusal()));
                    assert_eq!(items.len(), *count);
                } else {
                    let fit = model.room().min(*count);
                    assert_eq!(outcome, Ok(fit));
                    model.items.extend(next..next + fit as u64);
                    next += fit as u64;
                    assert_eq!(items.len(), count - fit);
                    assert_eq!(items.next(), (fit < *count).then_some(next));
                }
            }
            Step::PopMany(min, max) => {
                let mut out = Vec::new();
                let outcome = queue.pop_many(*min, *max, &mut out, None).map(|count| {
                    assert_eq!(count, out.len());
                    popped += count;
                    out
                });
                assert_eq!(outcome, model.pop_many(*min, *max));
            }
            Step::Close => {
                queue.close();
                model.closed = true;
            }
        }
        assert_eq!(queue.len(), model.items.len());
        assert_eq!(queue.is_closed(), model.closed);
        assert_eq!(queue.pushed(), usize::try_from(next).unwrap());
        assert_eq!(queue.popped(), popped);
    }
    let mut seen = Vec::new();
    // SAFETY: the queue is this thread's alone.
    unsafe { queue.for_each(|item| seen.push(*item)) };
    assert_eq!(seen, Vec::from(model.items));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_ring_is_a_bounded_queue(
        capacity in 1..9_usize,
        steps in prop::collection::vec(step(), 0..200),
    ) {
        agree(capacity, Some(capacity), &steps);
    }

    #[test]
    fn a_list_is_a_queue(steps in prop::collection::vec(step(), 0..200)) {
        agree(usize::MAX, None, &steps);
        agree(1 << 20, Some(1 << 20), &steps);
    }
}

#[test]
fn what_is_left_is_dropped_once() {
    let mark = Arc::new(());
    for capacity in [Some(4), None] {
        let queue = Handoff::<Arc<()>, Nobody>::new(capacity);
        for _ in 0..3 {
            assert!(queue.push(Arc::clone(&mark), None).is_ok());
        }
        drop(queue.pop(None));
        drop(queue);
        assert_eq!(Arc::strong_count(&mark), 1);
    }
}

fn history(capacity: Option<usize>) {
    const GIVERS: u64 = 3;
    const EACH: u64 = 5_000;
    let queue = Arc::new(Handoff::<(u64, u64), Nobody>::new(capacity));
    let takers: Vec<_> = (0..3_usize)
        .map(|taker| {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                let (mut got, mut batch) = (Vec::new(), taker);
                loop {
                    batch = batch % 5 + 1;
                    let outcome = if batch == 1 {
                        queue.pop(None).map(|item| got.push(item))
                    } else {
                        queue.pop_many(batch / 2, batch, &mut got, None).map(drop)
                    };
                    match outcome {
                        Ok(()) => {}
                        Err(Refusal::NotNow) => thread::yield_now(),
                        Err(_) => return got,
                    }
                }
            })
        })
        .collect();
    let givers: Vec<_> = (0..GIVERS)
        .map(|giver| {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                let mut next = 0;
                while next < EACH {
                    let end = (next + next % 4 + 1).min(EACH);
                    let mut items = (next..end)
                        .map(|n| (giver, n))
                        .collect::<Vec<_>>()
                        .into_iter();
                    while items.len() > 0 {
                        if queue.push_many(&mut items, None).is_err() {
                            thread::yield_now();
                        }
                    }
                    next = end;
                }
            })
        })
        .collect();
    for giver in givers {
        giver.join().unwrap();
    }
    queue.close();
    let mut all = Vec::new();
    for taker in takers {
        let got = taker.join().unwrap();
        for giver in 0..GIVERS {
            let own = got.iter().filter(|(by, _)| *by == giver).map(|(_, n)| *n);
            assert!(
                own.is_sorted_by(|a, b| a < b),
                "a taker saw a giver's items out of order"
            );
        }
        all.extend(got);
    }
    all.sort_unstable();
    let expected: Vec<_> = (0..GIVERS)
        .flat_map(|g| (0..EACH).map(move |n| (g, n)))
        .collect();
    assert!(
        all == expected,
        "lost or doubled: {} of {} came out",
        all.len(),
        expected.len()
    );
}

#[test]
fn threads_lose_nothing_double_nothing_and_keep_order() {
    for capacity in [Some(1), Some(3), Some(64), None] {
        history(capacity);
    }
}

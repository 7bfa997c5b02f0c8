//! The other orders against the plainest model of each, one thread; then many threads in order of
//! priority: nothing lost, nothing doubled, equals in each giver's order.
#![cfg(not(penstock_loom))]

use std::{sync::Arc, thread};

use penstock_core::ring::{Comparison, List, Order, Refusal};
use proptest::prelude::*;

/// A rank, and what tells equals apart.
type Item = (u32, u32);

fn by_rank() -> Order<Item> {
    Order::LeastFirst(Comparison {
        precedes: |a: &Item, b: &Item| Some(a.0 < b.0),
        share: |item: &Item| *item,
    })
}

#[derive(Debug, Clone)]
enum Step {
    Push(u32),
    PushMany(Vec<u32>),
    Pop(usize),
    PopMany(usize, usize),
    Reserve,
    PushReserved(u32),
    Release,
    Bound(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..9_u32).prop_map(Step::Push),
        2 => prop::collection::vec(0..9_u32, 0..6).prop_map(Step::PushMany),
        3 => Just(Step::Pop(0)),
        2 => (0..5_usize).prop_map(Step::Pop),
        2 => (0..3_usize, 1..6_usize).prop_map(|(nth, max)| Step::PopMany(nth, max)),
        2 => Just(Step::Reserve),
        1 => (0..9_u32).prop_map(Step::PushReserved),
        1 => Just(Step::Release),
        1 => (1..12_usize).prop_map(Step::Bound),
    ]
}

/// Takes what comes after `nth` others: by `key`, among equals the earlier in the vector.
fn take(items: &mut Vec<Item>, nth: usize, key: impl Fn(usize, &Item) -> i64) -> Option<Item> {
    let mut order: Vec<usize> = (0..items.len()).collect();
    order.sort_by_key(|index| key(*index, &items[*index]));
    order.get(nth).map(|index| items.remove(*index))
}

fn agree(order: Order<Item>, key: impl Fn(usize, &Item) -> i64, steps: &[Step]) {
    let list = List::new(Some(8), order);
    let (mut items, mut bound, mut reserved, mut next) = (Vec::new(), 8_usize, 0_usize, 0);
    for step in steps {
        let room = bound.saturating_sub(items.len() + reserved);
        match step {
            Step::Push(rank) => {
                next += 1;
                let outcome = list.push((*rank, next)).map_err(|(refusal, _)| refusal);
                if room > 0 {
                    assert_eq!(outcome, Ok(()));
                    items.push((*rank, next));
                } else {
                    assert_eq!(outcome, Err(Refusal::NotNow));
                }
            }
            Step::PushMany(ranks) => {
                let batch: Vec<Item> = ranks.iter().map(|rank| (*rank, next)).collect();
                let mut left = batch.clone().into_iter();
                while left.len() > 0 && list.push_many(&mut left).is_ok() {}
                let count = batch.len().min(room);
                assert_eq!(left.as_slice(), &batch[count..]);
                items.extend(&batch[..count]);
            }
            Step::Pop(nth) => {
                let expected = take(&mut items, *nth, &key).ok_or(Refusal::NotNow);
                assert_eq!(list.peek(*nth, |item| *item), expected);
                if *nth == 0 {
                    assert_eq!(list.pop(), expected);
                } else {
                    assert_eq!(list.pop_nth(*nth), expected);
                }
            }
            Step::PopMany(nth, max) => {
                let mut out = Vec::new();
                let _ = list.pop_many_from(*nth, 1, *max, &mut out);
                let mut expected = Vec::new();
                while expected.len() < *max
                    && let Some(item) = take(&mut items, *nth, &key)
                {
                    expected.push(item);
                }
                assert_eq!(out, expected);
            }
            Step::Reserve => {
                assert_eq!(list.reserve().is_ok(), room > 0);
                reserved += usize::from(room > 0);
            }
            Step::PushReserved(rank) if reserved > 0 => {
                next += 1;
                list.push_reserved((*rank, next)).unwrap();
                items.push((*rank, next));
                reserved -= 1;
            }
            Step::Release if reserved > 0 => {
                list.release();
                reserved -= 1;
            }
            Step::PushReserved(_) | Step::Release => {}
            Step::Bound(capacity) => {
                list.set_capacity(Some(*capacity));
                bound = *capacity;
            }
        }
        assert_eq!((list.len(), list.reserved()), (items.len(), reserved));
        assert_eq!(list.pushed(), list.popped() + items.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_oldest_first(steps in prop::collection::vec(step(), 0..80)) {
        agree(Order::OldestFirst, |index, _| index.cast_signed() as i64, &steps);
    }

    #[test]
    fn the_newest_first(steps in prop::collection::vec(step(), 0..80)) {
        agree(Order::NewestFirst, |index, _| -(index.cast_signed() as i64), &steps);
    }

    #[test]
    fn the_least_first(steps in prop::collection::vec(step(), 0..80)) {
        agree(by_rank(), |_, item| i64::from(item.0), &steps);
    }
}

#[test]
fn long_runs_are_cut_and_stay_in_order() {
    let list = List::new(None, by_rank());
    let mut rank = 1_u32;
    let mut expected = Vec::new();
    for number in 0..20_000 {
        rank = rank.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let item = (rank >> 22, number);
        list.push(item).unwrap();
        expected.push(item);
    }
    expected.sort_by_key(|item| item.0);
    let mut got = Vec::new();
    list.pop_many(1, usize::MAX, &mut got).unwrap();
    assert_eq!(got, expected);
}

#[test]
fn many_threads_share_out_each_item_once() {
    const EACH: u32 = 3_000;
    let list = Arc::new(List::new(Some(64), by_rank()));
    let givers: Vec<_> = (0..3_u32)
        .map(|giver| {
            let list = Arc::clone(&list);
            thread::spawn(move || {
                for number in 0..EACH {
                    while list.push((number % 7, giver * EACH + number)).is_err() {
                        thread::yield_now();
                    }
                }
            })
        })
        .collect();
    let takers: Vec<_> = (0..2)
        .map(|_| {
            let list = Arc::clone(&list);
            thread::spawn(move || {
                let mut got = Vec::new();
                loop {
                    match list.pop() {
                        Ok(item) => got.push(item),
                        Err(Refusal::NotNow) => thread::yield_now(),
                        Err(_) => return got,
                    }
                }
            })
        })
        .collect();
    for giver in givers {
        giver.join().unwrap();
    }
    list.close();
    let mut got = Vec::new();
    for taker in takers {
        let taken = taker.join().unwrap();
        for rank in 0..7 {
            for giver in 0..3 {
                let mine = |item: &&Item| item.0 == rank && item.1 / EACH == giver;
                let order: Vec<u32> = taken.iter().filter(mine).map(|item| item.1).collect();
                assert!(order.is_sorted(), "equals of one giver came out of order");
            }
        }
        got.extend(taken.into_iter().map(|item| item.1));
    }
    got.sort_unstable();
    assert_eq!(got, (0..3 * EACH).collect::<Vec<_>>());
}

//! A feed against the plainest model of it; and many takers at once.
#![cfg(not(penstock_loom))]

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use penstock_core::shm::{
    feed::{Feed, FeedSender},
    lane::Corrupt,
};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    Send(Vec<Vec<u8>>),
    Take(usize, usize),
    NewSender,
}

fn step() -> impl Strategy<Value = Step> {
    let part = prop::collection::vec(any::<u8>(), 0..40);
    prop_oneof![
        4 => prop::collection::vec(part, 0..3).prop_map(Step::Send),
        3 => (1..4_usize, 0..60_usize).prop_map(|(max, bytes)| Step::Take(max, bytes)),
        1 => Just(Step::NewSender),
    ]
}

fn take(feed: &Feed, max: usize, max_bytes: usize) -> Result<Vec<Vec<u8>>, Corrupt> {
    feed.take(
        max,
        max_bytes,
        &mut Vec::new(),
        |record| Ok(record.to_vec()),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_sent_is_taken(steps in prop::collection::vec(step(), 0..120)) {
        let feed = Feed::private(256);
        let mut sender = FeedSender::new(feed.clone()).unwrap();
        let mut model = VecDeque::new();
        for step in steps {
            match step {
                Step::Send(parts) => {
                    let record = parts.concat();
                    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
                    if record.len() <= feed.longest() && sender.send(&parts).unwrap().is_some() {
                        model.push_back(record);
                    } else {
                        prop_assert!(!model.is_empty() || record.len() > feed.longest());
                    }
                }
                Step::Take(max, max_bytes) => {
                    let mut bytes = 0;
                    let mut expected = Vec::new();
                    while expected.len() < max
                        && let Some(record) = model.front()
                        && (expected.is_empty() || bytes + record.len() <= max_bytes)
                    {
                        bytes += record.len();
                        expected.extend(model.pop_front());
                    }
                    prop_assert_eq!(take(&feed, max, max_bytes).unwrap(), expected);
                }
                Step::NewSender => sender = FeedSender::new(feed.clone()).unwrap(),
            }
            prop_assert_eq!(feed.len(), model.len() as u64);
            prop_assert_eq!(feed.is_empty(), model.is_empty());
        }
    }
}

#[test]
fn takers_that_race_share_the_records_out() {
    const RECORDS: u64 = 40_000;
    let feed = Feed::private(1024);
    let mut sender = FeedSender::new(feed.clone()).unwrap();
    let is_over = AtomicBool::new(false);
    let mut seen = Vec::new();
    thread::scope(|scope| {
        let taker = |max: usize| {
            let (feed, is_over) = (&feed, &is_over);
            move || {
                let mut seen = Vec::new();
                loop {
                    let was_over = is_over.load(Ordering::Acquire);
                    let records = take(feed, max, usize::MAX).unwrap();
                    if records.is_empty() && was_over {
                        return seen;
                    }
                    for record in records {
                        let (words, _) = record.as_chunks::<8>();
                        assert!(words.iter().all(|word| *word == words[0]), "torn");
                        seen.push(u64::from_le_bytes(words[0]));
                    }
                    thread::yield_now();
                }
            }
        };
        let takers: Vec<_> = (1..4).map(|max| scope.spawn(taker(max))).collect();
        for number in 0..RECORDS {
            let record = number.to_le_bytes().repeat(1 + (number % 9) as usize);
            while sender.send(&[&record]).unwrap().is_none() {
                thread::yield_now();
            }
        }
        is_over.store(true, Ordering::Release);
        for taker in takers {
            let numbers = taker.join().unwrap();
            assert!(numbers.is_sorted(), "a taker's are in order");
            seen.extend(numbers);
        }
    });
    seen.sort_unstable();
    assert!(seen.into_iter().eq(0..RECORDS), "each once");
}

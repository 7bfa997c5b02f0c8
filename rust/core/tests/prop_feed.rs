//! A feed against the plainest model of it; and many takers at once.
#![cfg(not(penstock_loom))]

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use penstock_core::shm::{
    feed::{Feed, FeedSender, Plain, Records, Unsent},
    lane::Corrupt,
};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    Write(Vec<u64>, Vec<u8>, u16),
    Publish,
    Take(usize, usize),
    NewSender,
}

fn step() -> impl Strategy<Value = Step> {
    let head = prop::collection::vec(any::<u64>(), 0..4);
    let stream = prop::collection::vec(any::<u8>(), 0..100);
    prop_oneof![
        4 => (head, stream, any::<u16>()).prop_map(|(head, stream, weight)| Step::Write(head, stream, weight)),
        3 => Just(Step::Publish),
        3 => (1..4_usize, 0..60_usize).prop_map(|(max, bytes)| Step::Take(max, bytes)),
        1 => Just(Step::NewSender),
    ]
}

fn take(feed: &Feed, max: usize, max_bytes: usize) -> Result<Vec<Vec<u8>>, Corrupt> {
    let mut records = Records::default();
    records.push(7, b"before");
    let count = feed.take(max, max_bytes, &mut records, &mut Plain)?;
    assert_eq!(records.get(0).unwrap().1, b"before");
    assert_eq!(records.len(), 1 + count);
    let contents = (1..=count).map(|index| records.get(index).unwrap().1.to_vec());
    Ok(contents.collect())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_sent_is_taken(steps in prop::collection::vec(step(), 0..120)) {
        let feed = Feed::private(256);
        let mut sender = FeedSender::new(feed.clone()).unwrap();
        let (mut model, mut written) = (VecDeque::<(Vec<u8>, u64)>::new(), Vec::new());
        // Each begins with what the last one told, to the nearest 64 bytes.
        let mut senders = 1;
        for step in steps {
            match step {
                Step::Write(head, stream, weight) => {
                    let record: Vec<u8> =
                        head.iter().flat_map(|word| word.to_ne_bytes()).chain(stream.iter().copied()).collect();
                    // SAFETY: the stream is a slice.
                    let answer = unsafe {
                        sender.write(3, weight.into(), &head, (stream.as_ptr(), stream.len()))
                    };
                    match answer {
                        Ok(_) => written.push((record, weight.into())),
                        Err(why) => {
                            prop_assert_eq!(why, Unsent::NoRoom);
                            let is_empty = model.is_empty() && written.is_empty();
                            prop_assert!(!is_empty || record.len() > feed.longest());
                        }
                    }
                }
                Step::Publish => {
                    sender.publish().unwrap();
                    model.extend(written.drain(..));
                }
                Step::Take(max, max_bytes) => {
                    let mut bytes = 0;
                    let mut expected = Vec::new();
                    while expected.len() < max
                        && (expected.is_empty() || bytes < max_bytes)
                        && let Some((record, _)) = model.pop_front()
                    {
                        bytes += record.len();
                        expected.push(record);
                    }
                    prop_assert_eq!(take(&feed, max, max_bytes).unwrap(), expected);
                }
                Step::NewSender => {
                    written.clear();
                    senders += 1;
                    sender = FeedSender::new(feed.clone()).unwrap();
                }
            }
            let inside = feed.inside().unwrap();
            prop_assert_eq!(inside.items as usize, model.len());
            let weight = model.iter().map(|(_, weight)| weight).sum::<u64>();
            prop_assert!(inside.bytes.abs_diff(weight) <= 64 * senders);
            prop_assert_eq!(feed.is_empty(), Ok(model.is_empty()));
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
            while sender.send(&record) == Err(Unsent::NoRoom) {
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

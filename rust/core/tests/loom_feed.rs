//! A feed with several takers under loom: every record once, whole, and in order.
//!
//! RUSTFLAGS="--cfg penstock_loom" cargo test --release --target-dir target/loom --test 'loom_*'
//!
//! Weakened by hand, and seen to fail here:
//! - `FeedSender::publish`: the swap of `tail` Relaxed; `Feed::take`: its load Relaxed (a record of
//!   zeroes, or of the one before);
//! - `Feed::take`: nonsense told as corrupt though the head has moved, or without the fence before that look
//!   (a copy that the sender overtook);
//! - `Feed::close`: a load and a store in place of the one swap (a record that comes after the end);
//! - `Feed::inside`: no second look at the head; `FeedSender::let_in`: no fence (a count of what was not
//!   inside at any moment);
//! - `FeedSender::take_jump`: a store in place of the swap (a record that is taken twice).
//!
//! Not seen here: the swap of `head` without its Release half, and the sender's load of it Relaxed. Both
//! keep a load from happening after the swap, and loom's loads never happen late.
#![cfg(penstock_loom)]

use loom::{model::Builder, thread};
use penstock_core::shm::feed::{Feed, FeedSender, Plain, Records, Unsent};

fn model(body: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.max_branches = 20_000;
    builder.preemption_bound = builder.preemption_bound.or(Some(2));
    builder.check(body);
}

fn record(number: u64) -> [u8; 8] {
    (number * 0x0101_0101_0101_0101).to_le_bytes()
}

fn send(sender: &mut FeedSender, number: u64) {
    while sender.send(&record(number)) == Err(Unsent::NoRoom) {
        thread::yield_now();
    }
}

fn take(feed: &Feed, max: usize) -> Vec<u64> {
    let mut records = Records::default();
    feed.take(max, usize::MAX, &mut records, &mut Plain)
        .unwrap();
    let numbers = (0..records.len()).map(|index| {
        let (_, content) = records.get(index).unwrap();
        let word = u64::from_le_bytes(content.try_into().unwrap());
        let number = word & 0xff;
        assert_eq!(
            record(number),
            word.to_le_bytes(),
            "a torn record was taken"
        );
        number
    });
    numbers.collect()
}

#[test]
fn two_takers_and_a_sender_that_reuses_the_room() {
    model(|| {
        let feed = Feed::private(64);
        let mut sender = FeedSender::new(feed.clone()).unwrap();
        send(&mut sender, 1);
        send(&mut sender, 2);
        let other = {
            let feed = feed.clone();
            thread::spawn(move || take(&feed, 1))
        };
        let sending = thread::spawn(move || send(&mut sender, 3));
        let mine = take(&feed, 2);
        let others = other.join().unwrap();
        let mut seen: Vec<u64> = mine.iter().chain(&others).copied().collect();
        assert!(mine.is_sorted(), "each taker's are in order");
        if seen.is_empty() {
            seen.extend(take(&feed, 1));
        }
        sending.join().unwrap();
        seen.extend(take(&feed, 3));
        seen.sort_unstable();
        assert_eq!(seen, [1, 2, 3]);
        assert_eq!(feed.is_empty(), Ok(true));
    });
}

#[test]
fn what_is_seen_is_whole() {
    model(|| {
        let feed = Feed::private(64);
        let mut sender = FeedSender::new(feed.clone()).unwrap();
        let sending = thread::spawn(move || {
            send(&mut sender, 1);
            send(&mut sender, 2);
        });
        let mut seen = take(&feed, 2);
        sending.join().unwrap();
        seen.extend(take(&feed, 2));
        assert_eq!(seen, [1, 2]);
    });
}

#[test]
fn what_was_accepted_comes_before_the_end() {
    model(|| {
        let feed = Feed::private(64);
        let mut sender = FeedSender::new(feed.clone()).unwrap();
        let sending = thread::spawn(move || sender.send(&record(1)).is_ok());
        let closing = {
            let feed = feed.clone();
            thread::spawn(move || feed.close())
        };
        feed.close();
        // As a taker does: nothing more comes once the feed is closed and empty.
        let seen = take(&feed, 1);
        let accepted = sending.join().unwrap();
        assert_eq!(seen.len(), usize::from(accepted));
        closing.join().unwrap();
    });
}

#[test]
fn who_jumps_and_wants_more_room_takes_the_jump_beside_takers() {
    model(|| {
        let feed = Feed::private(128);
        let mut sender = FeedSender::new(feed.clone()).unwrap();
        for number in [1, 2] {
            send(&mut sender, number);
            assert_eq!(take(&feed, 1), [number]);
        }
        send(&mut sender, 3); // behind a jump over more than half of the ring
        let other = {
            let feed = feed.clone();
            thread::spawn(move || take(&feed, 1))
        };
        let sending = thread::spawn(move || {
            (4..8).for_each(|number| send(&mut sender, number));
        });
        let mine = take(&feed, 2);
        let mut seen = other.join().unwrap();
        sending.join().unwrap();
        seen.extend(mine);
        seen.extend(take(&feed, 9));
        seen.sort_unstable();
        assert_eq!(seen, [3, 4, 5, 6, 7]);
        assert_eq!(feed.is_empty(), Ok(true));
    });
}

#[test]
fn who_counts_beside_a_taker_counts_what_was_inside() {
    model(|| {
        let feed = Feed::private(64);
        let mut sender = FeedSender::new(feed.clone()).unwrap();
        send(&mut sender, 1);
        send(&mut sender, 2);
        let moving = {
            let feed = feed.clone();
            thread::spawn(move || {
                take(&feed, 1);
                send(&mut sender, 3); // in the room of the first
            })
        };
        let inside = feed.inside().unwrap().items;
        assert!((1..=3).contains(&inside), "{inside}");
        moving.join().unwrap();
        assert_eq!(feed.inside().unwrap().items, 2);
    });
}

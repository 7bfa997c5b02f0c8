//! The inbox of an event loop under shuttle: several posters, and a loop that closes. A ring that the
//! loop never hears shows as a deadlock.
//!
//! Broken by hand, and seen to fail here:
//! - `answer`: the bell cleared after the list was taken; `pending` not cleared: deadlocks;
//! - `post`: `pending` not set: a burst that rings more than once;
//! - `close`: the bell kept, or the entries not given back: an entry that nobody has.
#![cfg(penstock_shuttle)]

mod schedules;

use penstock_core::hub::{Bell, Inbox, Posted};
use schedules::{below, explore, linger};
use shuttle::{
    sync::{Arc, Condvar, Mutex},
    thread::{self, JoinHandle},
};

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

const POSTERS: u32 = 4;
const EACH: u32 = 5;

/// Who posted it, as that one's how-many-eth.
type Entry = (u32, u32);
type Hub = Arc<Inbox<Entry, Counter>>;

/// Each posts until it is refused; tells what was accepted.
fn posters(hub: &Hub) -> Vec<JoinHandle<Vec<Entry>>> {
    (0..POSTERS)
        .map(|poster| {
            let hub = Arc::clone(hub);
            thread::spawn(move || {
                let entries = (0..EACH).map(|number| (poster, number));
                let accepted: Vec<Entry> = entries
                    .take_while(|entry| {
                        linger();
                        hub.post(*entry) != Posted::Refused
                    })
                    .collect();
                if accepted.len() < EACH as usize {
                    assert!(hub.is_closed(), "refused, and open");
                    assert_eq!(hub.post((poster, EACH)), Posted::Refused);
                }
                accepted
            })
        })
        .collect()
}

/// Each entry came once, and those of each poster in their order.
fn agree(posting: Vec<JoinHandle<Vec<Entry>>>, seen: &[Entry]) {
    let mut accepted = 0;
    for (poster, posting) in (0..).zip(posting) {
        let posted = posting.join().unwrap();
        let own: Vec<_> = seen.iter().filter(|entry| entry.0 == poster).collect();
        assert!(own.iter().copied().eq(&posted), "{own:?} of {posted:?}");
        accepted += posted.len();
    }
    assert_eq!(seen.len(), accepted);
}

#[test]
fn every_post_is_answered_in_its_poster_s_order() {
    explore(|| {
        let hub: Hub = Arc::new(Inbox::new(Counter::default()));
        let posting = posters(&hub);
        let (mut seen, mut answers) = (Vec::new(), 0);
        while seen.len() < (POSTERS * EACH) as usize {
            hub.bell().unwrap().wait();
            seen.extend(hub.answer());
            answers += 1;
        }
        agree(posting, &seen);
        assert!(hub.rings() <= answers + 1, "a burst rings once");
    });
}

#[test]
fn a_loop_that_closes_answers_or_gives_back_what_it_accepted() {
    explore(|| {
        let hub: Hub = Arc::new(Inbox::new(Counter::default()));
        let bell = Arc::downgrade(&hub.bell().unwrap());
        let posting = posters(&hub);
        let mut seen = Vec::new();
        for _ in 0..below(4) {
            // Who waits for more than there will be waits for ever.
            if seen.len() < (POSTERS * EACH) as usize {
                hub.bell().unwrap().wait();
                seen.extend(hub.answer());
            }
        }
        for _ in 0..below(4) {
            linger();
        }
        seen.extend(hub.close());
        assert!(hub.close().is_empty());
        assert!(hub.answer().is_empty(), "closed and still answered");
        agree(posting, &seen);
        assert!(bell.upgrade().is_none(), "the bell outlived the close");
    });
}

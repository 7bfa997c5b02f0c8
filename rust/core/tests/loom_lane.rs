//! Every interleaving of one lane: records arrive whole and in order, no sleep misses its wake.
//!
//! Weakened by hand, and seen to fail here:
//! - the store of `tail`, and its load in `published`, Relaxed: a race on the bytes, in all crossings;
//! - the store of `head`, and its load in `consumed`, Relaxed: a race on the bytes where a lane fills
//!   (`loom_a_full_lane_wakes_its_sender`, `loom_records_wrap_at_the_end`);
//! - the fence in `send`, in `receive` and in either `doze`, left out or AcqRel: a sleeper that nobody
//!   wakes (a deadlock), each of the eight;
//! - either `doze` without its second look: likewise;
//! - `tail` stored before the bytes, `head` stored before they are copied out: a race on the bytes;
//! - `head` stored before `take` has run: `loom_what_the_receiver_pins_is_held_before_its_room_is_back`.
//!
//! Weakened and not seen: the swaps that clear `receiver_sleeps` and `sender_sleeps`, Relaxed. They decide
//! who rings and carry no data: what a woken side looks at, it reads by the indices.
#![cfg(penstock_loom)]

use loom::{
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};
use penstock_core::shm::lane::{Memory, Receiver, Sender, Sent};

/// What the socket is outside of models: a wake is kept until somebody sleeps.
#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Bell {
    fn ring(&self) {
        *self.rung.lock().unwrap() = true;
        self.changed.notify_one();
    }

    fn sleep(&self) {
        let mut rung = self.rung.lock().unwrap();
        while !*rung {
            rung = self.changed.wait(rung).unwrap();
        }
        *rung = false;
    }
}

fn ends() -> (Sender, Receiver) {
    // Room for two short records or one of 24 bytes, so that indices wrap and lanes fill.
    let memory = Memory::private(64);
    (Sender::new(memory.clone()), Receiver::new(memory))
}

fn send(sender: &mut Sender, record: &[u8], there: &Bell, here: &Bell) {
    loop {
        match sender.send(&[record]).unwrap() {
            Sent::Published { wake, .. } => {
                if wake {
                    there.ring();
                }
                return;
            }
            Sent::NoRoom => {
                if sender.doze().unwrap() {
                    here.sleep();
                }
                sender.awake();
            }
        }
    }
}

fn receive(receiver: &mut Receiver, there: &Bell, here: &Bell) -> Vec<u8> {
    loop {
        if let Some((record, wake)) = receiver.receive(<[u8]>::to_vec).unwrap() {
            if wake {
                there.ring();
            }
            return record;
        }
        if receiver.doze().unwrap() {
            here.sleep();
        }
        receiver.awake();
    }
}

fn crossing(records: &'static [&'static [u8]]) {
    loom::model(move || {
        let (mut sender, mut receiver) = ends();
        let bells = Arc::new((Bell::default(), Bell::default()));
        let theirs = Arc::clone(&bells);
        let sending = thread::spawn(move || {
            for record in records {
                send(&mut sender, record, &theirs.0, &theirs.1);
            }
        });
        for record in records {
            assert_eq!(receive(&mut receiver, &bells.1, &bells.0), *record);
        }
        assert!(receiver.is_empty().unwrap());
        sending.join().unwrap();
    });
}

#[test]
fn loom_an_empty_lane_wakes_its_receiver() {
    crossing(&[b"one", b"two"]);
}

#[test]
fn loom_a_full_lane_wakes_its_sender() {
    crossing(&[
        b"sixteen bytes...",
        b"sixteen more....",
        b"and again.......",
    ]);
}

#[test]
fn loom_what_the_receiver_pins_is_held_before_its_room_is_back() {
    loom::model(|| {
        let (mut sender, mut receiver) = ends();
        let pinned = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&pinned);
        let Ok(Sent::Published { end, .. }) = sender.send(&[b"a name of a slab"]) else {
            panic!("an empty lane has room");
        };
        let receiving = thread::spawn(move || {
            let take = |_: &[u8]| seen.store(true, Ordering::Relaxed);
            assert!(receiver.receive(take).unwrap().is_some());
        });
        if sender.consumed().unwrap() == end {
            assert!(pinned.load(Ordering::Relaxed));
        }
        receiving.join().unwrap();
    });
}

#[test]
fn loom_records_wrap_at_the_end() {
    crossing(&[b"twenty bytes of it..", b"another twenty bytes", b""]);
}

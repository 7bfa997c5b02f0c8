//! The stubs, called as C calls them: whatever registers and stack the caller's compiler uses.

#![cfg(not(penstock_loom))]

use std::{
    mem::transmute,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use penstock_core::callback::{
    Arguments, Backlog, Bounds, Kind, Overflow, Pushed, Receive, Records, Shape, Slot, Taken,
};
use penstock_core::ring::{Wake, Woken};

/// The slots are the process's, and some tests count on what nobody else uses.
static ALONE: Mutex<()> = Mutex::new(());

struct Nobody;

impl Wake for Nobody {
    fn wake(&self) -> Woken {
        Woken::Quietly
    }
}

struct Kept {
    backlog: Backlog<Nobody>,
    answer: u64,
}

impl Receive for Kept {
    // SAFETY: the trait's promise about `arguments` is handed on to the shape.
    unsafe fn receive(&self, arguments: &Arguments) -> u64 {
        // SAFETY: the caller's.
        let pushed = unsafe { self.backlog.push(arguments, 0) };
        assert_eq!(pushed, Pushed::Done);
        self.answer
    }
}

fn kept(kinds: &[Kind], answer: u64) -> Arc<Kept> {
    let bounds = Bounds {
        items: 1 << 20,
        bytes: 1 << 20,
        overflow: Overflow::Block,
    };
    let shape = Shape::new(kinds.into());
    Arc::new(Kept {
        backlog: Backlog::new(shape, bounds),
        answer,
    })
}

fn words(kept: &Kept) -> Vec<u64> {
    let mut records = Records::default();
    while kept.backlog.take(1000, 0, &mut records) != Taken::NotNow {}
    records.words
}

#[test]
fn registers_and_stack_arrive_in_order() {
    let _alone = ALONE.lock();
    type Wide = extern "C" fn(
        u64,
        f64,
        u64,
        u64,
        f64,
        u64,
        u64,
        u64,
        u64,
        u64,
        f64,
        f64,
        f64,
        f64,
        f64,
        f64,
        f64,
        f64,
        u64,
    ) -> f64;
    use Kind::{Double as D, Unsigned};
    let u = Unsigned(64);
    let kinds = [u, D, u, u, D, u, u, u, u, u, D, D, D, D, D, D, D, D, u];
    let kept = kept(&kinds, 2.5_f64.to_bits());
    let slot = Slot::open(kept.clone(), 0).unwrap();
    // SAFETY: the stub of that slot, whose receiver expects these arguments.
    let call: Wide = unsafe { transmute(slot.address()) };
    let answer = call(
        1, 2.0, 3, 4, 5.0, 6, 7, 8, 9, 10, 11.0, 12.0, 13.0, 14.0, 15.0, 16.0, 17.0, 18.0, 19,
    );
    assert_eq!(answer, 2.5);
    let expected: Vec<u64> = (1_u64..=19)
        .zip(kinds)
        .map(|(n, kind)| if kind == D { (n as f64).to_bits() } else { n })
        .collect();
    assert_eq!(words(&kept), expected);
}

#[test]
fn each_stub_has_its_own_receiver() {
    let _alone = ALONE.lock();
    let all: Vec<_> = (0..64_u64)
        .map(|nth| {
            let kept = kept(&[Kind::Signed(32)], nth);
            let slot = Slot::open(kept.clone(), 0).unwrap();
            (kept, slot)
        })
        .collect();
    for (nth, (_, slot)) in all.iter().enumerate() {
        // SAFETY: as above.
        let call: extern "C" fn(i32) -> u64 = unsafe { transmute(slot.address()) };
        assert_eq!(call(nth as i32), nth as u64);
    }
    for (nth, (kept, _)) in all.iter().enumerate() {
        assert_eq!(words(kept), [nth as u64]);
    }
}

#[test]
fn a_closed_stub_answers_and_lets_its_receiver_go() {
    let _alone = ALONE.lock();
    let kept = kept(&[], 1);
    let slot = Slot::open(kept.clone(), 9).unwrap();
    // SAFETY: as above.
    let call: extern "C" fn() -> u64 = unsafe { transmute(slot.address()) };
    assert_eq!(call(), 1);
    slot.close();
    assert_eq!(call(), 9);
    assert_eq!(slot.late(), 1);
    assert_eq!(Arc::strong_count(&kept), 1);
    drop(slot);
    assert_eq!(call(), 9);
}

#[test]
fn receivers_outlive_the_calls_that_are_inside() {
    struct Slow(AtomicBool, Arc<AtomicBool>);
    impl Receive for Slow {
        // SAFETY: `arguments` are not looked at.
        unsafe fn receive(&self, _: &Arguments) -> u64 {
            self.0.store(true, Ordering::SeqCst);
            while !self.1.load(Ordering::SeqCst) {
                thread::yield_now();
            }
            assert!(
                self.0.load(Ordering::SeqCst),
                "freed while a call is inside"
            );
            4
        }
    }
    impl Drop for Slow {
        fn drop(&mut self) {
            self.0.store(false, Ordering::SeqCst);
        }
    }
    let _alone = ALONE.lock();
    let go = Arc::new(AtomicBool::new(false));
    let slow = Arc::new(Slow(AtomicBool::new(false), go.clone()));
    let here = Arc::downgrade(&slow);
    let slot = Slot::open(slow, 0).unwrap();
    let address = slot.address();
    let caller = thread::spawn(move || {
        // SAFETY: as above.
        let call: extern "C" fn() -> u64 = unsafe { transmute(address) };
        call()
    });
    while !here
        .upgrade()
        .is_some_and(|slow| slow.0.load(Ordering::SeqCst))
    {
        thread::yield_now();
    }
    slot.close();
    drop(slot);
    drop(Slot::open(kept(&[], 0), 0)); // the next to come drops what nobody is inside of
    assert!(here.upgrade().is_some());
    go.store(true, Ordering::SeqCst);
    assert_eq!(caller.join().unwrap(), 4);
    drop(Slot::open(kept(&[], 0), 0));
    assert!(here.upgrade().is_none());
}

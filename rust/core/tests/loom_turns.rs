//! A queue whose users come one by one, under loom: one lock stands for the interpreter's.
//!
//! RUSTFLAGS="--cfg penstock_loom" cargo test --release --target-dir target/loom --test 'loom_*'
//!
//! Weakened by hand, and seen to fail here: `locked` without its lock (an item lost, or taken twice).
#![cfg(penstock_loom)]

mod waiting;

use loom::{
    sync::{Arc, Mutex},
    thread,
};
use penstock_core::ring::{Handoff, Refusal, Turns};
use waiting::{Queue, Sleeper, model, sleeper};

struct Interpreter {
    lock: Mutex<()>,
    queue: Queue,
}

impl Interpreter {
    fn new(capacity: usize) -> Arc<Self> {
        let queue = Handoff::new(Some(capacity));
        Arc::new(Self {
            lock: Mutex::new(()),
            // SAFETY: it is used by `locked` only.
            queue: unsafe { queue.in_turns(Turns::OneByOne) },
        })
    }

    fn locked<R>(&self, operation: impl FnOnce(&Queue) -> R) -> R {
        let _lock = self.lock.lock().unwrap();
        operation(&self.queue)
    }

    fn take(&self) -> u32 {
        let mut previous: Option<Arc<Sleeper>> = None;
        loop {
            let me = sleeper(1);
            self.locked(|queue| queue.enlist_getter(Arc::clone(&me), previous.as_ref()));
            let mut outcome = self.locked(|queue| queue.pop(Some(&me)));
            if outcome == Err(Refusal::NotNow) {
                me.sleep();
                outcome = self.locked(|queue| queue.pop(Some(&me)));
            }
            if let Ok(item) = outcome {
                self.locked(|queue| queue.leave_getter(&me));
                return item;
            }
            previous = Some(me);
        }
    }

    fn give(&self, mut item: u32) {
        let mut previous: Option<Arc<Sleeper>> = None;
        loop {
            let me = sleeper(1);
            self.locked(|queue| queue.enlist_putter(Arc::clone(&me), previous.as_ref()));
            let mut outcome = self.locked(|queue| queue.push(item, Some(&me)));
            if let Err((_, back)) = outcome {
                me.sleep();
                outcome = self.locked(|queue| queue.push(back, Some(&me)));
            }
            match outcome {
                Ok(()) => return self.locked(|queue| queue.leave_putter(&me)),
                Err((_, back)) => item = back,
            }
            previous = Some(me);
        }
    }
}

#[test]
fn a_giver_and_a_taker_both_come_home() {
    model(|| {
        let interpreter = Interpreter::new(1);
        let giver = {
            let interpreter = Arc::clone(&interpreter);
            thread::spawn(move || {
                interpreter.give(1);
                interpreter.give(2);
            })
        };
        assert_eq!((interpreter.take(), interpreter.take()), (1, 2));
        giver.join().unwrap();
    });
}

#[test]
fn two_givers_lose_nothing() {
    model(|| {
        let interpreter = Interpreter::new(2);
        let other = {
            let interpreter = Arc::clone(&interpreter);
            thread::spawn(move || interpreter.locked(|queue| queue.push(1, None).unwrap()))
        };
        interpreter.locked(|queue| queue.push(2, None).unwrap());
        other.join().unwrap();
        assert_eq!(interpreter.take() + interpreter.take(), 3);
    });
}

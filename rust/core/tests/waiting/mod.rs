//! Those who wait in the loom models, as the binding does it: enlist, look, sleep, look, leave.
#![allow(dead_code, reason = "each model uses some of it")]

use loom::{
    model::Builder,
    sync::{
        Arc, Notify,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};
use penstock_core::ring::{Handoff, Refusal, Wake, Woken};

pub(crate) struct Sleeper {
    bell: Notify,
    /// Loom's bell also wakes for nothing.
    woken: AtomicBool,
    need: usize,
}

impl Sleeper {
    pub(crate) fn sleep(&self) {
        while !self.woken.load(Ordering::Acquire) {
            self.bell.wait();
        }
    }
}

impl Wake for Sleeper {
    fn wake(&self) -> Woken {
        self.woken.store(true, Ordering::Release);
        self.bell.notify();
        Woken::BySystemCall
    }

    fn need(&self) -> usize {
        self.need
    }
}

pub(crate) type Queue = Handoff<u32, Sleeper>;

pub(crate) fn sleeper(need: usize) -> Arc<Sleeper> {
    Arc::new(Sleeper {
        bell: Notify::new(),
        woken: AtomicBool::new(false),
        need,
    })
}

pub(crate) fn model(body: impl Fn() + Send + Sync + 'static) {
    model_within(2, body);
}

/// For models of three threads that all sleep: more takes hours.
pub(crate) fn model_within(preemptions: usize, body: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.max_branches = 10_000;
    builder.preemption_bound = builder.preemption_bound.or(Some(2)).min(Some(preemptions));
    builder.check(body);
}

pub(crate) fn beside<R: 'static>(
    queue: &Arc<Queue>,
    body: impl FnOnce(&Queue) -> R + 'static,
) -> thread::JoinHandle<R> {
    let queue = Arc::clone(queue);
    thread::spawn(move || body(&queue))
}

/// Goes on from `previous`, which stands in the list already, or enlists.
pub(crate) fn take_many_from(
    queue: &Queue,
    (min, max): (usize, usize),
    mut previous: Option<Arc<Sleeper>>,
) -> Result<Vec<u32>, Refusal> {
    let mut out = Vec::new();
    loop {
        let me = sleeper(min);
        queue.enlist_getter(Arc::clone(&me), previous.as_ref());
        let mut outcome = queue.pop_many(min, max, &mut out, Some(&me));
        if outcome == Err(Refusal::NotNow) {
            me.sleep();
            outcome = queue.pop_many(min, max, &mut out, Some(&me));
        }
        if outcome != Err(Refusal::NotNow) {
            queue.leave_getter(&me);
            return outcome.map(|_| out);
        }
        previous = Some(me);
    }
}

pub(crate) fn take_many(queue: &Queue, min: usize, max: usize) -> Result<Vec<u32>, Refusal> {
    let mut out = Vec::new();
    match queue.pop_many(min, max, &mut out, None) {
        Err(Refusal::NotNow) => take_many_from(queue, (min, max), None),
        outcome => outcome.map(|_| out),
    }
}

pub(crate) fn take(queue: &Queue) -> u32 {
    take_many(queue, 1, 1).unwrap()[0]
}

pub(crate) fn give(queue: &Queue, mut item: u32) {
    let mut previous: Option<Arc<Sleeper>> = None;
    loop {
        let me = sleeper(1);
        queue.enlist_putter(Arc::clone(&me), previous.as_ref());
        let mut outcome = queue.push(item, Some(&me));
        if let Err((Refusal::NotNow, back)) = outcome {
            me.sleep();
            outcome = queue.push(back, Some(&me));
        }
        match outcome {
            Ok(()) => return queue.leave_putter(&me),
            Err((Refusal::NotNow, back)) => item = back,
            Err((refusal, _)) => panic!("{refusal:?}, and nobody closed it"),
        }
        previous = Some(me);
    }
}

/// Is enlisted, perhaps woken, and cancelled with no further look.
pub(crate) fn give_up_blindly(queue: &Queue) {
    let me = sleeper(1);
    queue.enlist_getter(Arc::clone(&me), None);
    queue.leave_getter(&me);
}

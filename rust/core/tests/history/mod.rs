//! What the users of one queue saw, and whether a queue could have shown it to them.
//!
//! Each call is noted with two stamps of one logical clock, at its invocation and at its response;
//! its effect lies somewhere in between. The check is for what cannot be explained by any choice of
//! those moments:
//!
//! - an item lost, doubled or never put;
//! - an item that overtook another, which was *surely* to come out first;
//! - "not now" from a pop during which there was, at each moment, *surely* enough inside; from a
//!   push during which there was *surely* room; beside what was perhaps set aside for those who wait,
//!   themselves included; "closed" beside an item inside that is set aside for nobody, or before a close;
//! - fewer items than were asked for, before a close;
//! - more inside than fits; a length, a look or a state that nobody could see.
//!
//! An item is surely inside from the response of its put to the invocation of its get, and perhaps
//! inside from the invocation of its put to the response of its get. This is weaker than a search
//! for a linearization, and takes a moment for histories that such a search would not come through.
//!
//! Stamps and notes are plain memory of the process: under a scheduler of models they are no step,
//! so that the watching changes nothing.
#![allow(
    dead_code,
    reason = "each test file is a crate of its own and uses what it needs"
)]

mod check;

use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering},
};

pub(crate) use check::Fault;

/// One item: who put it, as that one's how-many-eth, of what rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Item {
    pub(crate) rank: u32,
    pub(crate) giver: u32,
    pub(crate) number: u32,
}

impl Item {
    pub(crate) const fn new(giver: u32, number: u32) -> Self {
        Self {
            rank: 0,
            giver,
            number,
        }
    }
}

/// What a call answered, or what it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// These were accepted, in this order.
    Put(Vec<Item>),
    /// This was accepted, into that reserved place.
    PutReserved(u32, Item),
    /// A push was refused for now.
    Full,
    /// A push was refused as closed.
    PutClosed,
    /// These came out, in this order.
    Got(Vec<Item>),
    /// These came out, fewer than were asked for: the last of a closed queue.
    GotLast(Vec<Item>),
    /// A pop of at least so many was refused for now.
    Empty(usize),
    /// A pop was refused as closed and drained.
    GotClosed,
    /// This was seen to come out next.
    Seen(Item),
    /// So many were counted.
    Counted(usize),
    /// Whether the queue is closed.
    IsClosed(bool),
    /// The queue was closed.
    Close,
    /// The bound was moved; `None` takes it away.
    Bound(Option<usize>),
    /// A place was reserved, under a number that is used once.
    Reserved(u32),
    /// It was given back.
    Released(u32),
    /// Meanwhile so many items, or places, were perhaps set aside for one who waits.
    SetAside(Side, usize),
}

/// A call from its invocation to its response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) answer: Answer,
}

/// Which item comes out first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    OldestFirst,
    NewestFirst,
    /// Among equals the oldest.
    LeastFirst,
    /// In the order in which those who wait came, so that the second may take its item before the
    /// first does.
    AsGranted,
}

/// Who waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Getting,
    Putting,
}

/// What all saw of one queue.
pub(crate) struct History {
    order: Order,
    bound: Option<usize>,
    clock: AtomicU64,
    calls: Mutex<Vec<Call>>,
}

impl History {
    /// Of a fresh queue with that order and bound.
    pub(crate) fn new(order: Order, bound: Option<usize>) -> Self {
        Self {
            order,
            bound,
            clock: AtomicU64::new(1),
            calls: Mutex::default(),
        }
    }

    /// A history that has been written down.
    pub(crate) fn of(order: Order, bound: Option<usize>, calls: Vec<Call>) -> Self {
        let history = Self::new(order, bound);
        *history.calls.lock().unwrap() = calls;
        history
    }

    /// A stamp.
    pub(crate) fn now(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::Relaxed)
    }

    /// Notes what has gone on since that stamp.
    pub(crate) fn note(&self, from: u64, answer: Answer) {
        let to = self.now();
        self.calls.lock().unwrap().push(Call { from, to, answer });
    }

    /// Makes a call and notes what it answered.
    pub(crate) fn call<R>(
        &self,
        body: impl FnOnce() -> R,
        answer: impl FnOnce(&R) -> Option<Answer>,
    ) -> R {
        let from = self.now();
        let result = body();
        if let Some(answer) = answer(&result) {
            self.note(from, answer);
        }
        result
    }

    /// Makes a call with no answer of its own.
    pub(crate) fn done(&self, answer: Answer, body: impl FnOnce()) {
        self.call(body, |()| Some(answer));
    }

    /// Looks for what cannot have been, after all calls have ended and all items were taken out.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        check::check(self.order, self.bound, &self.calls.lock().unwrap())
    }

    /// The same, with the whole history in the message.
    pub(crate) fn must_hold(&self) {
        if let Err(fault) = self.check() {
            let mut calls = self.calls.lock().unwrap().clone();
            calls.sort_by_key(|call| call.from);
            let lines: Vec<_> = calls
                .iter()
                .map(|call| format!("{:>5} {:>5}  {:?}", call.from, call.to, call.answer))
                .collect();
            panic!("{fault:?}\n{}", lines.join("\n"));
        }
    }
}

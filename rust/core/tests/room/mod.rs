//! A queue with its users under shuttle: what they see is noted, and they wait as the binding does.
#![allow(
    dead_code,
    reason = "each test file is a crate of its own and uses what it needs"
)]

use penstock_core::ring::{Comparison, Handoff, Refusal, Unfinished, Wake, Woken};
use shuttle::{
    sync::{Arc, Condvar, Mutex},
    thread::{self, JoinHandle},
};

use crate::{
    history::{Answer, History, Item, Order, Side},
    schedules::linger,
};

/// One who sleeps until woken. Nobody else wakes it: a wake that is lost is a deadlock.
pub(crate) struct Sleeper {
    woken: Mutex<bool>,
    bell: Condvar,
    need: usize,
}

impl Sleeper {
    pub(crate) fn new(need: usize) -> Arc<Self> {
        Arc::new(Self {
            woken: Mutex::new(false),
            bell: Condvar::new(),
            need,
        })
    }

    pub(crate) fn sleep(&self) {
        let mut woken = self.woken.lock().unwrap();
        while !*woken {
            woken = self.bell.wait(woken).unwrap();
        }
        *woken = false;
    }
}

impl Wake for Sleeper {
    fn wake(&self) -> Woken {
        *self.woken.lock().unwrap() = true;
        self.bell.notify_one();
        Woken::BySystemCall
    }

    fn need(&self) -> usize {
        self.need
    }
}

/// How long one waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Until it is served, or the queue is closed.
    Endless,
    /// For a time, and then it looks once more.
    Timed,
    /// Until it is cancelled, and then it looks no more.
    Cancelled,
}

/// Why somebody went away with nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Without {
    Closed,
    GaveUp,
}

/// How often others may take what one was called for, before it is set aside for it.
const PATIENCE: usize = 3;

/// One who stands in the list of one side of a queue.
pub(crate) struct Standing<'a> {
    room: &'a Room,
    side: Side,
    me: Arc<Sleeper>,
    times: usize,
    /// Since when something may be set aside for it.
    bars_since: Option<u64>,
}

impl<'a> Standing<'a> {
    pub(crate) fn new(room: &'a Room, side: Side, me: &Arc<Sleeper>) -> Self {
        Self {
            room,
            side,
            me: Arc::clone(me),
            times: 0,
            bars_since: None,
        }
    }

    fn enlist(&mut self) {
        if self.room.queue.is_fair() || self.times >= PATIENCE {
            self.bars_since
                .get_or_insert_with(|| self.room.history.now());
        }
        let previous = (self.times > 0).then_some(&self.me);
        match self.side {
            Side::Getting => self
                .room
                .queue
                .enlist_getter(Arc::clone(&self.me), previous),
            Side::Putting => self
                .room
                .queue
                .enlist_putter(Arc::clone(&self.me), previous),
        }
        self.times += 1;
    }

    fn leave(&self) {
        match self.side {
            Side::Getting => self.room.queue.leave_getter(&self.me),
            Side::Putting => self.room.queue.leave_putter(&self.me),
        }
        if let Some(since) = self.bars_since {
            let answer = Answer::SetAside(self.side, self.me.need);
            self.room.history.note(since, answer);
        }
    }
}

/// Attempts, waits in all the lists, and attempts again, in the order of the binding.
pub(crate) fn wait<R>(
    patience: Patience,
    me: &Arc<Sleeper>,
    mut standing: Vec<Standing<'_>>,
    mut attempt: impl FnMut(Option<&Arc<Sleeper>>) -> Option<R>,
) -> Option<R> {
    if let Some(result) = attempt(None) {
        return Some(result);
    }
    let result = loop {
        standing.iter_mut().for_each(Standing::enlist);
        if let Some(result) = attempt(Some(me)) {
            break Some(result);
        }
        match patience {
            Patience::Endless => me.sleep(),
            Patience::Timed => {
                linger();
                break attempt(Some(me));
            }
            Patience::Cancelled => {
                linger();
                break None;
            }
        }
        if let Some(result) = attempt(Some(me)) {
            break Some(result);
        }
    };
    standing.iter().for_each(Standing::leave);
    result
}

pub(crate) struct Room {
    pub(crate) queue: Handoff<Item, Sleeper>,
    pub(crate) history: History,
    work: Unfinished<Sleeper>,
}

impl Room {
    /// With a queue for `bound` items, in the order of their arrival.
    pub(crate) fn new(bound: Option<usize>) -> Arc<Self> {
        Self::of(Handoff::new(bound), Order::OldestFirst, bound)
    }

    /// With a queue in `order`.
    pub(crate) fn in_order(bound: Option<usize>, order: Order) -> Arc<Self> {
        let queue = Handoff::in_order(bound, core_order(order), false);
        Self::of(queue, order, bound)
    }

    /// With a queue that serves all in the order in which they came.
    pub(crate) fn fair(bound: Option<usize>, order: Order) -> Arc<Self> {
        let queue = Handoff::in_order(bound, core_order(order), true);
        Self::of(queue, Order::AsGranted, bound)
    }

    fn of(queue: Handoff<Item, Sleeper>, order: Order, bound: Option<usize>) -> Arc<Self> {
        Arc::new(Self {
            queue,
            history: History::new(order, bound),
            work: Unfinished::default(),
        })
    }

    pub(crate) fn beside<R: Send + 'static>(
        self: &Arc<Self>,
        body: impl FnOnce(&Self) -> R + Send + 'static,
    ) -> JoinHandle<R> {
        let room = Arc::clone(self);
        thread::spawn(move || body(&room))
    }

    /// One attempt to get between `min` and `max` items.
    pub(crate) fn try_get(
        &self,
        (min, max): (usize, usize),
        me: Option<&Arc<Sleeper>>,
    ) -> Result<Vec<Item>, Refusal> {
        let pop = || {
            if max == 1 {
                return self.queue.pop(me).map(|item| vec![item]);
            }
            let mut out = Vec::new();
            self.queue.pop_many(min, max, &mut out, me).map(|_| out)
        };
        let got = self.history.call(pop, |got| got_or_not(got, min));
        if let Ok(items) = &got {
            let done = self.work.finish(items.len(), || self.queue.pushed());
            assert!(done.is_ok(), "more came out than was put");
        }
        got
    }

    /// Waits to get between `min` and `max` items.
    pub(crate) fn get(
        &self,
        min: usize,
        max: usize,
        patience: Patience,
    ) -> Result<Vec<Item>, Without> {
        self.wait_to(Side::Getting, patience, min, |me| {
            self.try_get((min, max), me)
        })
    }

    /// Gets until the queue is closed.
    pub(crate) fn get_all(&self, min: usize, max: usize) {
        while self.get(min, max, Patience::Endless).is_ok() {}
    }

    /// Waits to see what comes out next.
    pub(crate) fn peek(&self, patience: Patience) -> Result<Item, Without> {
        self.wait_to(Side::Getting, patience, 1, |me| {
            let look = || self.queue.peek(|item| *item, me);
            self.history.call(look, |seen| match seen {
                Ok(item) => Some(Answer::Seen(*item)),
                Err(Refusal::NotNow) => Some(Answer::Empty(1)),
                Err(_) => Some(Answer::GotClosed),
            })
        })
    }

    fn wait_to<R>(
        &self,
        side: Side,
        patience: Patience,
        need: usize,
        mut attempt: impl FnMut(Option<&Arc<Sleeper>>) -> Result<R, Refusal>,
    ) -> Result<R, Without> {
        let me = Sleeper::new(need);
        let standing = vec![Standing::new(self, side, &me)];
        wait(patience, &me, standing, |me| settled(attempt(me))).unwrap_or(Err(Without::GaveUp))
    }

    /// One attempt to put as many as fit; what is left is left in `items`.
    fn try_put(&self, items: &mut Vec<Item>, me: Option<&Arc<Sleeper>>) -> Result<(), Refusal> {
        let put = || {
            put_first(
                items,
                |item| self.queue.push(item, me),
                |rest| self.queue.push_many(rest, me),
            )
        };
        self.history.call(put, put_or_not).map(drop)
    }

    /// Waits until all `items` are put. What is left where that fails was not accepted.
    pub(crate) fn put(&self, mut items: Vec<Item>, patience: Patience) -> Result<(), Without> {
        self.wait_to(Side::Putting, patience, 1, |me| {
            while !items.is_empty() {
                self.try_put(&mut items, me)?;
            }
            Ok(())
        })
    }

    /// Waits for a place, under a number that is used once.
    pub(crate) fn reserve(&self, place: u32, patience: Patience) -> Result<(), Without> {
        self.wait_to(Side::Putting, patience, 1, |me| {
            let reserve = || self.queue.reserve(me);
            self.history.call(reserve, |reserved| match reserved {
                Ok(()) => Some(Answer::Reserved(place)),
                Err(Refusal::NotNow) => Some(Answer::Full),
                Err(_) => Some(Answer::PutClosed),
            })
        })
    }

    /// Puts into a place; gives it back where that fails.
    pub(crate) fn put_reserved(&self, place: u32, item: Item) {
        let put = || self.queue.push_reserved(item);
        let outcome = self.history.call(put, |outcome| match outcome {
            Ok(()) => Some(Answer::PutReserved(place, item)),
            Err(_) => Some(Answer::PutClosed),
        });
        if outcome.is_err() {
            self.release(place);
        }
    }

    pub(crate) fn release(&self, place: u32) {
        self.history
            .done(Answer::Released(place), || self.queue.release());
    }

    pub(crate) fn set_bound(&self, bound: Option<usize>) {
        let set = || self.queue.set_capacity(bound);
        self.history.done(Answer::Bound(bound), set);
    }

    /// Looks at what can be asked at any time.
    pub(crate) fn look(&self) {
        let count = || self.queue.len();
        self.history
            .call(count, |count| Some(Answer::Counted(*count)));
        let ask = || self.queue.is_closed();
        self.history
            .call(ask, |closed| Some(Answer::IsClosed(*closed)));
    }

    pub(crate) fn close(&self) {
        self.history.done(Answer::Close, || self.queue.close());
    }

    /// Sleeps until all that was put is dealt with: somebody who sleeps beside an item keeps it
    /// asleep for ever.
    pub(crate) fn join(&self) {
        let is_done = || self.work.count(self.queue.pushed()) == 0;
        let me = Sleeper::new(1);
        let mut previous = None;
        while !is_done() {
            self.work.enlist(Arc::clone(&me), previous);
            if is_done() {
                break;
            }
            me.sleep();
            previous = Some(&me);
        }
        self.work.leave(&me);
    }
}

/// What ends the waiting: anything but "not now".
fn settled<R>(outcome: Result<R, Refusal>) -> Option<Result<R, Without>> {
    match outcome {
        Ok(result) => Some(Ok(result)),
        Err(Refusal::NotNow) => None,
        Err(Refusal::Closed) => Some(Err(Without::Closed)),
        Err(Refusal::Incomparable) => panic!("all of these compare"),
    }
}

/// How a pop of at least `min` is noted.
pub(crate) fn got_or_not(got: &Result<Vec<Item>, Refusal>, min: usize) -> Option<Answer> {
    Some(match got {
        Ok(items) if items.len() < min => Answer::GotLast(items.clone()),
        Ok(items) => Answer::Got(items.clone()),
        Err(Refusal::NotNow) => Answer::Empty(min),
        Err(_) => Answer::GotClosed,
    })
}

/// How a push is noted.
pub(crate) fn put_or_not(put: &Result<Vec<Item>, Refusal>) -> Option<Answer> {
    match put {
        // An order that compares tells a batch nothing of room.
        Ok(items) if items.is_empty() => None,
        Ok(items) => Some(Answer::Put(items.clone())),
        Err(Refusal::NotNow) => Some(Answer::Full),
        Err(_) => Some(Answer::PutClosed),
    }
}

/// Takes out of `items` what one push accepts.
pub(crate) fn put_first(
    items: &mut Vec<Item>,
    push: impl FnOnce(Item) -> Result<(), (Refusal, Item)>,
    push_many: impl FnOnce(&mut std::vec::IntoIter<Item>) -> Result<usize, Refusal>,
) -> Result<Vec<Item>, Refusal> {
    if let [item] = items[..] {
        push(item).map_err(|(refusal, back)| {
            assert_eq!(back, item);
            refusal
        })?;
        items.clear();
        return Ok(vec![item]);
    }
    let mut rest = items.clone().into_iter();
    let outcome = push_many(&mut rest);
    let accepted: Vec<Item> = items.drain(..items.len() - rest.len()).collect();
    assert_eq!(rest.as_slice(), items.as_slice());
    assert_eq!(outcome.unwrap_or(0), accepted.len());
    outcome.map(|_| accepted)
}

/// The order as the core knows it. Comparing lets others run, as foreign code may.
pub(crate) fn core_order(order: Order) -> penstock_core::ring::Order<Item> {
    use penstock_core::ring::Order as Core;
    match order {
        Order::OldestFirst | Order::AsGranted => Core::OldestFirst,
        Order::NewestFirst => Core::NewestFirst,
        Order::LeastFirst => Core::LeastFirst(Comparison {
            precedes: |one: &Item, other: &Item| {
                thread::yield_now();
                Some(one.rank < other.rank)
            },
            share: |item: &Item| *item,
        }),
    }
}

/// The items of one giver, from `numbers`; of two ranks in turn, so that there are many equals.
pub(crate) fn items(giver: u32, numbers: std::ops::Range<u32>) -> Vec<Item> {
    numbers
        .map(|number| Item {
            rank: (giver + number) % 2,
            giver,
            number,
        })
        .collect()
}

//! The calls that came and were not taken yet: bounded in items and in bytes, in the order of their arrival.
//!
//! Guarantee: what was accepted is taken exactly once; no wake is lost; memory stays within the bounds,
//! twice that at most where a call comes on a thread that takes, and for a single record that has more; its
//! memory is given back when it has been taken. A call holds the lock for a copy of its
//! arguments. Every operation returns at once; sleeping is the caller's part, as with [`crate::ring`]:
//!
//! ```text
//! push → Full;  enlist_putter;  push → Full;  sleep;  push;  leave_putter
//! take → NotNow;  enlist_getter;  take → NotNow;  sleep;  take;  leave_getter
//! ```
//!
//! Records move from the *store*, which calls write, to the *ahead*, which takers read, by up to half of the
//! bounds at a time. So takers do not stand in the calls' way, and a call that waits for room is woken
//! when half of it is free: one wake for many items. What is ahead counts as inside until the next move.
//!
//! No fence stands between a push and the look at who waits, or between an enlisting and the last look
//! before the sleep, as with a ring without locks: both sides lock the store in between. If a taker finds
//! it empty, its unlock comes before the lock of the call that fills it, and so does what the taker did before:
//! the call sees it armed. The same holds for room, and for the end.
//!
//! A call on a thread that takes must not wait: nobody would come. It is kept beyond the bounds, up to as
//! much again, and what does not even fit there is refused, and said so to the taker behind all that came
//! before it.

use std::collections::VecDeque;

use super::shape::{Arguments, Shape};
use crate::{
    ring::{WaitList, Wake},
    sync::{Arc, AtomicU64, CachePadded, Mutex, Ordering, lock},
};

/// Never more than so many records are moved ahead at once.
const AHEAD: usize = 1024;

/// So many threads that took last are known: they are not let wait.
const TAKERS: usize = 64;

/// What happens to a call for which there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overflow {
    /// It waits.
    Block,
    /// It is dropped.
    DropNewest,
    /// The oldest are dropped in its favour.
    DropOldest,
    /// It is dropped, and answered so.
    Refuse,
}

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Records.
    pub items: usize,
    /// Bytes of copied content. A single record may have more, if it is alone.
    pub bytes: usize,
    /// What happens beyond.
    pub overflow: Overflow,
}

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It is inside.
    Done,
    /// It is dropped as agreed, and answered as ever.
    Dropped,
    /// It is dropped, and its caller is to be told.
    Refused,
    /// There is no room yet.
    Full,
    /// Nothing is accepted any more.
    Closed,
}

/// What a take found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// So many records.
    Some(usize),
    /// Nothing yet.
    NotNow,
    /// Here so many calls are missing, which could neither wait nor be kept.
    Missing(u64),
    /// Nothing any more.
    Ended,
}

/// Records, one after the other: as many words each as there are arguments, and their copied content.
#[derive(Debug, Default)]
pub struct Records {
    /// The words.
    pub words: Vec<u64>,
    /// The content.
    pub bytes: Vec<u8>,
    /// How many records.
    pub items: usize,
}

/// Figures of one backlog at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Figures {
    /// Inside now.
    pub items: usize,
    /// Copied bytes inside now.
    pub bytes: usize,
    /// The most that ever were inside.
    pub most_items: usize,
    /// The most copied bytes that ever were.
    pub most_bytes: usize,
    /// Calls accepted.
    pub accepted: u64,
    /// Records taken.
    pub taken: u64,
    /// Calls that found no room and were dropped, or dropped others.
    pub dropped: u64,
    /// Calls kept beyond the bounds, as they could not wait.
    pub beyond: u64,
    /// Calls that had to wait.
    pub waited: u64,
    /// Calls after the close.
    pub late: u64,
    /// Takers woken.
    pub wakes: u64,
    /// System calls made for that.
    pub system_calls: u64,
}

#[derive(Default)]
struct Store {
    words: VecDeque<u64>,
    bytes: VecDeque<u8>,
    items: usize,
    /// What was moved ahead and counts as inside.
    ahead_items: usize,
    ahead_bytes: usize,
    is_closed: bool,
    /// The threads that take, the last one first; and those that will, unless another comes first.
    takers: Vec<u64>,
    expected: Vec<u64>,
    /// Calls that are missing behind all that is inside. Until a taker has heard of them, nothing more is kept.
    missing: u64,
    figures: Figures,
}

#[derive(Default)]
struct Ahead {
    records: Records,
    /// How far they were taken.
    words: usize,
    bytes: usize,
}

/// See the module's head; `W` is what waits.
pub struct Backlog<W> {
    shape: Shape,
    bounds: Bounds,
    store: Mutex<Store>,
    /// Locked before `store`, where both are.
    ahead: Mutex<Ahead>,
    getters: WaitList<W>,
    putters: WaitList<W>,
    /// As `figures.accepted`: written by calls under the lock of the store (Relaxed), read by takers that look
    /// whether one comes.
    arrived: CachePadded<AtomicU64>,
}

impl<W: Wake> Backlog<W> {
    /// An empty backlog.
    ///
    /// # Panics
    /// If a bound is zero.
    #[must_use]
    pub fn new(shape: Shape, bounds: Bounds) -> Self {
        assert!(
            bounds.items > 0 && bounds.bytes > 0,
            "a backlog needs room for one record"
        );
        Self {
            shape,
            bounds,
            store: Mutex::default(),
            ahead: Mutex::default(),
            getters: WaitList::default(),
            putters: WaitList::default(),
            arrived: CachePadded(AtomicU64::new(0)),
        }
    }

    /// What a record is made of.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// A thread that is going to take, unless another one comes first.
    pub fn expect(&self, taker: u64) {
        let expected = &mut lock(&self.store).expected;
        if !expected.contains(&taker) && expected.len() < TAKERS {
            expected.push(taker);
        }
    }

    /// Whether nobody has taken yet, or tried to.
    pub fn has_no_taker(&self) -> bool {
        lock(&self.store).takers.is_empty()
    }

    /// Keeps a call of the thread `caller`, and wakes a taker if one sleeps.
    ///
    /// # Safety
    /// `arguments` are those of a call of this shape that has not returned.
    pub unsafe fn push(&self, arguments: &Arguments, caller: u64) -> Pushed {
        // SAFETY: the caller's. Before the lock, as text may be long.
        let weight = unsafe { self.shape.weigh(arguments) };
        let items = {
            let mut store = lock(&self.store);
            match self.admit(&mut store, weight, caller) {
                Pushed::Done => {}
                other => return other,
            }
            let Store { words, bytes, .. } = &mut *store;
            let keep = |word, content: &[u8]| {
                words.push_back(word);
                bytes.extend(content);
            };
            // SAFETY: the caller's.
            unsafe { self.shape.read(arguments, keep) };
            store.items += 1;
            store.figures.accepted += 1;
            self.arrived
                .store(store.figures.accepted, Ordering::Relaxed);
            let (items, bytes) = (store.inside(), store.bytes_inside());
            store.figures.most_items = store.figures.most_items.max(items);
            store.figures.most_bytes = store.figures.most_bytes.max(bytes);
            store.items
        };
        if self.getters.is_armed() {
            self.getters.notify(items);
        }
        Pushed::Done
    }

    /// Whether a record of that weight is to be kept now; if not, what else is.
    fn admit(&self, store: &mut Store, weight: usize, caller: u64) -> Pushed {
        let Bounds {
            items,
            bytes,
            overflow,
        } = self.bounds;
        if store.is_closed {
            store.figures.late += 1;
            return Pushed::Closed;
        }
        if store.missing == 0 && store.has_room(weight, items, bytes) {
            return Pushed::Done;
        }
        match overflow {
            Overflow::Block if store.takes(caller) => {
                let (items, bytes) = (items.saturating_mul(2), bytes.saturating_mul(2));
                if store.missing == 0 && store.has_room(weight, items, bytes) {
                    store.figures.beyond += 1;
                    return Pushed::Done;
                }
                store.missing += 1;
                store.figures.dropped += 1;
                Pushed::Refused
            }
            // Behind a gap there is no room until the taker was told.
            Overflow::Block => Pushed::Full,
            Overflow::DropOldest => {
                while store.items > 0 && !store.has_room(weight, items, bytes) {
                    self.discard(store);
                    store.figures.dropped += 1;
                }
                if store.has_room(weight, items, bytes) {
                    return Pushed::Done;
                }
                store.figures.dropped += 1;
                Pushed::Dropped
            }
            Overflow::DropNewest => {
                store.figures.dropped += 1;
                Pushed::Dropped
            }
            Overflow::Refuse => {
                store.figures.dropped += 1;
                Pushed::Refused
            }
        }
    }

    /// Drops the oldest record of the store.
    fn discard(&self, store: &mut Store) {
        let count = self.shape.kinds().len();
        let weight = self.shape.weight(store.words.drain(..count));
        store.bytes.drain(..weight);
        store.items -= 1;
    }

    /// Takes up to `max` records, on the thread `taker`, and wakes calls that wait for the room.
    pub fn take(&self, max: usize, taker: u64, out: &mut Records) -> Taken {
        let mut ahead = lock(&self.ahead);
        let mut freed = 0;
        if ahead.records.items == 0 {
            match self.advance(&mut ahead, max, taker) {
                (Taken::Some(count), more) => {
                    debug_assert!(count > 0);
                    freed = more;
                }
                (other, 0) => return other,
                (other, more) => {
                    drop(ahead);
                    self.made_room(more);
                    return other;
                }
            }
        }
        let count = self.hand_out(&mut ahead, max, out);
        drop(ahead);
        self.made_room(freed);
        Taken::Some(count)
    }

    /// Moves records from the store ahead; and for how many calls there is room then that was not there.
    fn advance(&self, ahead: &mut Ahead, max: usize, taker: u64) -> (Taken, usize) {
        let mut store = lock(&self.store);
        store.taken_by(taker);
        let was_held = store.ahead_items;
        store.ahead_items = 0;
        store.ahead_bytes = 0;
        if store.items == 0 {
            let taken = if store.missing > 0 {
                Taken::Missing(std::mem::take(&mut store.missing))
            } else if store.is_closed {
                Taken::Ended
            } else {
                Taken::NotNow
            };
            // Where calls are missing, others may wait for the taker to hear of it.
            let heard = matches!(taken, Taken::Missing(_));
            return (taken, if heard { self.bounds.items } else { was_held });
        }
        let most = (self.bounds.items / 2).clamp(1, AHEAD).max(max);
        let (items, weight) = self.portion(&store, most.min(store.items));
        let records = &mut ahead.records;
        move_front(
            &mut store.words,
            &mut records.words,
            items * self.shape.kinds().len(),
        );
        move_front(&mut store.bytes, &mut records.bytes, weight);
        if store.bytes.capacity() / 2 > self.bounds.bytes {
            store.bytes.shrink_to(self.bounds.bytes);
        }
        records.items = items;
        store.items -= items;
        store.figures.taken += items as u64;
        let at_once = items.min(max);
        store.ahead_items = items - at_once;
        store.ahead_bytes = match store.ahead_items {
            0 => 0,
            _ => weight - self.weight_of(&records.words, at_once),
        };
        (Taken::Some(items), at_once + was_held)
    }

    /// How many of the next records go ahead at once: up to `most`, and up to half of the bytes; one at least.
    fn portion(&self, store: &Store, most: usize) -> (usize, usize) {
        let count = self.shape.kinds().len();
        if !self.shape.copies() {
            return (most, 0);
        }
        let (mut items, mut weight) = (0, 0);
        while items < most {
            let record = store.words.range(items * count..(items + 1) * count);
            let next = self.shape.weight(record.copied());
            if items > 0 && weight + next > self.bounds.bytes / 2 {
                break;
            }
            items += 1;
            weight += next;
        }
        (items, weight)
    }

    fn weight_of(&self, words: &[u64], items: usize) -> usize {
        if !self.shape.copies() {
            return 0;
        }
        let count = self.shape.kinds().len();
        let records = words[..items * count].chunks(count);
        records
            .map(|record| self.shape.weight(record.iter().copied()))
            .sum()
    }

    fn hand_out(&self, ahead: &mut Ahead, max: usize, out: &mut Records) -> usize {
        let count = self.shape.kinds().len();
        let items = max.min(ahead.records.items);
        let words = &ahead.records.words[ahead.words..ahead.words + items * count];
        let weight = self.weight_of(words, items);
        out.words.extend_from_slice(words);
        let bytes = &ahead.records.bytes[ahead.bytes..ahead.bytes + weight];
        out.bytes.extend_from_slice(bytes);
        out.items += items;
        ahead.words += items * count;
        ahead.bytes += weight;
        ahead.records.items -= items;
        if ahead.records.items == 0 {
            ahead.records.words.clear();
            ahead.records.bytes.clear();
            if ahead.records.bytes.capacity() / 2 > self.bounds.bytes {
                ahead.records.bytes.shrink_to(self.bounds.bytes);
            }
            (ahead.words, ahead.bytes) = (0, 0);
        }
        items
    }

    fn made_room(&self, count: usize) {
        for _ in 0..count {
            if !self.putters.is_armed() || !self.putters.notify(count) {
                break;
            }
        }
    }

    /// Puts a taker to the list, as [`crate::ring::Handoff::enlist_getter`].
    pub fn enlist_getter(&self, waiter: Arc<W>, previous: Option<&Arc<W>>) {
        self.getters.enlist(waiter, previous);
    }

    /// Every exit from waiting to take goes through here; a wake that is not used up is passed on.
    pub fn leave_getter(&self, waiter: &Arc<W>) {
        self.getters.remove(waiter);
        if self.getters.is_armed() {
            let items = self.len();
            if items > 0 {
                self.getters.notify(items);
            }
        }
    }

    /// Wakes a taker if one sleeps: something is to be had that no call has told it of. It lies behind a lock
    /// that takers look behind when they have enlisted.
    pub fn nudge(&self) {
        if self.getters.is_armed() {
            self.getters.notify(usize::MAX);
        }
    }

    /// Puts a call that found no room to the list. It must push once more before it sleeps, and
    /// [`Backlog::leave_putter`] whatever comes of it.
    pub fn enlist_putter(&self, waiter: Arc<W>, previous: Option<&Arc<W>>) {
        self.putters.enlist(waiter, previous);
    }

    /// Every exit from waiting for room goes through here; a wake that is not used up is passed on.
    pub fn leave_putter(&self, waiter: &Arc<W>) {
        self.putters.remove(waiter);
        if self.putters.is_armed() {
            let room = {
                let store = lock(&self.store);
                self.bounds.items.saturating_sub(store.inside())
            };
            if room > 0 {
                self.putters.notify(room);
            }
        }
    }

    /// Counts a call that has to wait.
    pub fn count_wait(&self) {
        lock(&self.store).figures.waited += 1;
    }

    /// Accepts nothing any more; whoever waits looks again. What is inside can still be taken.
    pub fn close(&self) {
        lock(&self.store).is_closed = true;
        self.getters.notify_all();
        self.putters.notify_all();
    }

    /// Whether [`Backlog::close`] was called.
    pub fn is_closed(&self) -> bool {
        lock(&self.store).is_closed
    }

    /// How many records can be taken, at some moment during the call.
    pub fn len(&self) -> usize {
        let ahead = lock(&self.ahead).records.items;
        let store = lock(&self.store);
        ahead + store.items + usize::from(store.missing > 0)
    }

    /// Whether there is nothing to take, at some moment during the call.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many calls were accepted so far; to look at, for who would rather not sleep.
    pub fn arrived(&self) -> u64 {
        self.arrived.load(Ordering::Relaxed)
    }

    /// Figures for people and metrics.
    pub fn figures(&self) -> Figures {
        let ahead = lock(&self.ahead);
        let store = lock(&self.store);
        let left = ahead.records.bytes.len() - ahead.bytes;
        Figures {
            items: store.items + ahead.records.items,
            bytes: store.bytes.len() + left,
            taken: store.figures.taken - ahead.records.items as u64,
            wakes: self.getters.wakes(),
            system_calls: self.getters.system_calls(),
            ..store.figures
        }
    }
}

impl Store {
    fn inside(&self) -> usize {
        self.items + self.ahead_items
    }

    fn bytes_inside(&self) -> usize {
        self.bytes.len() + self.ahead_bytes
    }

    fn has_room(&self, weight: usize, items: usize, bytes: usize) -> bool {
        let inside = self.bytes_inside();
        self.inside() < items && (inside == 0 || inside.saturating_add(weight) <= bytes)
    }

    fn takes(&self, thread: u64) -> bool {
        self.takers.contains(&thread) || (self.takers.is_empty() && self.expected.contains(&thread))
    }

    fn taken_by(&mut self, thread: u64) {
        if self.takers.first() == Some(&thread) {
            return;
        }
        match self.takers.iter().position(|taker| *taker == thread) {
            Some(place) => self.takers.swap(0, place),
            None => self.takers.insert(0, thread),
        }
        self.takers.truncate(TAKERS);
    }
}

/// Appends the first `count` of `from` to `to`.
fn move_front<T: Copy>(from: &mut VecDeque<T>, to: &mut Vec<T>, count: usize) {
    let (first, second) = from.as_slices();
    let split = count.min(first.len());
    to.extend_from_slice(&first[..split]);
    to.extend_from_slice(&second[..count - split]);
    from.drain(..count);
}

//! A bounded multi-producer multi-consumer ring of any capacity, with batches and a close bit.
//!
//! Guarantee: lock-free in the sense of the field (a thread stopped between claiming and
//! publishing a slot holds up those behind it); a push answers full only when it is, a pop empty
//! only when it is; after [`Ring::close`] no push succeeds, and what was accepted before, by
//! pushes still under way too, can be drained to the last item.
//!
//! Orders. Each slot carries a stamp. A producer that finds `stamp == tail` owns the slot once its
//! compare-and-swap on `tail` succeeds; it writes the value and stores `tail + 1` with Release,
//! which the consumer's Acquire load of the stamp pairs with. The consumer moves the value out and
//! stores the stamp of the next lap with Release, which the next producer's Acquire load pairs
//! with. `head` and `tail` themselves carry no data. The SeqCst fences in the full and empty tests
//! order the read of the far index after the read of the stamp, and after whatever the caller did
//! before (it may have put itself on a wait list).
//!
//! A batch claims `n` slots with one swap: it first sees that all `n` stamps say ready. Nobody
//! else can take a ready slot without moving the same index, so the swap proves them still ours.
//!
//! Source: the sequence-per-slot queue of Dmitry Vyukov; laps beside the index (for capacities
//! that are no power of two) and the close bit in `tail` as in crossbeam's array channel.

use std::{mem::MaybeUninit, vec};

use super::{Refusal, turns::Turns};
use crate::sync::{AtomicBool, AtomicUsize, CachePadded, Ordering, UnsafeCell, fence, yield_now};

struct Slot<T> {
    /// Written by whoever owns the slot (Release), read by both sides (Acquire).
    /// `lap | index`: free for the producer of that lap; `(lap | index) + 1`: holds its value.
    stamp: AtomicUsize,
    /// Written by the producer that claimed the slot, moved out by the consumer that did.
    value: UnsafeCell<MaybeUninit<T>>,
}

/// The ring; see the module's head.
pub struct Ring<T> {
    /// Next position to pop. Moved by consumers (compare-and-swap), read by producers.
    head: CachePadded<AtomicUsize>,
    /// Next position to push, plus the close bit. Moved by producers, read by consumers.
    tail: CachePadded<AtomicUsize>,
    slots: Box<[Slot<T>]>,
    /// Set before the close of a ring whose items move elsewhere (Release), read after a look at
    /// the close bit (Acquire): then a batch below its `min` is not all that will ever be.
    retired: AtomicBool,
    /// The bit between index and lap; in `tail` it says closed, in positions it is zero.
    closed_bit: usize,
    /// What a position grows by from one lap to the next: two to the power of `lap_bits`.
    one_lap: usize,
    lap_bits: u32,
    /// Set before the ring is shared.
    pub(super) turns: Turns,
}

// SAFETY: a value is reached by exactly one thread at a time, the one that claimed its slot
// (module head), so the ring moves `T` between threads and never shares it.
unsafe impl<T: Send> Send for Ring<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Ring<T> {}

impl<T> Ring<T> {
    /// A ring for `capacity` items.
    ///
    /// # Panics
    /// If `capacity` is zero or so large that positions would overflow.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        assert!(capacity > 0, "a ring needs room for one item");
        assert!(
            capacity <= usize::MAX / 16,
            "capacity {capacity} is out of range"
        );
        let closed_bit = (capacity + 1).next_power_of_two();
        let one_lap = closed_bit * 2;
        Self {
            head: CachePadded(AtomicUsize::new(0)),
            tail: CachePadded(AtomicUsize::new(0)),
            slots: (0..capacity)
                .map(|index| Slot {
                    stamp: AtomicUsize::new(index),
                    value: UnsafeCell::new(MaybeUninit::uninit()),
                })
                .collect(),
            retired: AtomicBool::new(false),
            closed_bit,
            one_lap,
            lap_bits: one_lap.trailing_zeros(),
            turns: Turns::AtOnce,
        }
    }

    /// How many items fit.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.slots.len()
    }

    #[inline(always)]
    fn index(&self, position: usize) -> usize {
        position & (self.closed_bit - 1)
    }

    #[inline(always)]
    fn slot(&self, position: usize) -> &Slot<T> {
        &self.slots[self.index(position)]
    }

    /// The position `count` (at most the capacity) behind `position`.
    #[inline(always)]
    fn advance(&self, position: usize, count: usize) -> usize {
        let index = self.index(position) + count;
        let lap = position & !(self.one_lap - 1);
        if index < self.slots.len() {
            lap | index
        } else {
            lap.wrapping_add(self.one_lap) | (index - self.slots.len())
        }
    }

    /// How many positions lie before `position`, over all laps.
    #[inline(always)]
    fn ordinal(&self, position: usize) -> usize {
        (position >> self.lap_bits)
            .wrapping_mul(self.slots.len())
            .wrapping_add(self.index(position))
    }

    /// Puts `item` into the slot at `position` and publishes it.
    ///
    /// # Safety
    /// The caller's swap on `tail` has claimed the position, and its stamp said free.
    #[inline(always)]
    unsafe fn fill(&self, position: usize, item: T) {
        let slot = self.slot(position);
        // SAFETY: claimed, so nobody else reaches the slot until the stamp is stored; it holds no
        // value that the write could leak.
        slot.value.with_mut(|value| unsafe { (*value).write(item) });
        slot.stamp
            .store(position.wrapping_add(1), Ordering::Release);
    }

    /// Takes the item out of the slot at `position` and frees the slot.
    ///
    /// # Safety
    /// The caller's swap on `head` has claimed the position, and its stamp, loaded with Acquire,
    /// said that a value is there.
    #[inline(always)]
    unsafe fn empty(&self, position: usize) -> T {
        let slot = self.slot(position);
        // SAFETY: claimed, so nobody else reaches the slot until the stamp is stored; the value
        // was written before the stamp that was seen.
        let item = slot
            .value
            .with_mut(|value| unsafe { (*value).assume_init_read() });
        slot.stamp
            .store(position.wrapping_add(self.one_lap), Ordering::Release);
        item
    }

    /// Pushes one item, or gives it back.
    #[inline]
    pub fn push(&self, item: T) -> Result<(), (Refusal, T)> {
        let mut tail = self.tail.load(Ordering::Relaxed);
        loop {
            if tail & self.closed_bit != 0 {
                return Err((Refusal::Closed, item));
            }
            let stamp = self.slot(tail).stamp.load(Ordering::Acquire);
            if stamp == tail {
                let next = self.advance(tail, 1);
                match self.turns.claim(&self.tail, tail, next) {
                    Ok(_) => {
                        // SAFETY: claimed by the swap; the stamp said free.
                        unsafe { self.fill(tail, item) };
                        return Ok(());
                    }
                    Err(seen) => tail = seen,
                }
            } else if self.is_full_at(tail, stamp) {
                return Err((Refusal::NotNow, item));
            } else {
                yield_now();
                tail = self.tail.load(Ordering::Relaxed);
            }
        }
    }

    /// Pushes as many of `items` as fit, in order; what did not fit stays in the iterator.
    pub fn push_many(&self, items: &mut vec::IntoIter<T>) -> Result<usize, Refusal> {
        let wanted = items.len().min(self.slots.len());
        let mut tail = self.tail.load(Ordering::Relaxed);
        loop {
            if tail & self.closed_bit != 0 {
                return Err(Refusal::Closed);
            }
            if wanted == 0 {
                return Ok(0);
            }
            let (mut count, mut at) = (0, tail);
            let mut stamp;
            loop {
                stamp = self.slot(at).stamp.load(Ordering::Acquire);
                if stamp != at {
                    break;
                }
                count += 1;
                at = self.advance(at, 1);
                if count == wanted {
                    break;
                }
            }
            if count == 0 {
                if self.is_full_at(tail, stamp) {
                    return Err(Refusal::NotNow);
                }
                yield_now();
                tail = self.tail.load(Ordering::Relaxed);
                continue;
            }
            match self.turns.claim(&self.tail, tail, at) {
                Ok(_) => {
                    let mut position = tail;
                    for item in items.take(count) {
                        // SAFETY: the swap claimed all positions from `tail` to `at`, whose
                        // stamps said free; `count` is at most the iterator's length, so every
                        // one of them is filled.
                        unsafe { self.fill(position, item) };
                        position = self.advance(position, 1);
                    }
                    return Ok(count);
                }
                Err(seen) => tail = seen,
            }
        }
    }

    /// Whether the ring is full, given that `stamp` was read at `tail` and did not say free.
    #[inline(always)]
    fn is_full_at(&self, tail: usize, stamp: usize) -> bool {
        // The value of the lap before is still there: full, unless a pop is under way.
        if stamp.wrapping_add(self.one_lap) != tail.wrapping_add(1) {
            return false;
        }
        self.turns.fence();
        self.head.load(Ordering::Relaxed).wrapping_add(self.one_lap) == tail
    }

    /// Pops one item.
    #[inline]
    pub fn pop(&self) -> Result<T, Refusal> {
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            let stamp = self.slot(head).stamp.load(Ordering::Acquire);
            if stamp == head.wrapping_add(1) {
                let next = self.advance(head, 1);
                match self.turns.claim(&self.head, head, next) {
                    // SAFETY: claimed by the swap; the stamp said that a value is there.
                    Ok(_) => return Ok(unsafe { self.empty(head) }),
                    Err(seen) => head = seen,
                }
                continue;
            }
            if stamp == head {
                // Nobody has published here: empty, unless a push is under way.
                self.turns.fence();
                let tail = self.tail.load(Ordering::Relaxed);
                if tail & !self.closed_bit == head {
                    return Err(self.refusal(tail));
                }
            }
            yield_now();
            head = self.head.load(Ordering::Relaxed);
        }
    }

    fn refusal(&self, tail: usize) -> Refusal {
        if tail & self.closed_bit == 0 {
            Refusal::NotNow
        } else {
            Refusal::Closed
        }
    }

    /// Pops between `min` and `max` items at once, oldest first; fewer than `min`, but one at
    /// least, only from a closed ring.
    pub fn pop_many(&self, min: usize, max: usize, out: &mut Vec<T>) -> Result<usize, Refusal> {
        let min = min.max(1);
        let max = max.min(self.slots.len());
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            let (mut count, mut at) = (0, head);
            while count < max && self.slot(at).stamp.load(Ordering::Acquire) == at.wrapping_add(1) {
                count += 1;
                at = self.advance(at, 1);
            }
            if count < min {
                self.turns.fence();
                let tail = self.tail.load(Ordering::Relaxed);
                let closed = tail & self.closed_bit != 0;
                if self.head.load(Ordering::Relaxed) != head {
                    head = self.head.load(Ordering::Relaxed);
                    continue;
                }
                // Claimed by producers, published or not.
                let claimed = self
                    .ordinal(tail & !self.closed_bit)
                    .wrapping_sub(self.ordinal(head));
                if !closed && claimed < min {
                    return Err(Refusal::NotNow);
                }
                if count < claimed.min(max) {
                    // Enough, or the last of a closed ring, but a push is still under way.
                    yield_now();
                    continue;
                }
                if claimed == 0 || (claimed < min && self.is_retired()) {
                    return Err(Refusal::Closed);
                }
            }
            out.reserve(count);
            match self.turns.claim(&self.head, head, at) {
                Ok(_) => {
                    let mut position = head;
                    for _ in 0..count {
                        // SAFETY: the swap claimed all positions from `head` to `at`, each seen
                        // to hold a value that nobody else could take without moving `head`.
                        out.push(unsafe { self.empty(position) });
                        position = self.advance(position, 1);
                    }
                    return Ok(count);
                }
                Err(seen) => head = seen,
            }
        }
    }

    /// Closes the ring for pushes.
    pub fn close(&self) {
        self.tail.fetch_or(self.closed_bit, Ordering::SeqCst);
    }

    /// Closes the ring for pushes and takes what is inside, oldest first, to go on elsewhere. It is
    /// taken by one swap: what others pop meanwhile is older than all of it. From now on a batch
    /// below its `min` is refused as closed.
    pub fn retire(&self, out: &mut Vec<T>) {
        self.retired.store(true, Ordering::Release);
        self.close();
        loop {
            let head = self.head.load(Ordering::SeqCst);
            let end = self.tail.load(Ordering::SeqCst) & !self.closed_bit;
            let mut at = head;
            while at != end && self.slot(at).stamp.load(Ordering::Acquire) == at.wrapping_add(1) {
                at = self.advance(at, 1);
            }
            if at != end {
                // A push is still under way, or a pop has moved on.
                yield_now();
                continue;
            }
            let swap = self
                .head
                .compare_exchange(head, end, Ordering::SeqCst, Ordering::Relaxed);
            if swap.is_ok() {
                let mut position = head;
                while position != end {
                    // SAFETY: the swap claimed all positions from `head` to `end`, each seen to
                    // hold a value that nobody else could take without moving `head`.
                    out.push(unsafe { self.empty(position) });
                    position = self.advance(position, 1);
                }
                return;
            }
        }
    }

    fn is_retired(&self) -> bool {
        // Orders this after the caller's look at the close bit.
        fence(Ordering::Acquire);
        self.retired.load(Ordering::Relaxed)
    }

    /// Whether [`Ring::close`] was called.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.tail.load(Ordering::SeqCst) & self.closed_bit != 0
    }

    /// How many items were pushed so far (claimed, to be exact: a push under way counts).
    #[must_use]
    pub fn pushed(&self) -> usize {
        self.ordinal(self.tail.load(Ordering::SeqCst) & !self.closed_bit)
    }

    /// How many items were popped so far.
    #[must_use]
    pub fn popped(&self) -> usize {
        self.ordinal(self.head.load(Ordering::SeqCst))
    }

    /// How many items the ring held at some moment during the call.
    #[must_use]
    pub fn len(&self) -> usize {
        loop {
            let pushed = self.pushed();
            let popped = self.popped();
            if self.pushed() == pushed {
                return pushed.wrapping_sub(popped);
            }
            yield_now();
        }
    }

    /// Whether the ring held nothing at some moment during the call.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls `visit` for every item, oldest first.
    ///
    /// # Safety
    /// No other thread may push or pop during the call (a garbage collector that has stopped the
    /// world, for one).
    pub unsafe fn for_each(&self, mut visit: impl FnMut(&T)) {
        let mut position = self.head.load(Ordering::Relaxed);
        for _ in 0..self.len() {
            let slot = self.slot(position);
            if slot.stamp.load(Ordering::Acquire) == position.wrapping_add(1) {
                // SAFETY: the stamp says that the slot holds a value, and by the caller's promise
                // nobody moves it out meanwhile.
                slot.value
                    .with(|value| visit(unsafe { (*value).assume_init_ref() }));
            }
            position = self.advance(position, 1);
        }
    }
}

impl<T> Drop for Ring<T> {
    fn drop(&mut self) {
        while self.pop().is_ok() {}
    }
}

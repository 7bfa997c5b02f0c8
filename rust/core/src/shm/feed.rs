//! A byte ring from one process to many: one sender, any number of takers, records of any length.
//!
//! Guarantee: records become visible by one compare-and-swap of `tail` and are taken by one
//! of `head`; nothing else that matters is written by two processes. A sender that
//! dies before its swap has sent nothing. A taker copies first and swaps afterwards: one that dies
//! or is stopped in between has taken nothing and holds up nobody; one that loses the swap throws
//! its copy away. Lock-free: a swap of `head` fails only because another taker's has succeeded, one of
//! `tail` only because the feed was closed.
//!
//! Orders. The copy may race with a sender that already reuses the room, so both sides move the
//! content by relaxed accesses ([`super::words`]), and the copy counts only if the swap succeeds. Then `head` was
//! where it was all the while, and the sender, which writes behind an Acquire load of `head` only,
//! had not been let in. The swap's Release half keeps the copy's loads before it and pairs with that
//! Acquire load; the Acquire load of `tail` makes the content that of the record.
//!
//! Who counts ([`Feed::inside`]) swaps nothing, and a taker that reads nonsense has nothing to swap to: they look at `head`
//! once more instead, and are to see what the sender saw before it wrote there. So the sender makes a Release fence when it
//! is let in, and they an Acquire fence before that look.
//!
//! A sender that finds the ring empty goes back to its beginning after [`WARM`] bytes rather than through
//! all of it: what is taken soon after it was sent stays in the processors' caches so. The rest of the ring is
//! jumped over as at its end. Should all of it be needed before somebody has taken the record behind the jump, the
//! sender takes the jump itself: nobody else's swap can succeed from there then, and no record is lost.
//!
//! Closing sets a bit beside `tail`, which the sender's swap then fails on: whatever was published
//! before is in front of whoever sees the bit, and nothing comes after it. That is what lets takers say
//! "nothing more will come" without waiting for a sender that is stopped in the middle.
//!
//! Positions count bytes and are never set back, not even when a feed goes to another sender: a
//! swap from a position that was read long ago cannot meet the same number again.
//!
//! How much is inside is nobody's count: each record carries the tally of all that were sent before
//! it, so the oldest one and the sender's own total say it, whatever died in between.
//!
//! What is read is believed only within bounds: a feed that does not add up gives [`Corrupt`].
//! Sleeping is the affair of whoever owns the feeds.

use std::{ptr::NonNull, sync::Arc};

use super::{lane::Corrupt, words};
use crate::sync::{AtomicU64, CachePadded, Ordering, fence};

/// The shared indices of one feed.
#[derive(Debug, Default)]
#[repr(C)]
pub struct FeedHead {
    /// Bytes ever published, and [`CLOSED`]. Swapped by the sender (AcqRel), closed by anybody (AcqRel),
    /// read by takers (Acquire).
    tail: CachePadded<AtomicU64>,
    /// Bytes ever taken. Swapped by takers (AcqRel), read by the sender (Acquire).
    head: CachePadded<AtomicU64>,
    /// The tally of all records that were or are about to be published. Written by the sender (Relaxed,
    /// before `tail`), read by whoever counts.
    sent: CachePadded<AtomicU64>,
}

/// Words before a record's content: mark, kind and length; the tally of what was sent before it.
const PREFIX: u64 = 16;
/// Beside every length, so that a stray word is not taken for one.
const MARK: u64 = 0x6550;
/// In place of a kind: the rest of the ring up to its end is empty.
const SKIP: u16 = u16::MAX;
/// Positions are multiples of eight, so the lowest bit of `tail` is free.
const CLOSED: u64 = 1;

/// Positions beyond this are nonsense: 2⁵⁶ bytes sent, at the least, jumps over the ring's end and all.
const FARTHEST: u64 = u64::MAX / 2;

/// How far a sender goes through an empty ring: a part of a second-level cache.
#[cfg(not(penstock_loom))]
const WARM: u64 = 128 << 10;
#[cfg(penstock_loom)]
const WARM: u64 = 48;

/// How often the inside is looked at anew while takers are at it; any later answer is as good.
const LOOKS: u32 = 32;

/// How many records, and how many grains of [`GRAIN`] bytes they weigh. Both wrap.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    items: u32,
    grains: u32,
}

/// Weights are told to this many bytes; none is lost, as what is rounded is the sum of all.
const GRAIN: u64 = 64;

impl Tally {
    const fn of(word: u64) -> Self {
        Self {
            items: word as u32,
            grains: (word >> 32) as u32,
        }
    }

    const fn word(self) -> u64 {
        (self.grains as u64) << 32 | self.items as u64
    }
}

/// All that one sender has written, exactly.
#[derive(Debug, Clone, Copy)]
struct Total {
    items: u32,
    weight: u64,
}

impl Total {
    const fn tally(self) -> Tally {
        Tally {
            items: self.items,
            grains: (self.weight / GRAIN) as u32,
        }
    }
}

/// What is inside of a feed at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Inside {
    /// Records.
    pub items: u64,
    /// What they weigh, in bytes, to the nearest 64.
    pub bytes: u64,
}

/// The memory of one feed, wherever it lies; a handle for any number of users.
#[derive(Clone)]
pub struct Feed {
    head: NonNull<FeedHead>,
    data: NonNull<AtomicU64>,
    capacity: u64,
    /// Keeps `head` and `data` alive.
    _keep: Arc<dyn Send + Sync>,
}

// SAFETY: head and data are all atomics, kept alive by `_keep`.
unsafe impl Send for Feed {}
// SAFETY: as above.
unsafe impl Sync for Feed {}

struct Heap {
    head: FeedHead,
    words: Box<[AtomicU64]>,
}

/// Bytes that records which are used again keep.
const KEPT: usize = 1 << 20;

/// One copied record.
#[derive(Debug, Clone, Copy)]
pub struct Record {
    /// As it was sent.
    pub kind: u16,
    start: usize,
    length: usize,
    /// Where it began in its feed.
    pub position: u64,
}

/// Copies of records, in one stretch of memory that is used again and again.
#[derive(Debug, Default)]
pub struct Records {
    /// Each record begins at a multiple of eight.
    bytes: Vec<u8>,
    list: Vec<Record>,
}

impl Records {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// One of them, and its content.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<(Record, &[u8])> {
        let record = *self.list.get(index)?;
        let content = &self.bytes[record.start..record.start + record.length];
        Some((record, content))
    }

    /// Forgets all but the first `length`.
    pub fn truncate(&mut self, length: usize) {
        if let Some(first) = self.list.get(length) {
            self.bytes.truncate(first.start);
            self.list.truncate(length);
        }
    }

    /// Forgets all, and gives memory back that few need.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT);
        self.list.clear();
    }

    /// Adds one from elsewhere.
    pub fn push(&mut self, kind: u16, content: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(content);
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        self.list.push(Record {
            kind,
            start,
            length: content.len(),
            position: 0,
        });
    }
}

/// What a taker does with records that it has copied and not taken yet.
pub trait Hold {
    /// Why it cannot.
    type Error: From<Corrupt>;

    /// Holds whatever the record refers to, and says how many bytes that is.
    fn hold(&mut self, record: Record, content: &[u8]) -> Result<usize, Self::Error>;

    /// Lets go of all that was held since the last call of `keep`: another taker was first.
    fn let_go(&mut self);

    /// What was held since the last call is now the taker's.
    fn keep(&mut self);
}

/// Holds nothing.
#[derive(Debug, Default)]
pub struct Plain;

impl Hold for Plain {
    type Error = Corrupt;

    fn hold(&mut self, _record: Record, _content: &[u8]) -> Result<usize, Corrupt> {
        Ok(0)
    }

    fn let_go(&mut self) {}

    fn keep(&mut self) {}
}

impl Feed {
    /// # Safety
    /// `head` and `capacity` bytes at `data` must be valid, aligned to 128 and 8, and reached as
    /// what they are only, as long as `keep` lives; `capacity` is a power of two of at least 64.
    pub(super) unsafe fn new(
        head: NonNull<FeedHead>,
        data: NonNull<AtomicU64>,
        capacity: usize,
        keep: Arc<dyn Send + Sync>,
    ) -> Self {
        debug_assert!(capacity.is_power_of_two() && capacity >= 64);
        Self {
            head,
            data,
            capacity: capacity as u64,
            _keep: keep,
        }
    }

    /// A feed in this process's own memory, for models and tests.
    ///
    /// # Panics
    /// If `capacity` is no power of two of at least 64.
    #[must_use]
    pub fn private(capacity: usize) -> Self {
        assert!(
            capacity.is_power_of_two() && capacity >= 64,
            "a power of two of at least 64"
        );
        let heap = Arc::new(Heap {
            head: FeedHead::default(),
            words: (0..capacity / 8).map(|_| AtomicU64::new(0)).collect(),
        });
        let head = NonNull::from(&heap.head);
        let data = NonNull::from(&heap.words[0]);
        // SAFETY: both lie in the heap that is handed along; the words are one allocation.
        unsafe { Self::new(head, data, capacity, heap) }
    }

    fn head(&self) -> &FeedHead {
        // SAFETY: valid and alive as long as `_keep`, by the promise made to the constructor.
        unsafe { self.head.as_ref() }
    }

    /// The words from `position`, which counts bytes, to the end of the ring.
    fn words(&self, position: u64) -> &[AtomicU64] {
        let index = ((position & (self.capacity - 1)) / 8) as usize;
        let count = self.capacity as usize / 8 - index;
        // SAFETY: `capacity` bytes are valid, and the index is below that.
        unsafe { std::slice::from_raw_parts(self.data.as_ptr().add(index), count) }
    }

    fn word(&self, position: u64) -> &AtomicU64 {
        &self.words(position)[0]
    }

    /// Bytes from `position` to the end of the ring.
    fn rest(&self, position: u64) -> u64 {
        self.capacity - (position & (self.capacity - 1))
    }

    /// Bytes that one record takes, with its prefix and padding.
    #[must_use]
    pub const fn span(length: usize) -> u64 {
        PREFIX + length.next_multiple_of(8) as u64
    }

    /// The longest record that always fits once the feed is empty, wherever the indices stand.
    #[must_use]
    pub fn longest(&self) -> usize {
        (self.capacity / 2 - PREFIX) as usize
    }

    /// The end of what lies behind `head`, if the two add up.
    fn end_behind(&self, head: u64) -> Result<u64, Corrupt> {
        let tail = self.head().tail.load(Ordering::Acquire) & !CLOSED;
        let aligned = (tail | head).is_multiple_of(8);
        // The other index may have moved since; it moves up only.
        if tail < head || tail - head > self.capacity || !aligned || tail > FARTHEST {
            return Err(Corrupt);
        }
        Ok(tail)
    }

    /// Both ends, while others move them.
    fn settled_ends(&self) -> Result<(u64, u64), Corrupt> {
        let mut head = self.head().head.load(Ordering::Acquire);
        loop {
            let ends = self.end_behind(head);
            let seen = self.head().head.load(Ordering::Acquire);
            if ends.is_ok() || seen == head {
                return ends.map(|tail| (head, tail));
            }
            head = seen;
        }
    }

    /// What is inside at some moment during the call, or a little more: what is being published may
    /// count already.
    pub fn inside(&self) -> Result<Inside, Corrupt> {
        let mut tries = 0..LOOKS;
        loop {
            let (head, tail) = self.settled_ends()?;
            if head == tail {
                return Ok(Inside::default());
            }
            let sent = Tally::of(self.head().sent.load(Ordering::Relaxed));
            let before = self.tally_at(head, tail);
            // What was read is of the record at `head` only if the sender had not been let in.
            fence(Ordering::Acquire);
            if self.head().head.load(Ordering::Relaxed) != head && tries.next().is_some() {
                continue;
            }
            let before = before?;
            return Ok(Inside {
                items: sent.items.wrapping_sub(before.items).into(),
                bytes: u64::from(sent.grains.wrapping_sub(before.grains)) * GRAIN,
            });
        }
    }

    fn tally_at(&self, mut position: u64, tail: u64) -> Result<Tally, Corrupt> {
        if self.prefix_at(position)?.0 == SKIP {
            position += self.rest(position);
        }
        if tail - position.min(tail) < PREFIX || self.rest(position) < PREFIX {
            return Err(Corrupt);
        }
        Ok(Tally::of(self.word(position + 8).load(Ordering::Relaxed)))
    }

    /// Whether nothing is inside at some moment during the call.
    pub fn is_empty(&self) -> Result<bool, Corrupt> {
        self.settled_ends().map(|(head, tail)| head == tail)
    }

    /// Bytes taken so far: what lies before this position the sender may let go of.
    #[must_use]
    pub fn taken_bytes(&self) -> u64 {
        self.head().head.load(Ordering::Acquire)
    }

    /// Lets nothing more be published, ever.
    pub fn close(&self) {
        if !self.is_closed() {
            self.head().tail.fetch_or(CLOSED, Ordering::AcqRel);
        }
    }

    /// Whether it was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.head().tail.load(Ordering::Acquire) & CLOSED != 0
    }

    /// Drops what is inside.
    pub fn discard(&self) -> Result<(), Corrupt> {
        loop {
            let (head, tail) = self.settled_ends()?;
            let swap = &self.head().head;
            if head == tail
                || swap
                    .compare_exchange(head, tail, Ordering::AcqRel, Ordering::Relaxed)
                    .is_ok()
            {
                return Ok(());
            }
        }
    }

    /// Takes up to `max` records at once, oldest first, into `records`, behind what is there; no further
    /// ones once they have `max_bytes`. Says how many.
    pub fn take<H: Hold>(
        &self,
        max: usize,
        max_bytes: usize,
        records: &mut Records,
        holder: &mut H,
    ) -> Result<usize, H::Error> {
        let head = &self.head().head;
        let mut begin = head.load(Ordering::Acquire);
        let before = records.len();
        loop {
            let copied = match self.end_behind(begin) {
                Ok(end) if end == begin => return Ok(0),
                Ok(end) => self.copy((begin, end), max, max_bytes, records, holder),
                Err(corrupt) => Err(corrupt.into()),
            };
            let seen = match &copied {
                Ok(at) => head
                    .compare_exchange(begin, *at, Ordering::AcqRel, Ordering::Acquire)
                    .err(),
                Err(_) => {
                    // What was read is of records behind `begin` only if the sender had not been let in.
                    fence(Ordering::Acquire);
                    Some(head.load(Ordering::Acquire))
                }
            };
            match (copied, seen) {
                (Ok(_), None) => {
                    holder.keep();
                    return Ok(records.len() - before);
                }
                (copied, seen) => {
                    holder.let_go();
                    records.truncate(before);
                    let seen = seen.unwrap_or(begin);
                    // Nonsense only because the sender was let in meanwhile, perhaps.
                    if seen == begin
                        && let Err(failure) = copied
                    {
                        return Err(failure);
                    }
                    begin = seen;
                }
            }
        }
    }

    fn copy<H: Hold>(
        &self,
        (begin, end): (u64, u64),
        max: usize,
        max_bytes: usize,
        records: &mut Records,
        holder: &mut H,
    ) -> Result<u64, H::Error> {
        let (mut at, mut count, mut bytes) = (begin, 0, 0_usize);
        while at != end && count < max && (bytes < max_bytes || count == 0) {
            let (mut kind, mut length) = self.prefix_at(at)?;
            let mut position = at;
            if kind == SKIP {
                position += self.rest(at);
                (kind, length) = self.prefix_at(position)?;
            }
            let next = position + Self::span(length);
            if kind == SKIP || next > end || next - position > self.rest(position) {
                return Err(Corrupt.into());
            }
            let record = self.read(kind, position, length, records);
            let content = &records.bytes[record.start..];
            bytes = bytes.saturating_add(length + holder.hold(record, &content[..length])?);
            records.list.push(record);
            (at, count) = (next, count + 1);
        }
        Ok(at)
    }

    /// Kind and length.
    fn prefix_at(&self, position: u64) -> Result<(u16, usize), Corrupt> {
        let word = self.word(position).load(Ordering::Relaxed);
        if word >> 48 == MARK {
            Ok(((word >> 32) as u16, word as u32 as usize))
        } else {
            Err(Corrupt)
        }
    }

    fn read(&self, kind: u16, position: u64, length: usize, records: &mut Records) -> Record {
        let start = records.bytes.len();
        let words = &self.words(position + PREFIX)[..length.div_ceil(8)];
        records.bytes.reserve(words.len() * 8);
        let to = records.bytes.spare_capacity_mut().as_mut_ptr().cast();
        // SAFETY: room for as many was reserved.
        unsafe { words::load(words, to) };
        // SAFETY: that many bytes were just written.
        unsafe { records.bytes.set_len(start + words.len() * 8) };
        Record {
            kind,
            start,
            length,
            position,
        }
    }
}

/// Why nothing was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsent {
    /// No room now.
    NoRoom,
    /// The feed is closed.
    Closed,
    /// It does not add up.
    Corrupt,
}

impl From<Corrupt> for Unsent {
    fn from(_: Corrupt) -> Self {
        Self::Corrupt
    }
}

/// The sending end: one at a time. Records are written, any number of them, and published together.
pub struct FeedSender {
    feed: Feed,
    /// What is published.
    tail: u64,
    sent: Total,
    /// The end of what is written.
    written: u64,
    total: Total,
    /// The takers' index as last seen; never ahead of the truth.
    seen_head: u64,
    /// From here on it is looked whether the ring is empty.
    look_at: u64,
    warm: u64,
}

impl FeedSender {
    /// The one sender of a feed: of a fresh one, or of one whose sender has died.
    pub fn new(feed: Feed) -> Result<Self, Corrupt> {
        // A jump may cost the whole ring's positions, so in a large one they are rarer.
        let warm = WARM.max(feed.capacity >> 7);
        Self::with_warm(feed, warm)
    }

    fn with_warm(feed: Feed, warm: u64) -> Result<Self, Corrupt> {
        let (seen_head, tail) = feed.settled_ends()?;
        let tally = Tally::of(feed.head().sent.load(Ordering::Relaxed));
        let sent = Total {
            items: tally.items,
            weight: u64::from(tally.grains) * GRAIN,
        };
        fence(Ordering::Release); // as for `let_in`
        let lap = tail & !(feed.capacity - 1);
        Ok(Self {
            feed,
            tail,
            sent,
            written: tail,
            total: sent,
            seen_head,
            look_at: lap + warm,
            warm,
        })
    }

    /// Where the next record of `length` would begin and end, if there is room.
    pub fn place(&mut self, length: usize) -> Result<(u64, u64), Unsent> {
        let span = Feed::span(length);
        let rest = self.feed.rest(self.written);
        let skip = if span > rest || self.is_empty_and_far()? {
            rest
        } else {
            0
        };
        if length > self.feed.longest() || !self.has_room(skip + span)? {
            return Err(Unsent::NoRoom);
        }
        let begin = self.written + skip;
        Ok((begin, begin + span))
    }

    /// Whether all was taken, and enough of the ring used to go back to its beginning. Once it is true it stays so
    /// until something is written.
    fn is_empty_and_far(&mut self) -> Result<bool, Corrupt> {
        if self.written < self.look_at {
            return Ok(false);
        }
        if self.written == self.tail && self.take_head()? == self.tail {
            return Ok(true);
        }
        self.look_at = self.written + self.warm / 4;
        Ok(false)
    }

    /// Has the next record begin at the ring's beginning, if all was taken and it fits before here: for who has
    /// no more memory behind the rest. Whether that is so.
    pub fn turn_back(&mut self, length: usize) -> Result<bool, Corrupt> {
        let offset = self.written & (self.feed.capacity - 1);
        self.look_at = self.look_at.min(self.written);
        Ok(Feed::span(length) <= offset && self.is_empty_and_far()?)
    }

    /// The end of what is written.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Writes a record of `head` and the bytes at `stream` behind it, which weighs `weight` bytes; it is
    /// not seen before it is published. Says where it ends: once the feed's head has reached that it is taken.
    ///
    /// # Safety
    /// As many bytes are readable there.
    pub unsafe fn write(
        &mut self,
        kind: u16,
        weight: u64,
        head: &[u64],
        stream: (*const u8, usize),
    ) -> Result<u64, Unsent> {
        debug_assert!(kind != SKIP);
        let length = size_of_val(head) + stream.1;
        let (begin, end) = self.place(length)?;
        if begin != self.written {
            self.mark(self.written, SKIP, 0);
            self.look_at = begin + self.warm;
        }
        self.mark(begin, kind, length);
        let words = &self.feed.words(begin + 8)[..(end - begin) as usize / 8 - 1];
        words[0].store(self.total.tally().word(), Ordering::Relaxed);
        let (heads, rest) = words[1..].split_at(head.len());
        for (word, value) in heads.iter().zip(head) {
            word.store(*value, Ordering::Relaxed);
        }
        let whole = stream.1 / 8;
        // SAFETY: as much is readable by the caller's promise.
        let from = unsafe {
            words::store(&rest[..whole], stream.0);
            stream.0.add(whole * 8)
        };
        if let Some(word) = rest.get(whole) {
            let mut last = [0_u8; 8];
            // SAFETY: that many bytes are left of what the caller promised.
            unsafe { from.copy_to_nonoverlapping(last.as_mut_ptr(), stream.1 % 8) };
            word.store(u64::from_ne_bytes(last), Ordering::Relaxed);
        }
        self.written = end;
        self.total.items = self.total.items.wrapping_add(1);
        self.total.weight = self.total.weight.wrapping_add(weight);
        Ok(end)
    }

    /// Shows what was written to the takers, all at once.
    pub fn publish(&mut self) -> Result<(), Unsent> {
        let head = self.feed.head();
        head.sent
            .store(self.total.tally().word(), Ordering::Relaxed);
        let swap = head.tail.compare_exchange(
            self.tail,
            self.written,
            Ordering::AcqRel,
            Ordering::Relaxed,
        );
        match swap {
            Ok(_) => {
                (self.tail, self.sent) = (self.written, self.total);
                Ok(())
            }
            Err(seen) => {
                head.sent.store(self.sent.tally().word(), Ordering::Relaxed);
                self.forget();
                Err(if seen == self.tail | CLOSED {
                    Unsent::Closed
                } else {
                    Unsent::Corrupt
                })
            }
        }
    }

    /// Takes back what was written and not published.
    pub fn forget(&mut self) {
        (self.written, self.total) = (self.tail, self.sent);
    }

    /// Writes one record of plain bytes, and publishes it.
    pub fn send(&mut self, bytes: &[u8]) -> Result<u64, Unsent> {
        let weight = Feed::span(bytes.len());
        // SAFETY: a slice is readable.
        let end = unsafe { self.write(0, weight, &[], (bytes.as_ptr(), bytes.len())) }?;
        self.publish().map(|()| end)
    }

    fn mark(&self, position: u64, kind: u16, length: usize) {
        let word = MARK << 48 | u64::from(kind) << 32 | length as u64;
        self.feed.word(position).store(word, Ordering::Relaxed);
    }

    fn has_room(&mut self, wanted: u64) -> Result<bool, Corrupt> {
        let capacity = self.feed.capacity;
        if self.written - self.seen_head + wanted <= capacity {
            return Ok(true);
        }
        let head = self.take_head()?;
        if self.written - head + wanted <= capacity {
            return Ok(true);
        }
        self.take_jump()?;
        Ok(self.written - self.seen_head + wanted <= capacity)
    }

    /// Where the takers are.
    fn take_head(&mut self) -> Result<u64, Corrupt> {
        let head = self.feed.taken_bytes();
        if head < self.seen_head || head > self.tail {
            return Err(Corrupt);
        }
        self.let_in(head);
        Ok(head)
    }

    /// Whoever sees what is written from now on, and looks at the head after that, sees that it was here.
    fn let_in(&mut self, head: u64) {
        if head != self.seen_head {
            self.seen_head = head;
            fence(Ordering::Release);
        }
    }

    /// Goes in a taker's place over what was jumped, if that is what is next.
    fn take_jump(&mut self) -> Result<(), Corrupt> {
        let from = self.seen_head;
        let to = from + self.feed.rest(from);
        if to >= self.tail || !matches!(self.feed.prefix_at(from), Ok((SKIP, _))) {
            return Ok(());
        }
        let swap = &self.feed.head().head;
        match swap.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => self.let_in(to),
            Err(_) => {
                self.take_head()?;
            }
        }
        Ok(())
    }

    /// The feed, as its takers see it.
    #[must_use]
    pub fn feed(&self) -> &Feed {
        &self.feed
    }
}

#[cfg(all(test, not(penstock_loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_closed_feed_gives_out_what_it_has_and_takes_no_more() {
        let feed = Feed::private(256);
        let mut sender = FeedSender::new(feed.clone()).unwrap();
        sender.send(b"before").unwrap();
        feed.close();
        assert_eq!(sender.send(b"after"), Err(Unsent::Closed));
        assert_eq!(feed.inside().unwrap().items, 1);
        let mut records = Records::default();
        assert_eq!(feed.take(9, 999, &mut records, &mut Plain), Ok(1));
        assert_eq!(records.get(0).unwrap().1, b"before");
        assert_eq!(feed.is_empty(), Ok(true));
        let mut next = FeedSender::new(feed).unwrap();
        assert_eq!(next.send(b"after"), Err(Unsent::Closed));
    }

    #[test]
    fn an_empty_ring_is_used_from_its_beginning_and_a_full_one_as_a_whole() {
        let feed = Feed::private(4096);
        let mut sender = FeedSender::with_warm(feed.clone(), 512).unwrap();
        let mut records = Records::default();
        let mut take = |count| {
            feed.take(count, usize::MAX, &mut records, &mut Plain)
                .unwrap()
        };
        for _ in 0..200 {
            let end = sender.send(&[7; 48]).unwrap();
            assert!(end & 4095 <= 512 + 64, "{end} is beyond what is warm");
            assert_eq!(take(9), 1);
        }
        // One that is jumped to, and not taken: all of the ring can be filled nevertheless.
        while sender.send(&[7; 48]).unwrap() & 4095 != 64 {
            assert_eq!(take(9), 1);
        }
        let mut count = 1;
        while sender.send(&[7; 48]).is_ok() {
            count += 1;
        }
        assert_eq!(count, 4096 / 64);
        assert_eq!(feed.inside().unwrap().items, count);
        assert_eq!(take(usize::MAX) as u64, count);
        assert_eq!(feed.is_empty(), Ok(true));
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None, cases: 10_000, ..ProptestConfig::default()
        })]

        #[test]
        fn nonsense_gives_an_answer(
            sent in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..12),
            spoilt in prop::collection::vec(
                (0..35_usize, prop_oneof![any::<u64>(), 0..512_u64], any::<bool>()), 1..6
            ),
        ) {
            let feed = Feed::private(256);
            let mut sender = FeedSender::with_warm(feed.clone(), 128).unwrap();
            let mut records = Records::default();
            // Round the ring, so that records lie across its end.
            for record in &sent {
                if sender.send(record).is_err() {
                    let _ = feed.take(1, 1000, &mut records, &mut Plain);
                    let _ = sender.send(record);
                }
            }
            for (place, value, all) in spoilt {
                let head = feed.head();
                let word = match [&head.tail, &head.head, &head.sent].get(place) {
                    Some(index) => index,
                    None => feed.word((place - 3) as u64 * 8),
                };
                // All of it, or a little: a length or a position that is nearly right.
                let before = if all { 0 } else { word.load(Ordering::SeqCst) };
                word.store(before ^ value, Ordering::SeqCst);
            }
            for _ in 0..8 {
                let _ = feed.inside();
                let before = records.len();
                let _ = feed.take(1000, usize::MAX, &mut records, &mut Plain);
                prop_assert!(records.len() - before <= 256 / 16, "more than there is room for");
                let _ = sender.send(b"after");
                if let Ok(next) = FeedSender::new(feed.clone()) {
                    sender = next;
                }
            }
            let _ = feed.discard();
        }
    }
}

//! A byte ring from one process to many: one sender, any number of takers, records of any length.
//!
//! Guarantee: a record becomes visible by one Release store of `tail` and is taken by one
//! compare-and-swap of `head`; nothing else that matters is written by two processes. A sender that
//! dies before its store has sent nothing. A taker copies first and swaps afterwards: one that dies
//! or is stopped in between has taken nothing and holds up nobody; one that loses the swap throws
//! its copy away. Lock-free: a swap fails only because another taker's has succeeded.
//!
//! Orders. The copy may race with a sender that already reuses the room, so both sides move the
//! content by relaxed atomic words, and the copy counts only if the swap succeeds. Then `head` was
//! where it was all the while, and the sender, which writes behind an Acquire load of `head` only,
//! had not been let in. The swap's Release half keeps the copy's loads before it and pairs with that
//! Acquire load; the Acquire load of `tail` makes the content that of the record.
//!
//! Positions count bytes and are never set back, not even when a feed goes to another sender: a
//! swap from a position that was read long ago cannot meet the same number again.
//!
//! What is read is believed only within bounds: a feed that does not add up gives [`Corrupt`].
//! Sleeping is the affair of whoever owns the feeds.

use std::{ptr::NonNull, sync::Arc};

use super::lane::Corrupt;
use crate::sync::{AtomicU64, CachePadded, Ordering};

/// The shared indices of one feed.
#[derive(Debug, Default)]
#[repr(C)]
pub struct FeedHead {
    /// Bytes ever published. Written by the sender (Release), read by takers (Acquire).
    tail: CachePadded<AtomicU64>,
    /// Bytes ever taken. Swapped by takers (AcqRel), read by the sender (Acquire).
    head: CachePadded<AtomicU64>,
    /// Records ever published. Written by the sender (Relaxed, before `tail`).
    sent: CachePadded<AtomicU64>,
    /// Records ever taken, or fewer: a taker that died behind its swap did not count, and the next
    /// one makes up for it. Raised by takers (Relaxed).
    taken: CachePadded<AtomicU64>,
}

/// Words before a record's content: its length beside a mark, and how many were sent before it.
const PREFIX: u64 = 16;
/// In place of a length: the rest of the ring up to its end is empty.
const SKIP: u32 = u32::MAX;
/// Beside every length, so that a stray word is not taken for one.
const MARK: u32 = 0x6465_6550;

/// Positions beyond this are nonsense: they would take centuries.
const FARTHEST: u64 = u64::MAX / 2;

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

    /// The word at `position`, which counts bytes.
    fn word(&self, position: u64) -> &AtomicU64 {
        let index = (position & (self.capacity - 1)) / 8;
        // SAFETY: `capacity` bytes are valid, and the index is below that.
        unsafe { self.data.add(index as usize).as_ref() }
    }

    /// Bytes of one record with its prefix and padding.
    const fn span(length: u64) -> u64 {
        PREFIX + length.next_multiple_of(8)
    }

    /// The longest record that always fits once the feed is empty, wherever the indices stand.
    #[must_use]
    pub fn longest(&self) -> usize {
        (self.capacity / 2 - PREFIX) as usize
    }

    /// How many records are inside at some moment during the call, or a few more after a death.
    #[must_use]
    pub fn len(&self) -> u64 {
        let taken = self.head().taken.load(Ordering::Relaxed);
        self.head()
            .sent
            .load(Ordering::Relaxed)
            .saturating_sub(taken)
    }

    /// Whether nothing is inside at some moment during the call.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let head = self.head().head.load(Ordering::Acquire);
        self.head().tail.load(Ordering::Acquire) == head
    }

    /// Bytes taken so far: what lies before this position the sender may let go of.
    #[must_use]
    pub fn taken_bytes(&self) -> u64 {
        self.head().head.load(Ordering::Acquire)
    }

    /// Takes up to `max` records at once, oldest first, up to `max_bytes` of them but for the first.
    ///
    /// `hold` sees each record before it is taken, and may hold what it refers to; what it returns
    /// is the answer if the take succeeds, and is dropped if another taker was first.
    pub fn take<R, E: From<Corrupt>>(
        &self,
        max: usize,
        max_bytes: usize,
        scratch: &mut Vec<u8>,
        mut hold: impl FnMut(&[u8]) -> Result<R, E>,
    ) -> Result<Vec<R>, E> {
        let head = &self.head().head;
        let mut begin = head.load(Ordering::Acquire);
        loop {
            let end = self.head().tail.load(Ordering::Acquire);
            if begin == end {
                return Ok(Vec::new());
            }
            let copied = self.copy(begin, end, max, max_bytes, scratch, &mut hold);
            match copied {
                Ok((held, at, taken)) => {
                    let swap =
                        head.compare_exchange(begin, at, Ordering::AcqRel, Ordering::Acquire);
                    match swap {
                        Ok(_) => {
                            self.head().taken.fetch_max(taken, Ordering::Relaxed);
                            return Ok(held);
                        }
                        Err(seen) => begin = seen,
                    }
                }
                Err(failure) => {
                    // Nonsense only because the sender was let in meanwhile, perhaps.
                    let seen = head.load(Ordering::Acquire);
                    if seen == begin {
                        return Err(failure);
                    }
                    begin = seen;
                }
            }
        }
    }

    fn copy<R, E: From<Corrupt>>(
        &self,
        begin: u64,
        end: u64,
        max: usize,
        max_bytes: usize,
        scratch: &mut Vec<u8>,
        hold: &mut impl FnMut(&[u8]) -> Result<R, E>,
    ) -> Result<(Vec<R>, u64, u64), E> {
        let aligned = (end | begin).is_multiple_of(8);
        if end < begin || end - begin > self.capacity || !aligned || end > FARTHEST {
            return Err(Corrupt.into());
        }
        let (mut held, mut at, mut taken, mut bytes) = (Vec::new(), begin, 0, 0);
        while at != end && held.len() < max {
            let mut length = self.length_at(at)?;
            if length == SKIP {
                at += self.capacity - (at & (self.capacity - 1));
                if at >= end {
                    return Err(Corrupt.into());
                }
                length = self.length_at(at)?;
            }
            let next = at + Self::span(length.into());
            let rest = self.capacity - (at & (self.capacity - 1));
            if next > end || next - at > rest {
                return Err(Corrupt.into());
            }
            bytes += length as usize;
            if bytes > max_bytes && !held.is_empty() {
                break;
            }
            taken = self.word(at + 8).load(Ordering::Relaxed).wrapping_add(1);
            self.read(at + PREFIX, length as usize, scratch);
            held.push(hold(scratch)?);
            at = next;
        }
        Ok((held, at, taken))
    }

    fn length_at(&self, position: u64) -> Result<u32, Corrupt> {
        let word = self.word(position).load(Ordering::Relaxed);
        if word >> 32 == u64::from(MARK) {
            Ok((word & u64::from(u32::MAX)) as u32)
        } else {
            Err(Corrupt)
        }
    }

    fn read(&self, position: u64, length: usize, to: &mut Vec<u8>) {
        to.clear();
        to.reserve(length.next_multiple_of(8));
        for index in 0..length.div_ceil(8) as u64 {
            let word = self.word(position + index * 8).load(Ordering::Relaxed);
            to.extend_from_slice(&word.to_ne_bytes());
        }
        to.truncate(length);
    }

    fn write(&self, position: u64, parts: &[&[u8]]) {
        let mut at = position;
        let mut put = |word: [u8; 8]| {
            let word = u64::from_ne_bytes(word);
            self.word(at).store(word, Ordering::Relaxed);
            at += 8;
        };
        let (mut word, mut filled) = ([0_u8; 8], 0);
        for part in parts {
            let missing = (8 - filled) % 8;
            let (first, rest) = part.split_at(missing.min(part.len()));
            word[filled..filled + first.len()].copy_from_slice(first);
            filled += first.len();
            if filled == 8 {
                put(word);
                filled = 0;
            }
            let (words, last) = rest.as_chunks::<8>();
            words.iter().copied().for_each(&mut put);
            if !last.is_empty() {
                word[..last.len()].copy_from_slice(last);
                filled = last.len();
            }
        }
        if filled > 0 {
            put(word);
        }
    }
}

/// The sending end: one at a time.
pub struct FeedSender {
    feed: Feed,
    tail: u64,
    sent: u64,
    /// The takers' index as last seen; never ahead of the truth.
    seen_head: u64,
}

/// A record was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// Once the feed's head has reached this position the record is taken.
    pub end: u64,
}

impl FeedSender {
    /// The one sender of a feed: of a fresh one, or of one whose sender has died.
    pub fn new(feed: Feed) -> Result<Self, Corrupt> {
        let seen_head = feed.head().head.load(Ordering::Acquire);
        let tail = feed.head().tail.load(Ordering::Acquire);
        let sent = feed.head().sent.load(Ordering::Relaxed);
        let aligned = (tail | seen_head).is_multiple_of(8);
        if tail < seen_head || tail - seen_head > feed.capacity || !aligned || tail > FARTHEST {
            return Err(Corrupt);
        }
        Ok(Self {
            feed,
            tail,
            sent,
            seen_head,
        })
    }

    /// Publishes `parts`, one behind the other, as one record; `None` if there is no room now.
    ///
    /// # Panics
    /// If the record is longer than [`Feed::longest`].
    pub fn send(&mut self, parts: &[&[u8]]) -> Result<Option<Published>, Corrupt> {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        assert!(
            length <= self.feed.longest(),
            "a record of {length} bytes is too long"
        );
        let span = Feed::span(length as u64);
        let rest = self.feed.capacity - (self.tail & (self.feed.capacity - 1));
        let skip = if span > rest { rest } else { 0 };
        if !self.has_room(skip + span)? {
            return Ok(None);
        }
        let begin = self.tail + skip;
        if skip > 0 {
            self.mark(self.tail, SKIP);
        }
        self.mark(begin, length as u32);
        self.feed
            .word(begin + 8)
            .store(self.sent, Ordering::Relaxed);
        self.feed.write(begin + PREFIX, parts);
        self.tail = begin + span;
        self.sent = self.sent.wrapping_add(1);
        let head = self.feed.head();
        head.sent.store(self.sent, Ordering::Relaxed);
        head.tail.store(self.tail, Ordering::Release);
        Ok(Some(Published { end: self.tail }))
    }

    fn mark(&self, position: u64, length: u32) {
        let word = u64::from(MARK) << 32 | u64::from(length);
        self.feed.word(position).store(word, Ordering::Relaxed);
    }

    fn has_room(&mut self, wanted: u64) -> Result<bool, Corrupt> {
        if self.tail - self.seen_head + wanted <= self.feed.capacity {
            return Ok(true);
        }
        let head = self.feed.head().head.load(Ordering::Acquire);
        if head < self.seen_head || head > self.tail {
            return Err(Corrupt);
        }
        self.seen_head = head;
        Ok(self.tail - head + wanted <= self.feed.capacity)
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

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn nonsense_gives_an_answer(
            sent in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6),
            spoilt in prop::collection::vec((0..36_usize, any::<u64>()), 1..6),
        ) {
            let feed = Feed::private(256);
            let mut sender = FeedSender::new(feed.clone()).unwrap();
            for record in &sent {
                let _ = sender.send(&[record]);
            }
            for (place, value) in spoilt {
                let head = feed.head();
                match [&head.tail, &head.head, &head.sent, &head.taken].get(place) {
                    Some(index) => index.store(value, Ordering::SeqCst),
                    None => feed.word((place - 4) as u64 * 8).store(value, Ordering::SeqCst),
                }
            }
            let mut scratch = Vec::new();
            for _ in 0..8 {
                let _ = feed.take(3, 1000, &mut scratch, |record| Ok::<_, Corrupt>(record.len()));
                let _ = sender.send(&[b"after"]);
                if let Ok(next) = FeedSender::new(feed.clone()) {
                    sender = next;
                }
            }
        }
    }
}

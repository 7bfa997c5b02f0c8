//! A byte ring from one process to another: one sender, one receiver, records of any length.
//!
//! Guarantee: wait-free on both sides. A record becomes visible by one Release store of `tail`; a
//! sender that dies before it has sent nothing, one that dies after it has sent a whole record.
//! The receiver hands room back by one Release store of `head`, after it is done with the bytes.
//! Each side keeps its own index in private memory and believes the other's only within bounds,
//! so a torn or hostile lane gives [`Corrupt`], never a wild access.
//!
//! Sleeping: a side that found nothing to do sets its flag, makes a SeqCst fence and looks again;
//! the other side moves its index, makes a SeqCst fence and looks at the flag. One of them sees
//! the other (store buffering needs both fences, on x86 too). The swap that clears the flag is what entitles
//! to ring the bell, so a burst rings once, and a lane whose receiver is awake makes no system call.
//!
//! Source: Lamport's single-producer single-consumer ring, with the far index cached.

use std::{ptr::NonNull, sync::Arc};

use crate::sync::{AtomicU32, AtomicU64, CachePadded, Ordering, fence};

/// The shared indices of one lane.
#[derive(Debug, Default)]
#[repr(C)]
pub struct LaneHead {
    /// Bytes ever published. Written by the sender (Release), read by the receiver (Acquire).
    tail: CachePadded<AtomicU64>,
    /// Bytes ever handed back. Written by the receiver (Release), read by the sender (Acquire).
    head: CachePadded<AtomicU64>,
    /// 1: the receiver may be asleep. Set by it, cleared by whoever wakes it or by itself.
    receiver_sleeps: CachePadded<AtomicU32>,
    /// 1: the sender may be asleep for want of room. As above.
    sender_sleeps: CachePadded<AtomicU32>,
}

const PREFIX: u64 = 8;
/// In place of a length: the rest of the ring up to its end is empty.
const SKIP: u32 = u32::MAX;
/// Beside every length, so that a stray word is not taken for one.
const MARK: u32 = 0x6e61_6c50;

/// The indices or lengths of a lane do not add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Corrupt;

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// Published. Once the head has reached `end` the receiver is done with it.
    Published {
        /// The position behind the record.
        end: u64,
        /// The receiver must be woken by the caller.
        wake: bool,
    },
    /// No room now.
    NoRoom,
}

/// The memory of one lane, wherever it lies.
#[derive(Clone)]
pub struct Memory {
    head: NonNull<LaneHead>,
    data: Data,
    capacity: u64,
    /// Keeps `head` and `data` alive.
    _keep: Arc<dyn Send + Sync>,
}

// SAFETY: `head` is all atomics; `data` is reached only between the indices, by the side that
// they give it to, and both are kept alive by `_keep`.
unsafe impl Send for Memory {}

impl Memory {
    /// # Safety
    /// `head` and `capacity` bytes at `data` must be valid, aligned to 128 and 8, and shared only
    /// between one [`Sender`] and one [`Receiver`] as long as `keep` lives; `capacity` is a
    /// power of two of at least 64.
    #[cfg(not(penstock_loom))]
    pub(super) unsafe fn new(
        head: NonNull<LaneHead>,
        data: NonNull<u8>,
        capacity: usize,
        keep: Arc<dyn Send + Sync>,
    ) -> Self {
        debug_assert!(capacity.is_power_of_two() && capacity >= 64);
        Self {
            head,
            data: Data(data),
            capacity: capacity as u64,
            _keep: keep,
        }
    }

    /// A lane in this process's own memory, for models and tests.
    #[must_use]
    pub fn private(capacity: usize) -> Self {
        assert!(
            capacity.is_power_of_two() && capacity >= 64,
            "a power of two of at least 64"
        );
        let heap = Arc::new(Heap {
            head: LaneHead::default(),
            bytes: HeapBytes::new(capacity),
        });
        let head = NonNull::from(&heap.head);
        let data = Data::of(&heap.bytes);
        Self {
            head,
            data,
            capacity: capacity as u64,
            _keep: heap,
        }
    }

    fn head(&self) -> &LaneHead {
        // SAFETY: valid and alive as long as `_keep`, by the promise made to the constructor.
        unsafe { self.head.as_ref() }
    }

    fn offset(&self, position: u64) -> usize {
        (position & (self.capacity - 1)) as usize
    }

    /// Bytes of one record with its prefix and padding.
    const fn span(length: u64) -> u64 {
        PREFIX + length.next_multiple_of(8)
    }

    /// The longest record that always fits once the lane is empty, wherever the indices stand.
    #[must_use]
    pub fn longest(&self) -> usize {
        (self.capacity / 2 - PREFIX) as usize
    }
}

/// The sending end.
pub struct Sender {
    memory: Memory,
    tail: u64,
    /// The receiver's index as last seen; never ahead of the truth.
    seen_head: u64,
    /// The receiver was once asleep.
    woke: bool,
}

impl Sender {
    /// The one sender of a fresh lane.
    #[must_use]
    pub fn new(memory: Memory) -> Self {
        Self {
            memory,
            tail: 0,
            seen_head: 0,
            woke: false,
        }
    }

    /// Publishes `parts`, one behind the other, as one record.
    ///
    /// # Panics
    /// If the record is longer than [`Memory::longest`].
    pub fn send(&mut self, parts: &[&[u8]]) -> Result<Sent, Corrupt> {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        assert!(
            length <= self.memory.longest(),
            "a record of {length} bytes is too long"
        );
        let span = Memory::span(length as u64);
        let to_end = self.memory.capacity - self.memory.offset(self.tail) as u64;
        let skip = if span > to_end { to_end } else { 0 };
        if !self.has_room(skip + span)? {
            return Ok(Sent::NoRoom);
        }
        if skip > 0 {
            self.put_prefix(SKIP);
            self.tail += skip;
        }
        self.put_prefix(length as u32);
        let mut offset = self.memory.offset(self.tail) + PREFIX as usize;
        for part in parts {
            self.memory.data.write(offset, part);
            offset += part.len();
        }
        self.tail += span;
        let head = self.memory.head();
        head.tail.store(self.tail, Ordering::Release);
        fence(Ordering::SeqCst);
        let wake = head.receiver_sleeps.load(Ordering::Relaxed) != 0
            && head.receiver_sleeps.swap(0, Ordering::AcqRel) != 0;
        self.woke |= wake;
        Ok(Sent::Published {
            end: self.tail,
            wake,
        })
    }

    fn put_prefix(&self, length: u32) {
        let mut prefix = [0; PREFIX as usize];
        prefix[..4].copy_from_slice(&length.to_le_bytes());
        prefix[4..].copy_from_slice(&MARK.to_le_bytes());
        self.memory
            .data
            .write(self.memory.offset(self.tail), &prefix);
    }

    fn has_room(&mut self, wanted: u64) -> Result<bool, Corrupt> {
        if self.tail - self.seen_head + wanted <= self.memory.capacity {
            return Ok(true);
        }
        let head = self.consumed()?;
        Ok(self.tail - head + wanted <= self.memory.capacity)
    }

    /// How far the receiver is.
    pub fn consumed(&mut self) -> Result<u64, Corrupt> {
        let head = self.memory.head().head.load(Ordering::Acquire);
        if head < self.seen_head || head > self.tail {
            return Err(Corrupt);
        }
        self.seen_head = head;
        Ok(head)
    }

    /// Whether the receiver has ever looked for a record: taken one, or slept for want of one.
    pub fn met(&self) -> bool {
        let head = self.memory.head();
        self.woke
            || head.receiver_sleeps.load(Ordering::Acquire) != 0
            || head.head.load(Ordering::Acquire) != 0
    }

    /// Says that the sender is about to sleep for room. False: there has been progress since
    /// the last look, try again. After sleeping, or instead of it, call [`Sender::awake`].
    pub fn doze(&mut self) -> Result<bool, Corrupt> {
        let before = self.seen_head;
        self.memory.head().sender_sleeps.store(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        Ok(self.consumed()? == before)
    }

    /// Ends [`Sender::doze`].
    pub fn awake(&self) {
        self.memory.head().sender_sleeps.store(0, Ordering::Relaxed);
    }
}

/// The receiving end.
pub struct Receiver {
    memory: Memory,
    head: u64,
    /// The sender's index as last seen; never ahead of the truth.
    seen_tail: u64,
    scratch: Vec<u8>,
}

impl Receiver {
    /// The one receiver of a fresh lane.
    #[must_use]
    pub fn new(memory: Memory) -> Self {
        Self {
            memory,
            head: 0,
            seen_tail: 0,
            scratch: Vec::new(),
        }
    }

    /// Calls `take` with the next record, and only then hands its room back: what `take` pins is
    /// held before the sender may let go of it. `None` if there is none. The flag beside the
    /// answer says that the sender sleeps for want of room and must be woken by the caller.
    pub fn receive<R>(
        &mut self,
        take: impl FnOnce(&[u8]) -> R,
    ) -> Result<Option<(R, bool)>, Corrupt> {
        if self.is_empty()? {
            return Ok(None);
        }
        let mut at = self.head;
        let mut length = self.length_at(at)?;
        if length == SKIP {
            at += self.memory.capacity - self.memory.offset(at) as u64;
            if at + PREFIX > self.seen_tail {
                return Err(Corrupt);
            }
            length = self.length_at(at)?;
        }
        let end = at + Memory::span(length.into());
        let offset = self.memory.offset(at) + PREFIX as usize;
        if end > self.seen_tail || offset as u64 + u64::from(length) > self.memory.capacity {
            return Err(Corrupt);
        }
        // A copy, so that what is judged is what is used, whatever the sender does meanwhile.
        self.scratch.clear();
        self.memory
            .data
            .read(offset, length as usize, &mut self.scratch);
        let answer = take(&self.scratch);
        self.head = end;
        let head = self.memory.head();
        head.head.store(end, Ordering::Release);
        fence(Ordering::SeqCst);
        let wake = head.sender_sleeps.load(Ordering::Relaxed) != 0
            && head.sender_sleeps.swap(0, Ordering::AcqRel) != 0;
        Ok(Some((answer, wake)))
    }

    fn length_at(&mut self, position: u64) -> Result<u32, Corrupt> {
        let mut prefix = std::mem::take(&mut self.scratch);
        prefix.clear();
        self.memory
            .data
            .read(self.memory.offset(position), PREFIX as usize, &mut prefix);
        let word = |at: usize| u32::from_le_bytes(prefix[at..at + 4].try_into().expect("4 bytes"));
        let (length, mark) = (word(0), word(4));
        self.scratch = prefix;
        if mark == MARK {
            Ok(length)
        } else {
            Err(Corrupt)
        }
    }

    fn published(&mut self) -> Result<u64, Corrupt> {
        let tail = self.memory.head().tail.load(Ordering::Acquire);
        if tail < self.seen_tail
            || tail - self.head > self.memory.capacity
            || !tail.is_multiple_of(8)
        {
            return Err(Corrupt);
        }
        self.seen_tail = tail;
        Ok(tail)
    }

    /// Whether nothing is there now.
    pub fn is_empty(&mut self) -> Result<bool, Corrupt> {
        Ok(self.seen_tail == self.head && self.published()? == self.head)
    }

    /// Says that the receiver is about to sleep. False: something is there. After sleeping, or
    /// instead of it, call [`Receiver::awake`].
    pub fn doze(&mut self) -> Result<bool, Corrupt> {
        self.memory
            .head()
            .receiver_sleeps
            .store(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        self.is_empty()
    }

    /// Ends [`Receiver::doze`].
    pub fn awake(&self) {
        self.memory
            .head()
            .receiver_sleeps
            .store(0, Ordering::Relaxed);
    }
}

#[derive(Clone, Copy)]
#[cfg(not(penstock_loom))]
struct Data(NonNull<u8>);

#[cfg(not(penstock_loom))]
impl Data {
    fn of(bytes: &HeapBytes) -> Self {
        Self(NonNull::from(&*bytes.0).cast())
    }

    fn write(self, offset: usize, from: &[u8]) {
        // SAFETY: sender only; `has_room` keeps the range within the ring and free of bytes that
        // the receiver has not handed back (Acquire load of `head`).
        unsafe {
            self.0
                .add(offset)
                .copy_from_nonoverlapping(NonNull::from(from).cast(), from.len())
        };
    }

    fn read(self, offset: usize, length: usize, to: &mut Vec<u8>) {
        to.reserve(length);
        // SAFETY: receiver only; the range lies within the ring and was published (Acquire load
        // of `tail`); `to` has room for it. A hostile sender that writes meanwhile can change
        // what is copied, not where.
        unsafe {
            let end = NonNull::new_unchecked(to.as_mut_ptr().add(to.len()));
            end.copy_from_nonoverlapping(self.0.add(offset), length);
            to.set_len(to.len() + length);
        }
    }
}

#[cfg(not(penstock_loom))]
struct HeapBytes(Box<[std::cell::UnsafeCell<u64>]>);

// SAFETY: reached only through `Data`, by the rules above.
#[cfg(not(penstock_loom))]
unsafe impl Sync for HeapBytes {}

#[cfg(not(penstock_loom))]
impl HeapBytes {
    fn new(capacity: usize) -> Self {
        Self(
            (0..capacity / 8)
                .map(|_| std::cell::UnsafeCell::new(0))
                .collect(),
        )
    }
}

/// Under loom every eight bytes are a cell, so that a missing ordering is seen as a race.
#[cfg(penstock_loom)]
struct HeapBytes(Arc<Vec<crate::sync::UnsafeCell<[u8; 8]>>>);

#[cfg(penstock_loom)]
impl HeapBytes {
    fn new(capacity: usize) -> Self {
        let cells = (0..capacity / 8).map(|_| crate::sync::UnsafeCell::new([0; 8]));
        Self(Arc::new(cells.collect()))
    }
}

#[cfg(penstock_loom)]
#[derive(Clone)]
struct Data(Arc<Vec<crate::sync::UnsafeCell<[u8; 8]>>>);

#[cfg(penstock_loom)]
impl Data {
    fn of(bytes: &HeapBytes) -> Self {
        Self(Arc::clone(&bytes.0))
    }

    fn write(&self, offset: usize, from: &[u8]) {
        for (at, byte) in from
            .iter()
            .enumerate()
            .map(|(index, byte)| (offset + index, byte))
        {
            // SAFETY: as above; loom checks it.
            self.0[at / 8].with_mut(|cell| unsafe { (*cell)[at % 8] = *byte });
        }
    }

    fn read(&self, offset: usize, length: usize, to: &mut Vec<u8>) {
        for at in offset..offset + length {
            // SAFETY: as above; loom checks it.
            to.push(self.0[at / 8].with(|cell| unsafe { (*cell)[at % 8] }));
        }
    }
}

struct Heap {
    head: LaneHead,
    bytes: HeapBytes,
}

#[cfg(penstock_loom)]
// SAFETY: the cells are reached by the rules of the lane, which loom checks.
unsafe impl Send for Heap {}
#[cfg(penstock_loom)]
// SAFETY: as above.
unsafe impl Sync for Heap {}

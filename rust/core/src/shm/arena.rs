//! Where large payloads lie: a sparse file, or a part of one, that an owner writes and others read.
//!
//! Owner and readers share the content and one [`SlabEntry`] a slab, nothing else: the allocator,
//! its free lists and all counts are in the owner's private memory, so no reader can damage or
//! stall it by dying. The owner finds out that a slab is free by looking at its entry when it
//! needs room; nobody has to tell it.
//!
//! Pages are populated when a slab is allocated, kept warm when it is freed, and given back once
//! more than [`KEEP_WARM`] (or twice the last slab, for steady streams of large ones) lies idle.

use std::{
    collections::HashMap,
    fmt, io,
    os::fd::{BorrowedFd, OwnedFd},
    ptr::NonNull,
};

use super::{
    buddy::Buddy,
    layout::{AttachError, Content, HEADER_BYTES},
    segment::Segment,
    slab::{OWNER, PARTICIPANTS, SlabEntry},
};
use crate::{
    fork,
    sync::{Arc, AtomicBool, AtomicU32, Mutex, Ordering, lock},
};

/// Slabs one arena can have at a time.
const SLABS: usize = 4096;
pub(super) const TABLE_BYTES: usize = SLABS * size_of::<SlabEntry>();
const DATA_OFFSET: usize = HEADER_BYTES + TABLE_BYTES;

/// The allocation unit. Every slab starts on a multiple of it, so content is page-aligned.
pub(super) const UNIT: usize = 16 << 10;

/// Entries of a table whose pages are populated at once.
const ENTRIES: u32 = 64;

/// Idle touched bytes that an owner keeps for the next slab.
const KEEP_WARM: usize = 64 << 20;

/// Names a slab and its content, as it travels in records. Untrusted until pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(super) struct SlabRef {
    pub(super) slot: u64,
    pub(super) generation: u64,
    pub(super) offset: u64,
    pub(super) length: u64,
}

/// Where an arena lies in a segment that holds more than that.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// [`TABLE_BYTES`], from a page's beginning on.
    pub(super) table: usize,
    /// The content, from a page's beginning on.
    pub(super) data: usize,
    /// Its bytes: whole units.
    pub(super) capacity: usize,
    /// How many entries of the table were ever in use, if others have to know; in the same segment.
    pub(super) slots: Option<NonNull<AtomicU32>>,
}

/// The mapped file, as owner and readers see it.
#[derive(Debug)]
pub struct ArenaMap {
    segment: Arc<Segment>,
    place: Place,
}

// SAFETY: `slots` leads to an atomic word of the segment, which `self` keeps alive.
unsafe impl Send for ArenaMap {}
// SAFETY: as above.
unsafe impl Sync for ArenaMap {}

impl ArenaMap {
    /// A new arena with room for `max_bytes`, rounded up to whole units.
    pub fn create(max_bytes: usize) -> io::Result<Self> {
        let data = max_bytes.max(1).checked_next_multiple_of(UNIT);
        let length = data.and_then(|data| data.checked_add(DATA_OFFSET));
        let length = length.ok_or(io::ErrorKind::InvalidInput)?;
        let parameters = [SLABS as u64, UNIT as u64, 0];
        let segment = Segment::create(c"penstock-arena", Content::Arena, length, parameters)?;
        segment.reserve(0, DATA_OFFSET)?;
        Ok(Self::whole(segment))
    }

    /// Maps an arena that another process (or this one) created.
    pub fn attach(fd: OwnedFd) -> Result<Self, AttachError> {
        let (segment, [slabs, unit, _]) = Segment::attach(fd, Content::Arena)?;
        let whole =
            segment.length() > DATA_OFFSET && (segment.length() - DATA_OFFSET).is_multiple_of(UNIT);
        if slabs != SLABS as u64 || unit != UNIT as u64 || !whole {
            return Err(AttachError::Damaged);
        }
        Ok(Self::whole(segment))
    }

    fn whole(segment: Segment) -> Self {
        let place = Place {
            table: HEADER_BYTES,
            data: DATA_OFFSET,
            capacity: segment.length() - DATA_OFFSET,
            slots: None,
        };
        Self::within(Arc::new(segment), place)
    }

    /// The arena at `place` of a segment, where nothing else lies.
    pub(super) fn within(segment: Arc<Segment>, place: Place) -> Self {
        debug_assert!(segment.at(place.table, TABLE_BYTES).is_some());
        debug_assert!(segment.at(place.data, place.capacity).is_some());
        Self { segment, place }
    }

    /// As [`ArenaMap::attach`], the content without the right to write: a stray store there ends
    /// this process instead of changing what other readers see.
    pub fn attach_to_read(fd: OwnedFd) -> Result<Self, AttachError> {
        let map = Self::attach(fd)?;
        map.segment.protect(DATA_OFFSET)?;
        Ok(map)
    }

    /// Bytes of content there is room for.
    pub fn capacity(&self) -> usize {
        self.place.capacity
    }

    /// The descriptor, to hand to another process.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.segment.fd()
    }

    fn slots(&self) -> Option<&AtomicU32> {
        // SAFETY: a word of the segment, by the promise of `Place`.
        self.place.slots.map(|slots| unsafe { slots.as_ref() })
    }

    /// How many entries may be looked at.
    fn used(&self) -> usize {
        let used = self.slots().map(|slots| slots.load(Ordering::Acquire));
        used.map_or(SLABS, |used| SLABS.min(used as usize))
    }

    /// Whether a slot was in use before.
    fn is_open(&self, slot: u32) -> bool {
        self.slots()
            .is_none_or(|slots| slots.load(Ordering::Relaxed) > slot)
    }

    /// The owner is about to use a slot: makes sure of its entry, and says so to the others.
    fn open(&self, slot: u32) -> io::Result<()> {
        let Some(slots) = self.slots() else {
            return Ok(());
        };
        if self.is_open(slot) {
            return Ok(());
        }
        if slot.is_multiple_of(ENTRIES) {
            let bytes = ENTRIES as usize * size_of::<SlabEntry>();
            let first = slot as usize * size_of::<SlabEntry>();
            self.segment.populate(self.place.table + first, bytes)?;
        }
        slots.store(slot + 1, Ordering::Release);
        Ok(())
    }

    /// The entry of a slot that somebody else has named.
    fn entry(&self, slot: u64) -> Option<&SlabEntry> {
        self.own_entry(slot).filter(|_| slot < self.used() as u64)
    }

    /// The entry of a slot that the owner has chosen, whatever the segment says is in use.
    fn own_entry(&self, slot: u64) -> Option<&SlabEntry> {
        let slot = usize::try_from(slot).ok().filter(|slot| *slot < SLABS)?;
        let offset = self.place.table + slot * size_of::<SlabEntry>();
        let entry = self.segment.at(offset, size_of::<SlabEntry>())?;
        // SAFETY: inside the mapping, aligned (the table starts on a page and entries are 64
        // bytes), alive as long as `self`; an entry is all atomics, for which any bits are valid.
        Some(unsafe { entry.cast::<SlabEntry>().as_ref() })
    }

    fn entries(&self) -> impl Iterator<Item = &SlabEntry> {
        (0..self.used() as u64).filter_map(|slot| self.entry(slot))
    }

    /// Clears the bits of a participant that has died, or of an owner that has.
    pub(super) fn bury(&self, participant: u32) {
        self.entries()
            .filter(|entry| entry.is_held_by(participant))
            .for_each(|entry| entry.unpin(participant));
    }

    /// Whether anybody holds any of its slabs.
    pub(super) fn is_held(&self) -> bool {
        self.entries().any(SlabEntry::is_held)
    }

    /// Whether a participant does.
    pub(super) fn is_held_by(&self, participant: u32) -> bool {
        self.entries().any(|entry| entry.is_held_by(participant))
    }

    /// What the last owner has handed out is good no more; nobody holds any of it.
    pub(super) fn renew(&self) {
        self.entries().for_each(SlabEntry::renew);
    }

    fn content(&self, reference: &SlabRef) -> Option<NonNull<u8>> {
        let offset = usize::try_from(reference.offset).ok()?;
        let length = usize::try_from(reference.length).ok()?;
        if offset.checked_add(length)? > self.place.capacity {
            return None;
        }
        self.segment.at(self.place.data + offset, length)
    }
}

/// Why there is no slab.
#[derive(Debug)]
pub enum ArenaError {
    /// Larger than the arena can ever hold.
    TooLarge {
        /// Bytes asked for.
        wanted: usize,
        /// Bytes in the largest slab.
        largest: usize,
    },
    /// No room now: what is held would have to be let go of.
    Full {
        /// Bytes asked for.
        wanted: usize,
        /// Bytes held by somebody.
        held: usize,
        /// Bytes in all.
        capacity: usize,
    },
    /// The system has no memory for the pages.
    Memory(io::Error),
    /// The arena was made by the parent of this forked process.
    Forked,
}

impl fmt::Display for ArenaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { wanted, largest } => {
                write!(
                    f,
                    "{wanted} bytes do not fit into an arena whose largest slab is {largest}"
                )
            }
            Self::Full {
                wanted,
                held,
                capacity,
            } => write!(
                f,
                "no room for {wanted} bytes in the arena: {held} of {capacity} bytes are held"
            ),
            Self::Memory(error) => write!(f, "no memory for the arena's pages: {error}"),
            Self::Forked => write!(f, "the arena belongs to the parent of this process"),
        }
    }
}

impl std::error::Error for ArenaError {}

/// Figures of an arena at one moment.
#[derive(Debug, Clone, Copy)]
pub struct ArenaUse {
    /// Slabs that somebody holds.
    pub slabs: usize,
    /// Their bytes, rounded up to units.
    pub held: usize,
    /// Bytes with memory behind them, held or kept warm.
    pub resident: usize,
    /// Bytes in all.
    pub capacity: usize,
}

/// Where a slab goes: its entry, its first unit, the block it takes, and how many units of that it uses.
#[derive(Clone, Copy)]
struct Block {
    slot: u32,
    unit: u32,
    order: u32,
    units: u32,
}

impl Block {
    const fn bytes(&self) -> usize {
        self.units as usize * UNIT
    }
}

struct Live {
    generation: u64,
    block: Block,
}

struct Books {
    buddy: Buddy,
    vacant: Vec<u32>,
    live: Vec<Live>,
    /// One bit a unit: has it memory behind it?
    touched: Vec<u64>,
    resident: usize,
    held: usize,
    last: usize,
}

/// The owner's side.
pub struct Arena {
    map: Arc<ArenaMap>,
    books: Mutex<Books>,
    /// Bytes of the largest slab that fits while nothing is held.
    largest: usize,
    owner: fork::Owner,
}

impl Arena {
    /// Takes ownership of an arena that nobody has written to yet.
    #[must_use]
    pub fn new(map: Arc<ArenaMap>) -> Arc<Self> {
        let units = u32::try_from(map.capacity() / UNIT).unwrap_or(u32::MAX);
        let buddy = Buddy::new(units);
        let largest = buddy.largest().map_or(0, |order| UNIT << order);
        let books = Books {
            buddy,
            vacant: (0..SLABS as u32).rev().collect(),
            live: Vec::new(),
            touched: vec![0; units.div_ceil(64) as usize],
            resident: 0,
            held: 0,
            last: 0,
        };
        Arc::new(Self {
            map,
            books: Mutex::new(books),
            largest,
            owner: fork::Owner::current(),
        })
    }

    /// The mapping.
    pub fn map(&self) -> &Arc<ArenaMap> {
        &self.map
    }

    /// A slab for `length` bytes, its pages in memory, held by the owner.
    pub fn allocate(self: &Arc<Self>, length: usize) -> Result<OwnedSlab, ArenaError> {
        if !self.owner.is_here() {
            return Err(ArenaError::Forked);
        }
        if length > self.largest {
            return Err(ArenaError::TooLarge {
                wanted: length,
                largest: self.largest,
            });
        }
        let mut books = lock(&self.books);
        books.reclaim(&self.map, true);
        let Some(block) = books.choose(length) else {
            return Err(ArenaError::Full {
                wanted: length,
                held: books.held,
                capacity: self.map.capacity(),
            });
        };
        let ready = self.map.open(block.slot);
        if let Err(error) = ready.and_then(|()| books.populate(&self.map, block.unit, block.units))
        {
            books.unchoose(&block);
            return Err(ArenaError::Memory(error));
        }
        Ok(self.hand_out(&mut books, block, length))
    }

    /// As [`Arena::allocate`], where that takes neither a system call nor a wait for another thread. `None`
    /// where it would, and where there is nothing: `allocate` knows which.
    pub(super) fn allocate_at_once(self: &Arc<Self>, length: usize) -> Option<OwnedSlab> {
        if !self.owner.is_here() || length > self.largest {
            return None;
        }
        let mut books = self.books.try_lock().ok()?;
        if !books.reclaim(&self.map, false) {
            return None;
        }
        let block = books.choose(length)?;
        if !self.map.is_open(block.slot) || !books.is_touched(block.unit, block.units) {
            books.unchoose(&block);
            return None;
        }
        Some(self.hand_out(&mut books, block, length))
    }

    /// The slab on a block that is ready for it.
    fn hand_out(self: &Arc<Self>, books: &mut Books, block: Block, length: usize) -> OwnedSlab {
        let entry = self.map.own_entry(block.slot.into());
        let entry = entry.expect("a vacant slot is in the table");
        let generation = entry.take();
        let reference = SlabRef {
            slot: block.slot.into(),
            generation,
            offset: u64::from(block.unit) * UNIT as u64,
            length: length as u64,
        };
        books.held += block.bytes();
        books.last = block.bytes();
        books.live.push(Live { generation, block });
        OwnedSlab {
            arena: Arc::clone(self),
            reference,
            is_left: AtomicBool::new(false),
        }
    }

    /// Clears the bits of a participant that has died.
    pub fn bury(&self, participant: u32) {
        let mut books = lock(&self.books);
        for live in &books.live {
            if let Some(entry) = self.map.own_entry(live.block.slot.into()) {
                entry.unpin(participant);
            }
        }
        books.reclaim(&self.map, true);
    }

    /// Figures for people and metrics.
    pub fn usage(&self) -> ArenaUse {
        let mut books = lock(&self.books);
        books.reclaim(&self.map, true);
        ArenaUse {
            slabs: books.live.len(),
            held: books.held,
            resident: books.resident,
            capacity: self.map.capacity(),
        }
    }
}

impl Books {
    /// A vacant entry, and a free block for so many bytes.
    fn choose(&mut self, length: usize) -> Option<Block> {
        let units = length.max(1).div_ceil(UNIT) as u32;
        let order = Buddy::order_for(units);
        let slot = *self.vacant.last()?;
        let unit = self.buddy.allocate(order)?;
        self.vacant.pop();
        Some(Block {
            slot,
            unit,
            order,
            units,
        })
    }

    /// Block and entry are free again.
    fn unchoose(&mut self, block: &Block) {
        self.buddy.free(block.unit, block.order);
        self.vacant.push(block.slot);
    }

    /// Frees every slab that nobody holds any more. False: there is one whose memory is too much to be kept
    /// warm, and it was left as it is, since `punches` says that none is to be given back now.
    fn reclaim(&mut self, map: &ArenaMap, punches: bool) -> bool {
        let mut index = 0;
        while let Some(&Live { generation, block }) = self.live.get(index) {
            let entry = map
                .own_entry(block.slot.into())
                .expect("a live slot is in the table");
            let held = self.held - block.bytes();
            let is_too_much = self.resident > held + KEEP_WARM.max(2 * self.last);
            if is_too_much && !punches && !entry.is_held() {
                return false;
            }
            if !entry.retire(generation) {
                index += 1;
                continue;
            }
            self.live.swap_remove(index);
            self.held = held;
            self.unchoose(&block);
            if is_too_much {
                self.punch(map, block.unit, block.units);
            }
        }
        true
    }

    /// Whether all of these units have memory behind them.
    fn is_touched(&self, unit: u32, units: u32) -> bool {
        let end = unit + units;
        let mut from = unit;
        while from < end {
            let to = end.min((from / 64 + 1) * 64);
            let bits = (u64::MAX >> (64 - (to - from))) << (from % 64);
            if self.touched[from as usize / 64] & bits != bits {
                return false;
            }
            from = to;
        }
        true
    }

    /// Calls `visit` with each run of units in the range whose touched bit is `wanted`.
    fn runs(&self, unit: u32, units: u32, wanted: bool) -> Vec<(u32, u32)> {
        let is = |unit: u32| self.touched[unit as usize / 64] >> (unit % 64) & 1 != 0;
        let mut runs: Vec<(u32, u32)> = Vec::new();
        for unit in (unit..unit + units).filter(|unit| is(*unit) == wanted) {
            match runs.last_mut() {
                Some((start, count)) if *start + *count == unit => *count += 1,
                _ => runs.push((unit, 1)),
            }
        }
        runs
    }

    fn mark(&mut self, unit: u32, units: u32, touched: bool) {
        for unit in unit..unit + units {
            let bit = 1 << (unit % 64);
            if touched {
                self.touched[unit as usize / 64] |= bit;
            } else {
                self.touched[unit as usize / 64] &= !bit;
            }
        }
        let bytes = units as usize * UNIT;
        self.resident = if touched {
            self.resident + bytes
        } else {
            self.resident - bytes
        };
    }

    fn populate(&mut self, map: &ArenaMap, unit: u32, units: u32) -> io::Result<()> {
        self.touch(map, unit, units).or_else(|error| {
            // What lies idle may be what is missing.
            let resident = self.resident;
            self.trim(map);
            if self.resident == resident {
                return Err(error);
            }
            self.touch(map, unit, units)
        })
    }

    fn touch(&mut self, map: &ArenaMap, unit: u32, units: u32) -> io::Result<()> {
        if self.is_touched(unit, units) {
            return Ok(()); // as most are
        }
        for (unit, units) in self.runs(unit, units, false) {
            let offset = map.place.data + unit as usize * UNIT;
            map.segment
                .populate(offset, units as usize * UNIT)
                .inspect_err(|_| map.segment.punch(offset, units as usize * UNIT))?;
            self.mark(unit, units, true);
        }
        Ok(())
    }

    /// Gives back all pages that no slab has.
    fn trim(&mut self, map: &ArenaMap) {
        let live = self
            .live
            .iter()
            .map(|live| (live.block.unit, live.block.units));
        let end = (self.touched.len() * 64) as u32;
        let mut held: Vec<_> = live.chain([(end, 0)]).collect();
        held.sort_unstable();
        let mut from = 0;
        for (unit, units) in held {
            self.punch(map, from, unit - from);
            from = unit + units;
        }
    }

    fn punch(&mut self, map: &ArenaMap, unit: u32, units: u32) {
        for (unit, units) in self.runs(unit, units, true) {
            map.segment
                .punch(map.place.data + unit as usize * UNIT, units as usize * UNIT);
            self.mark(unit, units, false);
        }
    }
}

/// A slab as its owner holds it: writable until it is sent; dropping lets go of it.
pub struct OwnedSlab {
    arena: Arc<Arena>,
    reference: SlabRef,
    /// The owner leaves, and others clear the bit when what names the slab has been read.
    is_left: AtomicBool,
}

impl OwnedSlab {
    pub(super) fn reference(&self) -> SlabRef {
        self.reference
    }

    /// Leaves the bit set when the slab is dropped, for whoever buries the owner.
    pub(super) fn leave_set(&self) {
        self.is_left.store(true, Ordering::Relaxed);
    }

    /// Names the `length` bytes at `at`, if they lie in this slab.
    pub(super) fn part(&self, at: *const u8, length: usize) -> Option<SlabRef> {
        let (start, whole) = self.content();
        let offset = at.addr().checked_sub(start.as_ptr().addr())?;
        let inside = offset.checked_add(length)? <= whole;
        inside.then_some(SlabRef {
            offset: self.reference.offset + offset as u64,
            length: length as u64,
            ..self.reference
        })
    }

    /// Where the content lies, and how long it is.
    pub fn content(&self) -> (NonNull<u8>, usize) {
        let content = self.arena.map.content(&self.reference);
        (
            content.expect("an owned slab lies in its arena"),
            self.reference.length as usize,
        )
    }
}

impl Drop for OwnedSlab {
    fn drop(&mut self) {
        // In a forked child the bit is the parent's.
        if self.arena.owner.is_here()
            && !self.is_left.load(Ordering::Relaxed)
            && let Some(entry) = self.arena.map.own_entry(self.reference.slot)
        {
            entry.unpin(OWNER);
        }
    }
}

/// A reader's side: one participant of an arena.
pub struct Holder {
    map: Arc<ArenaMap>,
    participant: u32,
    /// Pins of this process by slot; count and bit change together.
    pins: Mutex<HashMap<u64, u32>>,
    owner: fork::Owner,
    told: Option<Box<dyn Told>>,
}

/// Who wants to know that a process holds a slab no more.
pub(super) trait Told: Send + Sync {
    fn let_go(&self);
}

/// Why a reference was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PinError {
    /// It points outside the arena.
    OutOfBounds,
    /// The slab has been freed since.
    Stale,
}

impl Holder {
    /// A participant; its number is unique in the arena while it lives.
    ///
    /// # Panics
    /// If the number is the owner's or beyond the table.
    #[must_use]
    pub fn new(map: Arc<ArenaMap>, participant: u32) -> Arc<Self> {
        Self::of(map, participant, None)
    }

    /// One that says when a slab's bit was cleared.
    pub(super) fn telling(map: Arc<ArenaMap>, participant: u32, told: Box<dyn Told>) -> Arc<Self> {
        Self::of(map, participant, Some(told))
    }

    fn of(map: Arc<ArenaMap>, participant: u32, told: Option<Box<dyn Told>>) -> Arc<Self> {
        assert!(
            participant != OWNER && participant < PARTICIPANTS,
            "no such participant"
        );
        let pins = Mutex::new(HashMap::new());
        Arc::new(Self {
            map,
            participant,
            pins,
            owner: fork::Owner::current(),
            told,
        })
    }

    /// Holds a slab, so that its content stays.
    pub(super) fn pin(self: &Arc<Self>, reference: SlabRef) -> Result<Pinned, PinError> {
        let entry = self
            .map
            .entry(reference.slot)
            .ok_or(PinError::OutOfBounds)?;
        let content = self.map.content(&reference).ok_or(PinError::OutOfBounds)?;
        let mut pins = lock(&self.pins);
        let count = pins.entry(reference.slot).or_insert(0);
        if !entry.pin(self.participant, reference.generation) {
            if *count == 0 {
                pins.remove(&reference.slot);
            }
            return Err(PinError::Stale);
        }
        *count += 1;
        drop(pins);
        Ok(Pinned {
            holder: Arc::clone(self),
            reference,
            content,
        })
    }
}

/// A slab as a reader holds it; dropping the last one of a process clears its bit.
pub struct Pinned {
    holder: Arc<Holder>,
    reference: SlabRef,
    content: NonNull<u8>,
}

// SAFETY: the content is memory that stays mapped and unchanged while the pin lives.
unsafe impl Send for Pinned {}
// SAFETY: as above; who may write to it is decided above this crate.
unsafe impl Sync for Pinned {}

impl Pinned {
    /// Where the content lies, and how long it is.
    pub fn content(&self) -> (NonNull<u8>, usize) {
        (self.content, self.reference.length as usize)
    }
}

impl Pinned {
    /// The same slab, held once more.
    pub(super) fn again(&self) -> Self {
        *lock(&self.holder.pins)
            .entry(self.reference.slot)
            .or_insert(0) += 1;
        Self {
            holder: Arc::clone(&self.holder),
            ..*self
        }
    }

    /// Gives the pin up and leaves the bit, for whoever buries this participant. It stays counted, so
    /// no other pin's end clears the bit.
    pub(super) fn leave_set(self) {
        let this = std::mem::ManuallyDrop::new(self);
        // SAFETY: the value is not dropped, so its one field with a destructor is read out once.
        drop(unsafe { std::ptr::read(&raw const this.holder) });
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        if !self.holder.owner.is_here() {
            return; // the bit is the parent's
        }
        let mut pins = lock(&self.holder.pins);
        let Some(count) = pins.get_mut(&self.reference.slot) else {
            return;
        };
        *count -= 1;
        if *count == 0 {
            pins.remove(&self.reference.slot);
            if let Some(entry) = self.holder.map.entry(self.reference.slot) {
                entry.unpin(self.holder.participant);
            }
            drop(pins);
            if let Some(told) = &self.holder.told {
                told.let_go();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arena(bytes: usize) -> Arc<Arena> {
        Arena::new(Arc::new(ArenaMap::create(bytes).unwrap()))
    }

    fn reader(arena: &Arena, participant: u32) -> Arc<Holder> {
        let fd = arena.map().fd().try_clone_to_owned().unwrap();
        Holder::new(Arc::new(ArenaMap::attach(fd).unwrap()), participant)
    }

    #[test]
    fn content_arrives_and_stays_until_the_last_pin_goes() {
        let arena = arena(1 << 20);
        let reader = reader(&arena, 7);
        let slab = arena.allocate(100_000).unwrap();
        let (to, length) = slab.content();
        // SAFETY: the slab is this test's own and that long.
        unsafe { to.write_bytes(0xA5, length) };
        let first = reader.pin(slab.reference()).unwrap();
        let second = reader.pin(slab.reference()).unwrap();
        let stale = slab.reference();
        drop((slab, first));
        assert_eq!(arena.usage().slabs, 1);
        let (at, length) = second.content();
        // SAFETY: pinned, so mapped and unchanged.
        let seen = unsafe { std::slice::from_raw_parts(at.as_ptr(), length) };
        assert!(seen.iter().all(|byte| *byte == 0xA5));
        drop(second);
        assert_eq!((arena.usage().slabs, arena.usage().held), (0, 0));
        assert_eq!(reader.pin(stale).err(), Some(PinError::Stale));
    }

    #[test]
    fn a_dead_readers_slabs_come_back() {
        let arena = arena(1 << 20);
        let reader = reader(&arena, 9);
        let slab = arena.allocate(20_000).unwrap();
        std::mem::forget(reader.pin(slab.reference()).unwrap());
        drop(slab);
        assert_eq!(arena.usage().slabs, 1);
        arena.bury(9);
        assert_eq!(arena.usage().slabs, 0);
    }

    #[test]
    fn forged_references_are_refused() {
        let arena = arena(1 << 20);
        let reader = reader(&arena, 1);
        let good = arena.allocate(50_000).unwrap();
        let reference = good.reference();
        for (forged, why) in [
            (
                SlabRef {
                    slot: 4096,
                    ..reference
                },
                PinError::OutOfBounds,
            ),
            (
                SlabRef {
                    slot: u64::MAX,
                    ..reference
                },
                PinError::OutOfBounds,
            ),
            (
                SlabRef {
                    offset: 1 << 20,
                    ..reference
                },
                PinError::OutOfBounds,
            ),
            (
                SlabRef {
                    offset: u64::MAX,
                    ..reference
                },
                PinError::OutOfBounds,
            ),
            (
                SlabRef {
                    length: u64::MAX,
                    ..reference
                },
                PinError::OutOfBounds,
            ),
            (
                SlabRef {
                    generation: 99,
                    ..reference
                },
                PinError::Stale,
            ),
        ] {
            assert_eq!(reader.pin(forged).err(), Some(why), "{forged:?}");
        }
    }

    #[test]
    fn too_large_and_full_are_told_apart() {
        let arena = arena(1 << 20);
        assert!(matches!(
            arena.allocate((1 << 20) + 1),
            Err(ArenaError::TooLarge { largest, .. }) if largest == 1 << 20
        ));
        let whole = arena.allocate(1 << 20).unwrap();
        assert!(matches!(arena.allocate(1), Err(ArenaError::Full { held, .. }) if held == 1 << 20));
        drop(whole);
        assert!(arena.allocate(1 << 20).is_ok());
    }

    #[test]
    fn slots_run_out_with_an_error_and_come_back() {
        let arena = arena(SLABS * 2 * UNIT);
        let mut held: Vec<_> = (0..SLABS).map(|_| arena.allocate(1).unwrap()).collect();
        assert!(matches!(arena.allocate(1), Err(ArenaError::Full { .. })));
        held.pop();
        assert!(arena.allocate(1).is_ok());
    }

    #[test]
    fn idle_memory_can_be_given_back_at_once() {
        let arena = arena(1 << 20);
        let mut slabs: Vec<_> = (0..6).map(|_| arena.allocate(3 * UNIT).unwrap()).collect();
        for slab in &slabs {
            let (to, length) = slab.content();
            // SAFETY: the slab is this test's own and that long.
            unsafe { to.write_bytes(0xA5, length) };
        }
        drop((slabs.remove(5), slabs.remove(3), slabs.remove(1)));
        arena.usage();
        assert_eq!(arena.usage().resident, 18 * UNIT);
        lock(&arena.books).trim(&arena.map);
        let usage = arena.usage();
        assert_eq!((usage.held, usage.resident), (9 * UNIT, 9 * UNIT));
        for slab in &slabs {
            let (at, length) = slab.content();
            // SAFETY: as above.
            let seen = unsafe { std::slice::from_raw_parts(at.as_ptr(), length) };
            assert!(seen.iter().all(|byte| *byte == 0xA5));
        }
        assert!(arena.allocate(3 * UNIT).is_ok());
        assert_eq!(arena.usage().resident, 12 * UNIT);
    }

    #[test]
    fn what_is_there_at_once_is_what_was_let_go_of() {
        let arena = arena(1 << 20);
        assert!(
            arena.allocate_at_once(100_000).is_none(),
            "no memory behind it"
        );
        let first = arena.allocate(100_000).unwrap();
        assert!(
            arena.allocate_at_once(1).is_none(),
            "nor behind the next one"
        );
        let (place, old) = (first.content().0, first.reference());
        drop(first);
        assert!(
            arena.allocate_at_once(200_000).is_none(),
            "nor behind all of that"
        );
        let second = arena.allocate_at_once(90_000).unwrap();
        assert_eq!(second.content(), (place, 90_000));
        assert_eq!(second.reference().generation, old.generation + 1);
        assert_eq!((arena.usage().slabs, arena.usage().held), (1, 6 * UNIT));
        assert!(arena.allocate_at_once(1 << 20).is_none(), "too much");
        drop(second);
        {
            let _books = lock(&arena.books);
            assert!(arena.allocate_at_once(1).is_none(), "another is at it");
        }
        assert!(arena.allocate_at_once(1).is_some());
        assert_eq!((arena.usage().slabs, arena.usage().held), (0, 0));
    }

    #[test]
    fn nothing_is_there_at_once_while_memory_is_to_be_given_back() {
        let arena = arena(1 << 30);
        let slabs: Vec<_> = (0..20).map(|_| arena.allocate(16 << 20).unwrap()).collect();
        drop(slabs);
        assert!(arena.allocate_at_once(1).is_none());
        let kept = arena.allocate(1).unwrap();
        let usage = arena.usage();
        assert!(usage.resident <= KEEP_WARM + UNIT, "{usage:?}");
        assert!(arena.allocate_at_once(1).is_some());
        drop(kept);
    }

    #[test]
    fn units_are_touched_if_each_of_them_is() {
        let arena = arena(200 * UNIT);
        let mut books = lock(&arena.books);
        for hole in [
            None,
            Some(0),
            Some(63),
            Some(64),
            Some(127),
            Some(150),
            Some(199),
        ] {
            books.touched.fill(u64::MAX);
            if let Some(hole) = hole {
                books.touched[hole as usize / 64] &= !(1 << (hole % 64));
            }
            for unit in 0..200_u32 {
                for units in 0..=(200 - unit) {
                    let is_in = hole.is_some_and(|hole| (unit..unit + units).contains(&hole));
                    assert_eq!(
                        books.is_touched(unit, units),
                        !is_in,
                        "{unit} {units} {hole:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn idle_memory_is_kept_warm_up_to_a_bound() {
        let arena = arena(1 << 30);
        let slabs: Vec<_> = (0..20).map(|_| arena.allocate(16 << 20).unwrap()).collect();
        assert_eq!(arena.usage().resident, 20 * (16 << 20));
        drop(slabs);
        let idle = arena.usage();
        assert_eq!(idle.held, 0);
        assert!(idle.resident <= KEEP_WARM, "{idle:?}");
        assert!(idle.resident > 0);
    }
}

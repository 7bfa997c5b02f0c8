//! One process's sending side: its lane, its arena, and the slabs that are under way.
//!
//! Large payloads are placed in slabs before the lock is taken, by one copy, or none if they were born
//! there. A record names them, and the arena's own bit stays on each until the lane's head has passed it.

use std::{collections::VecDeque, ops::Range};

use super::{
    bounds::Allowance,
    error::QueueError,
    item::{Buffer, Item, MOST_BUFFERS},
    leases,
    references::{self, Reference, SLABS},
    seated::Seated,
    settings::Settings,
};
use crate::{
    shm::{
        arena::{ArenaError, OwnedSlab, UNIT},
        feed::{Feed, FeedSender, Unsent},
        parcel::INLINE_MAX,
    },
    sync::{Arc, Ordering},
};

/// Bytes of a lane whose pages are populated at once: as many as there are already, within these.
const LEAST_PAGES: usize = 64 << 10;
const MOST_PAGES: usize = 1 << 20;

/// Items that are published together at most: a process that begins to send meanwhile sees no more than
/// these too few.
const RUN: usize = 256;

/// What an item with slabs may have in the lane without weighing more: one that fills the queue's
/// bytes exactly is to fit.
const FORGIVEN: u64 = 1 << 10;

/// How much of an item travels in the lane.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Bytes of a stream without buffers.
    pub(super) inline: usize,
    /// Bytes of a record that names slabs.
    record: usize,
    buffers: usize,
    max_bytes: usize,
}

impl Limits {
    pub(super) fn of(settings: &Settings) -> Self {
        if settings.ack.is_some() {
            // It has to fit into an entry of the table.
            return Self {
                inline: leases::CONTENT,
                record: leases::CONTENT,
                buffers: (leases::CONTENT - references::stream_at(1)) / references::EACH,
                max_bytes: settings.max_bytes,
            };
        }
        Self {
            inline: INLINE_MAX,
            record: references::stream_at(MOST_BUFFERS + 1) + INLINE_MAX,
            buffers: MOST_BUFFERS,
            max_bytes: settings.max_bytes,
        }
    }

    /// Refuses what can never be sent.
    pub(super) fn check(&self, item: &Item<'_>) -> Result<(), QueueError> {
        references::check_code(item.code)?;
        let buffers = item.buffers.iter().map(|buffer| buffer.length);
        let wanted = buffers.fold(item.stream.length, usize::saturating_add);
        if wanted > self.max_bytes {
            return Err(QueueError::TooLarge {
                wanted,
                largest: self.max_bytes,
            });
        }
        if item.buffers.len() > self.buffers {
            return Err(QueueError::TooMany {
                buffers: item.buffers.len(),
                most: self.buffers,
            });
        }
        Ok(())
    }

    pub(super) const fn is_inline(&self, item: &Item<'_>) -> bool {
        item.buffers.is_empty() && item.stream.length <= self.inline
    }

    /// Whether the stream of an item with slabs is one of them.
    fn is_stream_first(&self, item: &Item<'_>) -> bool {
        let start = references::stream_at(item.buffers.len());
        item.stream.length > self.inline.min(self.record.saturating_sub(start))
    }
}

/// An item whose payload lies in slabs.
pub(super) struct Packed {
    references: Vec<Reference>,
    stream_first: bool,
    slabs: Vec<Arc<OwnedSlab>>,
}

fn in_units(length: usize) -> u64 {
    length.max(1).next_multiple_of(UNIT) as u64
}

/// What an item with slabs weighs.
pub(super) fn weight(limits: &Limits, item: &Item<'_>) -> u64 {
    let buffers = item.buffers.iter().map(|buffer| in_units(buffer.length));
    let slabs: u64 = buffers.sum();
    if limits.is_stream_first(item) {
        return slabs + in_units(item.stream.length);
    }
    let record = references::stream_at(item.buffers.len()) + item.stream.length;
    slabs + Feed::span(record).saturating_sub(FORGIVEN)
}

impl Packed {
    pub(super) fn new(
        seated: &Seated,
        limits: &Limits,
        item: &Item<'_>,
    ) -> Result<Self, QueueError> {
        let stream_first = limits.is_stream_first(item);
        let stream = stream_first.then_some(&item.stream);
        let mut packed = Self {
            references: Vec::with_capacity(item.buffers.len() + 1),
            stream_first,
            slabs: Vec::with_capacity(item.buffers.len() + 1),
        };
        let buffers = stream.into_iter().chain(item.buffers);
        let blocks = buffers
            .clone()
            .map(|it| in_units(it.length).next_power_of_two());
        let (wanted, largest) = (
            blocks.sum::<u64>() as usize,
            seated.arena().map().capacity(),
        );
        if wanted > largest {
            return Err(QueueError::TooLarge { wanted, largest });
        }
        for buffer in buffers {
            packed.place(seated, buffer)?;
        }
        Ok(packed)
    }

    fn place(&mut self, seated: &Seated, buffer: &Buffer<'_>) -> Result<(), QueueError> {
        let (slab, reference) = match seated.born(buffer.at, buffer.length) {
            Some(born) => born,
            None => {
                let slab = seated.arena().allocate(buffer.length).map_err(refusal)?;
                let (to, length) = slab.content();
                // SAFETY: `length` bytes are readable by the buffer's promise; the slab is new, that
                // long, and known to nobody else.
                unsafe { to.as_ptr().copy_from_nonoverlapping(buffer.at, length) };
                let reference = slab.reference();
                (Arc::new(slab), reference)
            }
        };
        self.references.push(Reference {
            arena: seated.seat() as u16,
            slab: reference,
        });
        self.slabs.push(slab);
        Ok(())
    }
}

/// Why the arena gave nothing.
pub(super) fn refusal(error: ArenaError) -> QueueError {
    match error {
        ArenaError::TooLarge { wanted, largest } => QueueError::TooLarge { wanted, largest },
        ArenaError::Full { .. } => QueueError::Full,
        ArenaError::Memory(error) => QueueError::Memory(error),
        ArenaError::Forked => QueueError::Closed,
    }
}

/// See the module's head.
pub(super) struct Giving {
    seated: Arc<Seated>,
    sender: FeedSender,
    /// The takers know that there is something in this lane.
    is_shown: bool,
    /// Bytes of the lane with memory behind them.
    backed: Range<usize>,
    allowance: Allowance,
    under_way: VecDeque<(u64, Vec<Arc<OwnedSlab>>)>,
    words: Vec<u64>,
}

impl Giving {
    pub(super) fn new(seated: Arc<Seated>) -> Result<Self, QueueError> {
        let sender = FeedSender::new(seated.shared().feeds[seated.seat()].clone())?;
        // One that sat here before may have gone far: what lies before that is not needed for now.
        let begin = sender.written() as usize & (seated.shared().plan.lane_bytes - 1);
        let begin = begin & !(LEAST_PAGES - 1);
        Ok(Self {
            seated,
            sender,
            is_shown: false,
            backed: begin..begin,
            allowance: Allowance::default(),
            under_way: VecDeque::new(),
            words: Vec::new(),
        })
    }

    /// Whether an item of that weight may go in now.
    pub(super) fn admits(&mut self, weight: u64) -> Result<bool, QueueError> {
        let shared = self.seated.shared();
        if !self.allowance.holds(shared) || !self.allowance.admits(weight) {
            self.allowance = Allowance::look(shared, self.seated.seat())?;
        }
        Ok(self.allowance.admits(weight))
    }

    /// Sends items that need no slabs, until one does or there is no more room: how many.
    pub(super) fn give_run(
        &mut self,
        limits: &Limits,
        items: &[Item<'_>],
    ) -> Result<usize, QueueError> {
        let (mut published, mut written) = (0, 0);
        if !self.allowance.holds(self.seated.shared()) {
            self.allowance = Allowance::default();
        }
        let outcome = loop {
            let next = items.get(published + written);
            let Some(item) = next.filter(|item| limits.is_inline(item)) else {
                break Ok(());
            };
            if let Err(refusal) = limits.check(item) {
                break Err(refusal);
            }
            let weight = Feed::span(item.stream.length);
            let is_run = written == RUN;
            if is_run || !self.allowance.admits(weight) {
                // What was written is counted once it is published.
                if written > 0 {
                    if let Err(failure) = self.publish() {
                        return Self::answer(published, Err(failure));
                    }
                    (published, written) = (published + written, 0);
                }
                match self.admits(weight) {
                    Ok(true) => {}
                    Ok(false) => break Err(QueueError::Full),
                    Err(failure) => break Err(failure),
                }
            }
            let stream = (item.stream.at, item.stream.length);
            match self.write(item.code, weight, stream) {
                Ok(_) => written += 1,
                Err(failure) => break Err(failure),
            }
            self.allowance.spend(weight);
        };
        if written > 0 {
            if let Err(failure) = self.publish() {
                return Self::answer(published, Err(failure));
            }
            published += written;
        }
        Self::answer(published, outcome)
    }

    fn answer(count: usize, outcome: Result<(), QueueError>) -> Result<usize, QueueError> {
        match outcome {
            Err(failure) if count == 0 => Err(failure),
            _ => Ok(count),
        }
    }

    /// Sends an item whose payload was placed.
    pub(super) fn give_packed(
        &mut self,
        item: &Item<'_>,
        weight: u64,
        packed: Packed,
    ) -> Result<(), QueueError> {
        if !self.admits(weight)? {
            return Err(QueueError::Full);
        }
        references::encode(&packed.references, packed.stream_first, &mut self.words);
        let stream = if packed.stream_first {
            (item.stream.at, 0)
        } else {
            (item.stream.at, item.stream.length)
        };
        let end = self.write(item.code | SLABS, weight, stream)?;
        self.words.clear();
        self.publish()?;
        self.allowance.spend(weight);
        self.under_way.push_back((end, packed.slabs));
        Ok(())
    }

    /// Writes a record of `words` and `stream`.
    fn write(
        &mut self,
        kind: u16,
        weight: u64,
        stream: (*const u8, usize),
    ) -> Result<u64, QueueError> {
        let length = self.words.len() * 8 + stream.1;
        let (begin, end) = self.sender.place(length).map_err(unsent)?;
        if let Err(no_memory) = self.back(begin, end) {
            // At its beginning the lane has some, perhaps.
            if !self.sender.turn_back(length)? {
                return Err(no_memory);
            }
            let (begin, end) = self.sender.place(length).map_err(unsent)?;
            self.back(begin, end)?;
        }
        // SAFETY: the stream is readable by its buffer's promise.
        unsafe { self.sender.write(kind, weight, &self.words, stream) }.map_err(unsent)
    }

    /// Makes sure of the memory behind a record, and behind the mark of a jump: the last one's place, for which
    /// a word behind each record is kept.
    fn back(&mut self, begin: u64, end: u64) -> Result<(), QueueError> {
        let lane_bytes = self.seated.shared().plan.lane_bytes;
        if self.backed == (0..lane_bytes) {
            return Ok(());
        }
        let lane = self.seated.shared().plan.lanes + self.seated.seat() * lane_bytes;
        let populate = |at: usize, length| {
            let segment = &self.seated.shared().segment;
            segment
                .populate(lane + at, length)
                .map_err(QueueError::Memory)
        };
        let at = |position: u64| position as usize & (lane_bytes - 1);
        let mark = at(self.sender.written());
        if begin != self.sender.written() && !self.backed.contains(&mark) {
            // Another's last record lay before it, and its pages may have been given back.
            let start = mark & !(LEAST_PAGES - 1);
            populate(start, LEAST_PAGES.min(lane_bytes - start))?;
        }
        let from = at(begin);
        let to = from + (end - begin) as usize + size_of::<u64>();
        let to = to.min(lane_bytes);
        if from < self.backed.start {
            self.backed = 0..0; // what is behind it is found there when it is come to
        }
        while self.backed.end < to {
            let more = self.backed.len().clamp(LEAST_PAGES, MOST_PAGES);
            let more = more.min(lane_bytes - self.backed.end);
            populate(self.backed.end, more)?;
            self.backed.end += more;
        }
        Ok(())
    }

    fn publish(&mut self) -> Result<(), QueueError> {
        if !self.is_shown {
            let bit = 1 << self.seated.seat();
            let rare = self.seated.shared().rare();
            rare.lanes.fetch_or(bit, Ordering::AcqRel);
            self.is_shown = true;
        }
        self.sender.publish().map_err(unsent)
    }

    /// Lets go of the slabs whose records were taken.
    pub(super) fn settle(&mut self) {
        if self.under_way.is_empty() {
            return;
        }
        let head = self.sender.feed().taken_bytes();
        while self.under_way.front().is_some_and(|(end, _)| *end <= head) {
            self.under_way.pop_front();
        }
    }
}

impl Drop for Giving {
    fn drop(&mut self) {
        self.settle();
        // Others clear the bits of the rest once it was taken.
        let rest = self.under_way.iter().flat_map(|(_, slabs)| slabs);
        rest.for_each(|slab| slab.leave_set());
    }
}

fn unsent(unsent: Unsent) -> QueueError {
    match unsent {
        Unsent::NoRoom => QueueError::Full,
        Unsent::Closed => QueueError::ShutDown,
        Unsent::Corrupt => QueueError::Corrupt,
    }
}

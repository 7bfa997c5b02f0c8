//! Taking from the lanes: one after the other, so that no sender is starved by another.

use std::collections::VecDeque;

use super::{
    batch::{Batch, More},
    error::QueueError,
    leases::Lease,
    references,
    seated::Seated,
    shared::Shared,
    sleepers::SEATS,
};
use crate::{
    shm::{
        arena::Pinned,
        feed::{Hold, Record},
        lane::Corrupt,
    },
    sync::{Arc, AtomicUsize, Ordering},
};

/// How many leases are set aside at once, and which part of all: who is stopped with them keeps them from
/// the others.
const MOST_LEASES: usize = 256;
const LEASES_SHARE: usize = 4;

/// What a take from the lanes did.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Took {
    pub(super) count: usize,
    bytes: usize,
    /// The lanes from which items with slabs came: their senders may wait for the arena.
    pub(super) arenas: u64,
}

/// One take.
pub(super) struct Taking<'a> {
    pub(super) shared: &'a Shared,
    /// `None` only where nothing can be held.
    pub(super) seated: &'a dyn Fn() -> Option<Arc<Seated>>,
    /// The lane to begin with.
    pub(super) turn: &'a AtomicUsize,
    pub(super) max_bytes: usize,
}

impl Taking<'_> {
    /// Takes up to `max` items.
    pub(super) fn take(&self, max: usize, batch: &mut Batch) -> Result<Took, QueueError> {
        let mut took = Took::default();
        let first = self.turn.load(Ordering::Relaxed);
        let mut failure = None;
        while took.count < max {
            let filled = |lane: &usize| self.shared.feeds[*lane].is_empty() != Ok(true);
            let lanes = self.shared.lanes(first).filter(filled);
            // One alone, as is usual, is not looked at twice.
            let share = match max - took.count {
                1 => 1,
                left => left.div_ceil(lanes.count().max(1)),
            };
            let before = took.count;
            for lane in self.shared.lanes(first) {
                let wanted = share.min(max - took.count);
                match self.take_from(lane, wanted, self.max_bytes - took.bytes, batch) {
                    Ok(from) if from.count == 0 => {}
                    Ok(from) => {
                        took.count += from.count;
                        took.bytes += from.bytes;
                        took.arenas |= from.arenas;
                        self.turn.store((lane + 1) % SEATS, Ordering::Relaxed);
                    }
                    Err(other) => failure = Some(other),
                }
                if took.count == max || (took.count > 0 && took.bytes >= self.max_bytes) {
                    return Ok(took);
                }
            }
            if took.count == before {
                break;
            }
        }
        // One spoilt lane keeps nobody from the others.
        match failure {
            Some(failure) if took.count == 0 => Err(failure),
            _ => Ok(took),
        }
    }

    fn take_from(
        &self,
        lane: usize,
        mut max: usize,
        max_bytes: usize,
        batch: &mut Batch,
    ) -> Result<Took, QueueError> {
        let feed = &self.shared.feeds[lane];
        if feed.is_empty()? {
            return Ok(Took::default());
        }
        let mut reserved = Vec::new();
        let mut seated = None;
        if self.shared.settings.ack.is_some() {
            let mine = (self.seated)().ok_or(QueueError::Closed)?;
            let all = self.shared.leases().len();
            let most = (all / LEASES_SHARE).clamp(1, MOST_LEASES);
            reserved = mine.leases.reserve(self.shared, max.min(most));
            max = reserved.len();
            seated = Some(mine);
            if max == 0 {
                return Ok(Took::default());
            }
        }
        let Batch { records, more, .. } = batch;
        let mut holding = Holding {
            taking: self,
            lane,
            seated,
            reserved,
            first: records.len(),
            count: 0,
            bytes: 0,
            held: Vec::new(),
            is_kept: false,
        };
        let answer = feed.take(max, max_bytes, records, &mut holding);
        let has_slabs = holding.held.iter().any(|more| !more.pins.is_empty());
        let bytes = holding.bytes;
        holding.finish(more);
        match answer {
            // Stopped for longer than a lease lasts: the entries went to others before the items did.
            Err(QueueError::LeaseLost) => Ok(Took::default()),
            answer => answer.map(|count| Took {
                count,
                bytes,
                arenas: u64::from(has_slabs) << lane,
            }),
        }
    }
}

/// What is held for records that are about to be taken.
struct Holding<'a> {
    taking: &'a Taking<'a>,
    lane: usize,
    seated: Option<Arc<Seated>>,
    /// Entries for as many records, where items have to be acknowledged.
    reserved: Vec<Lease>,
    /// Where in the batch these records begin, and how many there are so far.
    first: usize,
    count: usize,
    bytes: usize,
    held: Vec<More>,
    is_kept: bool,
}

impl Holding<'_> {
    fn seated(&mut self) -> Result<&Arc<Seated>, QueueError> {
        if self.seated.is_none() {
            self.seated = (self.taking.seated)();
        }
        self.seated.as_ref().ok_or(QueueError::Closed)
    }

    fn lease(&mut self, record: Record, content: &[u8]) -> Result<Option<Lease>, QueueError> {
        let Some(seated) = self.seated.as_ref().filter(|_| self.is_leasing()) else {
            return Ok(None);
        };
        let lease = *self.reserved.get(self.count).ok_or(QueueError::LeaseLost)?;
        let shared = self.taking.shared;
        let is_filled = seated
            .leases
            .fill(shared, lease, self.lane, record, content)?;
        is_filled
            .then_some(Some(lease))
            .ok_or(QueueError::LeaseLost)
    }

    fn is_leasing(&self) -> bool {
        self.taking.shared.settings.ack.is_some()
    }

    /// What was held goes with the records, or is let go of.
    fn finish(mut self, more: &mut VecDeque<More>) {
        let Some(seated) = self.seated.take() else {
            return; // nothing was held
        };
        let used = if self.is_kept { self.count } else { 0 };
        let unused = self.reserved.split_off(used.min(self.reserved.len()));
        seated.leases.release(self.taking.shared, unused);
        if !self.is_kept {
            return;
        }
        for held in self.held {
            if let Some(lease) = held.lease {
                let pins = held.pins.iter().map(Pinned::again).collect();
                seated.leases.keep(lease, pins);
            }
            more.push_back(held);
        }
    }
}

impl Hold for Holding<'_> {
    type Error = QueueError;

    fn hold(&mut self, record: Record, content: &[u8]) -> Result<usize, QueueError> {
        let mut pins = Vec::new();
        let mut bytes = 0_usize;
        if references::are_in(record.kind) {
            let (references, _) = references::decode(content)?;
            let seated = self.seated()?;
            for reference in &references {
                pins.push(seated.pin(reference).ok_or(Corrupt)?);
                bytes = bytes.saturating_add(reference.slab.length as usize);
            }
        }
        let lease = self.lease(record, content)?;
        if lease.is_some() || !pins.is_empty() {
            self.held.push(More {
                record: self.first + self.count,
                pins,
                lease,
            });
        }
        self.count += 1;
        self.bytes = self.bytes.saturating_add(content.len() + bytes);
        Ok(bytes)
    }

    fn let_go(&mut self) {
        self.held.clear();
        (self.count, self.bytes) = (0, 0);
        if let Some(seated) = &self.seated {
            let shared = self.taking.shared;
            self.reserved
                .retain(|lease| seated.leases.refill(shared, *lease));
        }
    }

    fn keep(&mut self) {
        self.is_kept = true;
    }
}

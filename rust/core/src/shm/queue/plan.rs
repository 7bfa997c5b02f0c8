//! Where everything lies in a queue's segment, worked out from its settings.
//!
//! ```text
//! header | charter (same page) | control | seats | lanes' indices | leases | slab tables | lanes | arenas
//! ```
//! What comes before the slab tables is populated when the queue is made; the rest as it is used.

use std::time::Duration;

use super::{
    control::Control,
    error::QueueError,
    leases::Entry,
    seats::Seat,
    settings::{Acknowledged, Settings},
    sleepers::SEATS,
};
use crate::shm::{
    arena::{TABLE_BYTES, UNIT},
    door::NAME_MAX,
    feed::FeedHead,
    layout::{AttachError, HEADER_BYTES},
};

/// Where in the first page the charter lies.
pub(super) const CHARTER: usize = 2048;

/// What records need beside what they weigh: the ring's end, and what an item with slabs is forgiven.
const RESERVE: usize = 64 << 10;

/// What a queue was made with, as it lies in the segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Charter {
    pub(super) id: [u64; 2],
    pub(super) namespace: u64,
    pub(super) max_bytes: u64,
    /// 0: no bound.
    pub(super) max_items: u64,
    pub(super) arena_bytes: u64,
    /// 0: items need not be acknowledged.
    pub(super) leases: u64,
    pub(super) lease: u64,
    /// What it is called, padded with zeroes; nothing if it has no name.
    name: [u8; NAME_MAX],
}

impl Charter {
    pub(super) fn new(
        settings: &Settings,
        id: u128,
        namespace: u64,
        name: Option<&str>,
    ) -> Result<Self, QueueError> {
        let ack = settings.ack.map(|ack| {
            let lease = u64::try_from(ack.lease.as_nanos()).unwrap_or(u64::MAX);
            (u64::from(ack.leases), lease)
        });
        let (leases, lease) = ack.unwrap_or((0, 0));
        let mut padded = [0; NAME_MAX];
        if let Some(name) = name {
            let refusal = QueueError::Settings("a queue's name has up to 64 characters");
            padded
                .get_mut(..name.len())
                .ok_or(refusal)?
                .copy_from_slice(name.as_bytes());
        }
        let charter = Self {
            id: [id as u64, (id >> 64) as u64],
            namespace,
            max_bytes: settings.max_bytes as u64,
            max_items: settings.max_items.unwrap_or(0).into(),
            arena_bytes: settings.arena_bytes as u64,
            leases,
            lease,
            name: padded,
        };
        if settings.max_items == Some(0) {
            return Err(QueueError::Settings(
                "a queue has room for one item at least",
            ));
        }
        if settings.ack.is_some_and(|ack| ack.leases == 0) {
            return Err(QueueError::Settings("a queue has one lease at least"));
        }
        charter.check()?;
        Ok(charter)
    }

    fn check(&self) -> Result<(), QueueError> {
        if self.max_bytes == 0 {
            return Err(QueueError::Settings(
                "a queue has room for one byte at least",
            ));
        }
        if self.max_items > Settings::MOST_ITEMS.into() || self.leases > 1 << 20 {
            return Err(QueueError::Settings("a queue cannot have that many items"));
        }
        if self.max_bytes > Settings::MOST_BYTES as u64
            || self.arena_bytes > Settings::MOST_ARENA_BYTES as u64
        {
            return Err(QueueError::Settings("a queue cannot have that many bytes"));
        }
        if self.leases > 0 && self.lease == 0 {
            return Err(QueueError::Settings("a lease lasts for some time"));
        }
        Ok(())
    }

    /// What the header has to say of it.
    pub(super) fn digest(&self) -> u64 {
        let name = self.name.as_chunks::<8>().0.iter();
        let name = name.map(|bytes| u64::from_ne_bytes(*bytes));
        let words = [
            self.id[0],
            self.id[1],
            self.namespace,
            self.max_bytes,
            self.max_items,
            self.arena_bytes,
            self.leases,
            self.lease,
        ];
        let words = words.into_iter().chain(name);
        words.fold(0xcbf2_9ce4_8422_2325, |hash, word| {
            (hash ^ word)
                .wrapping_mul(0x0000_0100_0000_01b3)
                .rotate_left(17)
        })
    }

    /// What it is called.
    pub(super) fn name(&self) -> Option<String> {
        let end = self.name.iter().position(|byte| *byte == 0);
        let name = &self.name[..end.unwrap_or(NAME_MAX)];
        (!name.is_empty()).then(|| String::from_utf8_lossy(name).into_owned())
    }

    /// The settings that somebody else has written.
    pub(super) fn settings(&self) -> Result<Settings, QueueError> {
        self.check()
            .map_err(|_| QueueError::Attach(AttachError::Damaged))?;
        let ack = (self.leases > 0).then(|| Acknowledged {
            lease: Duration::from_nanos(self.lease),
            leases: self.leases as u32,
        });
        Ok(Settings {
            max_bytes: self.max_bytes as usize,
            max_items: (self.max_items > 0).then_some(self.max_items as u32),
            arena_bytes: self.arena_bytes as usize,
            ack,
        })
    }
}

/// Offsets and sizes; see the module's head.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) control: usize,
    pub(super) seats: usize,
    pub(super) heads: usize,
    pub(super) leases: usize,
    pub(super) tables: usize,
    pub(super) lanes: usize,
    pub(super) lane_bytes: usize,
    pub(super) arenas: usize,
    pub(super) arena_bytes: usize,
    pub(super) length: usize,
}

impl Plan {
    /// `None`: it does not fit into the address space.
    pub(super) fn of(settings: &Settings) -> Option<Self> {
        const PAGE: usize = 4096;
        let room = settings.max_bytes.checked_add(settings.max_bytes / 16)?;
        let lane_bytes = room.checked_add(RESERVE)?.checked_next_power_of_two()?;
        // A power of two: then all that fits by its size fits.
        let arena_bytes = settings.arena_bytes.max(UNIT).checked_next_power_of_two()?;
        let leases = settings.ack.map_or(0, |ack| ack.leases as usize);
        let mut end = HEADER_BYTES;
        let mut next = |bytes: usize| {
            let start = end;
            end = end.checked_add(bytes)?.checked_next_multiple_of(PAGE)?;
            Some(start)
        };
        Some(Self {
            control: next(size_of::<Control>())?,
            seats: next((SEATS + 1) * size_of::<Seat>())?,
            heads: next(SEATS * size_of::<FeedHead>())?,
            leases: next(leases * size_of::<Entry>())?,
            tables: next(SEATS * TABLE_BYTES)?,
            lanes: next(lane_bytes.checked_mul(SEATS)?)?,
            lane_bytes,
            arenas: next(arena_bytes.checked_mul(SEATS)?)?,
            arena_bytes,
            length: next(0)?,
        })
    }
}

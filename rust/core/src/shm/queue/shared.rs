//! The segment of a queue, as every process sees it: where the words are, and what they say together.

use std::{
    os::fd::OwnedFd,
    ptr::{self, NonNull},
};

use super::{
    bell::Bell,
    control::{Control, Rare},
    error::QueueError,
    handle::Side,
    leases::Entry,
    plan::{CHARTER, Charter, Plan},
    process,
    seats::Seat,
    settings::Settings,
    sleepers::{Beds, SEATS},
};
use crate::{
    random_id,
    shm::{
        arena::{ArenaMap, Place, TABLE_BYTES},
        feed::{Feed, FeedHead, Inside},
        headroom,
        lane::Corrupt,
        layout::{AttachError, Content},
        segment::Segment,
    },
    sync::{Arc, AtomicU64, Ordering},
};

/// One seat more than there are bits: for who finds none free and has to clear those of the dead first.
pub(super) const LAST_SEAT: usize = SEATS;

/// See the module's head.
pub(super) struct Shared {
    pub(super) segment: Arc<Segment>,
    pub(super) settings: Settings,
    pub(super) id: u128,
    pub(super) name: Option<String>,
    pub(super) plan: Plan,
    /// One a seat.
    pub(super) feeds: Box<[Feed]>,
    /// One a seat.
    pub(super) arenas: Box<[Arc<ArenaMap>]>,
}

impl Shared {
    pub(super) fn create(settings: Settings, name: Option<&str>) -> Result<Self, QueueError> {
        let id = random_id::trace_id();
        let charter = Charter::new(&settings, id, process::namespace(), name)?;
        let too_large = QueueError::Settings("a queue of that size does not fit into memory");
        let plan = Plan::of(&charter.settings()?).ok_or(too_large)?;
        let parameters = [SEATS as u64, charter.digest(), 0];
        let segment = Segment::create(c"penstock-queue", Content::Queue, plan.length, parameters)
            .map_err(QueueError::Io)?;
        segment
            .populate(0, plan.tables)
            .map_err(QueueError::Memory)?;
        let shared = Self::new(segment, settings, id, charter.name(), plan)?;
        let at = shared.place::<Charter>(CHARTER, 1);
        // SAFETY: inside the first page, aligned, and nobody else has it yet.
        unsafe { at.write(charter) };
        Ok(shared)
    }

    pub(super) fn attach(fd: OwnedFd) -> Result<Self, QueueError> {
        let damaged = || QueueError::Attach(AttachError::Damaged);
        let (segment, [seats, digest, _]) = Segment::attach(fd, Content::Queue)?;
        let at = segment
            .at(CHARTER, size_of::<Charter>())
            .ok_or_else(damaged)?;
        // SAFETY: inside the mapping and aligned; a copy is taken, and only the copy is judged.
        let charter = unsafe { at.cast::<Charter>().read_volatile() };
        if seats != SEATS as u64 || digest != charter.digest() {
            return Err(damaged());
        }
        let settings = charter.settings()?;
        let plan = Plan::of(&settings).ok_or_else(damaged)?;
        if plan.length != segment.length() {
            return Err(damaged());
        }
        if charter.namespace != process::namespace() {
            return Err(QueueError::Namespace);
        }
        // What a process knows of its memory's limits is looked up once, and now: not beside a fork, whose child would
        // wait for it. The answer is for whoever takes pages.
        let _ = headroom::ask(0);
        let id = u128::from(charter.id[1]) << 64 | u128::from(charter.id[0]);
        Self::new(segment, settings, id, charter.name(), plan)
    }

    fn new(
        segment: Segment,
        settings: Settings,
        id: u128,
        name: Option<String>,
        plan: Plan,
    ) -> Result<Self, QueueError> {
        let mut shared = Self {
            segment: Arc::new(segment),
            settings,
            id,
            name,
            plan,
            feeds: Box::default(),
            arenas: Box::default(),
        };
        let heads = shared.place::<FeedHead>(plan.heads, SEATS);
        shared.feeds = (0..SEATS)
            .map(|lane| {
                let data = shared
                    .place::<AtomicU64>(plan.lanes + lane * plan.lane_bytes, plan.lane_bytes / 8);
                let keep = Arc::clone(&shared.segment);
                // SAFETY: both lie in the segment, which is handed along; the plan gives them to nobody
                // else, on a page's beginning or a multiple of an index's size behind one.
                unsafe { Feed::new(heads.add(lane), data, plan.lane_bytes, keep) }
            })
            .collect();
        shared.arenas = (0..SEATS)
            .map(|number| {
                let place = Place {
                    table: plan.tables + number * TABLE_BYTES,
                    data: plan.arenas + number * plan.arena_bytes,
                    capacity: plan.arena_bytes,
                    slots: Some(NonNull::from(shared.seats()[number].slots())),
                };
                Arc::new(ArenaMap::within(Arc::clone(&shared.segment), place))
            })
            .collect();
        Ok(shared)
    }

    /// `count` values at `offset`, which the plan has put there.
    fn place<T>(&self, offset: usize, count: usize) -> NonNull<T> {
        let at = self.segment.at(offset, count * size_of::<T>());
        at.expect("a plan's parts lie inside of its length").cast()
    }

    fn control(&self) -> &Control {
        // SAFETY: inside the mapping, on a page's beginning, alive as long as `self`; all atomics.
        unsafe { self.place::<Control>(self.plan.control, 1).as_ref() }
    }

    pub(super) fn rare(&self) -> &Rare {
        &self.control().rare
    }

    pub(super) fn returns(&self) -> &AtomicU64 {
        &self.control().returns
    }

    pub(super) fn seats(&self) -> &[Seat] {
        let seats = self.place::<Seat>(self.plan.seats, SEATS + 1);
        // SAFETY: as for `control`.
        unsafe { &*ptr::slice_from_raw_parts(seats.as_ptr(), SEATS + 1) }
    }

    pub(super) fn leases(&self) -> &[Entry] {
        let count = self.settings.ack.map_or(0, |ack| ack.leases as usize);
        let leases = self.place::<Entry>(self.plan.leases, count);
        // SAFETY: as for `control`.
        unsafe { &*ptr::slice_from_raw_parts(leases.as_ptr(), count) }
    }

    pub(super) fn beds(&self, side: Side) -> BedsOf<'_> {
        BedsOf { shared: self, side }
    }

    /// The lanes that ever had a record, from `first` on, round once.
    pub(super) fn lanes(&self, first: usize) -> impl Iterator<Item = usize> + use<> {
        let first = first % SEATS;
        let mut bits = self
            .rare()
            .lanes
            .load(Ordering::Acquire)
            .rotate_right(first as u32);
        std::iter::from_fn(move || {
            let next = (bits != 0).then(|| bits.trailing_zeros() as usize)?;
            bits &= bits - 1;
            Some((next + first) % SEATS)
        })
    }

    /// The seats in which somebody sits, or is about to.
    pub(super) fn taken_seats(&self) -> u64 {
        let taken = self.seats()[..SEATS]
            .iter()
            .enumerate()
            .filter(|(_, seat)| seat.word().is_taken());
        taken.fold(0, |bits, (number, _)| bits | 1 << number)
    }

    /// Gives the pages of a seat's lane and arena back to the system. Nothing is in them, and nobody uses
    /// the seat meanwhile.
    pub(super) fn give_pages_back(&self, seat: usize) {
        let Plan {
            lanes,
            lane_bytes,
            arenas,
            arena_bytes,
            ..
        } = self.plan;
        self.segment.punch(lanes + seat * lane_bytes, lane_bytes);
        self.segment.punch(arenas + seat * arena_bytes, arena_bytes);
    }

    /// Another number whenever somebody has come, gone, or died halfway.
    pub(super) fn who(&self) -> u64 {
        self.seats()
            .iter()
            .fold(0xcbf2_9ce4_8422_2325, |who, seat| {
                (who ^ seat.word().0)
                    .wrapping_mul(0x0000_0100_0000_01b3)
                    .rotate_left(23)
            })
    }

    /// What is inside of all lanes.
    pub(super) fn inside(&self) -> Result<Inside, Corrupt> {
        self.lanes(0).try_fold(Inside::default(), |sum, lane| {
            let inside = self.feeds[lane].inside()?;
            Ok(Inside {
                items: sum.items + inside.items,
                bytes: sum.bytes + inside.bytes,
            })
        })
    }

    /// Whether there is an item in a lane.
    pub(super) fn has_items(&self) -> bool {
        self.lanes(0)
            .any(|lane| !self.feeds[lane].is_empty().unwrap_or(true))
    }

    /// Whether there is room for a small item at least.
    pub(super) fn has_room(&self) -> bool {
        self.inside().is_ok_and(|inside| {
            inside.items == 0
                || (inside.bytes < self.settings.max_bytes as u64
                    && inside.items < self.max_items())
        })
    }

    /// Whether so little is inside that those who wait for room are woken, all of them.
    pub(super) fn is_low(&self) -> bool {
        self.inside().is_ok_and(|inside| {
            inside.bytes <= self.settings.max_bytes as u64 / 2
                && inside.items <= self.max_items() / 2
        })
    }

    pub(super) fn max_items(&self) -> u64 {
        self.settings.max_items.map_or(u64::MAX, u64::from)
    }
}

/// Those who sleep on one side.
pub(super) struct BedsOf<'a> {
    shared: &'a Shared,
    side: Side,
}

impl Beds for BedsOf<'_> {
    fn sleepers(&self) -> &AtomicU64 {
        match self.side {
            Side::Items => &self.shared.control().item_sleepers,
            Side::Room => &self.shared.control().room_sleepers,
        }
    }

    fn bell(&self, seat: usize) -> &Bell {
        let seat = &self.shared.seats()[seat];
        match self.side {
            Side::Items => &seat.items,
            Side::Room => &seat.room,
        }
    }
}

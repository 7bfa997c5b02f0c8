//! One process's seat, and what it holds in the segment while it sits there.
//!
//! The seat is left when the last of those who rely on it goes: the queue's own hold, views of slabs,
//! memory born in the arena. What other processes see of that is one swap, ALIVE → DEAD; what remains,
//! any of them clears.

use std::{
    collections::BTreeMap,
    ptr::NonNull,
    sync::{OnceLock, Weak},
};

use super::{
    burial,
    error::QueueError,
    giving,
    handle::Side,
    leases::Leases,
    lookout::Lookout,
    references::{self, Reference},
    seats::{self, Process, Word},
    shared::{LAST_SEAT, Shared},
    sleepers::{self, SEATS},
};
use crate::{
    fork::Owner,
    shm::{
        arena::{Arena, Holder, OwnedSlab, Pinned, SlabRef, Told},
        door::Door,
    },
    sync::{Arc, AtomicU64, Mutex, Ordering, fence, lock},
};

/// The participant number of a seat in every arena; the owner's own number is another one.
pub(super) const fn participant(seat: usize) -> u32 {
    1 + seat as u32
}

/// Seats that only who begins by taking sits down in: those of dead senders are free only when their items are
/// taken, so without these nobody might come who takes them.
const KEPT: usize = 8;

/// How many processes can have begun by sending.
pub(super) const SENDERS: usize = SEATS - KEPT;

/// The seat itself.
pub(super) struct Stay {
    pub(super) shared: Arc<Shared>,
    pub(super) seat: usize,
    pub(super) word: Word,
    owner: Owner,
}

impl Stay {
    /// Takes a seat, after clearing those of the dead if there is none.
    fn take(shared: &Arc<Shared>, side: Side) -> Result<Self, QueueError> {
        let process = Process::current();
        let seats = shared.seats();
        let wanted = match side {
            Side::Items => 0..SEATS,
            Side::Room => 0..SENDERS,
        };
        let mut taken = seats::take(seats, wanted.clone(), process);
        if taken.is_none() {
            burial::make_room(shared, process);
            taken = seats::take(seats, wanted, process);
        }
        let (seat, joining) = taken.ok_or(QueueError::Crowded)?;
        shared.arenas[seat].renew();
        let word = seats::rise(&seats[seat], joining).ok_or(QueueError::Corrupt)?;
        Ok(Self {
            shared: Arc::clone(shared),
            seat,
            word,
            owner: Owner::current(),
        })
    }

    fn announce(&self) {
        self.shared.rare().roster.fetch_add(1, Ordering::AcqRel);
        fence(Ordering::SeqCst);
        for side in [Side::Items, Side::Room] {
            sleepers::wake_all(&self.shared.beds(side), u64::MAX);
        }
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        if !self.owner.is_here() {
            return; // the seat is the parent's
        }
        if burial::is_empty(&self.shared, self.seat) {
            self.shared.give_pages_back(self.seat);
        }
        let seat = &self.shared.seats()[self.seat];
        if let Some((dead, _)) = seats::lay_down(seat, self.word) {
            // Nothing is cleared from here on: the bits may be a successor's.
            burial::free_if_clean(&self.shared, self.seat, dead);
            self.announce();
        }
    }
}

/// Tells the owner of an arena that one of its slabs may be free.
struct Neighbour {
    stay: Arc<Stay>,
    arena: usize,
}

impl Told for Neighbour {
    fn let_go(&self) {
        fence(Ordering::SeqCst);
        sleepers::wake_all(&self.stay.shared.beds(Side::Room), 1 << self.arena);
    }
}

/// Slabs by where they begin; some of them are there no more, at most as many as there were at the last look, and a few.
#[derive(Default)]
struct Register {
    slabs: BTreeMap<usize, Weak<OwnedSlab>>,
    /// How many there may be until it is looked which are there still.
    most: usize,
}

impl Register {
    fn add(&mut self, slab: &Arc<OwnedSlab>) {
        if self.slabs.len() >= self.most {
            self.slabs.retain(|_, slab| slab.strong_count() > 0);
            self.most = 2 * self.slabs.len() + FEW;
        }
        let begin = slab.content().0.addr().get();
        self.slabs.insert(begin, Arc::downgrade(slab));
    }

    /// The last one that begins at `at` or before it.
    fn before(&self, at: *const u8) -> Option<Arc<OwnedSlab>> {
        let slabs = self.slabs.range(..=at.addr()).rev();
        slabs.map(|(_, slab)| slab).find_map(Weak::upgrade)
    }
}

/// Slabs that are not worth a look.
const FEW: usize = 16;

/// What the process holds while it takes part; dropping it lets go of the seat, unless views live on.
pub(super) struct Seated {
    pub(super) stay: Arc<Stay>,
    pub(super) leases: Leases,
    /// This process's part in each arena.
    holders: Box<[OnceLock<Arc<Holder>>]>,
    arena: OnceLock<Arc<Arena>>,
    /// Memory that was born in the arena.
    born: Mutex<Register>,
    /// Where those who know the queue's name come; the sentinel answers.
    pub(super) door: Mutex<Option<Door>>,
    /// Who takes part, as the sentinel knows it.
    pub(super) known: AtomicU64,
    /// How the others' deaths are seen.
    pub(super) lookout: Lookout,
    /// One at a time clears a seat.
    pub(super) burying: Mutex<()>,
    pub(super) burials: AtomicU64,
}

impl Seated {
    /// The process joins, to take or to send at first.
    pub(super) fn join(shared: &Arc<Shared>, side: Side) -> Result<Arc<Self>, QueueError> {
        let stay = Arc::new(Stay::take(shared, side)?);
        stay.announce();
        // Without it nobody comes in by this process; others have doors of their own.
        let name = shared.name.as_deref();
        let door = name.and_then(|name| Door::open(name, stay.seat as u32, shared.id).ok());
        let who = shared.who();
        let others = shared.seats().iter().enumerate();
        let mut others = others.filter(|(number, _)| *number != stay.seat);
        let alone = others.all(|(_, seat)| seat.word().state() == seats::State::Free);
        Ok(Arc::new(Self {
            leases: Leases::new(stay.seat),
            holders: (0..SEATS).map(|_| OnceLock::new()).collect(),
            arena: OnceLock::new(),
            born: Mutex::default(),
            door: Mutex::new(door),
            known: AtomicU64::new(if alone { who } else { !who }),
            lookout: Lookout::default(),
            burying: Mutex::default(),
            burials: AtomicU64::new(0),
            stay,
        }))
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.stay.shared
    }

    pub(super) fn seat(&self) -> usize {
        self.stay.seat
    }

    /// The process's own arena.
    pub(super) fn arena(&self) -> &Arc<Arena> {
        let map = &self.shared().arenas[self.seat()];
        self.arena.get_or_init(|| Arena::new(Arc::clone(map)))
    }

    fn holder(&self, arena: usize) -> &Arc<Holder> {
        self.holders[arena].get_or_init(|| {
            let told = Neighbour {
                stay: Arc::clone(&self.stay),
                arena,
            };
            let map = Arc::clone(&self.shared().arenas[arena]);
            Holder::telling(map, participant(self.seat()), Box::new(told))
        })
    }

    /// Holds what a reference names.
    pub(super) fn pin(&self, reference: &Reference) -> Option<Pinned> {
        let arena = usize::from(reference.arena);
        (arena < SEATS).then(|| self.holder(arena).pin(reference.slab).ok())?
    }

    /// Holds all that a record names.
    pub(super) fn pin_all(&self, kind: u16, content: &[u8]) -> Option<Vec<Pinned>> {
        if !references::are_in(kind) {
            return Some(Vec::new());
        }
        let (references, _) = references::decode(content).ok()?;
        references
            .iter()
            .map(|reference| self.pin(reference))
            .collect()
    }

    /// Memory of that length which items can name.
    pub(super) fn bear(&self, length: usize) -> Result<Arc<OwnedSlab>, QueueError> {
        let slab = self.arena().allocate(length).map_err(giving::refusal)?;
        Ok(self.know(slab))
    }

    /// As `bear`, where that takes neither a system call nor a wait for another thread.
    fn bear_at_once(&self, length: usize) -> Option<Arc<OwnedSlab>> {
        let slab = self.arena().allocate_at_once(length)?;
        Some(self.know(slab))
    }

    fn know(&self, slab: OwnedSlab) -> Arc<OwnedSlab> {
        let slab = Arc::new(slab);
        lock(&self.born).add(&slab);
        slab
    }

    /// The slab that was born here and has those bytes, and how to name them.
    pub(super) fn born(&self, at: *const u8, length: usize) -> Option<(Arc<OwnedSlab>, SlabRef)> {
        let slab = lock(&self.born).before(at)?;
        let part = slab.part(at, length)?;
        Some((slab, part))
    }
}

impl Drop for Seated {
    fn drop(&mut self) {
        if self.stay.owner.is_here() {
            // What was taken while the queue was being closed.
            self.leases.leave(self.shared());
        }
    }
}

/// Whether a seat is one that only who finds no other takes.
pub(super) const fn is_last(seat: usize) -> bool {
    seat == LAST_SEAT
}

/// Memory that was born in this process's arena. The seat is kept as long as it lives.
pub struct Born {
    slab: Arc<OwnedSlab>,
    _stay: Arc<Stay>,
}

impl Born {
    pub(super) fn new(seated: &Seated, length: usize) -> Result<Self, QueueError> {
        Ok(Self {
            slab: seated.bear(length)?,
            _stay: Arc::clone(&seated.stay),
        })
    }

    /// As `new`, where that takes neither a system call nor a wait for another thread.
    pub(super) fn at_once(seated: &Seated, length: usize) -> Option<Self> {
        Some(Self {
            slab: seated.bear_at_once(length)?,
            _stay: Arc::clone(&seated.stay),
        })
    }

    /// Where it lies, and how long it is.
    #[must_use]
    pub fn content(&self) -> (NonNull<u8>, usize) {
        self.slab.content()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shm::queue::Settings;

    #[test]
    fn what_one_in_the_same_seat_has_handed_out_is_good_no_more() {
        let shared = Arc::new(Shared::create(Settings::new(1 << 20), None).unwrap());
        let first = Seated::join(&shared, Side::Items).unwrap();
        let seat = first.seat();
        let old = first.bear(100).unwrap().reference();
        drop(first);
        let second = Seated::join(&shared, Side::Items).unwrap();
        assert_eq!(second.seat(), seat);
        let slab = second.bear(100).unwrap();
        let new = slab.reference();
        assert_eq!(new.slot, old.slot);
        let arena = seat as u16;
        assert!(second.pin(&Reference { arena, slab: old }).is_none());
        assert!(second.pin(&Reference { arena, slab: new }).is_some());
    }

    #[test]
    fn one_that_is_gone_hides_none_that_was_born_around_it() {
        let shared = Arc::new(Shared::create(Settings::new(1 << 20), None).unwrap());
        let seated = Seated::join(&shared, Side::Room).unwrap();
        let small: Vec<_> = (0..4).map(|_| seated.bear(1).unwrap()).collect();
        let inside = small[1].content().0;
        drop(small);
        let large = seated.bear(8 * 16_384).unwrap();
        assert!(large.part(inside.as_ptr(), 1).is_some());
        let (found, part) = seated.born(inside.as_ptr(), 100).unwrap();
        assert_eq!(part.slot, large.reference().slot);
        drop((found, large));
        assert!(seated.born(inside.as_ptr(), 100).is_none());
    }

    #[test]
    fn few_that_are_gone_are_remembered() {
        let shared = Arc::new(Shared::create(Settings::new(1 << 24), None).unwrap());
        let seated = Seated::join(&shared, Side::Room).unwrap();
        let kept: Vec<_> = (0..10).map(|_| seated.bear(1).unwrap()).collect();
        let others: Vec<_> = (0..500).map(|_| seated.bear(1).unwrap()).collect();
        let mut register = Register::default();
        for slab in &kept {
            register.add(slab);
        }
        for slab in others {
            register.add(&slab);
            drop(slab);
            assert!(register.slabs.len() <= 2 * (kept.len() + 1) + FEW);
        }
        for slab in &kept {
            let found = register.before(slab.content().0.as_ptr()).unwrap();
            assert!(Arc::ptr_eq(&found, slab));
        }
    }

    #[test]
    fn slabs_under_way_are_not_used_again_while_their_owner_leaves() {
        let shared = Arc::new(Shared::create(Settings::new(1 << 20), None).unwrap());
        let leaving = Seated::join(&shared, Side::Room).unwrap();
        let limits = giving::Limits::of(&shared.settings);
        let mut giving = giving::Giving::new(Arc::clone(&leaving)).unwrap();
        let content = [7; 20_000];
        let item = super::super::Item {
            code: 1,
            stream: content[..].into(),
            buffers: &[],
        };
        let weight = giving::weight(&limits, &item);
        let packed = giving::Packed::new(&leaving, &limits, &item).unwrap();
        giving.give_packed(&item, weight, packed).unwrap();
        drop(giving);
        // A thread that was in the middle of an operation places something, still.
        let late = leaving.bear(20_000).unwrap();
        let mut records = crate::shm::feed::Records::default();
        let mut nothing = crate::shm::feed::Plain;
        shared.feeds[leaving.seat()]
            .take(1, 1, &mut records, &mut nothing)
            .unwrap();
        let (record, content) = records.get(0).unwrap();
        let pins = leaving.pin_all(record.kind, content).unwrap();
        assert_ne!(pins[0].content().0, late.content().0);
    }
}

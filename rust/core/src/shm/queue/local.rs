//! What one process has of a queue: its seat, its sending side, and its waiters. Made anew in a forked
//! child, which touches nothing of its parent's.

use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

use super::{
    batch::{Batch, Lease, More},
    burial, ending,
    error::QueueError,
    giving::{self, Giving, Limits, Packed},
    handle::{Shutdown, Side},
    item::{Buffer, Item},
    leases::{self, Leased},
    seated::{Born, Seated},
    seats::State,
    sentinel::Sentinel,
    shared::Shared,
    sleepers::{self, Beds},
    statistics::{Counts, Statistics},
    taking::{Taking, Took},
    waiting::{Sleeper, Waiting},
};
use crate::{
    luck::{Luck, PATIENCE},
    ring::Wake,
    shm::arena::Pinned,
    sync::{Arc, AtomicU32, AtomicUsize, Mutex, Ordering, fence, lock},
};

const NOT_YET: u32 = 0;
const JOINED: u32 = 1;
const CLOSED: u32 = 2;

/// See the module's head.
pub(super) struct Local<W> {
    shared: Arc<Shared>,
    limits: Limits,
    /// Written with the lock of `seated` held (Release), read by all (Acquire).
    phase: AtomicU32,
    seated: Mutex<Option<Arc<Seated>>>,
    giving: Mutex<Option<Giving>>,
    waiting: OnceLock<[Arc<Waiting<W>>; 2]>,
    /// The lane to look at first, and the seat to call first.
    turn: AtomicUsize,
    calls: AtomicUsize,
    /// Of looks for an item before a sleep.
    luck: Luck,
    counts: Arc<Counts>,
}

impl<W: Wake + Send + Sync + 'static> Local<W> {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            limits: Limits::of(&shared.settings),
            shared,
            phase: AtomicU32::new(NOT_YET),
            seated: Mutex::default(),
            giving: Mutex::default(),
            waiting: OnceLock::new(),
            turn: AtomicUsize::new(0),
            calls: AtomicUsize::new(0),
            luck: Luck::new(),
            counts: Arc::default(),
        }
    }

    /// Joins if this is the process's first operation.
    fn ready(&self, side: Side) -> Result<(), QueueError> {
        match self.phase.load(Ordering::Acquire) {
            JOINED => Ok(()),
            CLOSED => Err(QueueError::Closed),
            _ => self.join(side),
        }
    }

    #[cold]
    fn join(&self, side: Side) -> Result<(), QueueError> {
        let mut seated = lock(&self.seated);
        match self.phase.load(Ordering::Relaxed) {
            JOINED => return Ok(()),
            CLOSED => return Err(QueueError::Closed),
            _ => {}
        }
        let mine = Seated::join(&self.shared, side)?;
        // Without a thread there is no door; who is about to sleep tries again.
        let _ = Sentinel::attend(&mine);
        *lock(&self.giving) = Some(Giving::new(Arc::clone(&mine))?);
        let _ = self.waiting.set([
            Waiting::new(Side::Items, &mine, &self.counts),
            Waiting::new(Side::Room, &mine, &self.counts),
        ]);
        *seated = Some(mine);
        self.phase.store(JOINED, Ordering::Release);
        Ok(())
    }

    fn seated(&self) -> Option<Arc<Seated>> {
        lock(&self.seated).clone()
    }

    /// Joins now, for a queue that is to be found by its name: whether it has a door.
    pub(super) fn join_now(&self) -> Result<bool, QueueError> {
        self.ready(Side::Items)?;
        let seated = self.seated();
        Ok(seated.is_some_and(|seated| lock(&seated.door).is_some()))
    }

    pub(super) fn waiting(&self, side: Side) -> Result<&Arc<Waiting<W>>, QueueError> {
        self.ready(side)?;
        let waiting = self.waiting.get().ok_or(QueueError::Closed)?;
        Ok(&waiting[side as usize])
    }

    /// The waiters of a side, if this process takes part or has done so.
    pub(super) fn joined(&self, side: Side) -> Option<&Arc<Waiting<W>>> {
        self.waiting.get().map(|waiting| &waiting[side as usize])
    }

    pub(super) fn sleeper(&self, side: Side) -> Result<Sleeper, QueueError> {
        self.waiting(side).map(Sleeper::new)
    }

    pub(super) fn send_many(&self, items: &[Item<'_>]) -> Result<usize, QueueError> {
        self.ready(Side::Room)?;
        if self.shared.rare().shutdown() != Shutdown::Open {
            self.settle();
            return Err(QueueError::ShutDown);
        }
        match self.send_some(items) {
            // Room that a dead process keeps, perhaps.
            Err(QueueError::Full) if self.look() => self.send_some(items),
            answer => answer,
        }
    }

    fn send_some(&self, items: &[Item<'_>]) -> Result<usize, QueueError> {
        let mut sent = 0;
        while let Some(item) = items.get(sent) {
            let answer = if self.limits.is_inline(item) {
                self.giving(|giving| giving.give_run(&self.limits, &items[sent..]))
            } else {
                self.give_large(item).map(|()| 1)
            };
            match answer {
                Ok(count) => {
                    sent += count;
                    self.gave(count);
                }
                Err(failure) if sent == 0 => return Err(failure),
                Err(_) => break,
            }
        }
        Ok(sent)
    }

    /// Lets go of slabs whose items were taken.
    fn settle(&self) {
        if let Some(giving) = lock(&self.giving).as_mut() {
            giving.settle();
        }
    }

    /// There was nothing to do. Whoever then sleeps is told of deaths by the sentinel; who only polls looks by
    /// itself, now and then. True: somebody had died, so there may be something now.
    #[cold]
    #[inline(never)]
    fn look(&self) -> bool {
        let Some(seated) = self.seated().filter(|seated| seated.lookout.is_due()) else {
            return false;
        };
        self.settle();
        // Of those that the sentinel knows it hears, and alone there is nobody.
        if seated.known.load(Ordering::Relaxed) == self.shared.who() {
            return false;
        }
        let seen = seated.lookout.try_look(&seated);
        if seated.leases.holds_returned() {
            Sentinel::look_after(&seated);
        }
        seen.death
    }

    fn giving<T>(
        &self,
        give: impl FnOnce(&mut Giving) -> Result<T, QueueError>,
    ) -> Result<T, QueueError> {
        let mut giving = lock(&self.giving);
        let giving = giving.as_mut().ok_or(QueueError::Closed)?;
        giving.settle();
        give(giving)
    }

    fn give_large(&self, item: &Item<'_>) -> Result<(), QueueError> {
        self.limits.check(item)?;
        let weight = giving::weight(&self.limits, item);
        // Nothing is copied in vain, unless others are faster meanwhile.
        if !self.giving(|giving| giving.admits(weight))? {
            return Err(QueueError::Full);
        }
        let seated = self.seated().ok_or(QueueError::Closed)?;
        let packed = Packed::new(&seated, &self.limits, item)?;
        self.giving(|giving| giving.give_packed(item, weight, packed))
    }

    /// Something was put in: wakes a taker if one sleeps.
    fn gave(&self, count: usize) {
        self.counts.sent.fetch_add(count as u64, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let beds = self.shared.beds(Side::Items);
        if beds.sleepers().load(Ordering::Relaxed) != 0 {
            let first = self.calls.fetch_add(1, Ordering::Relaxed);
            self.counts.add(sleepers::wake_one(&beds, first));
        }
    }

    pub(super) fn take(
        &self,
        max: usize,
        max_bytes: usize,
        batch: &mut Batch,
    ) -> Result<usize, QueueError> {
        self.ready(Side::Items)?;
        batch.renew();
        let shutdown = self.shared.rare().shutdown();
        if shutdown == Shutdown::Immediate {
            self.finish(true);
            self.look();
            return Err(QueueError::ShutDown);
        }
        let mut count = self.take_some(max, max_bytes, batch)?;
        if count == 0 && max > 0 && self.look() {
            count = self.take_some(max, max_bytes, batch)?;
        }
        if count == 0 && max > 0 && shutdown == Shutdown::Draining {
            // Nothing comes into a closed lane, so what is not there now never will be.
            self.finish(false);
            count = self.take_from_lanes(max, max_bytes, batch)?;
            if count == 0 && leases::out(&self.shared) == 0 {
                return Err(QueueError::ShutDown);
            }
        }
        if count > 0 {
            self.counts.taken.fetch_add(count as u64, Ordering::Relaxed);
        }
        Ok(count)
    }

    fn take_some(
        &self,
        max: usize,
        max_bytes: usize,
        batch: &mut Batch,
    ) -> Result<usize, QueueError> {
        let mut count = self.take_returned(max, batch)?;
        if count < max {
            count += self.take_from_lanes(max - count, max_bytes, batch)?;
        }
        Ok(count)
    }

    fn take_from_lanes(
        &self,
        max: usize,
        max_bytes: usize,
        batch: &mut Batch,
    ) -> Result<usize, QueueError> {
        let taking = Taking {
            shared: &self.shared,
            seated: &|| self.seated(),
            turn: &self.turn,
            max_bytes,
        };
        let took = taking.take(max, batch)?;
        if took.count > 0 {
            self.took(took);
        }
        Ok(took.count)
    }

    /// Room was made: wakes those who wait for it if half of it is there, and whoever may wait for
    /// its arena.
    fn took(&self, took: Took) {
        fence(Ordering::SeqCst);
        let beds = self.shared.beds(Side::Room);
        if beds.sleepers().load(Ordering::Relaxed) == 0 {
            return;
        }
        let bits = if self.shared.is_low() {
            u64::MAX
        } else {
            took.arenas
        };
        self.counts.add(sleepers::wake_all(&beds, bits));
    }

    fn take_returned(&self, max: usize, batch: &mut Batch) -> Result<usize, QueueError> {
        if self.shared.settings.ack.is_none() {
            return Ok(0);
        }
        let seated = self.seated().ok_or(QueueError::Closed)?;
        if !seated.leases.is_due(&self.shared) {
            return Ok(0);
        }
        let pin = |kind: u16, content: &[u8]| seated.pin_all(kind, content);
        let count = seated
            .leases
            .claim(&self.shared, max, &pin, |lease, item, pins| {
                let Leased { kind, content } = item;
                seated
                    .leases
                    .keep(lease, pins.iter().map(Pinned::again).collect());
                batch.more.push_back(More {
                    record: batch.records.len(),
                    pins,
                    lease: Some(lease),
                });
                batch.records.push(kind, &content);
            });
        Ok(count)
    }

    pub(super) fn acknowledge(&self, lease: Lease, give_back: bool) -> Result<(), QueueError> {
        self.ready(Side::Items)?;
        let seated = self.seated().ok_or(QueueError::Closed)?;
        let is_done = if give_back {
            seated.leases.give_back(&self.shared, lease)
        } else {
            seated.leases.acknowledge(&self.shared, lease)
        };
        if !is_done {
            return Err(QueueError::LeaseLost);
        }
        if give_back && seated.leases.holds_returned() {
            // Its slabs are held here until somebody else has it.
            Sentinel::look_after(&seated);
        }
        // An item came back, or an entry: somebody may wait for it; at the end of all, everybody does.
        fence(Ordering::SeqCst);
        let beds = self.shared.beds(Side::Items);
        if beds.sleepers().load(Ordering::Relaxed) != 0 {
            if self.shared.rare().shutdown() != Shutdown::Open {
                self.counts.add(sleepers::wake_all(&beds, u64::MAX));
            } else if give_back || self.shared.has_items() {
                self.counts.add(sleepers::wake_one(&beds, 0));
            }
        }
        Ok(())
    }

    pub(super) fn allocate(&self, length: usize) -> Result<Born, QueueError> {
        self.ready(Side::Room)?;
        self.giving(|_| Ok(()))?;
        let seated = self.seated().ok_or(QueueError::Closed)?;
        match Born::new(&seated, length) {
            // Slabs that a dead process looked at, perhaps.
            Err(QueueError::Full) if self.look() => Born::new(&seated, length),
            answer => answer,
        }
    }

    /// As `allocate`, where that takes neither a system call nor a wait for another thread. `None` where it
    /// would, and where there is nothing: `allocate` knows which.
    pub(super) fn allocate_at_once(&self, length: usize) -> Option<Born> {
        if self.phase.load(Ordering::Acquire) != JOINED {
            return None;
        }
        self.giving.try_lock().ok()?.as_mut()?.settle();
        let seated = self.seated()?;
        Born::at_once(&seated, length)
    }

    /// Who waits for room does not look: it is woken when half of it is there, and puts many at once
    /// then, while one that looks would put one by one.
    pub(super) fn look_for(&self, side: Side) -> bool {
        side == Side::Items && self.luck.try_with(|| self.spin(side, PATIENCE))
    }

    pub(super) fn is_born(&self, buffer: &Buffer<'_>) -> bool {
        let seated = self.seated();
        seated.is_some_and(|seated| seated.born(buffer.at, buffer.length).is_some())
    }

    pub(super) fn spin(&self, side: Side, time: Duration) -> bool {
        let Ok(waiting) = self.waiting(side) else {
            return true; // to find out why
        };
        let end = Instant::now().checked_add(time);
        loop {
            for _ in 0..32 {
                if waiting.has_something() {
                    return true;
                }
                std::hint::spin_loop();
            }
            if self.shared.rare().shutdown() != Shutdown::Open {
                return true;
            }
            if end.is_some_and(|end| Instant::now() >= end) {
                return false;
            }
        }
    }

    /// Closes all lanes, and empties them if nothing of it is to be taken.
    fn finish(&self, immediate: bool) {
        self.shared.feeds.iter().for_each(|feed| feed.close());
        if immediate {
            for lane in self.shared.lanes(0) {
                // A spoilt lane has nothing to take anyhow.
                let _ = self.shared.feeds[lane].discard();
            }
            leases::drop_returned(&self.shared);
            if let Some(seated) = self.seated() {
                seated.leases.settle(&self.shared);
            }
        }
    }

    pub(super) fn shutdown(&self, immediate: bool) -> Result<(), QueueError> {
        if self.is_closed() {
            return Err(QueueError::Closed);
        }
        ending::end(
            || self.shared.rare().shut(immediate),
            || self.finish(self.shared.rare().shutdown() == Shutdown::Immediate),
        );
        self.settle();
        if let Some(seated) = self.seated().filter(|_| immediate) {
            // What the dead had under a lease goes, too.
            seated.lookout.try_look(&seated);
        }
        for side in [Side::Items, Side::Room] {
            let seats = self.shared.taken_seats();
            sleepers::alarm(&self.shared.beds(side), seats);
        }
        Ok(())
    }

    pub(super) fn close(&self) {
        let seated = {
            let mut seated = lock(&self.seated);
            self.phase.store(CLOSED, Ordering::Release);
            seated.take()
        };
        let Some(seated) = seated else {
            return;
        };
        drop(lock(&seated.door).take());
        drop(lock(&self.giving).take());
        for waiting in self.waiting.get().into_iter().flatten() {
            waiting.close();
        }
        seated.leases.leave(&self.shared);
        drop(seated);
        Sentinel::look();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.phase.load(Ordering::Acquire) == CLOSED
    }

    #[cfg(any(test, penstock_failpoints))]
    pub(super) fn look_around(&self) -> Result<(), QueueError> {
        self.ready(Side::Items)?;
        let seated = self.seated().ok_or(QueueError::Closed)?;
        seated.lookout.look(&seated);
        Ok(())
    }

    pub(super) fn statistics(&self) -> Result<Statistics, QueueError> {
        if self.is_closed() {
            return Err(QueueError::Closed);
        }
        let shared = &self.shared;
        let inside = shared.inside()?;
        self.settle();
        let seated = self.seated();
        if let Some(seated) = &seated {
            // So that the dead are not counted among the living.
            seated.lookout.look(seated);
            if seated.leases.holds_returned() {
                Sentinel::look_after(seated);
            }
        }
        let arena = seated.as_ref().map(|seated| seated.arena().usage());
        let (mut participants, mut dead) = (0, 0);
        for (number, seat) in shared.seats().iter().enumerate() {
            match seat.word().state() {
                // Who takes no part buries nobody.
                State::Alive if seated.is_none() && burial::is_gone(shared, number) => dead += 1,
                State::Alive => participants += 1,
                State::Dead => dead += 1,
                State::Free | State::Joining => {}
            }
        }
        let asleep = |side| {
            let bits = shared.beds(side).sleepers().load(Ordering::Relaxed);
            bits.count_ones() as usize
        };
        Ok(Statistics {
            items: inside.items as usize,
            bytes: inside.bytes as usize,
            leased: leases::out(shared),
            participants,
            dead,
            getters: asleep(Side::Items),
            putters: asleep(Side::Room),
            sent: self.counts.sent.load(Ordering::Relaxed),
            taken: self.counts.taken.load(Ordering::Relaxed),
            wakes: self.counts.wakes.load(Ordering::Relaxed),
            system_calls: self.counts.system_calls.load(Ordering::Relaxed),
            burials: seated.map_or(0, |seated| seated.burials.load(Ordering::Relaxed)),
            slabs: arena.map_or(0, |arena| arena.slabs),
            held: arena.map_or(0, |arena| arena.held),
        })
    }
}

//! One process's waiters of one side: threads sleep on the seat's bell themselves; for the tasks of
//! event loops one thread does, and hands each ring on to the first of them.
//!
//! No descriptor is shared between processes: a ring that a reader died with would be lost. Here the
//! kernel says whether anybody was woken, and a task that was called looks for itself and passes on what is left.
//!
//! Those who wait for room are woken together, once half of it is there, so that a full queue does not
//! cost a wake an item. For less than half they look themselves, at growing intervals from [`NAP`] on: at
//! the latest when they have waited twice as long as there was need to.

use std::{
    sync::{Condvar, Weak},
    time::{Duration, Instant},
};

use super::{
    handle::{Shutdown, Side},
    seated::Seated,
    sentinel::Sentinel,
    shared::{BedsOf, Shared},
    sleepers::{self, Beds, Called, LOOK_AROUND, SEATS, Sleepers},
    statistics::Counts,
    threads,
};
use crate::{
    fork::Owner,
    park::Parked,
    ring::{WaitList, Wake},
    shm::queue::bell::Heard,
    sync::{Arc, Mutex, Ordering, fence, lock},
};

/// The first look of who waits for room.
const NAP: Duration = Duration::from_micros(500);

/// The first sleep of a thread, at most. A signal that comes in between the last look for one and the sleep is seen
/// behind it, and most come soon after something has begun to wait, if at all.
const GLANCE: Duration = Duration::from_millis(16);

/// Rings answered one by one; more at once are as good as that many.
const MOST_RINGS: u32 = SEATS as u32;

/// The thread that sleeps for the tasks.
#[derive(Debug, Default)]
struct Caller {
    runs: bool,
    /// No task has waited for a while: it sleeps until one does, and not on the bell.
    rests: bool,
    /// The rings that it need not answer.
    heard: u32,
    is_closed: bool,
}

/// See the module's head.
pub(super) struct Waiting<W> {
    side: Side,
    shared: Arc<Shared>,
    seated: Weak<Seated>,
    seat: usize,
    sleepers: Sleepers,
    tasks: WaitList<W>,
    caller: Mutex<Caller>,
    call: Condvar,
    counts: Arc<Counts>,
}

impl<W: Wake + Send + Sync + 'static> Waiting<W> {
    pub(super) fn new(side: Side, seated: &Arc<Seated>, counts: &Arc<Counts>) -> Arc<Self> {
        Arc::new(Self {
            side,
            shared: Arc::clone(seated.shared()),
            seated: Arc::downgrade(seated),
            seat: seated.seat(),
            sleepers: Sleepers::new(seated.seat()),
            tasks: WaitList::default(),
            caller: Mutex::default(),
            call: Condvar::new(),
            counts: Arc::clone(counts),
        })
    }

    fn beds(&self) -> BedsOf<'_> {
        self.shared.beds(self.side)
    }

    /// Whether there is something to do on this side, as far as that can be told without trying.
    pub(super) fn has_something(&self) -> bool {
        if self.shared.rare().shutdown() != Shutdown::Open {
            return true;
        }
        match self.side {
            Side::Room => self.shared.has_room(),
            Side::Items => {
                self.shared.has_items()
                    || (self.shared.settings.ack.is_some()
                        && self
                            .seated
                            .upgrade()
                            .is_some_and(|seated| seated.leases.is_due(&self.shared)))
            }
        }
    }

    /// Has the sentinel know of those who came since the last sleep.
    fn tell(&self) {
        if let Some(seated) = self.seated.upgrade() {
            Sentinel::tell(&seated);
        }
    }

    /// Wakes one who waits for an item, if there is one (left).
    fn pass_on(&self) {
        if self.side == Side::Items
            && self.beds().sleepers().load(Ordering::Relaxed) != 0
            && self.shared.has_items()
        {
            self.counts
                .add(sleepers::wake_one(&self.beds(), self.seat + 1));
        }
    }

    /// Puts a task into the line; it looks once more after this. False: the queue is closed.
    pub(super) fn enlist(self: &Arc<Self>, task: Arc<W>, previous: Option<&Arc<W>>) -> bool {
        self.tasks.enlist(task, previous);
        let heard = self.beds().bell(self.seat).rings();
        if !self.sleepers.arm_for_tasks(&self.beds()) {
            return false;
        }
        self.rouse(heard);
        self.tell();
        true
    }

    /// Makes sure that the thread sleeps on the bell.
    fn rouse(self: &Arc<Self>, heard: u32) {
        let mut caller = lock(&self.caller);
        if caller.runs {
            if caller.rests {
                (caller.rests, caller.heard) = (false, heard);
                self.call.notify_one();
            }
            return;
        }
        caller.heard = heard;
        let this = Arc::clone(self);
        // Without a thread the next to enlist tries again; others of this process's loops may run.
        caller.runs = threads::spawn("penstock-bell", move || this.run()).is_ok();
    }

    /// Takes a task out of the line; a wake that it has not used goes to the next.
    pub(super) fn leave_line(&self, task: &Arc<W>) {
        self.tasks.remove(task);
        self.left(false);
    }

    fn left(&self, is_counted: bool) {
        self.sleepers
            .leave(&self.beds(), is_counted, || self.tasks.is_armed());
        self.pass_on();
    }

    /// What the thread does.
    fn run(&self) {
        let mut heard = lock(&self.caller).heard;
        let mut nap = self.first_nap();
        let mut idle = Duration::ZERO;
        let bell = |seat| self.shared.beds(self.side).bell(seat).rings();
        loop {
            if lock(&self.caller).is_closed {
                self.tasks.notify_all();
                return;
            }
            let rings = bell(self.seat).wrapping_sub(heard);
            if rings != 0 {
                heard = heard.wrapping_add(rings);
                self.answer(rings);
                (nap, idle) = (self.first_nap(), Duration::ZERO);
                continue;
            }
            let beds = self.beds();
            if beds.bell(self.seat).wait(heard, Some(nap)) != Heard::Silence {
                continue;
            }
            idle += nap;
            nap = (nap * 2).min(LOOK_AROUND);
            if self.tasks.is_armed() {
                self.tell();
                idle = Duration::ZERO;
                if self.has_something() && self.tasks.notify(usize::MAX) {
                    nap = self.first_nap();
                }
            } else if idle >= LOOK_AROUND {
                heard = self.rest(heard);
                (nap, idle) = (self.first_nap(), Duration::ZERO);
            }
        }
    }

    const fn first_nap(&self) -> Duration {
        match self.side {
            Side::Items => LOOK_AROUND,
            Side::Room => NAP,
        }
    }

    /// Sleeps until a task waits: the rings that need no answer then.
    fn rest(&self, heard: u32) -> u32 {
        let mut caller = lock(&self.caller);
        // Whoever enlists sets the flag of the line first, and looks at this one with the lock held.
        caller.rests = true;
        if self.tasks.is_armed() {
            caller.rests = false;
            return heard;
        }
        while caller.rests && !caller.is_closed {
            caller = match self.call.wait(caller) {
                Ok(caller) => caller,
                Err(poisoned) => poisoned.into_inner(),
            };
        }
        caller.heard
    }

    /// The bell was rung so many times.
    fn answer(&self, rings: u32) {
        if self.side == Side::Room || self.shared.rare().shutdown() != Shutdown::Open {
            self.tasks.notify_all();
            self.sleepers.woke(&self.beds(), 0, self.tasks.is_armed());
            return;
        }
        let called = (0..rings.min(MOST_RINGS))
            .take_while(|_| self.tasks.notify(usize::MAX))
            .count();
        let others = self.sleepers.woke(&self.beds(), 0, self.tasks.is_armed());
        if called > 0 {
            return;
        }
        // The ring was for a thread of this process, or for somebody else.
        if !others || self.beds().bell(self.seat).nudge(1) == 0 {
            fence(Ordering::SeqCst);
            self.pass_on();
        }
    }

    /// The process leaves: whoever sleeps is woken, and finds the queue closed.
    pub(super) fn close(&self) {
        lock(&self.caller).is_closed = true;
        self.call.notify_all();
        self.sleepers.close(&self.beds());
        self.tasks.notify_all();
    }
}

/// What a sleeping thread needs of it.
trait Place: Send + Sync {
    fn arm(&self, is_counted: bool) -> Option<u32>;
    fn park(&self, heard: u32, deadline: Option<Instant>, nap: &mut Duration) -> Parked;
    fn leave(&self);
}

impl<W: Wake + Send + Sync + 'static> Place for Waiting<W> {
    fn arm(&self, is_counted: bool) -> Option<u32> {
        self.tell();
        self.sleepers.arm(&self.beds(), is_counted)
    }

    fn park(&self, heard: u32, deadline: Option<Instant>, nap: &mut Duration) -> Parked {
        let beds = self.beds();
        let left = deadline.map_or(*nap, |deadline| {
            (*nap).min(deadline.saturating_duration_since(Instant::now()))
        });
        match beds.bell(self.seat).wait(heard, Some(left)) {
            Heard::Rung => {
                self.sleepers.woke(&beds, 1, self.tasks.is_armed());
                return Parked::Woken;
            }
            Heard::Signal => return Parked::Interrupted,
            Heard::Silence => {}
        }
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Parked::Expired;
        }
        *nap = (*nap * 2).min(LOOK_AROUND);
        if self.has_something() {
            return Parked::Woken;
        }
        // Not back to sleep from here: a signal that came in beside the sleep is still to be seen.
        Parked::Rested
    }

    fn leave(&self) {
        self.left(true);
    }
}

/// A thread's place among the sleepers of one side; dropping it leaves, and passes on a wake that was
/// not used.
pub struct Sleeper {
    place: Arc<dyn Place>,
    heard: Option<u32>,
    is_counted: bool,
    nap: Duration,
    owner: Owner,
}

impl Sleeper {
    pub(super) fn new<W: Wake + Send + Sync + 'static>(waiting: &Arc<Waiting<W>>) -> Self {
        Self {
            nap: waiting.first_nap().min(GLANCE),
            place: Arc::<Waiting<W>>::clone(waiting),
            heard: None,
            is_counted: false,
            owner: Owner::current(),
        }
    }

    /// Says that the thread is about to sleep; it then looks once more, and parks if that was in vain.
    pub fn arm(&mut self) {
        if !self.owner.is_here() {
            return; // the place is the parent's
        }
        self.heard = self.place.arm(self.is_counted);
        self.is_counted |= self.heard.is_some();
    }

    /// Sleeps until woken, until `deadline`, or for a nap, of a second at most ([`Parked::Rested`]: look
    /// whether a signal came in, look again, arm again).
    pub fn park(&mut self, deadline: Option<Instant>) -> Parked {
        match self.heard {
            Some(heard) if self.owner.is_here() => self.place.park(heard, deadline, &mut self.nap),
            // The queue is closed, or the thread has not said that it sleeps: it is to look.
            _ => Parked::Woken,
        }
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        if self.is_counted && self.owner.is_here() {
            self.place.leave();
        }
    }
}

impl Counts {
    /// Counts what a call has done.
    pub(super) fn add(&self, called: Called) {
        if called.calls > 0 {
            self.wakes.fetch_add(called.woken.into(), Ordering::Relaxed);
            self.system_calls
                .fetch_add(called.calls.into(), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ring::Woken,
        shm::queue::{Queue, Settings},
    };

    struct Nobody;

    impl Wake for Nobody {
        fn wake(&self) -> Woken {
            Woken::Gone
        }
    }

    #[test]
    fn whoever_waits_for_room_is_heard_after_each_nap() {
        let settings = Settings {
            max_items: Some(1),
            ..Settings::new(1 << 16)
        };
        let queue: Arc<Queue<Nobody>> = Queue::create(settings).unwrap();
        queue
            .send(&super::super::Item {
                code: 0,
                stream: b"x"[..].into(),
                buffers: &[],
            })
            .unwrap();
        let mut sleeper = queue.sleeper(Side::Room).unwrap();
        // A signal that comes in between two naps is seen by the caller or by nobody.
        for nap in [NAP, NAP * 2, NAP * 4] {
            assert_eq!(sleeper.nap, nap);
            sleeper.arm();
            assert_eq!(sleeper.park(None), Parked::Rested);
        }
        sleeper.arm();
        queue.shutdown(false).unwrap();
        assert_eq!(sleeper.park(None), Parked::Woken);
    }
}

//! The thread that sees other processes die: one in each process that has a queue with others.
//!
//! It sleeps on their pidfds, so a death is noticed at once, whatever else this process does. It is told
//! of newcomers by whoever is about to sleep on a queue ([`Sentinel::tell`]); a process that only polls has none, and
//! looks by itself ([`super::lookout`]). It hands the segment of a queue with a
//! name to those who come to its door; where there are no pidfds, and
//! while seats of the dead wait to be emptied, it looks around once a second. It ends with the last queue.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd, RawFd},
    sync::Weak,
};

use super::{seated::Seated, sleepers::LOOK_AROUND, threads};
use crate::{
    eventfd::EventFd,
    fork::PerProcess,
    hub::Bell,
    sync::{Arc, Mutex, Ordering, lock},
};

static HERE: PerProcess<Sentinel> = PerProcess::new();

/// See the module's head.
pub(super) struct Sentinel {
    state: Mutex<Queues>,
}

struct Queues {
    queues: Vec<Weak<Seated>>,
    /// What it is told by, while the thread runs.
    call: Option<Arc<EventFd>>,
}

impl Sentinel {
    /// Has the door of a queue with a name answered, from now on.
    pub(super) fn attend(seated: &Arc<Seated>) -> io::Result<()> {
        let has_door = lock(&seated.door).is_some();
        if has_door {
            Self::here().add(seated)?;
        }
        Ok(())
    }

    /// Has a queue looked after in any case: something is held for others, until one of them takes it.
    pub(super) fn look_after(seated: &Arc<Seated>) {
        // Without a thread it is left to the next look of a poll.
        let _ = Self::here().add(seated);
    }

    /// Has a queue's other processes watched, as they are now. Cheap if nobody has come or gone.
    pub(super) fn tell(seated: &Arc<Seated>) {
        let who = seated.shared().who();
        if seated.known.load(Ordering::Relaxed) == who {
            return;
        }
        // Without a thread or a descriptor it is left to the next to sleep.
        if Self::here().add(seated).is_ok() {
            seated.known.store(who, Ordering::Relaxed);
        }
    }

    fn here() -> &'static Arc<Self> {
        HERE.get_or_make(|| {
            Arc::new(Self {
                state: Mutex::new(Queues {
                    queues: Vec::new(),
                    call: None,
                }),
            })
        })
    }

    fn add(self: &Arc<Self>, seated: &Arc<Seated>) -> io::Result<()> {
        let mut state = lock(&self.state);
        let is_in = |queue: &Weak<Seated>| std::ptr::eq(queue.as_ptr(), Arc::as_ptr(seated));
        if !state.queues.iter().any(is_in) {
            state.queues.push(Arc::downgrade(seated));
        }
        if let Some(call) = &state.call {
            call.ring();
            return Ok(());
        }
        let call = Arc::new(EventFd::new()?);
        let theirs = Arc::clone(&call);
        let this = Arc::clone(self);
        threads::spawn("penstock-shared", move || this.run(&theirs))?;
        state.call = Some(call);
        Ok(())
    }

    /// One of this process's queues is closed: the thread may end.
    pub(super) fn look() {
        if let Some(here) = HERE.get()
            && let Some(call) = &lock(&here.state).call
        {
            call.ring();
        }
    }

    fn run(&self, call: &EventFd) {
        while let Some((watched, look_again)) = self.look_around() {
            let doors = self.answer();
            // One that cannot be answered now is looked at with the rest.
            let look_again = look_again || doors.is_err();
            let doors = doors.unwrap_or_default();
            wait(call.as_raw_fd(), &watched, &doors, look_again);
            call.clear();
        }
    }

    /// Hands the segments of queues with a name to those who have asked for them: the doors to watch.
    fn answer(&self) -> io::Result<Vec<RawFd>> {
        let queues: Vec<_> = {
            let state = lock(&self.state);
            state.queues.iter().filter_map(Weak::upgrade).collect()
        };
        let mut doors = Vec::new();
        for seated in &queues {
            if let Some(door) = &*lock(&seated.door) {
                door.answer(seated.shared().segment.fd())?;
                doors.extend(door.fd().map(|fd| fd.as_raw_fd()));
            }
        }
        Ok(doors)
    }

    /// Buries the dead and watches the rest. `None`: no queue is left; otherwise whom to sleep on, and whether to
    /// look again soon.
    fn look_around(&self) -> Option<(Vec<Arc<OwnedFd>>, bool)> {
        let queues: Vec<_> = {
            let mut state = lock(&self.state);
            state.queues.retain(|queue| queue.strong_count() > 0);
            if state.queues.is_empty() {
                state.call = None;
                return None;
            }
            state.queues.iter().filter_map(Weak::upgrade).collect()
        };
        let (mut watched, mut look_again) = (Vec::new(), false);
        for seated in queues {
            look_again |= seated.lookout.look(&seated).look_again;
            watched.append(&mut seated.lookout.descriptors());
        }
        Some((watched, look_again))
    }
}

fn wait(call: RawFd, watched: &[Arc<OwnedFd>], doors: &[RawFd], look_again: bool) {
    let fds = watched.iter().map(|fd| fd.as_raw_fd());
    let mut entries: Vec<_> = std::iter::once(call)
        .chain(doors.iter().copied())
        .chain(fds)
        .map(|fd| libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        })
        .collect();
    let time = if look_again {
        LOOK_AROUND.as_millis() as i32
    } else {
        -1
    };
    // SAFETY: as many entries, which outlive the call.
    unsafe { libc::poll(entries.as_mut_ptr(), entries.len() as libc::nfds_t, time) };
}

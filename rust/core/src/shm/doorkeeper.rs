//! Who answers at the doors of this process: one thread for all of them, while there are any.
//!
//! Guarantee: a door that is open is answered until it is closed, however many come and go. The
//! thread holds a descriptor of the segment and nothing else of it, so it keeps nobody's memory
//! mapped, and no seat taken. A forked child has none of its parent's doors, and no thread.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    sync::Condvar,
    time::Duration,
};

use super::{
    door::{Door, DoorError, SEATS},
    queue::threads,
};
use crate::{
    eventfd::EventFd,
    fork::PerProcess,
    hub::Bell,
    sync::{Arc, Mutex, lock},
};

/// For how long whoever closes a door waits for the thread.
const PATIENCE: Duration = Duration::from_secs(1);

/// What stands behind one door.
struct Entry {
    door: Door,
    segment: OwnedFd,
}

#[derive(Default)]
struct Open {
    entries: Vec<Arc<Entry>>,
    /// Rung when the entries have changed; while the thread runs.
    bell: Option<Arc<EventFd>>,
    /// Changes so far, and how many of them the thread has seen.
    changes: u64,
    seen: u64,
}

#[derive(Default)]
struct Keeper {
    open: Mutex<Open>,
    /// Notified when the thread has seen a change.
    saw: Condvar,
}

static KEEPER: PerProcess<Keeper> = PerProcess::new();

/// A door that is open as long as this lives.
pub struct Attended {
    entry: Option<Arc<Entry>>,
}

/// Which of a segment's doors this process may open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// The first: the name is new, and whoever has it already is in the way.
    New,
    /// Any that is free.
    Further,
}

impl Attended {
    /// Opens a door under `name` in front of the segment whose header has `id`.
    pub fn open(
        name: &str,
        claim: Claim,
        id: u128,
        segment: BorrowedFd<'_>,
    ) -> Result<Self, DoorError> {
        let segment = segment.try_clone_to_owned()?;
        let door = match claim {
            Claim::New => Door::open(name, 0, id)?,
            // The first one last: it says that a name is new to whoever finds it free.
            Claim::Further => (1..SEATS)
                .chain([0])
                .map(|seat| Door::open(name, seat, id))
                .find(|door| !matches!(door, Err(DoorError::Taken { .. })))
                .unwrap_or_else(|| Err(io::Error::from(io::ErrorKind::AddrInUse).into()))?,
        };
        let entry = Arc::new(Entry { door, segment });
        let keeper = KEEPER.get_or_make(Arc::default);
        let mut open = lock(&keeper.open);
        if let Some(bell) = &open.bell {
            bell.ring();
        } else {
            let bell = Arc::new(EventFd::new()?);
            open.bell = Some(Arc::clone(&bell));
            let started = threads::spawn("penstock-door", move || attend(keeper, &bell));
            started.inspect_err(|_| open.bell = None)?;
        }
        open.entries.push(Arc::clone(&entry));
        Ok(Self { entry: Some(entry) })
    }
}

impl Drop for Attended {
    fn drop(&mut self) {
        let (Some(entry), Some(keeper)) = (self.entry.take(), KEEPER.get()) else {
            return; // A forked child: the door is its parent's.
        };
        let mut open = lock(&keeper.open);
        open.entries.retain(|other| !Arc::ptr_eq(other, &entry));
        drop(entry);
        open.changes += 1;
        let change = open.changes;
        if let Some(bell) = &open.bell {
            bell.ring();
        }
        // The address is free once the thread has let go of the door, too; it never waits for anybody.
        let waits = |open: &mut Open| open.bell.is_some() && open.seen < change;
        let _ = keeper.saw.wait_timeout_while(open, PATIENCE, waits);
    }
}

/// What the thread does.
fn attend(keeper: &Keeper, bell: &EventFd) {
    let mut is_short = false;
    loop {
        bell.clear();
        let entries = {
            let mut open = lock(&keeper.open);
            open.seen = open.changes;
            if open.entries.is_empty() {
                open.bell = None;
            }
            keeper.saw.notify_all();
            if open.bell.is_none() {
                return;
            }
            open.entries.clone()
        };
        is_short = wait(bell, &entries, is_short);
    }
}

/// Answers whoever knocks until the bell rings; true if there was no descriptor for somebody.
fn wait(bell: &EventFd, entries: &[Arc<Entry>], is_short: bool) -> bool {
    // Whoever could not be answered still waits, and a poll of that door would return at once.
    let (polled, time) = if is_short {
        (0, 100)
    } else {
        (entries.len(), -1)
    };
    let fd = |entry: &Arc<Entry>| entry.door.fd().map_or(-1, |fd| fd.as_raw_fd());
    let mut fds: Vec<_> = std::iter::once(bell.as_raw_fd())
        .chain(entries[..polled].iter().map(fd))
        .map(|fd| libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        })
        .collect();
    // SAFETY: that many entries, which outlive the call.
    unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, time) };
    let knocked = entries.iter().zip(&fds[1..]);
    let mut answers = knocked
        .filter(|(_, polled)| polled.revents != 0)
        .map(|(entry, _)| entry.door.answer(entry.segment.as_fd()));
    answers.any(|answer| answer.is_err())
}

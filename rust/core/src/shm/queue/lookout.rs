//! How one process sees the others of a queue die: by their pidfds, which the sentinel sleeps on, and which whoever
//! only polls looks at by itself, now and then.

use std::os::fd::OwnedFd;

use super::{
    burial, process,
    process::Watch,
    seated::Seated,
    seats::{State, Word},
};
use crate::{
    clock,
    sync::{Arc, AtomicU64, Mutex, MutexGuard, Ordering, lock},
};

/// The least time between two looks of those who poll, in nanoseconds: a look is a system call, and a poll in
/// vain is none.
const PAUSE: u64 = 10_000_000;

/// One process that is watched.
struct Watched {
    seat: usize,
    word: Word,
    watch: Watch,
}

/// See the module's head.
#[derive(Default)]
pub(super) struct Lookout {
    watched: Mutex<Vec<Watched>>,
    /// When those who poll may look again, in nanoseconds of the monotonic clock. Swapped (Relaxed) by who does.
    next: AtomicU64,
}

/// What a look has found.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen {
    /// Something is left for another look, soon.
    pub(super) look_again: bool,
    /// Somebody had died.
    pub(super) death: bool,
}

impl Lookout {
    /// Whether who polls may look now; true for one of several threads.
    pub(super) fn is_due(&self) -> bool {
        let now = clock::monotonic();
        let next = self.next.load(Ordering::Relaxed);
        now >= next
            && self
                .next
                .compare_exchange(next, now + PAUSE, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// Buries the dead, and watches the rest.
    pub(super) fn look(&self, seated: &Seated) -> Seen {
        Self::look_at(lock(&self.watched), seated)
    }

    /// As [`Lookout::look`], unless another thread is at it.
    pub(super) fn try_look(&self, seated: &Seated) -> Seen {
        let watched = self.watched.try_lock();
        watched.map_or_else(
            |_| Seen::default(),
            |watched| Self::look_at(watched, seated),
        )
    }

    fn look_at(mut watched: MutexGuard<'_, Vec<Watched>>, seated: &Seated) -> Seen {
        let mut seen = Seen::default();
        let shared = seated.shared();
        seated.leases.settle(shared);
        let seats = shared.seats();
        watched.retain(|it| seats[it.seat].word() == it.word);
        let ended = process::ended(watched.iter().map(|it| &it.watch));
        let mut known: Vec<_> = watched
            .iter()
            .map(|it| (it.seat, it.word))
            .zip(ended)
            .collect();
        for (seat, words) in seats.iter().enumerate() {
            let word = words.word();
            if seat == seated.seat() || word.state() == State::Free {
                continue;
            }
            if word.state() == State::Dead {
                seen.look_again |= !burial::clear(seated, seat, word);
                continue;
            }
            let place = known.iter().position(|(it, _)| *it == (seat, word));
            let is_gone = match place.map(|place| known.swap_remove(place).1) {
                Some(Some(has_ended)) => has_ended,
                Some(None) => process::is_gone_by_looks(word.pid(), burial::same(words, word)),
                None => match burial::watch(shared, seat) {
                    Some((_, Watch::Gone)) => true,
                    Some((word, watch)) => {
                        watched.push(Watched { seat, word, watch });
                        false
                    }
                    None => false,
                },
            };
            if is_gone {
                seen.death = true;
                burial::bury(seated, seat, word);
                seen.look_again |= words.word().state() == State::Dead;
            }
        }
        seen.look_again |= seated.leases.holds_returned()
            || watched
                .iter()
                .any(|it| matches!(it.watch, Watch::Looks) || it.word.state() == State::Joining);
        seen
    }

    /// What becomes readable when one of those who are watched ends.
    pub(super) fn descriptors(&self) -> Vec<Arc<OwnedFd>> {
        let watched = lock(&self.watched);
        let descriptors = watched.iter().filter_map(|it| match &it.watch {
            Watch::Descriptor(fd) => Some(Arc::clone(fd)),
            _ => None,
        });
        descriptors.collect()
    }
}

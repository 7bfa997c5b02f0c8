//! What survivors do for a dead process: any of them, any number of them at once, each from the beginning.
//!
//! Its seat is laid down by one swap. Its bits are cleared: nobody waits there, and it looks at no slab. Items that
//! it had under a lease come back. Its lane stays, and takers empty it; nobody places anything in its arena
//! until then. When nothing is left, the pages go, and one swap makes the seat free.

use super::{
    handle::Side,
    leases, process,
    seated::{Seated, is_last, participant},
    seats::{self, Process, Seat, State, Word},
    shared::{LAST_SEAT, Shared},
    sleepers::{self, Beds, SEATS},
};
use crate::{
    shm::slab::OWNER,
    sync::{Ordering, lock},
};

/// Begins to watch who sits in a seat; `None`: nobody does.
pub(super) fn watch(shared: &Shared, number: usize) -> Option<(Word, process::Watch)> {
    let seat = &shared.seats()[number];
    let word = seat.word();
    word.is_taken()
        .then(|| (word, process::watch(word.pid(), same(seat, word))))
}

/// Whether who sat in a seat has died, and nobody has buried it yet.
pub(super) fn is_gone(shared: &Shared, number: usize) -> bool {
    matches!(watch(shared, number), Some((_, process::Watch::Gone)))
}

/// Whether a process that began at some moment is the one that sits there.
pub(super) fn same(seat: &Seat, word: Word) -> impl Fn(u64) -> bool {
    // While it joins, only the end of its start time is known.
    let said = (word.state() == State::Alive).then(|| seat.started());
    move |started| word.may_be(started) && said.is_none_or(|said| said == started || said == 0)
}

/// Lays a dead process down, and clears what it has left. True if this was the first to notice.
pub(super) fn bury(seated: &Seated, number: usize, word: Word) -> bool {
    let shared = seated.shared();
    let Some((dead, first)) = seats::lay_down(&shared.seats()[number], word) else {
        return false;
    };
    clear(seated, number, dead);
    if first {
        seated.burials.fetch_add(1, Ordering::Relaxed);
        // It may have died with a wake in its hands, or have left something that others wait for.
        for side in [Side::Items, Side::Room] {
            sleepers::alarm(&shared.beds(side), shared.taken_seats());
        }
    }
    first
}

/// Clears what is left of a dead process, and frees its seat if that is all. True if it is free.
pub(super) fn clear(seated: &Seated, number: usize, dead: Word) -> bool {
    let shared = seated.shared();
    let _one = lock(&seated.burying);
    if is_last(number) {
        return seats::free(&shared.seats()[number], dead);
    }
    seats::clear(shared.seats(), seated.seat(), number, dead, || {
        let pin = |kind: u16, content: &[u8]| seated.pin_all(kind, content);
        // First: whoever takes an item over holds its slabs before the dead one's hold on them ends.
        seated.leases.inherit(shared, number, &pin);
        clear_bits(shared, number);
    }) && free_if_clean(shared, number, dead)
}

fn clear_bits(shared: &Shared, number: usize) {
    for side in [Side::Items, Side::Room] {
        let beds = shared.beds(side);
        beds.sleepers().fetch_and(!(1 << number), Ordering::AcqRel);
    }
    for arena in &shared.arenas {
        arena.bury(participant(number));
    }
    // Nothing is placed in that arena before the seat is free, and that waits for the lane.
    shared.arenas[number].bury(OWNER);
    if is_empty(shared, number) {
        shared.give_pages_back(number);
    }
}

/// Whether nothing of what a process has sent is in use.
pub(super) fn is_empty(shared: &Shared, number: usize) -> bool {
    shared.feeds[number].is_empty() == Ok(true) && !shared.arenas[number].is_held()
}

/// Frees a dead process's seat if nothing is left of it; clears nothing.
pub(super) fn free_if_clean(shared: &Shared, number: usize, dead: Word) -> bool {
    let bit = 1 << number;
    let is_clean = is_empty(shared, number)
        && !shared
            .arenas
            .iter()
            .any(|arena| arena.is_held_by(participant(number)))
        && !leases::names(shared, number)
        && [Side::Items, Side::Room]
            .iter()
            .all(|side| shared.beds(*side).sleepers().load(Ordering::Acquire) & bit == 0);
    is_clean && seats::free(&shared.seats()[number], dead)
}

/// No seat is free: clears those of the dead, from the one seat that is kept for that.
pub(super) fn make_room(shared: &Shared, process: Process) {
    let seats = shared.seats();
    let last = &seats[LAST_SEAT];
    if let Some((word, process::Watch::Gone)) = watch(shared, LAST_SEAT)
        && let Some((dead, _)) = seats::lay_down(last, word)
    {
        seats::free(last, dead);
    }
    let Some((_, mine)) = seats::take(seats, LAST_SEAT..SEATS + 1, process) else {
        return; // somebody else is at it
    };
    for (number, seat) in seats[..SEATS].iter().enumerate() {
        let dead = match watch(shared, number) {
            Some((word, process::Watch::Gone)) => seats::lay_down(seat, word).map(|(dead, _)| dead),
            Some(_) => None,
            None => Some(seat.word()).filter(|word| word.state() == State::Dead),
        };
        // Items under a lease can be brought back only by who takes part.
        if let Some(dead) = dead.filter(|_| !leases::names(shared, number)) {
            seats::clear(seats, LAST_SEAT, number, dead, || {
                clear_bits(shared, number)
            });
            free_if_clean(shared, number, dead);
        }
    }
    seats::give_back(last, mine);
}

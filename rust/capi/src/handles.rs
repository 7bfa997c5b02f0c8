//! Handles: numbers that look like pointers and are never followed as such.
//!
//! Each is a place in a table of this process and the place's generation, so one that was closed, or never
//! given out, is recognised. Who uses a handle counts itself in, by the word that says whether it is open;
//! who closes one turns that word, and the last to leave drops what was behind. Nobody waits for
//! anybody: also not in a forked child, where those who were counted in no longer exist. There the memory
//! stays until the process ends.
//!
//! Guarantee: lock-free; entering is one compare-and-swap.

use std::{
    cell::UnsafeCell,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use penstock_core::{
    ring::{Wake, Woken},
    shm::queue::Queue,
};

use crate::{code::Code, failure::Failure, receive::Kept};

/// What C sees of a handle.
#[repr(C)]
pub struct Opaque {
    _nothing: [u8; 0],
}

/// Handles that a process may have open at a time.
const PLACES: usize = 1024;

/// C programs have threads, and no tasks.
pub(crate) enum NoTask {}

impl Wake for NoTask {
    fn wake(&self) -> Woken {
        match *self {}
    }
}

/// What a handle stands for.
pub(crate) struct Handle {
    pub(crate) queue: Arc<Queue<NoTask>>,
    /// What the queue is called in messages.
    pub(crate) label: String,
    pub(crate) kept: Kept,
}

/// `generation 32 | phase 2 | users 30`. FREE → OPENING by who opens, → OPEN with the handle in place,
/// → CLOSING by who closes, → FREE with the next generation by the last user. Users come in while it is
/// OPEN only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State(u64);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Free = 0,
    Opening = 1,
    Open = 2,
    Closing = 3,
}

impl State {
    const PHASE: u32 = 30;
    const USERS: u64 = (1 << Self::PHASE) - 1;

    const fn new(generation: u32, phase: Phase) -> Self {
        Self((generation as u64) << 32 | (phase as u64) << Self::PHASE)
    }

    const fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }

    const fn is(self, phase: Phase) -> bool {
        self.0 >> Self::PHASE & 3 == phase as u64
    }

    const fn users(self) -> u64 {
        self.0 & Self::USERS
    }
}

struct Place {
    /// A [`State`]: swapped by all, as it says.
    state: AtomicU64,
    /// Written while OPENING and taken out by the last user while CLOSING, each alone with it; shared
    /// by users in between.
    handle: UnsafeCell<Option<Handle>>,
    /// The longest record, written (Relaxed) while OPENING, read by whoever has seen OPEN.
    largest: AtomicUsize,
}

// SAFETY: `handle` is reached as its comment says, and a `Handle` is `Send + Sync`.
unsafe impl Sync for Place {}
const _: fn() = || {
    const fn is_shared<T: Send + Sync>() {}
    is_shared::<Handle>();
};

static TABLE: [Place; PLACES] = [const {
    Place {
        // No handle has generation 0, so small numbers are none.
        state: AtomicU64::new(State::new(1, Phase::Free).0),
        handle: UnsafeCell::new(None),
        largest: AtomicUsize::new(0),
    }
}; PLACES];

/// A place and its generation, as a number that is odd, so that no pointer to anything is taken for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Number {
    place: usize,
    generation: u32,
}

impl Number {
    const PLACE: u32 = PLACES.ilog2();

    fn of(handle: *const Opaque) -> Option<Self> {
        let number = handle.addr();
        let generation = number >> (Self::PLACE + 1);
        if number & 1 == 0 || generation == 0 {
            return None;
        }
        Some(Self {
            place: number >> 1 & (PLACES - 1),
            generation: u32::try_from(generation).ok()?,
        })
    }

    fn handle(self) -> *mut Opaque {
        let generation = (self.generation as usize) << (Self::PLACE + 1);
        std::ptr::without_provenance_mut(generation | self.place << 1 | 1)
    }
}

/// Somebody in the middle of a call.
pub(crate) struct User(&'static Place);

impl Deref for User {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        // SAFETY: there while anybody is counted in.
        let handle = unsafe { &*self.0.handle.get() };
        handle.as_ref().expect("a place in use has its handle")
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let state = State(self.0.state.fetch_sub(1, Ordering::AcqRel));
        if state.is(Phase::Closing) && state.users() == 1 {
            // SAFETY: the last user of a place that lets nobody in.
            drop(unsafe { (*self.0.handle.get()).take() });
            let next = state.generation().wrapping_add(1).max(1);
            let free = State::new(next, Phase::Free);
            self.0.state.store(free.0, Ordering::Release);
        }
    }
}

/// Gives a handle out.
pub(crate) fn open(handle: Handle) -> Result<*mut Opaque, Failure> {
    let taken = TABLE.iter().enumerate().find_map(|(index, place)| {
        let state = State(place.state.load(Ordering::Relaxed));
        let opening = State::new(state.generation(), Phase::Opening);
        let is_mine = state.is(Phase::Free)
            && place
                .state
                .compare_exchange(state.0, opening.0, Ordering::Acquire, Ordering::Relaxed)
                .is_ok();
        is_mine.then_some((index, place, state.generation()))
    });
    let Some((index, place, generation)) = taken else {
        let text = format!(
            "{}: this process has {PLACES} handles open; close those that are not used",
            handle.label
        );
        return Err(Failure::new(Code::Crowded, text));
    };
    let largest = handle.queue.settings().max_bytes;
    place.largest.store(largest, Ordering::Relaxed);
    // SAFETY: alone with the place, by the swap above.
    unsafe { *place.handle.get() = Some(handle) };
    let open = State::new(generation, Phase::Open);
    place.state.store(open.0, Ordering::Release);
    let place = index;
    Ok(Number { place, generation }.handle())
}

fn find(handle: *const Opaque) -> Result<(&'static Place, u32), Failure> {
    let number = Number::of(handle).ok_or(Code::BadHandle)?;
    Ok((&TABLE[number.place], number.generation))
}

#[cold]
fn refusal(state: State, generation: u32) -> Failure {
    if state.generation() == generation && state.is(Phase::Closing)
        || state.generation().wrapping_sub(generation) as i32 > 0
    {
        Code::Closed.into()
    } else {
        Code::BadHandle.into()
    }
}

/// Counts the caller in.
#[inline]
pub(crate) fn enter(handle: *const Opaque) -> Result<User, Failure> {
    let (place, generation) = find(handle)?;
    let mut state = State(place.state.load(Ordering::Relaxed));
    loop {
        if state.generation() != generation || !state.is(Phase::Open) {
            return Err(refusal(state, generation));
        }
        match place.state.compare_exchange_weak(
            state.0,
            state.0 + 1,
            Ordering::Acquire,
            Ordering::Relaxed,
        ) {
            Ok(_) => return Ok(User(place)),
            Err(seen) => state = State(seen),
        }
    }
}

/// The longest record that the queue of an open handle takes.
#[inline]
pub(crate) fn largest(handle: *const Opaque) -> Result<usize, Failure> {
    let (place, generation) = find(handle)?;
    let state = State(place.state.load(Ordering::Acquire));
    if state.generation() != generation || !state.is(Phase::Open) {
        return Err(refusal(state, generation));
    }
    Ok(place.largest.load(Ordering::Relaxed))
}

/// Closes a handle; those who are in the middle of a call come out with [`Code::Closed`].
pub(crate) fn close(handle: *const Opaque) -> Result<(), Failure> {
    let user = enter(handle)?;
    let mut state = State(user.0.state.load(Ordering::Relaxed));
    loop {
        if !state.is(Phase::Open) {
            return Err(Code::Closed.into());
        }
        let closing = State::new(state.generation(), Phase::Closing).0 | state.users();
        match user.0.state.compare_exchange_weak(
            state.0,
            closing,
            Ordering::Relaxed,
            Ordering::Relaxed,
        ) {
            Ok(_) => break,
            Err(seen) => state = State(seen),
        }
    }
    user.queue.close();
    Ok(())
}

/// What of the queue's refusals is said to whoever uses the handle.
impl Handle {
    pub(crate) fn failure(&self, error: &penstock_core::shm::queue::QueueError) -> Failure {
        Failure::of(&self.label, error)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::AtomicBool,
        thread::{scope, yield_now},
    };

    use penstock_core::shm::queue::Settings;

    use super::*;

    fn handle() -> Handle {
        Handle {
            queue: Queue::create(Settings::new(1 << 16)).unwrap(),
            label: "queue 'test'".into(),
            kept: Kept::new(),
        }
    }

    fn code<T>(result: Result<T, Failure>) -> Code {
        result.map_or_else(|failure| failure.code(), |_| Code::Ok)
    }

    #[test]
    fn what_was_never_given_out_is_no_handle() {
        let word = 0_u64;
        let second_place = 3;
        for wild in [0, 1, 2, second_place, 4096, usize::MAX, usize::MAX - 1] {
            let wild = std::ptr::without_provenance(wild);
            assert_eq!(code(enter(wild)), Code::BadHandle, "{wild:?}");
            assert_eq!(code(largest(wild)), Code::BadHandle);
            assert_eq!(code(close(wild)), Code::BadHandle);
        }
        assert_eq!(code(enter((&raw const word).cast())), Code::BadHandle);
    }

    #[test]
    fn a_closed_handle_stays_closed_when_its_place_is_used_again() {
        let first = open(handle()).unwrap();
        assert_eq!(largest(first).ok(), Some(1 << 16));
        assert_eq!(code(close(first)), Code::Ok);
        assert_eq!(code(close(first)), Code::Closed);
        // Other tests use the table, too: this many cannot miss the place.
        let again: Vec<_> = (0..64).map(|_| open(handle()).unwrap()).collect();
        assert!(!again.contains(&first));
        assert_eq!(code(enter(first)), Code::Closed);
        assert_eq!(code(largest(first)), Code::Closed);
        for handle in again {
            assert_eq!(code(close(handle)), Code::Ok);
        }
    }

    #[test]
    fn the_last_to_leave_drops_the_queue() {
        let made = handle();
        let queue = Arc::downgrade(&made.queue);
        let opened = open(made).unwrap();
        let inside = enter(opened).unwrap();
        assert_eq!(code(close(opened)), Code::Ok);
        assert_eq!(code(enter(opened)), Code::Closed);
        assert!(inside.queue.is_closed());
        drop(inside);
        assert!(queue.upgrade().is_none());
    }

    #[test]
    fn threads_that_use_and_close_one_handle_never_see_another_queue() {
        for _ in 0..200 {
            let opened = open(handle()).unwrap().addr();
            let at = move || std::ptr::without_provenance::<Opaque>(opened);
            let start = AtomicBool::new(false);
            let wait = || {
                while !start.load(Ordering::Relaxed) {
                    yield_now()
                }
            };
            let closes = scope(|scope| {
                let users = [(); 2].map(|()| {
                    scope.spawn(|| {
                        wait();
                        while let Ok(user) = enter(at()) {
                            assert_eq!(user.label, "queue 'test'");
                        }
                    })
                });
                let closers = [(); 2].map(|()| {
                    scope.spawn(|| {
                        wait();
                        close(at()).is_ok()
                    })
                });
                start.store(true, Ordering::Relaxed);
                for user in users {
                    user.join().unwrap();
                }
                closers.map(|closer| closer.join().unwrap())
            });
            assert_eq!(closes.into_iter().filter(|&is_mine| is_mine).count(), 1);
            assert_eq!(code(enter(at())), Code::Closed);
        }
    }

    #[test]
    fn there_is_an_end_to_handles() {
        let number = Number {
            place: PLACES - 1,
            generation: u32::MAX,
        };
        assert_eq!(Number::of(number.handle()), Some(number));
    }
}

//! Who receives the calls of each stub.
//!
//! Guarantee: a call enters and leaves in two atomic additions and a load; it never waits for who opens or
//! closes. A receiver is dropped when it was taken off and nobody is inside any more, by whoever opens,
//! closes or drops a slot next: nobody waits for that.
//!
//! A library may call a stub that was closed long ago. So a slot is used again as late as can be: first
//! those that never were, then the one that was closed first. Until then what arrives there is answered
//! with what the last receiver wanted answered, and counted. A slot whose one call is still to come, as
//! nobody waited for it to the end, is used again only when it came, or when there is no other.
//!
//! Orders. A call counts itself in and then reads the receiver; a close takes the receiver off and then
//! reads the count. Both are SeqCst, so either the call finds no receiver, or the count says that it
//! may still have one.

use std::{
    collections::VecDeque,
    ptr,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering},
    },
};

use super::{shape::Arguments, stubs};
use crate::fork_gate::Guarded;

/// How many callbacks can be open at once.
pub const STUBS: usize = 4096;

/// What receives the calls of a stub.
pub trait Receive: Send + Sync {
    /// Takes a call in, and says what it is answered.
    ///
    /// # Safety
    /// `arguments` are those of a call of the receiver's shape that has not returned.
    unsafe fn receive(&self, arguments: &Arguments) -> u64;
}

type Receiver = Arc<dyn Receive>;

struct Entry {
    /// Null, or a box that is leaked until it is retired. Set by `open`, taken by `close`, read by calls.
    receiver: AtomicPtr<Receiver>,
    /// Calls that may have the receiver.
    inside: AtomicUsize,
    /// The answer to calls without a receiver. Written by `open`, read by calls.
    answer: AtomicU64,
    /// Calls without a receiver since the slot was opened.
    late: AtomicU64,
    /// Whether one such call is to be expected. Written and read by the slot's owner.
    is_awaited: AtomicBool,
}

/// Calls without a receiver, of all slots.
static LATE: AtomicU64 = AtomicU64::new(0);

static TABLE: [Entry; STUBS] = [const {
    Entry {
        receiver: AtomicPtr::new(ptr::null_mut()),
        inside: AtomicUsize::new(0),
        answer: AtomicU64::new(0),
        late: AtomicU64::new(0),
        is_awaited: AtomicBool::new(false),
    }
}; STUBS];

struct Unused {
    /// How many have been opened so far.
    begun: usize,
    /// Those that were closed, in that order.
    closed: VecDeque<usize>,
    /// Those that were closed and await a call.
    awaited: VecDeque<usize>,
    /// Receivers that were taken off while somebody was inside.
    retired: Vec<(usize, Box<Receiver>)>,
}

static UNUSED: LazyLock<Guarded<Unused>> = LazyLock::new(|| {
    Guarded::new(Unused {
        begun: 0,
        closed: VecDeque::new(),
        awaited: VecDeque::new(),
        retired: Vec::new(),
    })
});

impl Unused {
    /// The receivers that nobody is inside of any more; to be dropped outside of the lock.
    fn deserted(&mut self) -> Vec<Receiver> {
        let is_deserted = |one: &mut (usize, _)| TABLE[one.0].inside.load(Ordering::SeqCst) == 0;
        let gone = self.retired.extract_if(.., is_deserted);
        gone.map(|(_, receiver)| *receiver).collect()
    }

    /// A slot that nobody is inside of. One in which somebody still is waits for its next turn.
    fn next(&mut self) -> Option<usize> {
        if self.begun < STUBS {
            self.begun += 1;
            return Some(self.begun - 1);
        }
        let is_deserted = |nth: &usize| TABLE[*nth].inside.load(Ordering::SeqCst) == 0;
        let has_come = |nth: &usize| TABLE[*nth].late.load(Ordering::Relaxed) > 0;
        let mut take = |from: fn(&mut Self) -> &mut VecDeque<usize>,
                        only: &dyn Fn(&usize) -> bool| {
            let from = from(self);
            let place = from.iter().position(|nth| is_deserted(nth) && only(nth))?;
            from.remove(place)
        };
        take(|all| &mut all.closed, &|_| true)
            .or_else(|| take(|all| &mut all.awaited, &has_come))
            .or_else(|| take(|all| &mut all.awaited, &|_| true))
    }
}

/// A stub that is open, or was: its address can be called for ever.
#[derive(Debug)]
pub struct Slot {
    nth: usize,
}

impl Slot {
    /// Lets `receiver` have the calls of a stub; `answer` is for those that come after the close. `None` when
    /// all are in use.
    #[must_use]
    pub fn open(receiver: Receiver, answer: u64) -> Option<Self> {
        let (nth, gone) = {
            let mut unused = UNUSED.lock();
            let gone = unused.deserted();
            (unused.next(), gone)
        };
        drop(gone);
        let entry = &TABLE[nth?];
        entry.answer.store(answer, Ordering::Relaxed);
        entry.late.store(0, Ordering::Relaxed);
        entry.is_awaited.store(false, Ordering::Relaxed);
        let receiver = Box::into_raw(Box::new(receiver));
        entry.receiver.store(receiver, Ordering::SeqCst);
        nth.map(|nth| Self { nth })
    }

    /// What is handed to C.
    #[must_use]
    pub fn address(&self) -> usize {
        stubs::address(self.nth)
    }

    /// How many calls came after the close.
    #[must_use]
    pub fn late(&self) -> u64 {
        TABLE[self.nth].late.load(Ordering::Relaxed)
    }

    /// How many calls came after the close, to all slots that ever were.
    #[must_use]
    pub fn all_late() -> u64 {
        LATE.load(Ordering::Relaxed)
    }

    /// Says that a call is still to come, before the close.
    pub fn expect_late(&self) {
        TABLE[self.nth].is_awaited.store(true, Ordering::Relaxed);
    }

    /// Takes the receiver off. Calls that are inside go on; it is dropped when the last has left.
    pub fn close(&self) {
        let entry = &TABLE[self.nth];
        let receiver = entry.receiver.swap(ptr::null_mut(), Ordering::SeqCst);
        if receiver.is_null() {
            return;
        }
        let gone = {
            let mut unused = UNUSED.lock();
            // SAFETY: leaked in `open`, and taken off once.
            let receiver = unsafe { Box::from_raw(receiver) };
            unused.retired.push((self.nth, receiver));
            unused.deserted()
        };
        drop(gone);
    }
}

impl Drop for Slot {
    /// Closes it, and lets it be used again.
    fn drop(&mut self) {
        self.close();
        let is_awaited = TABLE[self.nth].is_awaited.load(Ordering::Relaxed);
        let mut unused = UNUSED.lock();
        if is_awaited {
            unused.awaited.push_back(self.nth);
        } else {
            unused.closed.push_back(self.nth);
        }
    }
}

/// A call of the n-th stub.
///
/// # Safety
/// `arguments` are those of a call that has not returned, and of the shape that was promised for that stub.
pub(super) unsafe fn arrive(nth: usize, arguments: &Arguments) -> u64 {
    let Some(entry) = TABLE.get(nth) else {
        return 0;
    };
    entry.inside.fetch_add(1, Ordering::SeqCst);
    // SAFETY: a box that is not dropped while the call is counted.
    let answer = match unsafe { entry.receiver.load(Ordering::SeqCst).as_ref() } {
        Some(receiver) => {
            // What the library left there is its own: a wait or a wake may change it.
            // SAFETY: the thread's own variable.
            let errno = unsafe { *libc::__errno_location() };
            // SAFETY: the caller's.
            let answer = unsafe { receiver.receive(arguments) };
            // SAFETY: as above.
            unsafe { *libc::__errno_location() = errno };
            answer
        }
        None => {
            entry.late.fetch_add(1, Ordering::Relaxed);
            LATE.fetch_add(1, Ordering::Relaxed);
            entry.answer.load(Ordering::Relaxed)
        }
    };
    entry.inside.fetch_sub(1, Ordering::Release);
    answer
}

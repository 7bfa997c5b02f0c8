//! The inbox of one event loop: what other threads made ready, and one bell to call the loop.
//!
//! Guarantee: an entry whose post succeeded is seen by the answer to a bell that rings after it;
//! a burst of posts rings once. Blocking only for the length of a list append.
//!
//! The poster appends, then swaps `pending`, and rings if it was clear. The loop clears the bell,
//! then swaps `pending`, then takes the list. A poster whose swap comes before the loop's has its
//! entry in the list by then (both swaps are AcqRel and the loop's reads the poster's or a later
//! one); a poster whose swap comes after it finds `pending` clear and rings again.

use crate::sync::{AtomicBool, AtomicU64, Mutex, Ordering, lock};

/// What calls the loop: an eventfd outside of tests.
pub trait Bell {
    /// Makes the loop look, now or as soon as it waits.
    fn ring(&self);
    /// Forgets the rings so far.
    fn clear(&self);
}

/// What became of a post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Posted {
    /// The loop had been called already.
    Joined,
    /// The bell was rung for it.
    Rang,
    /// The inbox is closed; nothing was appended.
    Refused,
}

struct Ready<T> {
    entries: Vec<T>,
    closed: bool,
}

/// See the module's head. `T` is what the loop resumes.
pub struct Inbox<T, B> {
    bell: B,
    /// Set by posters, cleared by the loop: has the bell been rung for what is in the list?
    pending: AtomicBool,
    ready: Mutex<Ready<T>>,
    /// Written by posters that ring (Relaxed), read for statistics.
    rings: AtomicU64,
}

impl<T, B: Bell> Inbox<T, B> {
    /// An open inbox.
    pub fn new(bell: B) -> Self {
        Self {
            bell,
            pending: AtomicBool::new(false),
            ready: Mutex::new(Ready {
                entries: Vec::new(),
                closed: false,
            }),
            rings: AtomicU64::new(0),
        }
    }

    /// Hands `entry` to the loop.
    pub fn post(&self, entry: T) -> Posted {
        {
            let mut ready = lock(&self.ready);
            if ready.closed {
                return Posted::Refused;
            }
            ready.entries.push(entry);
        }
        if self.pending.swap(true, Ordering::AcqRel) {
            return Posted::Joined;
        }
        self.rings.fetch_add(1, Ordering::Relaxed);
        self.bell.ring();
        Posted::Rang
    }

    /// Called by the loop when the bell rang: what it is to resume.
    pub fn answer(&self) -> Vec<T> {
        self.bell.clear();
        self.pending.swap(false, Ordering::AcqRel);
        std::mem::take(&mut lock(&self.ready).entries)
    }

    /// Refuses further posts and gives back what nobody resumed.
    pub fn close(&self) -> Vec<T> {
        let mut ready = lock(&self.ready);
        ready.closed = true;
        std::mem::take(&mut ready.entries)
    }

    /// Whether [`Inbox::close`] was called.
    pub fn is_closed(&self) -> bool {
        lock(&self.ready).closed
    }

    /// How often the bell was rung.
    pub fn rings(&self) -> u64 {
        self.rings.load(Ordering::Relaxed)
    }

    /// The bell.
    pub fn bell(&self) -> &B {
        &self.bell
    }
}

//! The inbox of one event loop: what other threads made ready, and one bell to call the loop.
//!
//! Guarantee: an entry whose post succeeded is seen by an answer to a bell rung for it or before
//! it; a burst of posts rings once. After a close nothing rings: the bell is dropped as soon as a
//! ring that is under way has ended, so its descriptor is never written after its number has been
//! given to another file. Blocking only for the length of a list append.
//!
//! One lock orders it all. The loop clears the bell before it takes the lock: a poster that comes
//! after that finds `pending` clear and rings again; one that came before has its entry taken.
//! (Clearing afterwards would swallow the ring of a poster in between.)

use crate::sync::{Arc, AtomicU64, Mutex, Ordering, lock};

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

struct State<T, B> {
    entries: Vec<T>,
    /// Whether the bell was rung for what is in the list.
    pending: bool,
    /// `None` once closed.
    bell: Option<Arc<B>>,
}

/// See the module's head. `T` is what the loop resumes.
pub struct Inbox<T, B> {
    state: Mutex<State<T, B>>,
    /// Written by posters that ring (Relaxed), read for statistics.
    rings: AtomicU64,
}

impl<T, B: Bell> Inbox<T, B> {
    /// An open inbox.
    pub fn new(bell: B) -> Self {
        let state = State {
            entries: Vec::new(),
            pending: false,
            bell: Some(Arc::new(bell)),
        };
        Self {
            state: Mutex::new(state),
            rings: AtomicU64::new(0),
        }
    }

    /// Hands `entry` to the loop.
    pub fn post(&self, entry: T) -> Posted {
        let bell = {
            let mut state = lock(&self.state);
            let Some(bell) = state.bell.clone() else {
                return Posted::Refused;
            };
            state.entries.push(entry);
            if state.pending {
                return Posted::Joined;
            }
            state.pending = true;
            bell
        };
        // Outside the lock, or the loop would wake up just to wait for it.
        self.rings.fetch_add(1, Ordering::Relaxed);
        bell.ring();
        Posted::Rang
    }

    /// Called by the loop when the bell rang: what it is to resume.
    pub fn answer(&self) -> Vec<T> {
        if let Some(bell) = self.bell() {
            bell.clear();
        }
        let mut state = lock(&self.state);
        state.pending = false;
        std::mem::take(&mut state.entries)
    }

    /// Refuses further posts, lets go of the bell, and gives back what nobody resumed.
    pub fn close(&self) -> Vec<T> {
        let mut state = lock(&self.state);
        state.bell = None;
        std::mem::take(&mut state.entries)
    }

    /// The bell, unless closed.
    pub fn bell(&self) -> Option<Arc<B>> {
        lock(&self.state).bell.clone()
    }

    /// Whether [`Inbox::close`] was called.
    pub fn is_closed(&self) -> bool {
        lock(&self.state).bell.is_none()
    }

    /// How often the bell was rung.
    pub fn rings(&self) -> u64 {
        self.rings.load(Ordering::Relaxed)
    }
}

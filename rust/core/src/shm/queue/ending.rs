//! What comes back to a queue that is shut down at once: nobody takes it any more, so it goes.
//!
//! ```text
//! comes back  entry ← RETURNED;  fence;  shut down at once → drop all that came back
//! shuts down  shut down at once;  fence;  drop all that came back
//! ```
//! The fences are SeqCst: either the one sees that the queue is over, or the other sees what came back. Dropping is
//! one swap an entry, so both may do it, and whoever looks later.

use crate::sync::{Ordering, fence};

/// Lets something come back; `drop_all` if the queue turns out to be over by then.
pub fn come_back(give: impl FnOnce(), is_over: impl FnOnce() -> bool, drop_all: impl FnOnce()) {
    give();
    fence(Ordering::SeqCst);
    if is_over() {
        drop_all();
    }
}

/// Ends the queue, and drops what had come back.
pub fn end(shut: impl FnOnce(), drop_all: impl FnOnce()) {
    shut();
    fence(Ordering::SeqCst);
    drop_all();
}

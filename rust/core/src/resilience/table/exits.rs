//! At the program's end every table is left, though its handles are never dropped.

use std::sync::{Arc, LazyLock, Once, Weak};

use super::Seat;
use crate::fork_gate::Guarded;

static SEATS: LazyLock<Guarded<Vec<Weak<Seat>>>> = LazyLock::new(|| Guarded::new(Vec::new()));
static ONCE: Once = Once::new();

pub(super) fn remember(seat: &Arc<Seat>) {
    ONCE.call_once(|| {
        // SAFETY: the handler lives in the text of this object, which is not unloaded while the process runs.
        unsafe { libc::atexit(leave_all) };
    });
    let mut seats = SEATS.lock();
    seats.retain(|seat| seat.strong_count() > 0);
    seats.push(Arc::downgrade(seat));
}

extern "C" fn leave_all() {
    let seats: Vec<_> = SEATS.lock().iter().filter_map(Weak::upgrade).collect();
    for seat in seats {
        seat.leave();
    }
}

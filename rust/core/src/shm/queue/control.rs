//! The few words of a queue that belong to no seat.

use super::handle::Shutdown;
use crate::sync::{AtomicU32, AtomicU64, CachePadded, Ordering};

/// Read with every operation, written seldom.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct Rare {
    /// 0 open, 1 draining, 2 immediate. Raised by anybody (AcqRel), read by all (Acquire).
    shutdown: AtomicU32,
    /// Raised by everybody who joins or leaves (AcqRel), before its first item; read by senders (Acquire).
    pub(super) roster: AtomicU32,
    /// One bit a lane that ever had a record. Set by its sender before the first one (AcqRel), read by
    /// takers and counters (Acquire).
    pub(super) lanes: AtomicU64,
}

/// The page itself.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct Control {
    pub(super) rare: CachePadded<Rare>,
    /// One bit a seat in which somebody waits for an item; see [`super::sleepers`].
    pub(super) item_sleepers: CachePadded<AtomicU64>,
    /// The same for room.
    pub(super) room_sleepers: CachePadded<AtomicU64>,
    /// How often an item that was out under a lease came back. Raised by whoever brought it (AcqRel), read
    /// by takers (Acquire).
    pub(super) returns: CachePadded<AtomicU64>,
}

impl Rare {
    pub(super) fn shutdown(&self) -> Shutdown {
        match self.shutdown.load(Ordering::Acquire) {
            0 => Shutdown::Open,
            1 => Shutdown::Draining,
            _ => Shutdown::Immediate,
        }
    }

    pub(super) fn shut(&self, immediate: bool) {
        let wanted = 1 + u32::from(immediate);
        self.shutdown.fetch_max(wanted, Ordering::AcqRel);
    }
}

//! Figures of a queue at one moment.

use crate::sync::AtomicU64;

/// See the module's head. Sums over all processes but where it says otherwise.
#[derive(Debug, Clone, Copy, Default)]
pub struct Statistics {
    /// Items inside.
    pub items: usize,
    /// Their bytes, in lanes and slabs.
    pub bytes: usize,
    /// Items out under a lease.
    pub leased: usize,
    /// Processes that take part.
    pub participants: usize,
    /// Seats of dead processes whose items or slabs are still in use.
    pub dead: usize,
    /// Processes in which somebody waits for an item.
    pub getters: usize,
    /// Processes in which somebody waits for room.
    pub putters: usize,
    /// Items sent by this process.
    pub sent: u64,
    /// Items taken by this process.
    pub taken: u64,
    /// Sleepers that this process woke.
    pub wakes: u64,
    /// System calls made for that.
    pub system_calls: u64,
    /// Deaths that this process noticed first.
    pub burials: u64,
    /// Slabs of this process's arena that somebody holds.
    pub slabs: usize,
    /// Their bytes.
    pub held: usize,
}

/// What one process has done; raised (Relaxed) by its threads.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) sent: AtomicU64,
    pub(super) taken: AtomicU64,
    pub(super) wakes: AtomicU64,
    pub(super) system_calls: AtomicU64,
}

//! What a queue is made with; everybody who attaches reads it from the segment.

use std::time::Duration;

/// How long items stay with who took them, where they have to be acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acknowledged {
    /// From the take to the moment at which somebody else may have the item.
    pub lease: Duration,
    /// How many items can be out at a time.
    pub leases: u32,
}

/// See the module's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Bytes that may be inside, all lanes and slabs together. A single item may take all of them.
    pub max_bytes: usize,
    /// Items that may be inside.
    pub max_items: Option<u32>,
    /// Bytes of slabs that each process can have out: inside, and with those who look at them.
    pub arena_bytes: usize,
    /// Whether items have to be acknowledged.
    pub ack: Option<Acknowledged>,
}

impl Settings {
    /// The most that `max_bytes` can be.
    pub const MOST_BYTES: usize = 1 << 37;
    /// The most that `max_items` can be.
    pub const MOST_ITEMS: u32 = u32::MAX / 2;
    /// The most that `arena_bytes` can be.
    pub const MOST_ARENA_BYTES: usize = 1 << 40;

    /// A queue for `max_bytes`, with arenas of twice that.
    #[must_use]
    pub fn new(max_bytes: usize) -> Self {
        Self {
            max_bytes,
            max_items: None,
            arena_bytes: max_bytes.saturating_mul(2),
            ack: None,
        }
    }
}

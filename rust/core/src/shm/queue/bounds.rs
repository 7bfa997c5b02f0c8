//! How much one process may put in, by what is inside of all lanes.
//!
//! Nothing is reserved across processes, so nothing stays reserved by a dead one. Senders that look at the
//! same moment each see the same room: a sender among p puts in no more than a p-th of it before it looks
//! again, but for one item. So there are p − 1 items more than allowed at most.

use super::{shared::Shared, sleepers::SEATS};
use crate::{shm::lane::Corrupt, sync::Ordering};

/// See the module's head.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Allowance {
    items: u64,
    bytes: u64,
    /// All the room there was, for the first item after the look.
    whole: u64,
    /// Nothing is inside: an item of any weight may go in.
    is_empty: bool,
    /// No other process sends as long as roster and lanes are these; what was allowed then is still.
    alone: Option<(u32, u64)>,
}

impl Allowance {
    /// What the process in `seat` may put in now.
    pub(super) fn look(shared: &Shared, seat: usize) -> Result<Self, Corrupt> {
        let rare = shared.rare();
        let roster = rare.roster.load(Ordering::Acquire);
        let lanes = rare.lanes.load(Ordering::Acquire);
        let inside = shared.inside()?;
        let others = (0..SEATS)
            .filter(|other| *other != seat && lanes >> other & 1 != 0)
            .filter(|other| shared.seats()[*other].word().is_taken())
            .count() as u64;
        let share = |left: u64| match left {
            0 => 0,
            left => (left / (others + 1)).max(1),
        };
        let left = (shared.settings.max_bytes as u64).saturating_sub(inside.bytes);
        Ok(Self {
            items: share(shared.max_items().saturating_sub(inside.items)),
            bytes: left / (others + 1),
            whole: left,
            is_empty: inside.items == 0,
            alone: (others == 0).then_some((roster, lanes)),
        })
    }

    /// Whether it still counts.
    pub(super) fn holds(&self, shared: &Shared) -> bool {
        self.alone.is_some_and(|(roster, lanes)| {
            let rare = shared.rare();
            rare.roster.load(Ordering::Relaxed) == roster
                && rare.lanes.load(Ordering::Relaxed) == lanes
        })
    }

    /// Whether an item of that weight is allowed.
    pub(super) fn admits(&self, weight: u64) -> bool {
        self.items > 0 && (weight <= self.bytes.max(self.whole) || self.is_empty)
    }

    /// Such an item was put in.
    pub(super) fn spend(&mut self, weight: u64) {
        self.items -= 1;
        self.bytes = self.bytes.saturating_sub(weight);
        self.whole = 0;
        self.is_empty = false;
    }
}

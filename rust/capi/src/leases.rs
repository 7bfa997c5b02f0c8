//! Records that their taker answers for, in queues with `ack=True`.

use penstock_core::shm::queue;

use crate::{
    border::border,
    code::Code,
    failure::Failure,
    handles::{self, Opaque},
};

/// What a record is acknowledged by; both 0 where nothing has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Lease {
    pub entry: u64,
    pub generation: u64,
}

impl Lease {
    pub(crate) const NONE: Self = Self {
        entry: 0,
        generation: 0,
    };

    pub(crate) fn of(lease: queue::Lease) -> Self {
        let (entry, generation) = lease.parts();
        Self {
            entry: u64::from(entry) + 1,
            generation,
        }
    }

    fn lease(self) -> Option<queue::Lease> {
        let entry = u32::try_from(self.entry.checked_sub(1)?).ok()?;
        Some(queue::Lease::from_parts(entry, self.generation))
    }
}

fn settle(
    queue: *const Opaque,
    lease: Lease,
    how: impl FnOnce(&queue::Queue<handles::NoTask>, queue::Lease) -> Result<(), queue::QueueError>,
) -> Code {
    border(|| {
        let handle = handles::enter(queue)?;
        let Some(lease) = lease.lease() else {
            let text = "no lease; hand in that of a record from a queue with ack=True";
            return Err(Failure::argument(text));
        };
        how(&handle.queue, lease).map_err(|error| handle.failure(&error))
    })
}

/// Says that a record was dealt with.
#[unsafe(no_mangle)]
pub extern "C" fn penstock_acknowledge(queue: *const Opaque, lease: Lease) -> Code {
    settle(queue, lease, |queue, lease| queue.acknowledge(lease))
}

/// Hands a record back.
#[unsafe(no_mangle)]
pub extern "C" fn penstock_give_back(queue: *const Opaque, lease: Lease) -> Code {
    settle(queue, lease, |queue, lease| queue.give_back(lease))
}

//! Memory that several processes see: sealed segments, lanes that carry records to one receiver,
//! feeds that carry them to many, arenas that carry large payloads; the port that joins them between a pool and one
//! worker, and the queue that joins them between any number of processes.
//!
//! The rule of the house: nobody may depend on anything that another process can die in the
//! middle of. There is no lock, no shared free list and no shared count in here; what two
//! processes both write is one word at a time, and everything read from a segment is checked
//! before it is used.

#[cfg(not(penstock_loom))]
#[cfg_attr(penstock_shuttle, allow(dead_code))]
mod arena;
#[cfg(not(penstock_loom))]
mod buddy;
#[cfg(not(penstock_loom))]
pub mod door;
pub mod feed;
#[cfg(not(penstock_loom))]
mod headroom;
pub mod lane;
#[cfg(not(penstock_loom))]
#[cfg_attr(penstock_shuttle, allow(dead_code))]
mod layout;
#[cfg(not(penstock_loom))]
mod message;
#[cfg(not(penstock_loom))]
mod named;
#[cfg(not(penstock_loom))]
mod parcel;
#[cfg(not(penstock_loom))]
mod port;
#[cfg(not(penstock_shuttle))]
pub mod queue;
#[cfg(not(penstock_loom))]
mod segment;
pub mod slab;
pub mod task;
mod words;

#[cfg(not(penstock_loom))]
pub use arena::{Arena, ArenaError, ArenaMap, ArenaUse, Holder, OwnedSlab, PinError, Pinned};
#[cfg(not(penstock_loom))]
pub use layout::{AttachError, VERSION as LAYOUT};
#[cfg(not(penstock_loom))]
pub use message::Kind;
#[cfg(not(penstock_loom))]
pub use parcel::{INLINE_MAX, Parcel};
#[cfg(not(penstock_loom))]
pub use port::{Arrival, Port, PortError, Waited, WorkerEnd};
#[cfg(not(penstock_loom))]
pub use segment::{Segment, plain_memory};

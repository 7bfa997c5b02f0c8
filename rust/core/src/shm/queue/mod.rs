//! A queue between processes that lies in one segment: whoever has its descriptor takes part.
//!
//! Guarantee: an item that `send` accepted is taken once, by one process, whatever dies or is stopped
//! in between; one that was taken dies with its taker unless it is held under a lease. No process waits
//! for another one's step: what two processes both write is one word at a time, and what a dead one
//! left half done is undone or finished by any of the others.

#[cfg(not(penstock_loom))]
mod batch;
pub mod bell;
#[cfg(not(penstock_loom))]
mod bounds;
#[cfg(not(penstock_loom))]
mod burial;
#[cfg(not(penstock_loom))]
mod control;
pub mod ending;
#[cfg(not(penstock_loom))]
mod error;
#[cfg(not(penstock_loom))]
mod giving;
#[cfg(not(penstock_loom))]
mod handle;
#[cfg(all(test, not(penstock_loom)))]
mod hostile;
#[cfg(not(penstock_loom))]
mod item;
#[cfg(not(penstock_loom))]
mod leases;
#[cfg(not(penstock_loom))]
mod local;
#[cfg(not(penstock_loom))]
mod lookout;
#[cfg(not(penstock_loom))]
mod plan;
#[cfg(not(penstock_loom))]
pub(crate) mod process;
#[cfg(not(penstock_loom))]
mod references;
#[cfg(not(penstock_loom))]
mod seated;
pub mod seats;
#[cfg(not(penstock_loom))]
mod sentinel;
#[cfg(not(penstock_loom))]
mod settings;
#[cfg(not(penstock_loom))]
mod shared;
pub mod sleepers;
#[cfg(not(penstock_loom))]
mod statistics;
#[cfg(not(penstock_loom))]
mod taking;
#[cfg(not(penstock_loom))]
mod threads;
#[cfg(not(penstock_loom))]
mod waiting;

#[cfg(not(penstock_loom))]
pub use self::{
    batch::{Batch, Lease, Taken},
    error::QueueError,
    handle::{Queue, Shutdown, Side},
    item::{Buffer, Item, MOST_BUFFERS},
    seated::Born,
    settings::{Acknowledged, Settings},
    statistics::Statistics,
    waiting::Sleeper,
};

//! What penstock is made of below Python: rings, wait lists, shared memory, histograms.
//!
//! Nothing here has heard of Python. Every atomic comes through [`sync`], so that loom
//! and shuttle can stand in for it; `SAFETY.md` beside this crate holds the invariants that span files.
#![warn(missing_docs)]

pub mod callback;
#[cfg(not(penstock_loom))]
pub mod calls;
#[cfg(not(penstock_loom))]
pub mod clock;
#[cfg(not(penstock_loom))]
pub mod counter;
#[cfg(not(penstock_loom))]
pub mod eventfd;
#[cfg(penstock_failpoints)]
pub mod failpoints;
pub mod fork;
pub mod fork_gate;
#[cfg(not(penstock_loom))]
pub mod gauge;
#[cfg(not(penstock_loom))]
pub mod histogram;
pub mod hub;
#[cfg(not(penstock_loom))]
pub mod lifeline;
#[cfg(not(penstock_loom))]
pub mod luck;
#[cfg(not(penstock_loom))]
pub mod park;
#[cfg(not(penstock_loom))]
pub mod random_id;
pub mod resilience;
pub mod ring;
#[cfg(not(penstock_loom))]
pub mod sampler;
pub mod shards;
pub mod shm;
#[cfg(not(penstock_loom))]
pub mod span;
pub mod sync;
#[cfg(not(penstock_loom))]
pub mod trace_context;
#[cfg(not(any(penstock_loom, penstock_shuttle)))]
pub mod watchdog;

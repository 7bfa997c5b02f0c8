//! The payload half of shared memory and the link to a worker process.

mod arena;
mod parcel;
mod port;
mod slab;
mod watch;

pub(crate) use arena::Arena;
pub(crate) use parcel::Parcel;
pub(crate) use port::Port;
pub(crate) use slab::Slab;
pub(crate) use watch::die_with;

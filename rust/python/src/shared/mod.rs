//! Shared memory: the queue between processes, the payload half of the worker pool and its link to a
//! worker.

mod arena;
mod arrays;
mod codes;
mod memory;
mod numpy;
mod parcel;
mod port;
mod queue;
mod short;
mod slab;
mod watch;

pub(crate) use arena::Arena;
pub(crate) use memory::plain_memory;
pub(crate) use numpy::know_shared_array;
pub(crate) use parcel::Parcel;
pub(crate) use port::Port;
pub(crate) use queue::{
    Lease, Operation, SharedItems, SharedQueue, born_at_once, install_shortcuts,
};
pub(crate) use short::{decode_short, encode_short};
pub(crate) use slab::Slab;
pub(crate) use watch::die_with;

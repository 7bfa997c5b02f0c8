//! Calls that a C library makes from threads of its own, taken in without an interpreter.
//!
//! The library is given the address of a *stub* ([`stubs`]): code that is in the text of this object from the
//! beginning, so it can be called for as long as the process lives, whatever has been closed, collected or
//! finalized. A stub stores the registers in which arguments arrive and asks the table ([`slots`]) who
//! receives it. The receiver reads its arguments ([`shape`]) and keeps them in a bounded [`Backlog`] for
//! whoever takes them. No part of this has heard of Python.

mod backlog;
mod shape;
#[cfg(not(penstock_loom))]
mod slots;
#[cfg(not(penstock_loom))]
mod stubs;

pub use backlog::{Backlog, Bounds, Figures, Overflow, Pushed, Records, Taken};
pub use shape::{Arguments, FLOATS, INTEGERS, Kind, Shape, is_null, signed, unsigned};
#[cfg(not(penstock_loom))]
pub use slots::{Receive, STUBS, Slot};
#[cfg(not(penstock_loom))]
pub use stubs::IS_NATIVE;

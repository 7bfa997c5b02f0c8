//! Dispatch of events: handlers are started one after the other in the emitter's own turn, and only
//! one that suspends is carried on by a task.
//!
//! What decides who hears what, and everything that is not the straight way through, is in
//! `penstock.events`.

mod carrier;
mod current;
mod emission;
mod emitter;
mod frame;
mod handler;
mod outcomes;
mod records;
mod route;
mod shortcuts;
mod step;
mod tally;

pub(crate) use carrier::Carrier;
pub(crate) use current::set_task_hooks;
pub(crate) use emission::{Emission, install_send};
pub(crate) use emitter::Emitter;
pub(crate) use handler::Handler;
pub(crate) use outcomes::{Outcome, Outcomes};
pub(crate) use route::Route;
pub(crate) use shortcuts::install_shortcuts;
pub(crate) use tally::Tally;

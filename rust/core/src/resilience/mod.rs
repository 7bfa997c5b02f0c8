//! What decides whether a call may be made: breaker, rate, retry budget, concurrency, adaptive limit.
//!
//! One struct of atomic words for each, in which zeros are the initial state. It lies in this
//! process's own memory or in a [`table`] that all processes of a user on one machine find by its name; the
//! code is the same. Nothing in it is a lock, a count that two words must agree on, or a pointer:
//! whoever is killed between two stores leaves a state that the next caller can go on from.
//!
//! - what must be decided once on the whole machine is one compare-and-swap of one word: a breaker's state,
//!   generation and probes in [`breaker::Word`], a rate's next moment, a permit's holder;
//! - a permit names its holder and when it expires ([`lease`]), so that anybody can take it from a
//!   dead one;
//! - figures that only inform a decision (windows, averages) are words with the age of their
//!   content in them: what is too old counts as zero, and is not cleared by anybody.
//!
//! Time is handed in: nanoseconds of one clock, which for processes of a machine is the monotonic one.
//! Whatever bytes a damaged table has, the answers may be wrong, and nothing else is.

pub mod adaptive;
pub mod breaker;
pub mod buckets;
pub mod budget;
pub mod courier;
#[cfg(not(penstock_loom))]
pub mod definition;
#[cfg(not(any(penstock_loom, penstock_shuttle)))]
pub mod home;
pub mod lease;
pub mod ledger;
pub mod rate;
#[cfg(not(any(penstock_loom, penstock_shuttle)))]
pub mod table;

#[cfg(not(any(penstock_loom, penstock_shuttle)))]
mod file;
#[cfg(not(any(penstock_loom, penstock_shuttle)))]
mod kinds;
#[cfg(not(any(penstock_loom, penstock_shuttle)))]
mod members;

pub use lease::{Everybody, Holder, Lives};

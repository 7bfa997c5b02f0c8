//! The C interface of the queue between processes: what `penstock.h` declares, one file per verb.
//!
//! Guarantee: whatever a caller hands in that can be recognised as wrong is answered by a code and a
//! message, and no panic crosses the border. `SAFETY.md` says what has to be believed.

mod attach;
mod border;
mod claims;
mod clock;
mod code;
mod failure;
mod handles;
mod leases;
mod message;
mod receive;
mod send;
mod shutdown;
mod statistics;
mod version;
mod waiting;

pub use attach::{penstock_attach, penstock_attach_name, penstock_close};
pub use claims::{
    Claimed, penstock_abandon, penstock_claim, penstock_commit, penstock_commit_many,
};
pub use code::{CODES, Code};
pub use handles::Opaque;
pub use leases::{Lease, penstock_acknowledge, penstock_give_back};
pub use message::{penstock_error_message, penstock_last_error};
pub use receive::{Record, penstock_receive, penstock_receive_many};
pub use send::{Bytes, penstock_send, penstock_send_many};
pub use shutdown::penstock_shutdown;
pub use statistics::{Figures, penstock_statistics};
pub use version::{penstock_abi, penstock_layout, penstock_version};
pub use waiting::penstock_wait;

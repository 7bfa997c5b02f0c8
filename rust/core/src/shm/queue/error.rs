//! Why an operation was refused. Nothing was changed then.

use std::{fmt, io};

use super::{
    super::{
        door::{DoorError, Refused},
        lane::Corrupt,
        layout::AttachError,
    },
    seated::SENDERS,
    sleepers::SEATS,
};

/// See the module's head.
#[derive(Debug)]
pub enum QueueError {
    /// No room now, in the queue or in this process's arena.
    Full,
    /// The item can never fit.
    TooLarge {
        /// Bytes of the item.
        wanted: usize,
        /// The most that one item may have.
        largest: usize,
    },
    /// The item has more buffers than one item can name.
    TooMany {
        /// Buffers of the item.
        buffers: usize,
        /// The most that one item may have.
        most: usize,
    },
    /// The queue was shut down, and, for a taker, nothing is left.
    ShutDown,
    /// This process has left the queue.
    Closed,
    /// All seats are taken, or all of those for a process that begins by sending.
    Crowded,
    /// The queue belongs to processes of another pid namespace, whose deaths cannot be seen here.
    Namespace,
    /// The lease was over, or its item is with somebody else.
    LeaseLost,
    /// The system has no memory for the pages.
    Memory(io::Error),
    /// What lies in the segment does not add up.
    Corrupt,
    /// The descriptor is not that of a queue.
    Attach(AttachError),
    /// Nobody is found by that name, or it is taken.
    Door(DoorError),
    /// Settings that make no queue.
    Settings(&'static str),
    /// A system call failed.
    Io(io::Error),
}

impl fmt::Display for QueueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => write!(f, "there is no room now"),
            Self::TooLarge { wanted, largest } => {
                write!(f, "an item of {wanted} bytes is larger than {largest}")
            }
            Self::TooMany { buffers, most } => {
                write!(f, "an item of {buffers} buffers has more than {most}")
            }
            Self::ShutDown => write!(f, "the queue was shut down"),
            Self::Closed => write!(f, "this process has left the queue"),
            Self::Crowded => write!(
                f,
                "all seats of the queue are taken, {SENDERS} of {SEATS} for a process that begins by putting"
            ),
            Self::Namespace => write!(f, "the queue belongs to another pid namespace"),
            Self::LeaseLost => write!(f, "the lease is over"),
            Self::Memory(error) => write!(f, "no memory for the queue's pages: {error}"),
            Self::Corrupt => write!(f, "the queue's segment is damaged"),
            Self::Attach(error) => error.fmt(f),
            Self::Door(error) => error.fmt(f),
            Self::Settings(why) => write!(f, "{why}"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for QueueError {}

impl From<Corrupt> for QueueError {
    fn from(_: Corrupt) -> Self {
        Self::Corrupt
    }
}

impl From<DoorError> for QueueError {
    fn from(error: DoorError) -> Self {
        match error {
            DoorError::Io(error) => Self::Io(error),
            // This process's want, and nothing that can be said of who was asked.
            DoorError::Refused {
                why: Refused::Io(error),
                ..
            } if is_want(&error) => Self::Io(error),
            error => Self::Door(error),
        }
    }
}

/// Whether the system has no more of something to give.
pub(super) fn is_want(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOBUFS)
    )
}

impl From<AttachError> for QueueError {
    fn from(error: AttachError) -> Self {
        match error {
            AttachError::Io(error) => Self::Io(error),
            error => Self::Attach(error),
        }
    }
}

//! How a call ended: the codes of `penstock.h`.

use std::ffi::{CStr, c_int};

/// See the module's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub enum Code {
    Ok = 0,
    Empty = 1,
    Full = 2,
    Interrupted = 3,
    ShutDown = 4,
    Closed = 5,
    BadHandle = 6,
    BadClaim = 7,
    BadArgument = 8,
    TooLarge = 9,
    TooSmall = 10,
    Crowded = 11,
    NotAQueue = 12,
    OtherVersion = 13,
    OtherNamespace = 14,
    NotFound = 15,
    LeaseLost = 16,
    NoMemory = 17,
    Damaged = 18,
    System = 19,
    Fault = 20,
}

/// All of them, each in the place of its number.
pub const CODES: [Code; 21] = [
    Code::Ok,
    Code::Empty,
    Code::Full,
    Code::Interrupted,
    Code::ShutDown,
    Code::Closed,
    Code::BadHandle,
    Code::BadClaim,
    Code::BadArgument,
    Code::TooLarge,
    Code::TooSmall,
    Code::Crowded,
    Code::NotAQueue,
    Code::OtherVersion,
    Code::OtherNamespace,
    Code::NotFound,
    Code::LeaseLost,
    Code::NoMemory,
    Code::Damaged,
    Code::System,
    Code::Fault,
];

impl Code {
    /// The one of that number.
    pub(crate) fn of(number: c_int) -> Option<Self> {
        let index = usize::try_from(number).ok()?;
        CODES.get(index).copied()
    }

    /// What it says, for every queue.
    pub(crate) const fn text(self) -> &'static CStr {
        match self {
            Self::Ok => c"done",
            Self::Empty => {
                c"nothing came in the time given; wait longer, or see whether the senders live"
            }
            Self::Full => {
                c"there was no room in the time given; wait longer, or see whether the takers live"
            }
            Self::Interrupted => c"a signal handler ran during the wait; look what it did, call again",
            Self::ShutDown => c"the queue was shut down; close the handle",
            Self::Closed => c"this handle was closed; attach again",
            Self::BadHandle => c"no handle of this process; take the one that penstock_attach gave",
            Self::BadClaim => {
                c"no claim of this thread and handle, or one that has ended; claim again"
            }
            Self::BadArgument => c"an argument makes no sense; see penstock.h",
            Self::TooLarge => {
                c"the record can never fit into this queue; send less, or make it with a larger max_bytes"
            }
            Self::TooSmall => {
                c"the record is larger than the buffer; call again with one of the length in the record"
            }
            Self::Crowded => c"no seat or handle is free; close those that are not used",
            Self::NotAQueue => c"the descriptor is not that of a queue; use SharedQueue.fileno()",
            Self::OtherVersion => {
                c"the queue has another layout; use one version of penstock in all processes"
            }
            Self::OtherNamespace => {
                c"the queue belongs to another pid namespace; run both sides in one"
            }
            Self::NotFound => {
                c"no living process of this user has a queue of that name; make it first, with name="
            }
            Self::LeaseLost => {
                c"the lease was over, somebody else has the record or will; make it longer, with lease="
            }
            Self::NoMemory => {
                c"no memory for it; send less, or raise the limit of the machine or cgroup"
            }
            Self::Damaged => {
                c"what lies in the segment does not add up; close the handle and make the queue anew"
            }
            Self::System => c"a system call failed; see penstock_last_error()",
            Self::Fault => c"a fault in penstock itself; please report it with its output",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_the_code_it_stands_for() {
        for (number, code) in CODES.into_iter().enumerate() {
            assert_eq!(code as usize, number);
            assert_eq!(Code::of(number as c_int), Some(code));
            assert!(!code.text().is_empty());
        }
        assert_eq!(Code::of(-1), None);
        assert_eq!(Code::of(CODES.len() as c_int), None);
    }
}

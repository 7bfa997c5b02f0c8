//! A call that failed: its code, and what its thread is told.

use std::io;

use penstock_core::shm::{
    AttachError,
    door::{DoorError, Refused},
    queue::QueueError,
};

use crate::{code::Code, message};

/// See the module's head.
#[derive(Debug)]
pub(crate) struct Failure {
    code: Code,
    /// Empty: the code's own words.
    text: String,
}

impl From<Code> for Failure {
    fn from(code: Code) -> Self {
        let text = String::new();
        Self { code, text }
    }
}

/// What to do where the system has refused something.
fn remedy(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EBADF) => "hand in a descriptor that is open",
        Some(libc::EMFILE | libc::ENFILE) => "close descriptors, or raise ulimit -n",
        Some(libc::EACCES | libc::EPERM) => "run as the user who made the queue",
        _ => "see what the system lacks",
    }
}

impl Failure {
    pub(crate) fn new(code: Code, text: String) -> Self {
        Self { code, text }
    }

    /// An argument that makes no sense.
    pub(crate) fn argument(text: &str) -> Self {
        Self::new(Code::BadArgument, text.to_owned())
    }

    /// What the queue called `label` has refused.
    #[cold]
    pub(crate) fn of(label: &str, error: &QueueError) -> Self {
        let (code, hint) = match error {
            QueueError::Full => return Code::Full.into(),
            QueueError::TooLarge { .. } | QueueError::TooMany { .. } => (
                Code::TooLarge,
                "send less, or make the queue with a larger max_bytes",
            ),
            QueueError::ShutDown => (Code::ShutDown, "close the handle"),
            QueueError::Closed => (Code::Closed, "attach again"),
            QueueError::Crowded => (
                Code::Crowded,
                "close handles that are not used, in whatever process",
            ),
            QueueError::Namespace => (Code::OtherNamespace, "run both sides in one pid namespace"),
            QueueError::LeaseLost => (
                Code::LeaseLost,
                "make the queue with a longer lease=, or deal with its records sooner",
            ),
            QueueError::Memory(_) => (
                Code::NoMemory,
                "send less at a time, or raise the limit of the machine or cgroup",
            ),
            QueueError::Corrupt => (Code::Damaged, "close the handle, and make the queue anew"),
            QueueError::Attach(error) => return Self::of_attach(label, error),
            QueueError::Door(error) => return Self::of_door(error),
            QueueError::Io(error) => (Code::System, remedy(error)),
            QueueError::Settings(_) => (Code::BadArgument, "see penstock.h"),
        };
        Self::new(code, format!("{label}: {error}; {hint}"))
    }

    /// What is wrong with a segment.
    pub(crate) fn of_attach(label: &str, error: &AttachError) -> Self {
        let (code, hint) = match error {
            AttachError::Io(error) => (Code::System, remedy(error)),
            AttachError::Foreign | AttachError::Unsealed => {
                (Code::NotAQueue, "use the number of SharedQueue.fileno()")
            }
            AttachError::Version { .. } => (
                Code::OtherVersion,
                "use one version of penstock in all processes",
            ),
            AttachError::Damaged => (
                Code::Damaged,
                "use the number of SharedQueue.fileno(), or make the queue anew",
            ),
        };
        Self::new(code, format!("{label}: {error}; {hint}"))
    }

    /// Why nobody gave a queue of that name.
    pub(crate) fn of_door(error: &DoorError) -> Self {
        let (code, hint) = match error {
            DoorError::Name { .. } => (
                Code::BadArgument,
                "give the one that the queue was made with",
            ),
            DoorError::Nobody { .. } => (
                Code::NotFound,
                "make it first, with name=, and let its process live",
            ),
            DoorError::Silent { .. } | DoorError::Taken { .. } => (
                Code::NotFound,
                "wait longer, or see whether its processes are stopped",
            ),
            DoorError::Refused { name, seat, why } => match why {
                Refused::OtherNamespace => {
                    (Code::OtherNamespace, "run both sides in one pid namespace")
                }
                Refused::Version { .. } => (
                    Code::OtherVersion,
                    "use one version of penstock in all processes",
                ),
                Refused::Segment(error) => {
                    return Self::of_attach(&format!("queue '{name}', seat {seat}"), error);
                }
                Refused::Io(error) => (Code::System, remedy(error)),
                _ => (Code::NotFound, "see who has that name"),
            },
            DoorError::Io(error) => (Code::System, remedy(error)),
        };
        Self::new(code, format!("{error}; {hint}"))
    }

    /// What of a panic is said; the rest is on standard error.
    pub(crate) fn fault() -> Self {
        Code::Fault.into()
    }

    #[cfg(test)]
    pub(crate) fn code(&self) -> Code {
        self.code
    }

    /// Keeps the words for the calling thread.
    pub(crate) fn told(self) -> Code {
        if self.text.is_empty() {
            message::keep_code(self.code);
        } else {
            message::keep_text(&self.text);
        }
        self.code
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_queue_the_numbers_and_the_remedy() {
        let error = QueueError::TooLarge {
            wanted: 70_000,
            largest: 65_536,
        };
        let code = Failure::of("queue 'orders'", &error).told();
        assert_eq!(code, Code::TooLarge);
        assert_eq!(
            message::last(),
            "queue 'orders': an item of 70000 bytes is larger than 65536; send less, or make the \
             queue with a larger max_bytes"
        );
    }

    #[test]
    fn a_refusal_that_is_no_fault_costs_no_words_of_its_own() {
        let failure = Failure::of("queue 'orders'", &QueueError::Full);
        assert!(failure.text.is_empty());
        assert_eq!(failure.told(), Code::Full);
        assert!(message::last().starts_with("there was no room"));
    }

    #[test]
    fn segments_of_others_are_told_apart() {
        let codes = [
            (AttachError::Foreign, Code::NotAQueue),
            (AttachError::Unsealed, Code::NotAQueue),
            (AttachError::Version { found: 9 }, Code::OtherVersion),
            (AttachError::Damaged, Code::Damaged),
            (
                AttachError::Io(io::Error::from_raw_os_error(libc::EBADF)),
                Code::System,
            ),
        ];
        for (error, code) in codes {
            let error = QueueError::Attach(error);
            assert_eq!(Failure::of("descriptor 7", &error).told(), code);
            assert!(message::last().starts_with("descriptor 7: "));
        }
    }
}

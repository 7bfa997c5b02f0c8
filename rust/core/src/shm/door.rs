//! How a process that has only a name comes by a segment: it asks whoever lives.
//!
//! Every participant opens a door of its own, an abstract socket. Such an address is gone with its
//! last descriptor, so nothing is left behind, whoever dies. Who connects is handed the segment's
//! descriptor at once, without being heard: one that says nothing, or is stopped, holds up nobody.
//! [`fetch`] knocks at one door after the other, does not wait for one before it tries the next,
//! and takes the first sound answer of any.
//!
//! Whom they trust. Anybody on the machine can connect to an abstract address, and can take it
//! first. So each side asks the kernel whose process the other is: the segment goes to processes of
//! the same user only, and is taken from such only. The answer says which process wrote it, in
//! which pid namespace; both must be as the asker sees them, since participants know each other by
//! pid. It carries the id that is in the segment's header, too, for the asker to compare. There is
//! no nonce to be echoed: the kernel connects the two, there is nothing to replay. Of an answer with
//! anything but one descriptor, all are closed. What another user can do is take the addresses
//! first; then a participant's door does not open, late joining fails, and nothing else does.
//!
//! Addresses belong to a network namespace, which the containers of a pod may share. They contain
//! the pid namespace, so that two of these may have a queue of the same name, each its own.
//!
//! A forked child has no doors ([`kept`]); the address would stay taken, with nobody behind it, for
//! as long as the child lives.
//!
//! Guarantee: [`Door::answer`] never blocks. [`fetch`] returns within the time it is given.

use std::{
    collections::VecDeque,
    fmt, io,
    os::fd::{BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

use super::layout::AttachError;

mod kept;
mod wire;

use kept::Kept;
use wire::Answer;
pub use wire::{Refused, pid_namespace};

/// Doors that one name can have: one for each participant of a segment.
pub const SEATS: u32 = 64;

/// Characters of the longest name: with what surrounds it, it fits into a socket's address.
pub const NAME_MAX: usize = 64;

/// Connections that may wait for an answer, and how many are answered in one go.
const BACKLOG: i32 = 64;

/// How long a door has to answer before the next one is tried as well.
const COURTESY: Duration = Duration::from_millis(20);

/// Where one participant can be asked for its segment; closed when dropped.
pub struct Door {
    socket: Kept,
    answer: Answer,
}

impl Door {
    /// Opens the door of `seat`, in front of the segment whose header has `id`.
    ///
    /// [`DoorError::Taken`] says that somebody has this address: the seat's former holder while it
    /// is being buried, another segment of this name, or somebody who wants to be in the way.
    pub fn open(name: &str, seat: u32, id: u128) -> Result<Self, DoorError> {
        validate(name)?;
        if seat >= SEATS {
            return Err(io::Error::from(io::ErrorKind::InvalidInput).into());
        }
        let socket = Kept::new(|| wire::listen(name, seat, BACKLOG));
        let socket = socket.map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => DoorError::Taken {
                name: name.into(),
                seat,
            },
            _ => error.into(),
        })?;
        let answer = Answer::of_this_process(seat, id);
        Ok(Self { socket, answer })
    }

    /// To be polled for reading; None in a forked child, which has no door.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.socket.fd()
    }

    /// Hands `segment` to all that wait, at most [`BACKLOG`] of them: what is left, the next poll
    /// tells.
    ///
    /// Fails if there is no descriptor for a connection. It still waits then, so a poll would return
    /// at once: look again after a while.
    pub fn answer(&self, segment: BorrowedFd<'_>) -> io::Result<()> {
        let Some(socket) = self.socket.fd() else {
            return Ok(());
        };
        for _ in 0..BACKLOG {
            let Some(asker) = wire::accept(socket)? else {
                return Ok(());
            };
            if wire::peer(&asker).is_ok_and(|peer| wire::is_own_user(&peer)) {
                // Whoever has not waited for the answer does not need it.
                let _ = wire::send(&asker, &self.answer, segment);
            }
        }
        Ok(())
    }
}

/// Asks the participants of the segment called `name` for it, for `patience` at most.
///
/// `accept` is given the descriptor and the id that the segment's header must have. If it refuses,
/// the other doors are tried.
pub fn fetch<T>(
    name: &str,
    patience: Duration,
    mut accept: impl FnMut(OwnedFd, u128) -> Result<T, AttachError>,
) -> Result<T, DoorError> {
    validate(name)?;
    let start = Instant::now();
    let mut untried: VecDeque<u32> = (0..SEATS).collect();
    let mut busy = Vec::new();
    let mut asked = Vec::new();
    let mut refused = None;
    loop {
        while let Some(seat) = untried.pop_front() {
            match knock(name, seat) {
                Ok(Some(door)) => {
                    asked.push((seat, door));
                    break;
                }
                Ok(None) => {}
                Err(Knock::Busy) => busy.push(seat),
                Err(Knock::Refused(why)) => refused = Some((seat, why)),
            }
        }
        let doors = asked.len() + busy.len();
        let left = patience.checked_sub(start.elapsed());
        let Some(left) = left.filter(|_| doors > 0) else {
            let name = name.into();
            return Err(match refused {
                Some((seat, why)) => DoorError::Refused { name, seat, why },
                None if doors > 0 => DoorError::Silent { name, doors },
                None => DoorError::Nobody { name },
            });
        };
        untried.extend(busy.drain(..)); // they may have answered somebody by then
        let courtesy = if untried.is_empty() { left } else { COURTESY };
        for (seat, door) in wire::readable(&mut asked, courtesy.min(left))? {
            let answer = wire::receive(&door, seat).and_then(|(segment, id)| {
                accept(segment, id).map_err(|error| Refused::Segment(Box::new(error)))
            });
            match answer {
                Ok(accepted) => return Ok(accepted),
                Err(why) => refused = Some((seat, why)),
            }
        }
    }
}

enum Knock {
    /// So many wait there already that nobody can be answering.
    Busy,
    Refused(Refused),
}

/// A connection to the door of a seat, if it has one and it is this user's.
fn knock(name: &str, seat: u32) -> Result<Option<OwnedFd>, Knock> {
    let refused = |error: io::Error| match error.kind() {
        io::ErrorKind::WouldBlock => Knock::Busy,
        _ => Knock::Refused(error.into()),
    };
    let Some(door) = wire::connect(name, seat).map_err(refused)? else {
        return Ok(None);
    };
    let peer = wire::peer(&door).map_err(refused)?;
    if wire::is_own_user(&peer) {
        Ok(Some(door))
    } else {
        Err(Knock::Refused(Refused::OtherUser { uid: peer.uid }))
    }
}

fn validate(name: &str) -> Result<(), DoorError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(plain) {
        return Ok(());
    }
    Err(DoorError::Name { name: name.into() })
}

/// Why there is no door, or nothing behind it.
#[derive(Debug)]
pub enum DoorError {
    /// No name that a segment can have.
    Name {
        /// As it was given.
        name: String,
    },
    /// The address of the door is in use.
    Taken {
        /// The segment's name.
        name: String,
        /// The seat whose door it would be.
        seat: u32,
    },
    /// No door of that name.
    Nobody {
        /// The segment's name.
        name: String,
    },
    /// Doors of that name, and no answer in time.
    Silent {
        /// The segment's name.
        name: String,
        /// How many there are.
        doors: usize,
    },
    /// The last of the answers, none of which was sound.
    Refused {
        /// The segment's name.
        name: String,
        /// Whose answer it was.
        seat: u32,
        /// What is wrong with it.
        why: Refused,
    },
    /// The system refused a socket.
    Io(io::Error),
}

impl fmt::Display for DoorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name { name } => write!(
                f,
                "{name:?} is no name: 1 to {NAME_MAX} letters, digits, dots, dashes and underscores"
            ),
            Self::Taken { name, seat } => {
                write!(f, "the address of seat {seat} of {name:?} is in use")
            }
            Self::Nobody { name } => write!(
                f,
                "no living process of this user, pid and network namespace has {name:?}"
            ),
            Self::Silent { name, doors } => {
                write!(f, "{doors} processes have {name:?}, and none answers")
            }
            Self::Refused { name, seat, why } => {
                write!(f, "seat {seat} of {name:?} was refused: {why}")
            }
            Self::Io(error) => write!(f, "no socket: {error}"),
        }
    }
}

impl std::error::Error for DoorError {}

impl From<io::Error> for DoorError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_and_short() {
        let longest = "n".repeat(NAME_MAX);
        for name in ["a", "orders.2026-11_b", "0", &longest] {
            assert!(validate(name).is_ok(), "{name}");
        }
        let longer = "n".repeat(NAME_MAX + 1);
        for name in ["", &longer, "a b", "a/b", "a\0b", "ä", "a\n"] {
            let error = validate(name).unwrap_err().to_string();
            assert!(error.contains("1 to 64 letters"), "{error}");
            assert!(Door::open(name, 0, 1).is_err());
            let fetched = fetch(name, Duration::ZERO, |_, _| Ok(()));
            assert!(matches!(fetched, Err(DoorError::Name { .. })));
        }
    }

    #[test]
    fn the_longest_address_fits() {
        let name = format!("{:x>64}", std::process::id());
        let door = Door::open(&name, SEATS - 1, 1).unwrap();
        assert!(door.fd().is_some());
        assert!(Door::open(&name, SEATS, 1).is_err());
        assert!(matches!(
            Door::open(&name, SEATS - 1, 1),
            Err(DoorError::Taken { seat: 63, .. })
        ));
        drop(door);
        assert!(Door::open(&name, SEATS - 1, 1).is_ok());
    }
}

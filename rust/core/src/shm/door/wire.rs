//! The system calls of a door: addresses, who is at the other end, and the one message.

use std::{
    fmt, fs, io,
    mem::{self, offset_of},
    os::{
        fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    ptr,
    time::Duration,
};

use crate::shm::layout::{AttachError, VERSION};

/// Spells `pen door` in memory.
const MAGIC: u64 = u64::from_le_bytes(*b"pen door");

const SOCKET: libc::c_int = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;

/// Room for the descriptors of a message, aligned as the kernel wants it: one to send, up to twelve
/// that come in. What is beyond, the kernel closes.
#[repr(C, align(8))]
struct Control([u8; 64]);

/// Why an answer was refused.
#[derive(Debug)]
pub enum Refused {
    /// It is another user's process.
    OtherUser {
        /// That user.
        uid: u32,
    },
    /// It sees other pids.
    OtherNamespace,
    /// It closed the connection without a word.
    HungUp,
    /// Nothing that a door says.
    Garbled,
    /// It is of another layout.
    Version {
        /// The layout it says it has.
        found: u32,
    },
    /// Not exactly one descriptor.
    Descriptors {
        /// How many, up to twelve.
        found: usize,
    },
    /// The segment behind the descriptor.
    Segment(Box<AttachError>),
    /// The system failed.
    Io(io::Error),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherUser { uid } => write!(f, "it is a process of user {uid}"),
            Self::OtherNamespace => write!(f, "it is in another pid namespace"),
            Self::HungUp => write!(f, "it hung up without an answer"),
            Self::Garbled => write!(f, "its answer is none of penstock's"),
            Self::Version { found } => write!(
                f,
                "it has layout {found}, this build knows layout {VERSION}"
            ),
            Self::Descriptors { found } => {
                write!(f, "its answer has {found} descriptors instead of one")
            }
            Self::Segment(error) => write!(f, "{error}"),
            Self::Io(error) => write!(f, "{error}"),
        }
    }
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // The process ended, or closed its door, with this one still waiting.
            io::ErrorKind::ConnectionReset => Self::HungUp,
            _ => Self::Io(error),
        }
    }
}

/// What a door says, beside the descriptor.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct Answer {
    magic: u64,
    version: u32,
    seat: u32,
    namespace: u64,
    pid: u64,
    id: [u8; 16],
}

impl Answer {
    pub(super) fn of_this_process(seat: u32, id: u128) -> Self {
        Self {
            magic: MAGIC,
            version: VERSION,
            seat,
            namespace: pid_namespace(),
            pid: std::process::id().into(),
            id: id.to_le_bytes(),
        }
    }

    /// The id, if the answer is sound and of the process that the kernel names.
    fn check(&self, seat: u32, peer: &libc::ucred) -> Result<u128, Refused> {
        if self.magic != MAGIC || self.seat != seat {
            return Err(Refused::Garbled);
        }
        if self.version != VERSION {
            return Err(Refused::Version {
                found: self.version,
            });
        }
        // The kernel's number is the one in the asker's namespace.
        if self.namespace != pid_namespace() || self.pid != u64::from(peer.pid.cast_unsigned()) {
            return Err(Refused::OtherNamespace);
        }
        Ok(u128::from_le_bytes(self.id))
    }
}

/// The number of the pid namespace that this process is in; 0 where it cannot be told.
#[must_use]
pub fn pid_namespace() -> u64 {
    fs::metadata("/proc/self/ns/pid").map_or(0, |link| link.ino())
}

struct Address(libc::sockaddr_un, libc::socklen_t);

impl Address {
    /// `name` is short enough.
    fn new(name: &str, seat: u32) -> Self {
        // SAFETY: no arguments, cannot fail.
        let user = unsafe { libc::geteuid() };
        let path = format!("penstock-{user}-{}-{name}-{seat}", pid_namespace());
        // SAFETY: plain data, for which zeroes are valid.
        let mut address: libc::sockaddr_un = unsafe { mem::zeroed() };
        address.sun_family = libc::AF_UNIX as libc::sa_family_t;
        // The zero before it makes the address abstract.
        for (to, from) in address.sun_path[1..].iter_mut().zip(path.bytes()) {
            *to = from.cast_signed();
        }
        let length = offset_of!(libc::sockaddr_un, sun_path) + 1 + path.len();
        debug_assert!(length <= size_of::<libc::sockaddr_un>());
        Self(address, length as libc::socklen_t)
    }

    fn parts(&self) -> (*const libc::sockaddr, libc::socklen_t) {
        (ptr::from_ref(&self.0).cast(), self.1)
    }
}

fn socket() -> io::Result<OwnedFd> {
    // SAFETY: no memory arguments.
    let fd = checked(unsafe { libc::socket(libc::AF_UNIX, SOCKET, 0) })?;
    // SAFETY: the descriptor is new and owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn checked(answer: libc::c_int) -> io::Result<libc::c_int> {
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(answer)
}

pub(super) fn listen(name: &str, seat: u32, backlog: i32) -> io::Result<OwnedFd> {
    let socket = socket()?;
    let address = Address::new(name, seat);
    let (at, length) = address.parts();
    // SAFETY: the address outlives the calls.
    unsafe {
        checked(libc::bind(socket.as_raw_fd(), at, length))?;
        checked(libc::listen(socket.as_raw_fd(), backlog))?;
    }
    Ok(socket)
}

/// The next connection; None if nobody waits.
pub(super) fn accept(socket: BorrowedFd<'_>) -> io::Result<Option<OwnedFd>> {
    loop {
        let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: no address is asked for.
        let answer = checked(unsafe {
            libc::accept4(socket.as_raw_fd(), ptr::null_mut(), ptr::null_mut(), flags)
        });
        match answer {
            // SAFETY: the descriptor is new and owned by nobody else.
            Ok(fd) => return Ok(Some(unsafe { OwnedFd::from_raw_fd(fd) })),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => return Ok(None),
                io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => {}
                _ => return Err(error),
            },
        }
    }
}

/// A connection to a door; None if there is none. "Would block": too many wait there already.
pub(super) fn connect(name: &str, seat: u32) -> io::Result<Option<OwnedFd>> {
    let socket = socket()?;
    let address = Address::new(name, seat);
    let (at, length) = address.parts();
    // SAFETY: the address outlives the call.
    match checked(unsafe { libc::connect(socket.as_raw_fd(), at, length) }) {
        Ok(_) => Ok(Some(socket)),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whose process is at the other end, as the kernel knows it: for a door the one that opened it.
pub(super) fn peer(socket: &OwnedFd) -> io::Result<libc::ucred> {
    let mut peer = libc::ucred {
        pid: 0,
        uid: libc::uid_t::MAX,
        gid: libc::gid_t::MAX,
    };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: as many writable bytes as are said.
    checked(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &raw mut length,
        )
    })?;
    Ok(peer)
}

pub(super) fn is_own_user(peer: &libc::ucred) -> bool {
    // SAFETY: no arguments, cannot fail.
    peer.uid == unsafe { libc::geteuid() }
}

/// Sends the answer and the descriptor, or fails at once.
pub(super) fn send(to: &OwnedFd, answer: &Answer, segment: BorrowedFd<'_>) -> io::Result<()> {
    let mut content = libc::iovec {
        iov_base: ptr::from_ref(answer).cast_mut().cast(),
        iov_len: size_of::<Answer>(),
    };
    let mut control = Control([0; 64]);
    let one = size_of::<i32>() as u32;
    // SAFETY: the message and all it points to outlive the call; the control buffer is aligned and
    // has room for one descriptor; nothing is written through `iov_base`.
    unsafe {
        let mut message: libc::msghdr = mem::zeroed();
        message.msg_iov = &raw mut content;
        message.msg_iovlen = 1;
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(one) as _;
        let head = &mut *libc::CMSG_FIRSTHDR(&raw const message);
        head.cmsg_level = libc::SOL_SOCKET;
        head.cmsg_type = libc::SCM_RIGHTS;
        head.cmsg_len = libc::CMSG_LEN(one) as _;
        libc::CMSG_DATA(head)
            .cast::<i32>()
            .write_unaligned(segment.as_raw_fd());
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        if libc::sendmsg(to.as_raw_fd(), &raw const message, flags) < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// The descriptor and the id of an answer that has come in.
pub(super) fn receive(from: &OwnedFd, seat: u32) -> Result<(OwnedFd, u128), Refused> {
    // One byte more, so that a longer message is seen to be one.
    let mut bytes = [0_u8; size_of::<Answer>() + 1];
    let mut content = libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    };
    let mut control = Control([0; 64]);
    let mut descriptors = Vec::new();
    // SAFETY: the message and all it points to outlive the call. The kernel has filled in what the
    // walk reads, within the length that it has set; each descriptor is new and owned by nobody.
    let length = unsafe {
        let mut message: libc::msghdr = mem::zeroed();
        message.msg_iov = &raw mut content;
        message.msg_iovlen = 1;
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = size_of::<Control>() as _;
        let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
        let length = libc::recvmsg(from.as_raw_fd(), &raw mut message, flags);
        if length < 0 {
            return Err(io::Error::last_os_error().into());
        }
        let mut head = libc::CMSG_FIRSTHDR(&raw const message);
        while let Some(found) = head.as_ref() {
            if (found.cmsg_level, found.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
                let bytes = found.cmsg_len as u64 - u64::from(libc::CMSG_LEN(0));
                for index in 0..bytes as usize / size_of::<i32>() {
                    let fd = libc::CMSG_DATA(found).cast::<i32>().add(index);
                    descriptors.push(OwnedFd::from_raw_fd(fd.read_unaligned()));
                }
            }
            head = libc::CMSG_NXTHDR(&raw const message, found);
        }
        length.cast_unsigned()
    };
    if length == 0 && descriptors.is_empty() {
        return Err(Refused::HungUp);
    }
    if length != size_of::<Answer>() {
        return Err(Refused::Garbled);
    }
    // SAFETY: that many bytes, and any bits are an answer.
    let answer = unsafe { bytes.as_ptr().cast::<Answer>().read_unaligned() };
    let id = answer.check(seat, &peer(from)?)?;
    let found = descriptors.len();
    match (descriptors.pop(), found) {
        (Some(segment), 1) => Ok((segment, id)),
        _ => Err(Refused::Descriptors { found }),
    }
}

/// Waits until something has come in from one of `asked` or the time is up; takes those out.
pub(super) fn readable(
    asked: &mut Vec<(u32, OwnedFd)>,
    patience: Duration,
) -> io::Result<Vec<(u32, OwnedFd)>> {
    let mut entries: Vec<_> = asked
        .iter()
        .map(|(_, fd)| libc::pollfd {
            fd: fd.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        })
        .collect();
    let milliseconds = patience.as_micros().div_ceil(1000);
    let milliseconds = i32::try_from(milliseconds).unwrap_or(i32::MAX);
    // SAFETY: as many entries as are said, alive during the call.
    let answer = checked(unsafe {
        libc::poll(
            entries.as_mut_ptr(),
            entries.len() as libc::nfds_t,
            milliseconds,
        )
    });
    match answer {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(Vec::new()),
        Err(error) => return Err(error),
        Ok(_) => {}
    }
    let mut entries = entries.into_iter();
    let is_readable =
        |_: &mut (u32, OwnedFd)| entries.next().is_some_and(|entry| entry.revents != 0);
    Ok(asked.extract_if(.., is_readable).collect())
}

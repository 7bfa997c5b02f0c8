//! Those who knock at a segment's doors, and those who answer there, honestly or not.
#![allow(
    dead_code,
    reason = "each test file is a crate of its own and uses what it needs"
)]

use std::{
    fs,
    mem::offset_of,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    ptr,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

use penstock_core::shm::door::{Door, DoorError, Refused, fetch, pid_namespace};

pub(crate) const ID: u128 = 0x0123_4567_89AB_CDEF_0011_2233_4455_6677;
/// Against a hang, not a measure.
pub(crate) const LONG: Duration = Duration::from_secs(30);
pub(crate) const SHORT: Duration = Duration::from_millis(100);

/// Tests count descriptors of the process, so they run one by one.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

pub(crate) fn new_name() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("test-{}-{number}", std::process::id())
}

pub(crate) fn segment() -> OwnedFd {
    // SAFETY: the name is a C string, the descriptor new.
    unsafe {
        let fd = libc::memfd_create(c"penstock-test".as_ptr(), libc::MFD_CLOEXEC);
        assert!(fd >= 0);
        OwnedFd::from_raw_fd(fd)
    }
}

pub(crate) fn descriptors() -> Vec<String> {
    let names = |entry: std::io::Result<fs::DirEntry>| {
        let link = fs::read_link(entry.ok()?.path()).ok()?;
        let link = link.display().to_string();
        (!link.contains("/fd")).then_some(link) // the listing's own
    };
    let mut found: Vec<_> = fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(names)
        .collect();
    found.sort();
    found
}

pub(crate) fn inode(fd: &impl AsRawFd) -> u64 {
    fs::metadata(format!("/proc/self/fd/{}", fd.as_raw_fd()))
        .unwrap()
        .ino()
}

pub(crate) fn take(name: &str, patience: Duration) -> Result<OwnedFd, DoorError> {
    fetch(name, patience, |fd, id| {
        assert_eq!(id, ID);
        Ok(fd)
    })
}

/// Whether `fd` becomes readable before the time is up.
pub(crate) fn wait(fd: BorrowedFd<'_>, patience: Duration) -> bool {
    let mut entry = libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one entry, alive during the call.
    unsafe { libc::poll(&raw mut entry, 1, patience.as_millis() as i32) == 1 }
}

/// Calls `work` while a thread answers at `door`.
pub(crate) fn answered<R>(door: &Door, segment: &OwnedFd, work: impl FnOnce() -> R) -> R {
    struct Stop<'a>(&'a AtomicBool);

    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        // Also if `work` panics.
        let _stop = Stop(&is_over);
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                if wait(door.fd().unwrap(), Duration::from_millis(1)) {
                    door.answer(segment.as_fd()).unwrap();
                }
            }
        });
        work()
    })
}

pub(crate) enum Call {
    Bind,
    Connect,
}

/// A socket of one's own, bound to a door's address or connected to it.
pub(crate) fn raw(name: &str, seat: u32, call: Call) -> Option<OwnedFd> {
    // SAFETY: no arguments, cannot fail.
    raw_of(unsafe { libc::geteuid() }, name, seat, call)
}

/// As [`raw`], the address being that of another user's door.
pub(crate) fn raw_of(user: u32, name: &str, seat: u32, call: Call) -> Option<OwnedFd> {
    let path = format!("penstock-{user}-{}-{name}-{seat}", pid_namespace());
    // SAFETY: plain system calls on memory that outlives them; the descriptor is new.
    unsafe {
        let mut address: libc::sockaddr_un = std::mem::zeroed();
        address.sun_family = libc::AF_UNIX as libc::sa_family_t;
        for (to, from) in address.sun_path[1..].iter_mut().zip(path.bytes()) {
            *to = from.cast_signed();
        }
        let length = (offset_of!(libc::sockaddr_un, sun_path) + 1 + path.len()) as u32;
        let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        let socket = OwnedFd::from_raw_fd(libc::socket(libc::AF_UNIX, kind, 0));
        let (fd, at) = (socket.as_raw_fd(), (&raw const address).cast());
        let answer = match call {
            Call::Bind => libc::bind(fd, at, length) | libc::listen(fd, 4),
            Call::Connect => libc::connect(fd, at, length),
        };
        (answer == 0).then_some(socket)
    }
}

/// What comes in at a connection, without its descriptor: empty if it is closed.
pub(crate) fn hear(socket: &OwnedFd) -> Vec<u8> {
    let mut bytes = [0_u8; 100];
    assert!(wait(socket.as_fd(), LONG));
    // SAFETY: as many writable bytes.
    let length = unsafe { libc::read(socket.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len()) };
    bytes[..usize::try_from(length).unwrap()].to_vec()
}

pub(crate) fn say(socket: &OwnedFd, bytes: &[u8], fds: &[i32]) {
    let mut content = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    let mut control = [0_u64; 200];
    let room = size_of_val(fds) as u32;
    // SAFETY: the message and all it points to outlive the call; the buffer is large enough.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut content;
        message.msg_iovlen = 1;
        if !fds.is_empty() {
            message.msg_control = control.as_mut_ptr().cast();
            message.msg_controllen = libc::CMSG_SPACE(room) as _;
            let head = libc::CMSG_FIRSTHDR(&raw const message);
            (*head).cmsg_level = libc::SOL_SOCKET;
            (*head).cmsg_type = libc::SCM_RIGHTS;
            (*head).cmsg_len = libc::CMSG_LEN(room) as _;
            ptr::copy_nonoverlapping(fds.as_ptr(), libc::CMSG_DATA(head).cast(), fds.len());
        }
        libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL);
    }
}

pub(crate) fn accept(listener: &OwnedFd) -> OwnedFd {
    assert!(wait(listener.as_fd(), LONG));
    // SAFETY: no address is asked for; the descriptor is new.
    unsafe {
        let fd = libc::accept4(
            listener.as_raw_fd(),
            ptr::null_mut(),
            ptr::null_mut(),
            libc::SOCK_CLOEXEC,
        );
        assert!(fd >= 0);
        OwnedFd::from_raw_fd(fd)
    }
}

/// What an honest door of this process says for that seat.
pub(crate) fn honest_answer(seat: u32) -> Vec<u8> {
    let name = new_name();
    let door = Door::open(&name, seat, ID).unwrap();
    let asker = raw(&name, seat, Call::Connect).unwrap();
    door.answer(segment().as_fd()).unwrap();
    hear(&asker)
}

/// What [`fetch`] makes of one who says `bytes` and hands over `count` descriptors.
pub(crate) fn lied_to(name: &str, bytes: &[u8], count: usize) -> Result<OwnedFd, DoorError> {
    let listener = raw(name, 0, Call::Bind).unwrap();
    let handed = segment();
    thread::scope(|scope| {
        scope.spawn(|| {
            let asker = accept(&listener);
            say(&asker, bytes, &vec![handed.as_raw_fd(); count]);
        });
        take(name, LONG)
    })
}

#[track_caller]
pub(crate) fn why(result: Result<OwnedFd, DoorError>) -> Refused {
    match result {
        Err(DoorError::Refused { seat: 0, why, .. }) => why,
        other => panic!("{other:?}"),
    }
}

//! Doors of a segment, between threads, processes and users, and whoever means ill.
#![cfg(not(penstock_loom))]

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
    time::{Duration, Instant},
};

use penstock_core::shm::{
    AttachError,
    door::{Door, DoorError, Refused, SEATS, fetch, pid_namespace},
};
use proptest::prelude::*;

const ID: u128 = 0x0123_4567_89AB_CDEF_0011_2233_4455_6677;
/// Against a hang, not a measure.
const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(100);

/// Tests count descriptors of the process, so they run one by one.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn new_name() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("test-{}-{number}", std::process::id())
}

fn segment() -> OwnedFd {
    // SAFETY: the name is a C string, the descriptor new.
    unsafe {
        let fd = libc::memfd_create(c"penstock-test".as_ptr(), libc::MFD_CLOEXEC);
        assert!(fd >= 0);
        OwnedFd::from_raw_fd(fd)
    }
}

fn descriptors() -> Vec<String> {
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

fn inode(fd: &impl AsRawFd) -> u64 {
    fs::metadata(format!("/proc/self/fd/{}", fd.as_raw_fd()))
        .unwrap()
        .ino()
}

fn take(name: &str, patience: Duration) -> Result<OwnedFd, DoorError> {
    fetch(name, patience, |fd, id| {
        assert_eq!(id, ID);
        Ok(fd)
    })
}

/// Whether `fd` becomes readable before the time is up.
fn wait(fd: BorrowedFd<'_>, patience: Duration) -> bool {
    let mut entry = libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one entry, alive during the call.
    unsafe { libc::poll(&raw mut entry, 1, patience.as_millis() as i32) == 1 }
}

/// Calls `work` while a thread answers at `door`.
fn answered<R>(door: &Door, segment: &OwnedFd, work: impl FnOnce() -> R) -> R {
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

enum Call {
    Bind,
    Connect,
}

/// A socket of one's own, bound to a door's address or connected to it.
fn raw(name: &str, seat: u32, call: Call) -> Option<OwnedFd> {
    // SAFETY: no arguments, cannot fail.
    raw_of(unsafe { libc::geteuid() }, name, seat, call)
}

/// As [`raw`], the address being that of another user's door.
fn raw_of(user: u32, name: &str, seat: u32, call: Call) -> Option<OwnedFd> {
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
fn hear(socket: &OwnedFd) -> Vec<u8> {
    let mut bytes = [0_u8; 100];
    assert!(wait(socket.as_fd(), LONG));
    // SAFETY: as many writable bytes.
    let length = unsafe { libc::read(socket.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len()) };
    bytes[..usize::try_from(length).unwrap()].to_vec()
}

fn say(socket: &OwnedFd, bytes: &[u8], fds: &[i32]) {
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

fn accept(listener: &OwnedFd) -> OwnedFd {
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
fn honest_answer(seat: u32) -> Vec<u8> {
    let name = new_name();
    let door = Door::open(&name, seat, ID).unwrap();
    let asker = raw(&name, seat, Call::Connect).unwrap();
    door.answer(segment().as_fd()).unwrap();
    hear(&asker)
}

/// What [`fetch`] makes of one who says `bytes` and hands over `count` descriptors.
fn lied_to(name: &str, bytes: &[u8], count: usize) -> Result<OwnedFd, DoorError> {
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
fn why(result: Result<OwnedFd, DoorError>) -> Refused {
    match result {
        Err(DoorError::Refused { seat: 0, why, .. }) => why,
        other => panic!("{other:?}"),
    }
}

/// Runs `work` in a forked child, which says how it went by its exit code.
fn child(work: impl FnOnce() -> i32) -> libc::pid_t {
    // SAFETY: the child does what is asked of it and ends, whatever happens.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        // SAFETY: ends the child without the test runner's destructors.
        unsafe { libc::_exit(code.unwrap_or(99)) };
    }
    child
}

fn status(child: libc::pid_t, flags: i32) -> i32 {
    let mut status = 0;
    // SAFETY: `child` is ours, `status` writable.
    let found = unsafe { libc::waitpid(child, &raw mut status, flags) };
    assert_eq!(found, child);
    status
}

fn end(child: libc::pid_t) {
    // SAFETY: `child` is ours and has not been waited for.
    unsafe { libc::kill(child, libc::SIGKILL) };
    status(child, 0);
}

fn is_root() -> bool {
    // SAFETY: no arguments, cannot fail.
    unsafe { libc::geteuid() == 0 }
}

#[test]
fn who_asks_is_handed_the_segment() {
    let _alone = alone();
    let (name, segment) = (new_name(), segment());
    let door = Door::open(&name, SEATS - 1, ID).unwrap();
    let before = descriptors();
    let fetched = answered(&door, &segment, || take(&name, Duration::MAX)).unwrap();
    assert_eq!(inode(&fetched), inode(&segment));
    // SAFETY: a question about a descriptor that is open.
    let flags = unsafe { libc::fcntl(fetched.as_raw_fd(), libc::F_GETFD) };
    assert_eq!(flags & libc::FD_CLOEXEC, libc::FD_CLOEXEC);
    drop(fetched);
    assert_eq!(descriptors(), before);
}

#[test]
fn nobody_is_told_from_silence_and_neither_lasts() {
    let _alone = alone();
    let name = new_name();
    assert!(matches!(take(&name, LONG), Err(DoorError::Nobody { .. })));
    let doors: Vec<_> = (0..3)
        .map(|seat| Door::open(&name, seat, ID).unwrap())
        .collect();
    let start = Instant::now();
    let silence = take(&name, SHORT).unwrap_err();
    assert!(
        matches!(silence, DoorError::Silent { doors: 3, .. }),
        "{silence}"
    );
    assert!(start.elapsed() >= SHORT);
    let silence = take(&name, Duration::ZERO).unwrap_err();
    assert!(
        matches!(silence, DoorError::Silent { doors: 1, .. }),
        "{silence}"
    );
    drop(doors);
    assert!(matches!(take(&name, LONG), Err(DoorError::Nobody { .. })));
}

#[test]
fn answers_that_are_not_sound_are_refused() {
    let _alone = alone();
    let honest = honest_answer(0);
    let name = new_name();
    let before = descriptors();
    let changed = |at: usize| {
        let mut bytes = honest.clone();
        bytes[at] ^= 1;
        bytes
    };
    assert!(lied_to(&name, &honest, 1).is_ok());
    for (bytes, count) in [
        (Vec::new(), 1),
        (vec![0], 0),
        (b"garbage".repeat(7)[..48].to_vec(), 1),
        (honest[..47].to_vec(), 1),
        ([&honest[..], b"x"].concat(), 1),
        (b"x".repeat(10_000), 1),
        (changed(0), 1),       // the mark
        (honest_answer(1), 1), // the seat
    ] {
        let why = why(lied_to(&name, &bytes, count));
        assert!(matches!(why, Refused::Garbled), "{why}");
    }
    let why_version = why(lied_to(&name, &changed(8), 1));
    assert!(
        matches!(why_version, Refused::Version { .. }),
        "{why_version}"
    );
    for at in [16, 24, 31] {
        let why = why(lied_to(&name, &changed(at), 1)); // namespace, pid
        assert!(matches!(why, Refused::OtherNamespace), "{why}");
    }
    for count in [0, 2, 12, 13, 200] {
        let why = why(lied_to(&name, &honest, count));
        let found = count.min(12);
        assert!(
            matches!(why, Refused::Descriptors { found: f } if f == found),
            "{why}"
        );
    }
    let why = why(lied_to(&name, b"", 0));
    assert!(matches!(why, Refused::HungUp), "{why}");
    assert_eq!(descriptors(), before);
}

#[test]
fn a_sound_answer_counts_whoever_else_has_a_door() {
    let _alone = alone();
    let (name, segment) = (new_name(), segment());
    let liars = [0, 1].map(|seat| raw(&name, seat, Call::Bind).unwrap());
    let _silent = raw(&name, 2, Call::Bind).unwrap();
    let door = Door::open(&name, 5, ID).unwrap();
    let before = descriptors();
    thread::scope(|scope| {
        for liar in &liars {
            scope.spawn(|| say(&accept(liar), b"lies", &[]));
        }
        let fetched = answered(&door, &segment, || take(&name, LONG)).unwrap();
        assert_eq!(inode(&fetched), inode(&segment));
    });
    assert_eq!(descriptors(), before);
}

#[test]
fn a_late_answer_counts_as_well() {
    let _alone = alone();
    let name = new_name();
    let honest = honest_answer(0);
    let [late, last] = [0, 1].map(|seat| raw(&name, seat, Call::Bind).unwrap());
    let handed = segment();
    let fetched = thread::scope(|scope| {
        scope.spawn(|| {
            // Both have been asked by now.
            let (first, _second) = (accept(&late), accept(&last));
            say(&first, &honest, &[handed.as_raw_fd()]);
        });
        take(&name, LONG)
    });
    assert_eq!(inode(&fetched.unwrap()), inode(&handed));
}

#[test]
fn a_segment_that_is_refused_leaves_the_other_doors() {
    let _alone = alone();
    let (name, segment) = (new_name(), segment());
    let doors = [7_u32, 9].map(|seat| Door::open(&name, seat, seat.into()).unwrap());
    let only = |wanted: u128| {
        answered(&doors[0], &segment, || {
            answered(&doors[1], &segment, || {
                fetch(&name, LONG, |_, id| {
                    (id == wanted).then_some(id).ok_or(AttachError::Damaged)
                })
            })
        })
    };
    assert_eq!(only(9).unwrap(), 9);
    assert_eq!(only(7).unwrap(), 7);
    let refused = only(8).unwrap_err();
    assert!(
        refused.to_string().contains("header does not match"),
        "{refused}"
    );
}

#[test]
fn those_who_connect_and_say_nothing_hold_up_nobody() {
    let _alone = alone();
    let (name, segment) = (new_name(), segment());
    let door = Door::open(&name, 0, ID).unwrap();
    let mut idle = Vec::new();
    // Until no more can wait.
    while let Some(socket) = raw(&name, 0, Call::Connect) {
        idle.push(socket);
    }
    assert!(idle.len() >= 64);
    let busy = take(&name, SHORT).unwrap_err();
    assert!(matches!(busy, DoorError::Silent { doors: 1, .. }), "{busy}");
    door.answer(segment.as_fd()).unwrap();
    let heard = |socket: &&OwnedFd| wait(socket.as_fd(), Duration::ZERO);
    assert_eq!(
        idle.iter().filter(heard).count(),
        64,
        "many at once, not all"
    );
    assert_eq!(hear(&idle[0]).len(), 48);
    door.answer(segment.as_fd()).unwrap();
    assert!(idle.iter().all(|socket| heard(&socket)));
    assert!(answered(&door, &segment, || take(&name, LONG)).is_ok());
    // Nor do those who have gone.
    idle.extend(raw(&name, 0, Call::Connect));
    drop(idle);
    door.answer(segment.as_fd()).unwrap();
    assert!(!wait(door.fd().unwrap(), Duration::ZERO));
}

#[test]
fn a_crowd_at_one_door_is_served() {
    let _alone = alone();
    let (name, segment) = (new_name(), segment());
    let door = Door::open(&name, 0, ID).unwrap();
    let before = descriptors();
    thread::scope(|scope| {
        let ask = || take(&name, LONG).is_ok();
        let crowd: Vec<_> = (0..200).map(|_| scope.spawn(ask)).collect();
        // Until there is no place to wait any more, and some ask again and again.
        while raw(&name, 0, Call::Connect).is_some() {
            thread::yield_now();
        }
        answered(&door, &segment, || {
            assert!(crowd.into_iter().all(|one| one.join().unwrap()));
        });
    });
    assert_eq!(descriptors(), before);
}

#[test]
fn a_stopped_process_is_passed_over() {
    let _alone = alone();
    let (name, segment) = (new_name(), segment());
    let stopped = child(|| {
        let _door = Door::open(&name, 0, ID).unwrap();
        // SAFETY: stops this child.
        unsafe { libc::raise(libc::SIGSTOP) };
        0
    });
    assert!(libc::WIFSTOPPED(status(stopped, libc::WUNTRACED)));
    let silence = take(&name, SHORT).unwrap_err();
    assert!(
        matches!(silence, DoorError::Silent { doors: 1, .. }),
        "{silence}"
    );
    let door = Door::open(&name, 1, ID).unwrap();
    assert!(answered(&door, &segment, || take(&name, LONG)).is_ok());
    end(stopped);
    // With the process the address is gone.
    let again = Door::open(&name, 0, ID).unwrap();
    assert!(answered(&again, &segment, || take(&name, LONG)).is_ok());
}

#[test]
fn a_door_that_closes_before_it_answers_is_passed_over() {
    let _alone = alone();
    let name = new_name();
    let door = Door::open(&name, 0, ID).unwrap();
    let closes = thread::scope(|scope| {
        scope.spawn(|| {
            assert!(wait(door.fd().unwrap(), LONG));
            drop(door);
        });
        why(take(&name, LONG))
    });
    assert!(matches!(closes, Refused::HungUp), "{closes}");
}

#[test]
fn another_pid_namespace_sees_no_door() {
    let _alone = alone();
    let name = new_name();
    let _door = Door::open(&name, 0, ID).unwrap();
    let outside = child(|| {
        // SAFETY: takes effect for the children of this child.
        if unsafe { libc::unshare(libc::CLONE_NEWPID) } < 0 {
            return 7; // not allowed here
        }
        let inside = child(|| match take(&name, LONG) {
            Err(DoorError::Nobody { .. }) if Door::open(&name, 0, ID).is_ok() => 7,
            _ => 1,
        });
        libc::WEXITSTATUS(status(inside, 0))
    });
    assert_eq!(libc::WEXITSTATUS(status(outside, 0)), 7);
}

#[test]
fn a_segment_goes_from_process_to_process() {
    let _alone = alone();
    let (name, segment) = (new_name(), segment());
    let giver = child(|| {
        let door = Door::open(&name, 3, ID).unwrap();
        loop {
            wait(door.fd().unwrap(), LONG);
            door.answer(segment.as_fd()).unwrap();
        }
    });
    let start = Instant::now();
    let fetched = loop {
        match take(&name, LONG) {
            Err(DoorError::Nobody { .. }) if start.elapsed() < LONG => thread::yield_now(),
            other => break other.unwrap(),
        }
    };
    end(giver);
    assert_eq!(inode(&fetched), inode(&segment));
}

#[test]
fn a_forked_child_has_no_door() {
    let _alone = alone();
    let name = new_name();
    let doors = [0, 1].map(|seat| Door::open(&name, seat, ID).unwrap());
    let fd = doors[0].fd().unwrap().as_raw_fd();
    let lives = child(|| {
        let segment = segment();
        let is_gone = doors.iter().all(|door| door.fd().is_none());
        assert!(is_gone && doors[0].answer(segment.as_fd()).is_ok());
        assert_eq!(segment.as_raw_fd(), fd, "the number is free");
        // A door of the child's own is not closed by the end of the parent's.
        let own = Door::open(&name, 2, ID).unwrap();
        // SAFETY: what the child has of its parent's doors, dropped as it would be at its end.
        drop(unsafe { ptr::read(&raw const doors) });
        assert!(own.fd().is_some_and(|fd| !wait(fd, Duration::ZERO)));
        // SAFETY: stops this child; it lives on with what it has.
        unsafe { libc::raise(libc::SIGSTOP) };
        0
    });
    let stopped = status(lives, libc::WUNTRACED);
    assert!(libc::WIFSTOPPED(stopped), "{}", libc::WEXITSTATUS(stopped));
    drop(doors);
    let again = Door::open(&name, 0, ID);
    let taken = Door::open(&name, 2, ID);
    end(lives);
    assert!(again.is_ok());
    assert!(matches!(taken, Err(DoorError::Taken { .. })));
}

#[test]
fn another_user_is_given_nothing() {
    let _alone = alone();
    if !is_root() {
        return;
    }
    let (name, segment) = (new_name(), segment());
    let door = Door::open(&name, 0, ID).unwrap();
    let stranger = child(|| {
        let user = become_stranger();
        assert_ne!(user, 0);
        let socket = raw_of(0, &name, 0, Call::Connect).unwrap();
        hear(&socket).len() as i32
    });
    assert!(wait(door.fd().unwrap(), LONG));
    door.answer(segment.as_fd()).unwrap();
    let status = status(stranger, 0);
    assert_eq!(
        (libc::WIFEXITED(status), libc::WEXITSTATUS(status)),
        (true, 0)
    );
}

#[test]
fn another_user_is_not_believed() {
    let _alone = alone();
    if !is_root() {
        return;
    }
    let (name, segment) = (new_name(), segment());
    let stranger = child(|| {
        become_stranger();
        let _socket = raw_of(0, &name, 0, Call::Bind).unwrap();
        // SAFETY: stops this child.
        unsafe { libc::raise(libc::SIGSTOP) };
        0
    });
    assert!(libc::WIFSTOPPED(status(stranger, libc::WUNTRACED)));
    let refused = why(take(&name, LONG));
    assert!(
        matches!(refused, Refused::OtherUser { uid: 65_534 }),
        "{refused}"
    );
    let door = Door::open(&name, 1, ID).unwrap();
    assert!(answered(&door, &segment, || take(&name, LONG)).is_ok());
    end(stranger);
}

fn become_stranger() -> u32 {
    // SAFETY: gives up this child's rights.
    unsafe {
        assert_eq!(libc::setresuid(65_534, 65_534, 65_534), 0);
        libc::geteuid()
    }
}

#[test]
fn without_descriptors_the_doors_say_so() {
    let _alone = alone();
    let (name, segment) = (new_name(), segment());
    let code = child(|| {
        let door = Door::open(&name, 0, ID).unwrap();
        let _asker = raw(&name, 0, Call::Connect).unwrap();
        // SAFETY: plain data and system calls; the limit is this child's own.
        unsafe {
            let mut limit: libc::rlimit = std::mem::zeroed();
            libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
            let enough = limit.rlim_cur;
            limit.rlim_cur = 0;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
            assert!(door.answer(segment.as_fd()).is_err());
            assert!(matches!(
                take(&name, LONG),
                Err(DoorError::Refused {
                    why: Refused::Io(_),
                    ..
                })
            ));
            limit.rlim_cur = enough;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
        assert!(door.answer(segment.as_fd()).is_ok());
        7
    });
    assert_eq!(libc::WEXITSTATUS(status(code, 0)), 7);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_said_only_a_sound_answer_is_taken(
        flips in prop::collection::vec((0_usize..48, any::<u8>()), 0..4),
        length in prop_oneof![3 => Just(48_usize), 1 => 0..100_usize],
        count in prop_oneof![3 => Just(1_usize), 1 => 0..20_usize],
    ) {
        let _alone = alone();
        let honest = honest_answer(0);
        let mut bytes = honest.clone();
        for (at, change) in flips {
            bytes[at] ^= change;
        }
        bytes.resize(length, 0);
        let before = descriptors();
        let name = new_name();
        let listener = raw(&name, 0, Call::Bind).unwrap();
        let handed = segment();
        let fetched = thread::scope(|scope| {
            scope.spawn(|| say(&accept(&listener), &bytes, &vec![handed.as_raw_fd(); count]));
            fetch(&name, LONG, |fd, id| Ok((fd, id)))
        });
        // The id is for the segment's header to judge.
        let is_sound = length == 48 && count == 1 && bytes[..32] == honest[..32];
        prop_assert_eq!(fetched.is_ok(), is_sound, "{:?}", fetched);
        if let Ok((fd, id)) = fetched {
            prop_assert_eq!(inode(&fd), inode(&handed));
            prop_assert_eq!(id.to_le_bytes().to_vec(), bytes[32..].to_vec());
        }
        drop((listener, handed));
        prop_assert_eq!(descriptors(), before);
    }
}

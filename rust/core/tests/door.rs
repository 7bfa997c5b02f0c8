//! Doors of a segment, between threads and processes, as they are meant to be used.
#![cfg(not(penstock_loom))]

use std::{
    os::fd::{AsFd, AsRawFd},
    ptr, thread,
    time::{Duration, Instant},
};

use penstock_core::shm::{
    AttachError,
    door::{Door, DoorError, Refused, SEATS, fetch},
};

mod forked;
mod knocking;

use forked::{Child, code};
use knocking::{
    Call, ID, LONG, SHORT, alone, answered, descriptors, inode, new_name, raw, segment, take, wait,
    why,
};

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
    let stopped = Child::that_says(|| {
        let _door = Door::open(&name, 0, ID).unwrap();
        // SAFETY: stops this child.
        unsafe { libc::raise(libc::SIGSTOP) };
        0
    });
    stopped.wait_until_stopped();
    let silence = take(&name, SHORT).unwrap_err();
    assert!(
        matches!(silence, DoorError::Silent { doors: 1, .. }),
        "{silence}"
    );
    let door = Door::open(&name, 1, ID).unwrap();
    assert!(answered(&door, &segment, || take(&name, LONG)).is_ok());
    stopped.kill();
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
    let outside = Child::that_says(|| {
        // SAFETY: takes effect for the children of this child.
        if unsafe { libc::unshare(libc::CLONE_NEWPID) } < 0 {
            return 7; // not allowed here
        }
        let inside = Child::that_says(|| match take(&name, LONG) {
            Err(DoorError::Nobody { .. }) if Door::open(&name, 0, ID).is_ok() => 7,
            _ => 1,
        });
        code(inside.wait(0))
    });
    assert_eq!(code(outside.wait(0)), 7);
}

#[test]
fn a_segment_goes_from_process_to_process() {
    let _alone = alone();
    let (name, segment) = (new_name(), segment());
    let giver = Child::that_says(|| {
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
    giver.kill();
    assert_eq!(inode(&fetched), inode(&segment));
}

#[test]
fn a_forked_child_has_no_door() {
    let _alone = alone();
    let name = new_name();
    let doors = [0, 1].map(|seat| Door::open(&name, seat, ID).unwrap());
    let fd = doors[0].fd().unwrap().as_raw_fd();
    let lives = Child::that_says(|| {
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
    lives.wait_until_stopped();
    drop(doors);
    let again = Door::open(&name, 0, ID);
    let taken = Door::open(&name, 2, ID);
    lives.kill();
    assert!(again.is_ok());
    assert!(matches!(taken, Err(DoorError::Taken { .. })));
}

#[test]
fn without_descriptors_the_doors_say_so() {
    let _alone = alone();
    let (name, segment) = (new_name(), segment());
    let starved = Child::that_says(|| {
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
    assert_eq!(code(starved.wait(0)), 7);
}

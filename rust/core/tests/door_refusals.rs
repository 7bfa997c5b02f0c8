//! Doors of a segment, and whoever means ill: what is said there is not believed unless it is sound.
#![cfg(not(penstock_loom))]

use std::{
    os::fd::{AsFd, AsRawFd, OwnedFd},
    thread,
    time::Duration,
};

use penstock_core::shm::door::{Door, DoorError, Refused, fetch};
use proptest::prelude::*;

mod forked;
mod knocking;

use forked::Child;
use knocking::{
    Call, ID, LONG, SHORT, accept, alone, answered, descriptors, hear, honest_answer, inode,
    lied_to, new_name, raw, raw_of, say, segment, take, wait, why,
};

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

fn is_root() -> bool {
    // SAFETY: no arguments, cannot fail.
    unsafe { libc::geteuid() == 0 }
}

#[test]
fn another_user_is_given_nothing() {
    let _alone = alone();
    if !is_root() {
        return;
    }
    let (name, segment) = (new_name(), segment());
    let door = Door::open(&name, 0, ID).unwrap();
    let stranger = Child::that_says(|| {
        let user = become_stranger();
        assert_ne!(user, 0);
        let socket = raw_of(0, &name, 0, Call::Connect).unwrap();
        hear(&socket).len() as i32
    });
    assert!(wait(door.fd().unwrap(), LONG));
    door.answer(segment.as_fd()).unwrap();
    stranger.end();
}

#[test]
fn another_user_is_not_believed() {
    let _alone = alone();
    if !is_root() {
        return;
    }
    let (name, segment) = (new_name(), segment());
    let stranger = Child::that_says(|| {
        become_stranger();
        let _socket = raw_of(0, &name, 0, Call::Bind).unwrap();
        // SAFETY: stops this child.
        unsafe { libc::raise(libc::SIGSTOP) };
        0
    });
    stranger.wait_until_stopped();
    let refused = why(take(&name, LONG));
    assert!(
        matches!(refused, Refused::OtherUser { uid: 65_534 }),
        "{refused}"
    );
    let door = Door::open(&name, 1, ID).unwrap();
    assert!(answered(&door, &segment, || take(&name, LONG)).is_ok());
    stranger.kill();
}

fn become_stranger() -> u32 {
    // SAFETY: gives up this child's rights.
    unsafe {
        assert_eq!(libc::setresuid(65_534, 65_534, 65_534), 0);
        libc::geteuid()
    }
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

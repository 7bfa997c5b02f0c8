//! How a C program comes to a queue: by a descriptor, by a name, as long as there are seats.

use std::{
    fs::File,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    ptr,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use penstock_capi::*;
use penstock_core::shm::{
    door::Door,
    queue::{Queue, Settings},
};

mod caller;

use caller::{AT_ONCE, Core, KIB, PATIENCE, attach, core, receive, send, taken, told};

#[test]
fn descriptors_of_other_things_are_refused() {
    let mut queue = ptr::dangling_mut();
    let file = File::open("/proc/self/exe").unwrap();
    for (fd, wanted) in [(-1, Code::System), (file.as_raw_fd(), Code::NotAQueue)] {
        // SAFETY: the place is there.
        let code = unsafe { penstock_attach(fd, &raw mut queue) };
        assert_eq!((code, queue), (wanted, ptr::null_mut()), "{}", told());
        assert!(told().contains(&format!("descriptor {fd}: ")), "{}", told());
    }
}

fn attach_name(name: &str, timeout: i64) -> (Code, *mut Opaque) {
    let name = std::ffi::CString::new(name).unwrap();
    let mut queue = ptr::dangling_mut();
    // SAFETY: name and place are there.
    let code = unsafe { penstock_attach_name(name.as_ptr(), timeout, &raw mut queue) };
    (code, queue)
}

/// Hands a descriptor to all who knock while `work` runs.
fn attended<T>(door: &Door, fd: BorrowedFd<'_>, work: impl FnOnce() -> T) -> T {
    struct Done<'a>(&'a AtomicBool);
    impl Drop for Done<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                door.answer(fd).unwrap();
                thread::yield_now();
            }
        });
        let _done = Done(&is_done);
        work()
    })
}

#[test]
fn a_queue_is_found_by_its_name() {
    let core = core(Settings::new(64 * KIB));
    let name = format!("capi-{}", std::process::id());
    let door = Door::open(&name, 3, core.id()).unwrap();
    assert_eq!(attach_name(&name, 1), (Code::NotFound, ptr::null_mut()));
    assert!(told().contains("none answers"), "{}", told());
    let (code, queue) = attended(&door, core.fd(), || attach_name(&name, -1));
    assert_eq!(code, Code::Ok, "{}", told());
    assert_eq!(send(queue, b"by name", AT_ONCE), Code::Ok);
    assert_eq!(send(queue, &[0; 64 * KIB + 1], AT_ONCE), Code::TooLarge);
    let start = format!("queue '{name}': ");
    assert!(told().starts_with(&start), "{}", told());
    assert_eq!(taken(&core, 1), [(0, b"by name".to_vec())]);
    drop(door);
    let nobody = attach_name(&name, i64::MAX);
    assert_eq!(nobody, (Code::NotFound, ptr::null_mut()));
    let text = told();
    assert!(text.contains(&name) && text.contains("name="), "{text}");
    assert_eq!(attach_name("a b", 1).0, Code::BadArgument);
}

#[test]
fn a_queue_that_has_a_name_is_called_by_it_and_found_through_whoever_takes_part() {
    let name = format!("capi-named-{}", std::process::id());
    let core: Core = Queue::create_named(Settings::new(64 * KIB), &name).unwrap();
    let queue = attach(&core);
    assert_eq!(send(queue, &[0; 64 * KIB + 1], AT_ONCE), Code::TooLarge);
    assert!(
        told().starts_with(&format!("queue '{name}': ")),
        "{}",
        told()
    );
    assert_eq!(send(queue, b"here", AT_ONCE), Code::Ok);
    // From here on nobody but the handle answers.
    drop(core);
    let (code, other) = attach_name(&name, PATIENCE);
    assert_eq!(code, Code::Ok, "{}", told());
    assert_eq!(receive(other, 8, AT_ONCE).2, b"here");
}

#[test]
fn a_door_that_hands_out_something_else_is_refused() {
    let (one, other) = (core(Settings::new(64 * KIB)), core(Settings::new(64 * KIB)));
    let file = File::open("/proc/self/exe").unwrap();
    let name = format!("capi-other-{}", std::process::id());
    for (fd, wanted) in [(other.fd(), Code::Damaged), (file.as_fd(), Code::NotAQueue)] {
        let door = Door::open(&name, 0, one.id()).unwrap();
        let answer = attended(&door, fd, || attach_name(&name, PATIENCE));
        assert_eq!(answer, (wanted, ptr::null_mut()), "{}", told());
    }
}

#[test]
fn seats_come_to_an_end_and_back() {
    let core = core(Settings::new(64 * KIB));
    let handles: Vec<_> = (0..70).map(|_| attach(&core)).collect();
    let codes: Vec<Code> = handles
        .iter()
        .map(|&queue| send(queue, b"x", AT_ONCE))
        .collect();
    let seated = codes.iter().filter(|&&code| code == Code::Ok).count();
    assert!((48..64).contains(&seated), "{codes:?}");
    assert!(codes[seated..].iter().all(|&code| code == Code::Crowded));
    assert!(told().contains("all seats"), "{}", told());
    let (code, _, bytes) = receive(handles[69], 8, AT_ONCE);
    assert_eq!(
        (code, bytes),
        (Code::Ok, b"x".to_vec()),
        "takers have seats of their own"
    );
    assert_eq!(taken(&core, 99).len(), seated - 1);
    for &queue in &handles[..seated] {
        assert_eq!(penstock_close(queue), Code::Ok);
    }
    assert_eq!(send(handles[68], b"y", AT_ONCE), Code::Ok);
    assert_eq!(taken(&core, 99), [(0, b"y".to_vec())]);
}

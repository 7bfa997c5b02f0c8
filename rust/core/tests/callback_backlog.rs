//! What a backlog keeps, drops and refuses, and whom it wakes, step by step.
#![cfg(not(penstock_loom))]

use std::{
    ffi::CString,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use penstock_core::{
    callback::{
        Arguments, Backlog, Bounds, FLOATS, INTEGERS, Kind, Overflow, Pushed, Records, Shape, Taken,
    },
    ring::{Wake, Woken},
};

const TAKER: u64 = 1;
const CALLER: u64 = 2;

#[derive(Default)]
struct Told(AtomicU32);

impl Told {
    fn times(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Told {
    fn wake(&self) -> Woken {
        self.0.fetch_add(1, Ordering::SeqCst);
        Woken::Quietly
    }
}

type Texts = Backlog<Told>;

fn texts(items: usize, bytes: usize, overflow: Overflow) -> Texts {
    let bounds = Bounds {
        items,
        bytes,
        overflow,
    };
    Backlog::new(Shape::new(Box::new([Kind::Text])), bounds)
}

fn push_by(texts: &Texts, text: &str, caller: u64) -> Pushed {
    let text = CString::new(text).unwrap();
    let mut integers = [0; INTEGERS];
    integers[0] = text.as_ptr() as u64;
    let arguments = Arguments {
        integers,
        floats: [0; FLOATS],
        stack: std::ptr::null(),
    };
    // SAFETY: one text, which lives as long as the call.
    unsafe { texts.push(&arguments, caller) }
}

fn push(texts: &Texts, text: &str) -> Pushed {
    push_by(texts, text, CALLER)
}

/// The next text, if there is one.
fn take(texts: &Texts) -> Result<String, Taken> {
    let mut out = Records::default();
    match texts.take(1, TAKER, &mut out) {
        Taken::Some(1) => Ok(String::from_utf8(out.bytes).unwrap()),
        other => Err(other),
    }
}

#[test]
fn a_call_that_waits_for_bytes_is_woken_when_the_last_before_it_is_taken() {
    let texts = texts(100, 10, Overflow::Block);
    assert_eq!(push(&texts, "aa"), Pushed::Done);
    assert_eq!(push(&texts, "bbb"), Pushed::Done);
    assert_eq!(take(&texts).unwrap(), "aa"); // and the other one goes ahead
    let waits = Arc::new(Told::default());
    texts.enlist_putter(Arc::clone(&waits), None);
    assert_eq!(push(&texts, "123456789"), Pushed::Full);
    assert_eq!(take(&texts).unwrap(), "bbb");
    assert_eq!(take(&texts), Err(Taken::NotNow));
    assert_eq!(waits.times(), 1);
    assert_eq!(push(&texts, "123456789"), Pushed::Done);
    texts.leave_putter(&waits);
}

#[test]
fn whoever_leaves_with_a_wake_passes_it_on() {
    let texts = texts(2, 100, Overflow::Block);
    let [first, second] = [(); 2].map(|()| Arc::new(Told::default()));
    texts.enlist_getter(Arc::clone(&first), None);
    texts.enlist_getter(Arc::clone(&second), None);
    assert_eq!(push(&texts, "x"), Pushed::Done);
    assert_eq!((first.times(), second.times()), (1, 0));
    texts.leave_getter(&first); // cancelled
    assert_eq!(second.times(), 1);
    texts.leave_getter(&second);

    assert_eq!(push(&texts, "y"), Pushed::Done);
    let [first, second] = [(); 2].map(|()| Arc::new(Told::default()));
    texts.enlist_putter(Arc::clone(&first), None);
    texts.enlist_putter(Arc::clone(&second), None);
    assert_eq!(take(&texts).unwrap(), "x");
    assert_eq!((first.times(), second.times()), (1, 0));
    texts.leave_putter(&first);
    assert_eq!(second.times(), 1);
}

#[test]
fn the_oldest_go_until_the_newest_fits() {
    let texts = texts(100, 6, Overflow::DropOldest);
    for text in ["aa", "bb", "cc", "ddddd"] {
        assert_eq!(push(&texts, text), Pushed::Done);
    }
    assert_eq!(take(&texts).unwrap(), "ddddd");
    assert_eq!(take(&texts), Err(Taken::NotNow));
    assert_eq!(texts.figures().dropped, 3);
}

#[test]
fn what_is_missing_is_told_behind_what_came_before_it() {
    let texts = texts(1, 100, Overflow::Block);
    texts.expect(TAKER);
    assert_eq!(push_by(&texts, "a", TAKER), Pushed::Done);
    assert_eq!(push_by(&texts, "b", TAKER), Pushed::Done); // as much again
    assert_eq!(push_by(&texts, "c", TAKER), Pushed::Refused);
    assert_eq!(take(&texts).unwrap(), "a");
    // There would be room, but not in the right place.
    assert_eq!(push_by(&texts, "d", TAKER), Pushed::Refused);
    assert_eq!(push(&texts, "e"), Pushed::Full);
    assert_eq!(take(&texts).unwrap(), "b");
    let waits = Arc::new(Told::default());
    texts.enlist_putter(Arc::clone(&waits), None);
    assert_eq!(push(&texts, "e"), Pushed::Full);
    assert_eq!(take(&texts), Err(Taken::Missing(2)));
    assert_eq!(waits.times(), 1);
    assert_eq!(push(&texts, "e"), Pushed::Done);
    assert_eq!(take(&texts).unwrap(), "e");
}

#[test]
fn another_thread_that_takes_first_lets_the_expected_one_wait() {
    let texts = texts(1, 100, Overflow::Block);
    texts.expect(CALLER);
    assert_eq!(take(&texts), Err(Taken::NotNow)); // by TAKER
    assert_eq!(push(&texts, "a"), Pushed::Done);
    assert_eq!(push(&texts, "b"), Pushed::Full);
}

#[test]
fn all_who_are_expected_to_take_are_kept_until_somebody_does() {
    let texts = texts(1, 100, Overflow::Block);
    texts.expect(CALLER);
    texts.expect(3);
    assert!(texts.has_no_taker());
    assert_eq!(push_by(&texts, "a", 3), Pushed::Done);
    assert_eq!(push_by(&texts, "b", CALLER), Pushed::Done);
    assert_eq!(push_by(&texts, "c", 4), Pushed::Full);
    assert_eq!(push_by(&texts, "c", 3), Pushed::Refused);
    assert_eq!(take(&texts).unwrap(), "a");
    assert!(!texts.has_no_taker());
    assert_eq!(push_by(&texts, "d", 3), Pushed::Full);
}

//! The words for how a call ended. The last failure's stay with the thread that made the call.

use std::{
    cell::{Cell, UnsafeCell},
    ffi::{c_char, c_int},
};

use crate::code::Code;

/// Bytes of the longest message, its end included.
const ROOM: usize = 512;

/// Needs no destructor, so it can be had until the thread's very end.
struct Last {
    /// The code whose own words are the message; -1: `text` is.
    code: Cell<c_int>,
    text: UnsafeCell<[u8; ROOM]>,
}

const OWN_TEXT: c_int = -1;

thread_local! {
    static LAST: Last = const {
        Last { code: Cell::new(OWN_TEXT), text: UnsafeCell::new([0; ROOM]) }
    };
}

/// The next question of this thread is answered by the code's own words.
pub(crate) fn keep_code(code: Code) {
    LAST.with(|last| last.code.set(code as c_int));
}

/// The next question of this thread is answered by `text`, cut to what there is room for.
pub(crate) fn keep_text(text: &str) {
    LAST.with(|last| {
        last.code.set(OWN_TEXT);
        let length = fitting(text);
        // SAFETY: of this thread only, and nothing here calls out while the reference lives. What C
        // sees of it may change with this call, as its documentation says.
        let room = unsafe { &mut *last.text.get() };
        room[..length].copy_from_slice(&text.as_bytes()[..length]);
        room[length] = 0;
    });
}

/// Bytes of `text` that there is room for: whole characters, up to a zero.
fn fitting(text: &str) -> usize {
    let most = text.find('\0').unwrap_or(text.len()).min(ROOM - 1);
    (0..=most)
        .rev()
        .find(|&length| text.is_char_boundary(length))
        .unwrap_or(0)
}

/// What a code says.
#[unsafe(no_mangle)]
pub extern "C" fn penstock_error_message(code: c_int) -> *const c_char {
    Code::of(code)
        .map_or(c"not a code of this version of penstock", Code::text)
        .as_ptr()
}

/// Why this thread's last call that failed did.
#[unsafe(no_mangle)]
pub extern "C" fn penstock_last_error() -> *const c_char {
    LAST.with(|last| match Code::of(last.code.get()) {
        Some(code) => code.text().as_ptr(),
        None => last.text.get().cast_const().cast(),
    })
}

/// The same, for tests.
#[cfg(test)]
pub(crate) fn last() -> String {
    // SAFETY: a string that ends, of this thread.
    let text = unsafe { std::ffi::CStr::from_ptr(penstock_last_error()) };
    text.to_str().unwrap().to_owned()
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;

    use super::*;

    #[test]
    fn a_message_is_cut_between_characters_and_at_a_zero() {
        keep_text(&"ü".repeat(ROOM));
        assert_eq!(last(), "ü".repeat((ROOM - 1) / 2));
        keep_text("a\0b");
        assert_eq!(last(), "a");
        keep_code(Code::Empty);
        assert_eq!(last(), Code::Empty.text().to_str().unwrap());
        keep_text("");
        assert_eq!(last(), "");
    }

    #[test]
    fn threads_have_their_own() {
        keep_text("here");
        std::thread::spawn(|| {
            assert_eq!(last(), "");
            keep_text("there");
        })
        .join()
        .unwrap();
        assert_eq!(last(), "here");
    }

    #[test]
    fn an_unknown_code_has_words_too() {
        for code in [-1, 21, c_int::MAX, c_int::MIN] {
            // SAFETY: a string that ends.
            let text = unsafe { CStr::from_ptr(penstock_error_message(code)) };
            assert_eq!(text, c"not a code of this version of penstock");
        }
    }
}

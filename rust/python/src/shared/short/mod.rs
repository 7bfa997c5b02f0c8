//! The short code: how plain values cross between processes without pickle.
//!
//! None, bools, ints of 64 bits, floats, strings, bytes, and tuples, lists and dicts of those, the
//! dicts with ASCII strings as keys; of exactly these types, flat, and small. Everything else is
//! pickle's affair. Flat is where the two cannot be told apart: what a flat container holds has no
//! identity that anybody could see, so nothing has to be remembered while it is walked.
//!
//! A bare string of bytes or characters is its own code, and the record says which of both it is
//! ([`super::codes`]). Everything else is a tag and what belongs to it, in the machine's byte order:
//!
//! ```text
//! None, False, True    nothing
//! int                  8 bytes, two's complement
//! float                8 bytes
//! text, bytes          length in bytes (1, or 4 in the long form), then the characters at 1, 2 or 4
//!                      bytes each as the string keeps them, which makes neither side transcode
//! tuple, list          number of items (1 byte), then values that are none of these three
//! dict                 number of entries (1 byte), then for each: length of the key (1 byte), its
//!                      ASCII characters, and a value as above
//! ```
//!
//! A container may hold arrays of numpy's, too, as long as their content is to lie beside the record, each once: what
//! has an identity is not repeated. That is another code, and a value more:
//!
//! ```text
//! array                the head of [`super::arrays`]; the next of the buffers is the content
//! ```
//!
//! Decoding believes nothing: bytes from a stranger give an error or some value, never more.

mod decode;
mod encode;
mod keys;

use std::mem::MaybeUninit;

use pyo3::{prelude::*, types::PyBytes};

pub(crate) use decode::{DecodeError, decode};
pub(super) use decode::{Reader, decode_mixed};
pub(crate) use encode::encode;
pub(super) use encode::{Writer, encode_mixed};

use crate::errors::{Family, error};

/// What one value may take.
const ROOM: usize = 1024;

const NONE: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const INT: u8 = 3;
const FLOAT: u8 = 4;
const BYTES: u8 = 5;
const LONG_BYTES: u8 = 6;
/// Plus the bytes of a character, 1, 2 or 4; the long form has [`LONG`] added.
const TEXT: u8 = 8;
const LONG: u8 = 8;
const TUPLE: u8 = 24;
const LIST: u8 = 25;
const DICT: u8 = 26;
const ARRAY: u8 = 27;

/// Where a value is encoded: on the caller's stack, not cleared before.
pub(crate) struct Room([MaybeUninit<u8>; ROOM]);

impl Room {
    #[inline(always)]
    pub(crate) const fn new() -> Self {
        Self([MaybeUninit::uninit(); ROOM])
    }
}

/// What `value` is in a record, its code and its bytes; None if that is pickle's affair.
#[pyfunction]
#[pyo3(signature = (value, /))]
pub(crate) fn encode_short<'py>(value: &Bound<'py, PyAny>) -> Option<(u16, Bound<'py, PyBytes>)> {
    let mut room = Room::new();
    let (code, bytes) = encode(value, &mut room)?;
    Some((code, PyBytes::new(value.py(), bytes)))
}

/// The value that a record of that code and those bytes stands for; Misuse if there is none.
#[pyfunction]
#[pyo3(signature = (code, record, /))]
pub(crate) fn decode_short<'py>(
    py: Python<'py>,
    code: u16,
    record: &[u8],
) -> PyResult<Bound<'py, PyAny>> {
    decode(py, code, record).map_err(|failure| match failure {
        DecodeError::Raised(raised) => raised,
        DecodeError::Nonsense => {
            let message = format!("{} bytes of code {code} stand for no value", record.len());
            error(py, Family::Misuse, &message, None)
        }
    })
}

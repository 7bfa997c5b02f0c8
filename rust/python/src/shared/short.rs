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
//! Decoding believes nothing: bytes from a stranger give an error or some value, never more.

use std::{
    cell::UnsafeCell,
    mem::MaybeUninit,
    ptr::{self, NonNull},
    slice,
};

use pyo3::{ffi, prelude::*, sync::critical_section::with_critical_section, types::PyBytes};

use super::codes;
use crate::{
    errors::{Family, error},
    queue::HAS_GLOBAL_LOCK,
};

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

/// Where a value is encoded: on the caller's stack, not cleared before.
pub(crate) struct Room([MaybeUninit<u8>; ROOM]);

impl Room {
    #[inline(always)]
    pub(crate) const fn new() -> Self {
        Self([MaybeUninit::uninit(); ROOM])
    }
}

struct Writer {
    at: *mut u8,
    left: usize,
}

impl Writer {
    /// Writes so many bytes, if there is room; `None` gives the whole value up.
    #[inline(always)]
    fn put<const N: usize>(&mut self, bytes: [u8; N]) -> Option<()> {
        self.left = self.left.checked_sub(N)?;
        // SAFETY: `left` bytes at `at` are the writer's, and they were at least N.
        unsafe {
            self.at.cast::<[u8; N]>().write_unaligned(bytes);
            self.at = self.at.add(N);
        }
        Some(())
    }

    #[inline(always)]
    fn put_all(&mut self, bytes: &[u8]) -> Option<()> {
        self.left = self.left.checked_sub(bytes.len())?;
        // SAFETY: as above; the bytes are an object's, not the writer's.
        unsafe {
            copy_short(bytes, self.at);
            self.at = self.at.add(bytes.len());
        }
        Some(())
    }

    /// A string's tag, length and content.
    #[inline(always)]
    fn put_string(&mut self, tag: u8, long_tag: u8, content: &[u8]) -> Option<()> {
        if let Ok(length) = u8::try_from(content.len()) {
            self.put([tag, length])?;
        } else {
            self.put([long_tag])?;
            self.put(u32::try_from(content.len()).ok()?.to_ne_bytes())?;
        }
        self.put_all(content)
    }
}

/// As `copy_nonoverlapping`, which is a call of `memcpy` where the length is not known before.
///
/// # Safety
/// `to` is valid for writes of that many bytes, none of them `from`'s.
#[inline(always)]
unsafe fn copy_short(from: &[u8], to: *mut u8) {
    // SAFETY: the caller's; both reads and both writes of a pair lie within the length.
    unsafe {
        if let (Some(first), Some(last)) = (from.first_chunk::<8>(), from.last_chunk::<8>())
            && from.len() <= 16
        {
            to.cast::<[u8; 8]>().write_unaligned(*first);
            to.add(from.len() - 8)
                .cast::<[u8; 8]>()
                .write_unaligned(*last);
        } else if let (Some(first), Some(last)) = (from.first_chunk::<4>(), from.last_chunk::<4>())
            && from.len() < 8
        {
            to.cast::<[u8; 4]>().write_unaligned(*first);
            to.add(from.len() - 4)
                .cast::<[u8; 4]>()
                .write_unaligned(*last);
        } else if let ([first, ..], [.., last]) = (from, from)
            && from.len() < 4
        {
            *to.add(from.len() / 2) = from[from.len() / 2];
            *to = *first;
            *to.add(from.len() - 1) = *last;
        } else {
            ptr::copy_nonoverlapping(from.as_ptr(), to, from.len());
        }
    }
}

/// What `value` is in a record, or that it is not one for the short code.
///
/// The bytes lie in `room` or in `value` itself, so they live no longer than either.
#[inline]
pub(crate) fn encode<'a>(
    value: &'a Bound<'_, PyAny>,
    room: &'a mut Room,
) -> Option<(u16, &'a [u8])> {
    let begin = room.0.as_mut_ptr().cast::<u8>();
    let mut writer = Writer {
        at: begin,
        left: ROOM,
    };
    let object = value.as_ptr();
    // SAFETY: a live object, borrowed for the call, and attached. No Python code runs below, so
    // what a container refers to stays where it is; without a global lock the section sees to that.
    unsafe {
        let kind = ffi::Py_TYPE(object);
        if kind == &raw mut ffi::PyDict_Type {
            locked(value, || put_dict(&mut writer, object))?;
        } else if kind == &raw mut ffi::PyBytes_Type {
            return Some((codes::RAW, bytes(object)));
        } else if kind == &raw mut ffi::PyUnicode_Type {
            let (width, content) = characters(object)?;
            return Some((codes::text(width), content));
        } else if kind == &raw mut ffi::PyTuple_Type {
            let (count, items) = (ffi::PyTuple_GET_SIZE(object), tuple_items(object));
            put_items(&mut writer, TUPLE, count, |index| *items.add(index))?;
        } else if kind == &raw mut ffi::PyList_Type {
            locked(value, || {
                let count = ffi::PyList_GET_SIZE(object);
                put_items(&mut writer, LIST, count, |index| {
                    ffi::PyList_GET_ITEM(object, index as ffi::Py_ssize_t)
                })
            })?;
        } else {
            put_scalar(&mut writer, object)?;
        }
        let length = writer.at.offset_from_unsigned(begin);
        Some((codes::SHORT, slice::from_raw_parts(begin, length)))
    }
}

/// With nobody else changing the container meanwhile.
#[inline(always)]
fn locked<R>(container: &Bound<'_, PyAny>, walk: impl FnOnce() -> R) -> R {
    if HAS_GLOBAL_LOCK {
        walk()
    } else {
        with_critical_section(container, walk)
    }
}

/// # Safety
/// A tuple.
#[inline(always)]
unsafe fn tuple_items(tuple: *mut ffi::PyObject) -> *const *mut ffi::PyObject {
    // SAFETY: the items stand in the tuple itself; taking their address reads nothing.
    unsafe { (&raw const (*tuple.cast::<ffi::PyTupleObject>()).ob_item).cast() }
}

/// # Safety
/// `item` gives live objects below `count`.
#[inline(always)]
unsafe fn put_items(
    writer: &mut Writer,
    tag: u8,
    count: ffi::Py_ssize_t,
    item: impl Fn(usize) -> *mut ffi::PyObject,
) -> Option<()> {
    let count = u8::try_from(count).ok()?;
    writer.put([tag, count])?;
    for index in 0..usize::from(count) {
        // SAFETY: the caller's.
        unsafe { put_scalar(writer, item(index))? };
    }
    Some(())
}

/// # Safety
/// A dict that nobody changes meanwhile.
#[inline(always)]
unsafe fn put_dict(writer: &mut Writer, dict: *mut ffi::PyObject) -> Option<()> {
    let (mut at, mut key, mut value) = (0, ptr::null_mut(), ptr::null_mut());
    // SAFETY: the caller's; what comes out is borrowed from the dict.
    unsafe {
        let count = u8::try_from(ffi::PyDict_Size(dict)).ok()?;
        writer.put([DICT, count])?;
        while ffi::PyDict_Next(dict, &raw mut at, &raw mut key, &raw mut value) != 0 {
            let is_text = ffi::Py_TYPE(key) == &raw mut ffi::PyUnicode_Type;
            if !is_text || ffi::PyUnicode_IS_COMPACT_ASCII(key) == 0 {
                return None;
            }
            let (_, key) = characters(key)?;
            writer.put([u8::try_from(key.len()).ok()?])?;
            writer.put_all(key)?;
            put_scalar(writer, value)?;
        }
    }
    Some(())
}

/// # Safety
/// A live object.
#[inline(always)]
unsafe fn put_scalar(writer: &mut Writer, object: *mut ffi::PyObject) -> Option<()> {
    // SAFETY: the caller's; the casts follow a look at the exact type.
    unsafe {
        let kind = ffi::Py_TYPE(object);
        if kind == &raw mut ffi::PyUnicode_Type {
            let (width, content) = characters(object)?;
            writer.put_string(TEXT + width, TEXT + LONG + width, content)
        } else if kind == &raw mut ffi::PyLong_Type {
            let mut overflow = 0;
            let number = ffi::PyLong_AsLongLongAndOverflow(object, &raw mut overflow);
            if overflow != 0 {
                return None;
            }
            writer.put([INT])?;
            writer.put(number.to_ne_bytes())
        } else if kind == &raw mut ffi::PyFloat_Type {
            writer.put([FLOAT])?;
            writer.put(ffi::PyFloat_AS_DOUBLE(object).to_ne_bytes())
        } else if object == ffi::Py_True() {
            writer.put([TRUE])
        } else if object == ffi::Py_False() {
            writer.put([FALSE])
        } else if object == ffi::Py_None() {
            writer.put([NONE])
        } else if kind == &raw mut ffi::PyBytes_Type {
            writer.put_string(BYTES, LONG_BYTES, bytes(object))
        } else {
            None
        }
    }
}

/// # Safety
/// A `bytes`, which outlives the answer.
#[inline(always)]
unsafe fn bytes<'a>(object: *mut ffi::PyObject) -> &'a [u8] {
    // SAFETY: the caller's; its content never changes.
    unsafe {
        let from = ffi::PyBytes_AS_STRING(object).cast::<u8>();
        slice::from_raw_parts(from, ffi::Py_SIZE(object) as usize)
    }
}

/// The characters of a string as it keeps them, and how many bytes each takes.
///
/// # Safety
/// A string, which outlives the answer.
#[inline(always)]
unsafe fn characters<'a>(text: *mut ffi::PyObject) -> Option<(u8, &'a [u8])> {
    // SAFETY: the caller's; before Python 3.12 there are strings that keep their characters
    // elsewhere or not yet, and those are not looked at.
    unsafe {
        if ffi::PyUnicode_IS_COMPACT(text) == 0 {
            return None;
        }
        let width = ffi::PyUnicode_KIND(text) as usize;
        let length = ffi::PyUnicode_GET_LENGTH(text) as usize * width;
        let from = ffi::PyUnicode_DATA(text).cast::<u8>();
        Some((width as u8, slice::from_raw_parts(from, length)))
    }
}

/// Why there is no value.
pub(crate) enum DecodeError {
    /// No sender of this version writes such bytes.
    Nonsense,
    /// The interpreter had no memory for it.
    Raised(PyErr),
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    #[inline(always)]
    fn take<const N: usize>(&mut self) -> Result<&'a [u8; N], DecodeError> {
        let (taken, rest) = self
            .0
            .split_first_chunk::<N>()
            .ok_or(DecodeError::Nonsense)?;
        self.0 = rest;
        Ok(taken)
    }

    #[inline(always)]
    fn byte(&mut self) -> Result<u8, DecodeError> {
        self.take::<1>().map(|[byte]| *byte)
    }

    #[inline(always)]
    fn content(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self
            .0
            .split_at_checked(length)
            .ok_or(DecodeError::Nonsense)?;
        self.0 = rest;
        Ok(taken)
    }

    #[inline(always)]
    fn short_content(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.byte()?;
        self.content(length.into())
    }

    fn long_content(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = u32::from_ne_bytes(*self.take()?);
        self.content(length as usize)
    }
}

/// A new reference, or what the interpreter raised.
///
/// # Safety
/// A new reference of the caller's, or null with an exception set; attached.
#[inline(always)]
unsafe fn owned(
    py: Python<'_>,
    object: *mut ffi::PyObject,
) -> Result<Bound<'_, PyAny>, DecodeError> {
    // SAFETY: the caller's.
    unsafe { Bound::from_owned_ptr_or_err(py, object) }.map_err(DecodeError::Raised)
}

/// The value that `encode` was given.
#[inline]
pub(crate) fn decode<'py>(
    py: Python<'py>,
    code: u16,
    bytes: &[u8],
) -> Result<Bound<'py, PyAny>, DecodeError> {
    match code {
        codes::SHORT => tagged(py, bytes),
        codes::RAW => Ok(PyBytes::new(py, bytes).into_any()),
        codes::TEXT_1 => narrow_text(py, bytes),
        codes::TEXT_2 => text_of_two(py, bytes),
        codes::TEXT_4 => text_of_four(py, bytes),
        _ => Err(DecodeError::Nonsense),
    }
}

#[inline(always)]
fn tagged<'py>(py: Python<'py>, bytes: &[u8]) -> Result<Bound<'py, PyAny>, DecodeError> {
    let mut reader = Reader(bytes);
    let value = match bytes.first() {
        Some(&DICT) => dict(py, &mut reader)?,
        // SAFETY: both functions are of the same type.
        Some(&TUPLE) => unsafe { items(py, &mut reader, ffi::PyTuple_New, ffi::PyTuple_SET_ITEM)? },
        // SAFETY: as above.
        Some(&LIST) => unsafe { items(py, &mut reader, ffi::PyList_New, ffi::PyList_SET_ITEM)? },
        _ => scalar(py, &mut reader)?,
    };
    if reader.0.is_empty() {
        Ok(value)
    } else {
        Err(DecodeError::Nonsense)
    }
}

/// # Safety
/// `make` makes a container of so many empty places, and `set` fills one with a new reference.
#[inline(always)]
unsafe fn items<'py>(
    py: Python<'py>,
    reader: &mut Reader<'_>,
    make: unsafe extern "C" fn(ffi::Py_ssize_t) -> *mut ffi::PyObject,
    set: unsafe fn(*mut ffi::PyObject, ffi::Py_ssize_t, *mut ffi::PyObject),
) -> Result<Bound<'py, PyAny>, DecodeError> {
    let [_, count] = *reader.take()?;
    let count = ffi::Py_ssize_t::from(count);
    // SAFETY: a new reference or null.
    let container = unsafe { owned(py, make(count))? };
    for index in 0..count {
        let item = scalar(py, reader)?;
        // SAFETY: an empty place. An early end leaves some, which is allowed to both kinds.
        unsafe { set(container.as_ptr(), index, item.into_ptr()) };
    }
    Ok(container)
}

#[inline(always)]
fn dict<'py>(py: Python<'py>, reader: &mut Reader<'_>) -> Result<Bound<'py, PyAny>, DecodeError> {
    let [_, count] = *reader.take()?;
    // SAFETY: a new reference or null.
    let dict = unsafe { owned(py, ffi::PyDict_New())? };
    for _ in 0..count {
        let key = key(py, reader.short_content()?)?;
        let value = scalar(py, reader)?;
        // SAFETY: three live objects.
        let answer = unsafe { ffi::PyDict_SetItem(dict.as_ptr(), key.as_ptr(), value.as_ptr()) };
        if answer != 0 {
            return Err(DecodeError::Raised(PyErr::fetch(py)));
        }
    }
    Ok(dict)
}

#[inline(always)]
fn scalar<'py>(py: Python<'py>, reader: &mut Reader<'_>) -> Result<Bound<'py, PyAny>, DecodeError> {
    const TEXT_1: u8 = TEXT + 1;
    // SAFETY: each makes a new reference or raises; attached.
    unsafe {
        match reader.byte()? {
            TEXT_1 => narrow_text(py, reader.short_content()?),
            INT => {
                let number = i64::from_ne_bytes(*reader.take()?);
                owned(py, ffi::PyLong_FromLongLong(number))
            }
            FLOAT => {
                let number = f64::from_ne_bytes(*reader.take()?);
                owned(py, ffi::PyFloat_FromDouble(number))
            }
            TRUE => owned(py, ffi::Py_NewRef(ffi::Py_True())),
            FALSE => owned(py, ffi::Py_NewRef(ffi::Py_False())),
            NONE => owned(py, ffi::Py_NewRef(ffi::Py_None())),
            tag => rarer(py, tag, reader),
        }
    }
}

fn rarer<'py>(
    py: Python<'py>,
    tag: u8,
    reader: &mut Reader<'_>,
) -> Result<Bound<'py, PyAny>, DecodeError> {
    let is_long = tag == LONG_BYTES || (tag > TEXT + LONG && tag <= TEXT + LONG + 4);
    let content = if is_long {
        reader.long_content()?
    } else {
        reader.short_content()?
    };
    match tag {
        BYTES | LONG_BYTES => Ok(PyBytes::new(py, content).into_any()),
        _ => match tag.wrapping_sub(if is_long { TEXT + LONG } else { TEXT }) {
            1 => narrow_text(py, content),
            2 => text_of_two(py, content),
            4 => text_of_four(py, content),
            _ => Err(DecodeError::Nonsense),
        },
    }
}

#[inline(always)]
fn narrow_text<'py>(py: Python<'py>, content: &[u8]) -> Result<Bound<'py, PyAny>, DecodeError> {
    let length = content.len() as ffi::Py_ssize_t;
    // SAFETY: so many characters of one byte each are there; any byte is a character of Latin-1,
    // and whether all are ASCII is looked up by the interpreter.
    unsafe {
        let text = ffi::PyUnicode_FromKindAndData(1, content.as_ptr().cast(), length);
        owned(py, text)
    }
}

fn text_of_two<'py>(py: Python<'py>, content: &[u8]) -> Result<Bound<'py, PyAny>, DecodeError> {
    wide_text(py, content, |two: &[u8; 2]| u16::from_ne_bytes(*two).into())
}

fn text_of_four<'py>(py: Python<'py>, content: &[u8]) -> Result<Bound<'py, PyAny>, DecodeError> {
    wide_text(py, content, |four: &[u8; 4]| u32::from_ne_bytes(*four))
}

/// Characters of more than one byte, which may stand at odd addresses.
fn wide_text<'py, const N: usize>(
    py: Python<'py>,
    content: &[u8],
    character: impl Fn(&[u8; N]) -> u32,
) -> Result<Bound<'py, PyAny>, DecodeError> {
    let (content, rest) = content.as_chunks::<N>();
    let widest = content.iter().map(&character).max().unwrap_or(0);
    if !rest.is_empty() || widest > u32::from(char::MAX) {
        return Err(DecodeError::Nonsense);
    }
    // SAFETY: a new string of that length, or null; its characters are written below.
    let text = unsafe { ffi::PyUnicode_New(content.len() as ffi::Py_ssize_t, widest) };
    // SAFETY: as said.
    let text = unsafe { owned(py, text)? };
    if content.is_empty() {
        return Ok(text);
    }
    // SAFETY: nobody else has the new string; its width is that of its widest character, and there
    // are as many places as characters.
    unsafe {
        let width = ffi::PyUnicode_KIND(text.as_ptr());
        let to = ffi::PyUnicode_DATA(text.as_ptr());
        for (index, letter) in content.iter().map(character).enumerate() {
            match width {
                1 => *to.cast::<u8>().add(index) = letter as u8,
                2 => *to.cast::<u16>().add(index) = letter as u16,
                _ => *to.cast::<u32>().add(index) = letter,
            }
        }
    }
    Ok(text)
}

/// What a key of up to 16 bytes is, in full.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Spelling {
    first: u64,
    last: u64,
    length: usize,
}

impl Spelling {
    const NONE: Self = Self {
        first: 0,
        last: 0,
        length: usize::MAX,
    };

    #[inline(always)]
    fn of(key: &[u8]) -> Option<Self> {
        let (first, last) = match (key.first_chunk::<8>(), key.last_chunk::<8>()) {
            (Some(first), Some(last)) => (u64::from_ne_bytes(*first), u64::from_ne_bytes(*last)),
            _ => match (key.first_chunk::<4>(), key.last_chunk::<4>()) {
                (Some(first), Some(last)) => (
                    u32::from_ne_bytes(*first).into(),
                    u32::from_ne_bytes(*last).into(),
                ),
                _ => {
                    let [first, .., last] = *key else {
                        return None;
                    };
                    let middle = key[key.len() / 2];
                    (u64::from(first), u64::from(middle) << 8 | u64::from(last))
                }
            },
        };
        let length = key.len();
        (length <= 16).then_some(Self {
            first,
            last,
            length,
        })
    }

    #[inline(always)]
    fn place(self) -> usize {
        let mixed = (self.first ^ self.last.rotate_left(29) ^ self.length as u64)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (mixed >> (u64::BITS - KEYS.ilog2())) as usize
    }
}

/// Keys that were seen lately. The same few keys come in every dict of a stream: one that is found
/// here is neither made nor hashed again.
struct Keys(UnsafeCell<[(Spelling, Option<NonNull<ffi::PyObject>>); KEYS]>);

const KEYS: usize = 256;

// SAFETY: used only where a global lock lets one thread at a time run, and for no longer than that.
unsafe impl Sync for Keys {}

static SEEN: Keys = Keys(UnsafeCell::new([(Spelling::NONE, None); KEYS]));

#[inline(always)]
fn key<'py>(py: Python<'py>, content: &[u8]) -> Result<Bound<'py, PyAny>, DecodeError> {
    let spelling = Spelling::of(content).filter(|_| HAS_GLOBAL_LOCK);
    let Some(spelling) = spelling else {
        return narrow_text(py, content);
    };
    // SAFETY: the global lock is held, and nothing below until the end of the block lets go of it.
    let (seen, key) = unsafe { (*SEEN.0.get())[spelling.place()] };
    if let Some(key) = key
        && seen == spelling
    {
        // SAFETY: the table's own reference keeps it alive.
        return Ok(unsafe { Bound::from_borrowed_ptr(py, key.as_ptr()) });
    }
    let key = narrow_text(py, content)?;
    // SAFETY: the global lock again; what is put aside is an own reference, and what it replaces is
    // released once it is out of the table.
    unsafe {
        let place = &mut (*SEEN.0.get())[spelling.place()];
        let before = std::mem::replace(
            place,
            (spelling, NonNull::new(ffi::Py_NewRef(key.as_ptr()))),
        );
        if let Some(before) = before.1 {
            ffi::Py_DECREF(before.as_ptr());
        }
    }
    Ok(key)
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

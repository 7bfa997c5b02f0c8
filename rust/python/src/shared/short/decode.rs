//! Bytes to values. What is read may be anybody's.

use penstock_core::shm::Pinned;
use pyo3::{ffi, prelude::*, types::PyBytes};

use super::{
    super::{arrays, codes},
    ARRAY, BYTES, DICT, FALSE, FLOAT, INT, LIST, LONG, LONG_BYTES, NONE, TEXT, TRUE, TUPLE,
    keys::key,
};

/// Why there is no value.
pub(crate) enum DecodeError {
    /// No sender of this version writes such bytes.
    Nonsense,
    /// The interpreter had no memory for it.
    Raised(PyErr),
}

/// What is left to read.
pub(in super::super) struct Reader<'a>(pub(in super::super) &'a [u8]);

impl<'a> Reader<'a> {
    #[inline(always)]
    pub(in super::super) fn take<const N: usize>(&mut self) -> Result<&'a [u8; N], DecodeError> {
        let (taken, rest) = self
            .0
            .split_first_chunk::<N>()
            .ok_or(DecodeError::Nonsense)?;
        self.0 = rest;
        Ok(taken)
    }

    #[inline(always)]
    pub(in super::super) fn byte(&mut self) -> Result<u8, DecodeError> {
        self.take::<1>().map(|[byte]| *byte)
    }

    #[inline(always)]
    pub(in super::super) fn content(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
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
        codes::SHORT => tagged(py, bytes, &mut |_| Err(DecodeError::Nonsense)),
        codes::RAW => Ok(PyBytes::new(py, bytes).into_any()),
        codes::TEXT_1 => narrow_text(py, bytes),
        codes::TEXT_2 => text_of_two(py, bytes),
        codes::TEXT_4 => text_of_four(py, bytes),
        codes::ARRAY => arrays::copied(py, bytes),
        _ => Err(DecodeError::Nonsense),
    }
}

/// The container that `encode_mixed` was given, its arrays as views of `slabs`, in order.
pub(in super::super) fn decode_mixed<'py>(
    py: Python<'py>,
    bytes: &[u8],
    slabs: Vec<Pinned>,
) -> Result<Bound<'py, PyAny>, DecodeError> {
    let mut slabs = slabs.into_iter();
    let value = tagged(py, bytes, &mut |reader| {
        arrays::next_view(py, reader, slabs.next().ok_or(DecodeError::Nonsense)?)
    })?;
    match slabs.next() {
        None => Ok(value),
        Some(_) => Err(DecodeError::Nonsense),
    }
}

/// What becomes of an array's tag: the array.
type Arrays<'a, 'py> = dyn FnMut(&mut Reader<'_>) -> Result<Bound<'py, PyAny>, DecodeError> + 'a;

#[inline(always)]
fn tagged<'py>(
    py: Python<'py>,
    bytes: &[u8],
    arrays: &mut Arrays<'_, 'py>,
) -> Result<Bound<'py, PyAny>, DecodeError> {
    let mut reader = Reader(bytes);
    let value = match bytes.first() {
        Some(&DICT) => dict(py, &mut reader, arrays)?,
        // SAFETY: both functions are of the same type.
        Some(&TUPLE) => unsafe {
            let (make, set) = (ffi::PyTuple_New, ffi::PyTuple_SET_ITEM);
            items(py, &mut reader, arrays, make, set)?
        },
        // SAFETY: as above.
        Some(&LIST) => unsafe {
            let (make, set) = (ffi::PyList_New, ffi::PyList_SET_ITEM);
            items(py, &mut reader, arrays, make, set)?
        },
        _ => scalar(py, &mut reader, arrays)?,
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
    arrays: &mut Arrays<'_, 'py>,
    make: unsafe extern "C" fn(ffi::Py_ssize_t) -> *mut ffi::PyObject,
    set: unsafe fn(*mut ffi::PyObject, ffi::Py_ssize_t, *mut ffi::PyObject),
) -> Result<Bound<'py, PyAny>, DecodeError> {
    let [_, count] = *reader.take()?;
    let count = ffi::Py_ssize_t::from(count);
    // SAFETY: a new reference or null.
    let container = unsafe { owned(py, make(count))? };
    for index in 0..count {
        let item = scalar(py, reader, arrays)?;
        // SAFETY: an empty place. An early end leaves some, which is allowed to both kinds.
        unsafe { set(container.as_ptr(), index, item.into_ptr()) };
    }
    Ok(container)
}

#[inline(always)]
fn dict<'py>(
    py: Python<'py>,
    reader: &mut Reader<'_>,
    arrays: &mut Arrays<'_, 'py>,
) -> Result<Bound<'py, PyAny>, DecodeError> {
    let [_, count] = *reader.take()?;
    // SAFETY: a new reference or null.
    let dict = unsafe { owned(py, ffi::PyDict_New())? };
    for _ in 0..count {
        let key = key(py, reader.short_content()?)?;
        let value = scalar(py, reader, arrays)?;
        // SAFETY: three live objects.
        let answer = unsafe { ffi::PyDict_SetItem(dict.as_ptr(), key.as_ptr(), value.as_ptr()) };
        if answer != 0 {
            return Err(DecodeError::Raised(PyErr::fetch(py)));
        }
    }
    Ok(dict)
}

#[inline(always)]
fn scalar<'py>(
    py: Python<'py>,
    reader: &mut Reader<'_>,
    arrays: &mut Arrays<'_, 'py>,
) -> Result<Bound<'py, PyAny>, DecodeError> {
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
            ARRAY => arrays(reader),
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
pub(super) fn narrow_text<'py>(
    py: Python<'py>,
    content: &[u8],
) -> Result<Bound<'py, PyAny>, DecodeError> {
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

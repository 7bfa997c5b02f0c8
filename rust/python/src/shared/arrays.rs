//! numpy arrays in the short code: a head of a few bytes, and the content as it lies.
//!
//! ```text
//! how      1 byte: FORTRAN and WRITABLE, or neither
//! dtype    1 byte, numpy's number of it; or NAMED plus the length of its name, and that, in ASCII
//! lengths  their number (1 byte), then 8 bytes each
//! content  what is below [`BESIDE`]; more lies in a slab beside the record
//! ```
//!
//! What comes out is what pickle makes of it: content beside the record is a read-only view of
//! the slab; a short array is a copy, which is writable if the one that was put is. Arrays that are not
//! in one piece, of Python objects, of records, of subclasses are pickle's affair altogether.
//!
//! Decoding believes nothing; what the content means to numpy is for numpy, as with every buffer.

use std::{ffi::c_int, slice};

use penstock_core::shm::Pinned;
use pyo3::{ffi, intern, prelude::*};

use super::{
    numpy::{ALIGNED, ArrayObject, C_CONTIGUOUS, F_CONTIGUOUS, MOST_DIMENSIONS, Numpy, WRITEABLE},
    short::{DecodeError, Reader, Writer},
    slab::Slab,
};

/// Content of at least so many bytes lies beside the record.
const BESIDE: usize = 16 << 10;

/// Bits of `how`.
const FORTRAN: u8 = 1;
const WRITABLE: u8 = 2;

/// Added to the length of a name, which is no more than [`NAME`].
const NAMED: u8 = 0x80;
const NAME: usize = 32;

/// Bytes of an array, which its owner keeps where they are.
pub(super) type Content = (*const u8, usize);

/// Whether it is to lie in a slab.
pub(super) const fn is_beside(content: Content) -> bool {
    content.1 >= BESIDE
}

/// # Safety
/// Of an array that is alive and not written to as long as the answer is used.
pub(super) unsafe fn bytes<'a>((from, length): Content) -> &'a [u8] {
    if length == 0 {
        return &[]; // wherever it lies
    }
    // SAFETY: the caller's.
    unsafe { slice::from_raw_parts(from, length) }
}

/// Writes the head of an array; its content, or that this is none for the short code.
pub(super) fn put_head(writer: &mut Writer<'_>, object: &Bound<'_, PyAny>) -> Option<Content> {
    let numpy = Numpy::of(object)?;
    let array = object.as_ptr().cast::<ArrayObject>();
    // SAFETY: `of` has looked at the type; alive and borrowed for the call. The name of a dtype is asked for
    // before the fields are looked at.
    unsafe {
        let dtype = (*array).dtype;
        match numpy.plain_is(dtype) {
            Some(plain) => put_layout(writer, array, (None, plain.size)),
            None => {
                let (name, size) = name(object, (*dtype).number)?;
                put_layout(writer, array, (Some(&name), size))
            }
        }
    }
}

/// As `put_head`, for dtypes that a number says all of; no code of Python's is run.
pub(super) fn put_plain_head(
    writer: &mut Writer<'_>,
    numpy: &Numpy,
    object: &Bound<'_, PyAny>,
) -> Option<Content> {
    if !Numpy::is_array(object) {
        return None;
    }
    let array = object.as_ptr().cast::<ArrayObject>();
    // SAFETY: the type was looked at; alive and borrowed for the call.
    unsafe {
        let plain = numpy.plain_is((*array).dtype)?;
        put_layout(writer, array, (None, plain.size))
    }
}

/// Writes a head, given the name of the dtype, if its number does not say all, and the size of an element.
///
/// # Safety
/// An array that is alive.
unsafe fn put_layout(
    writer: &mut Writer<'_>,
    array: *mut ArrayObject,
    (name, size): (Option<&str>, usize),
) -> Option<Content> {
    // SAFETY: the caller's. No code of Python's runs while the fields are looked at.
    unsafe {
        let number = (*(*array).dtype).number;
        let flags = (*array).flags;
        let mut how = match () {
            () if flags & C_CONTIGUOUS != 0 => 0,
            () if flags & F_CONTIGUOUS != 0 => FORTRAN,
            () => return None,
        };
        if flags & WRITEABLE != 0 {
            how |= WRITABLE;
        }
        let dimensions = usize::try_from((*array).dimensions).ok()?;
        let lengths = match dimensions {
            0 => &[], // the pointer may be null then
            1..=MOST_DIMENSIONS => slice::from_raw_parts((*array).lengths, dimensions),
            _ => return None,
        };
        match name {
            None => writer.put([how, number as u8])?,
            Some(name) => {
                writer.put([how, NAMED + name.len() as u8])?;
                writer.put_all(name.as_bytes())?;
            }
        }
        writer.put([dimensions as u8])?;
        for length in lengths {
            writer.put((*length as u64).to_ne_bytes())?;
        }
        Some(((*array).data, total(lengths, size)?))
    }
}

/// What numpy calls the dtype of an array, if that says all of it, and the size of an element.
#[cold]
fn name(array: &Bound<'_, PyAny>, number: c_int) -> Option<(String, usize)> {
    if !Numpy::is_named(number) {
        return None;
    }
    let py = array.py();
    let ask = || -> PyResult<_> {
        let dtype = array.getattr(intern!(py, "dtype"))?;
        let is_bare = dtype.getattr(intern!(py, "metadata"))?.is_none();
        let name: String = dtype.getattr(intern!(py, "str"))?.extract()?;
        let size = dtype.getattr(intern!(py, "itemsize"))?.extract::<usize>()?;
        Ok((is_bare && size > 0 && is_name(&name)).then_some((name, size)))
    };
    ask().ok().flatten()
}

/// Whether a name is of the form that `name` gives: byte order, kind and size.
fn is_name(name: &str) -> bool {
    let [order, kind, rest @ ..] = name.as_bytes() else {
        return false;
    };
    b"<>|=".contains(order)
        && b"biufcSU".contains(kind)
        && rest.iter().all(u8::is_ascii_digit)
        && name.len() <= NAME
}

/// The bytes of so many elements; `None` if they cannot be counted.
pub(super) fn total(lengths: &[ffi::Py_ssize_t], size: usize) -> Option<usize> {
    if lengths.contains(&0) {
        return Some(0);
    }
    let mut total = isize::try_from(size).ok()?;
    for length in lengths {
        total = total.checked_mul(*length).filter(|total| *total > 0)?;
    }
    usize::try_from(total).ok()
}

/// What a head says.
struct Head<'py> {
    numpy: &'static Numpy,
    how: u8,
    dtype: Bound<'py, PyAny>,
    alignment: usize,
    dimensions: usize,
    lengths: [ffi::Py_ssize_t; MOST_DIMENSIONS],
    /// Bytes of content.
    total: usize,
}

impl<'py> Head<'py> {
    fn take(py: Python<'py>, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let numpy = Numpy::get(py).map_err(DecodeError::Raised)?;
        let numpy = numpy.ok_or(DecodeError::Nonsense)?;
        let [how, dtype] = *reader.take()?;
        if how & !(FORTRAN | WRITABLE) != 0 {
            return Err(DecodeError::Nonsense);
        }
        let (dtype, size, alignment) = if dtype < NAMED {
            let plain = numpy.plain(dtype.into()).ok_or(DecodeError::Nonsense)?;
            (plain.dtype(py), plain.size, plain.alignment)
        } else {
            let name = reader.content((dtype - NAMED).into())?;
            named(py, numpy, name)?
        };
        let dimensions = usize::from(reader.byte()?);
        let mut lengths = [0; MOST_DIMENSIONS];
        let places = lengths.get_mut(..dimensions).ok_or(DecodeError::Nonsense)?;
        for length in places.iter_mut() {
            let given = u64::from_ne_bytes(*reader.take()?);
            *length = given.try_into().map_err(|_| DecodeError::Nonsense)?;
        }
        let total = total(places, size).ok_or(DecodeError::Nonsense)?;
        Ok(Self {
            numpy,
            how,
            dtype,
            alignment,
            dimensions,
            lengths,
            total,
        })
    }

    fn order(&self) -> c_int {
        if self.how & FORTRAN == 0 {
            C_CONTIGUOUS
        } else {
            F_CONTIGUOUS
        }
    }
}

/// The dtype of that name, the size of an element, and how it is aligned.
#[cold]
fn named<'py>(
    py: Python<'py>,
    numpy: &Numpy,
    name: &[u8],
) -> Result<(Bound<'py, PyAny>, usize, usize), DecodeError> {
    let name = str::from_utf8(name).map_err(|_| DecodeError::Nonsense)?;
    if !is_name(name) {
        return Err(DecodeError::Nonsense);
    }
    let ask = || -> PyResult<_> {
        let dtype = numpy.dtype_of_name(py, name)?;
        let number: c_int = dtype.getattr(intern!(py, "num"))?.extract()?;
        let size: usize = dtype.getattr(intern!(py, "itemsize"))?.extract()?;
        let alignment: usize = dtype.getattr(intern!(py, "alignment"))?.extract()?;
        Ok((Numpy::is_named(number) && size > 0).then_some((dtype, size, alignment.max(1))))
    };
    // What numpy has no dtype for, nobody has put.
    let asked = ask().map_err(DecodeError::Raised)?;
    asked.ok_or(DecodeError::Nonsense)
}

/// The array of a record that has its content behind the head: a copy.
pub(super) fn copied<'py>(
    py: Python<'py>,
    record: &[u8],
) -> Result<Bound<'py, PyAny>, DecodeError> {
    let mut reader = Reader(record);
    let head = Head::take(py, &mut reader)?;
    let content = reader.content(head.total)?;
    if !reader.0.is_empty() {
        return Err(DecodeError::Nonsense);
    }
    let flags = if head.how & FORTRAN == 0 { 0 } else { 1 };
    let lengths = &head.lengths[..head.dimensions];
    // SAFETY: it has memory of its own, as many bytes as were counted, which are filled here.
    unsafe {
        let array = head
            .numpy
            .new_array(head.dtype, lengths, std::ptr::null_mut(), flags)
            .map_err(DecodeError::Raised)?;
        let object = array.as_ptr().cast::<ArrayObject>();
        (*object)
            .data
            .copy_from_nonoverlapping(content.as_ptr(), content.len());
        if head.how & WRITABLE == 0 {
            (*object).flags &= !WRITEABLE;
        }
        Ok(array)
    }
}

/// The array of a record whose content lies in a slab: a read-only view of that.
pub(super) fn view<'py>(
    py: Python<'py>,
    head: &[u8],
    slab: Pinned,
) -> Result<Bound<'py, PyAny>, DecodeError> {
    let mut reader = Reader(head);
    let array = next_view(py, &mut reader, slab)?;
    if reader.0.is_empty() {
        Ok(array)
    } else {
        Err(DecodeError::Nonsense)
    }
}

/// As `view`, of a head with more behind it.
pub(super) fn next_view<'py>(
    py: Python<'py>,
    reader: &mut Reader<'_>,
    slab: Pinned,
) -> Result<Bound<'py, PyAny>, DecodeError> {
    let head = Head::take(py, reader)?;
    let (data, length) = slab.content();
    if head.total != length {
        return Err(DecodeError::Nonsense);
    }
    let is_aligned = length == 0 || data.addr().get().is_multiple_of(head.alignment);
    let flags = head.order() | if is_aligned { ALIGNED } else { 0 };
    let lengths = &head.lengths[..head.dimensions];
    let base = Bound::new(py, Slab::new(slab, false)).map_err(DecodeError::Raised)?;
    // SAFETY: the slab is as long as was counted and stays in place as long as the base lives; nobody
    // writes through an array that is not writable, and numpy makes it so only if its base is.
    let array = unsafe {
        let array = head
            .numpy
            .new_array(head.dtype, lengths, data.as_ptr(), flags);
        array.and_then(|array| head.numpy.set_base(&array, base.into_any()).map(|()| array))
    };
    array.map_err(DecodeError::Raised)
}

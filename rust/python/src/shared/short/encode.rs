//! Values to bytes.

use std::{ptr, slice};

use pyo3::{ffi, prelude::*, sync::critical_section::with_critical_section};

use super::{
    super::{arrays, codes, numpy::Numpy},
    ARRAY, BYTES, DICT, FALSE, FLOAT, INT, LIST, LONG, LONG_BYTES, NONE, ROOM, Room, TEXT, TRUE,
    TUPLE,
};
use crate::queue::HAS_GLOBAL_LOCK;

/// What is being written, and where.
pub(in super::super) struct Writer<'a> {
    at: *mut u8,
    left: usize,
    room: &'a mut Room,
}

impl<'a> Writer<'a> {
    #[inline(always)]
    pub(in super::super) fn new(room: &'a mut Room) -> Self {
        Self {
            at: room.0.as_mut_ptr().cast(),
            left: ROOM,
            room,
        }
    }

    /// What was written.
    #[inline(always)]
    pub(in super::super) fn written(self) -> &'a [u8] {
        let length = ROOM - self.left;
        // SAFETY: so many bytes of the room were written, and it is borrowed as long as the answer.
        unsafe { slice::from_raw_parts(self.room.0.as_ptr().cast(), length) }
    }

    /// Writes so many bytes, if there is room; `None` gives the whole value up.
    #[inline(always)]
    pub(in super::super) fn put<const N: usize>(&mut self, bytes: [u8; N]) -> Option<()> {
        self.left = self.left.checked_sub(N)?;
        // SAFETY: `left` bytes at `at` are the writer's, and they were at least N.
        unsafe {
            self.at.cast::<[u8; N]>().write_unaligned(bytes);
            self.at = self.at.add(N);
        }
        Some(())
    }

    #[inline(always)]
    pub(in super::super) fn put_all(&mut self, bytes: &[u8]) -> Option<()> {
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
    let mut writer = Writer::new(room);
    let object = value.as_ptr();
    // SAFETY: a live object, borrowed for the call, and attached. No Python code runs below, so
    // what a container refers to stays where it is; without a global lock the section sees to that.
    unsafe {
        let kind = ffi::Py_TYPE(object);
        if kind == &raw mut ffi::PyBytes_Type {
            return Some((codes::RAW, bytes(object)));
        } else if kind == &raw mut ffi::PyUnicode_Type {
            let (width, content) = characters(object)?;
            return Some((codes::text(width), content));
        } else if is_container(kind) {
            put_container(&mut writer, value, &mut |_, _| None)?;
        } else if put_scalar(&mut writer, object, &mut |_, _| None).is_none() {
            return put_array(writer, value);
        }
        Some((codes::SHORT, writer.written()))
    }
}

/// An array inside of a container, which keeps its memory in place.
pub(in super::super) struct Array {
    pub(in super::super) content: arrays::Content,
    pub(in super::super) array: Py<PyAny>,
}

/// What a container is in a record that has arrays beside it, and these; or that it is not one for the short code.
#[inline(never)]
pub(in super::super) fn encode_mixed<'a>(
    value: &Bound<'_, PyAny>,
    room: &'a mut Room,
) -> Option<(&'a [u8], Vec<Array>)> {
    let mut writer = Writer::new(room);
    let mut held: Vec<Array> = Vec::new();
    let py = value.py();
    // Looked up now: while a container is walked, nothing may run that could change it.
    let numpy = Numpy::get_if_imported(py)?;
    // SAFETY: as for `encode`.
    unsafe {
        if !is_container(ffi::Py_TYPE(value.as_ptr())) {
            return None;
        }
        put_container(&mut writer, value, &mut |writer, object| {
            let array = Bound::from_borrowed_ptr(py, object);
            writer.put([ARRAY])?;
            let content = arrays::put_plain_head(writer, numpy, &array)?;
            let is_new = held.iter().all(|other| !other.array.is(&array));
            let array = array.unbind();
            held.push(Array { content, array });
            (is_new && arrays::is_beside(content)).then_some(())
        })?;
    }
    (!held.is_empty()).then(|| (writer.written(), held))
}

#[inline(always)]
fn is_container(kind: *mut ffi::PyTypeObject) -> bool {
    kind == &raw mut ffi::PyDict_Type
        || kind == &raw mut ffi::PyTuple_Type
        || kind == &raw mut ffi::PyList_Type
}

/// # Safety
/// Attached; no code of Python's runs meanwhile.
#[inline(always)]
unsafe fn put_container(
    writer: &mut Writer<'_>,
    value: &Bound<'_, PyAny>,
    other: &mut Other<'_>,
) -> Option<()> {
    let object = value.as_ptr();
    // SAFETY: the caller's, and the types are looked at.
    unsafe {
        let kind = ffi::Py_TYPE(object);
        if kind == &raw mut ffi::PyDict_Type {
            locked(value, || put_dict(writer, object, other))
        } else if kind == &raw mut ffi::PyTuple_Type {
            let (count, items) = (ffi::PyTuple_GET_SIZE(object), tuple_items(object));
            put_items(writer, TUPLE, count, |index| *items.add(index), other)
        } else {
            locked(value, || {
                let count = ffi::PyList_GET_SIZE(object);
                let item = |index| ffi::PyList_GET_ITEM(object, index as ffi::Py_ssize_t);
                put_items(writer, LIST, count, item, other)
            })
        }
    }
}

/// An array that finds room with its content; nothing was written so far, if it is one.
#[inline(never)]
fn put_array<'a>(mut writer: Writer<'a>, value: &'a Bound<'_, PyAny>) -> Option<(u16, &'a [u8])> {
    let (from, length) = arrays::put_head(&mut writer, value)?;
    writer.left = writer.left.checked_sub(length)?;
    // SAFETY: the array has so many bytes there, and they fit behind what was written.
    unsafe { writer.at.copy_from_nonoverlapping(from, length) };
    Some((codes::ARRAY, writer.written()))
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
    writer: &mut Writer<'_>,
    tag: u8,
    count: ffi::Py_ssize_t,
    item: impl Fn(usize) -> *mut ffi::PyObject,
    other: &mut Other<'_>,
) -> Option<()> {
    let count = u8::try_from(count).ok()?;
    writer.put([tag, count])?;
    for index in 0..usize::from(count) {
        // SAFETY: the caller's.
        unsafe { put_scalar(writer, item(index), other)? };
    }
    Some(())
}

/// # Safety
/// A dict that nobody changes meanwhile.
#[inline(always)]
unsafe fn put_dict(
    writer: &mut Writer<'_>,
    dict: *mut ffi::PyObject,
    other: &mut Other<'_>,
) -> Option<()> {
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
            put_scalar(writer, value, other)?;
        }
    }
    Some(())
}

/// What becomes of a value that is no scalar.
type Other<'a> = dyn FnMut(&mut Writer<'_>, *mut ffi::PyObject) -> Option<()> + 'a;

/// # Safety
/// A live object.
#[inline(always)]
unsafe fn put_scalar(
    writer: &mut Writer<'_>,
    object: *mut ffi::PyObject,
    other: &mut Other<'_>,
) -> Option<()> {
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
            other(writer, object)
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

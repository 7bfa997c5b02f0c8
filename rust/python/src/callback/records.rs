//! Records become tuples.

use penstock_core::callback::{Kind, Records, is_null, signed, unsigned};
use pyo3::{ffi, prelude::*};

/// Reads one record after the other.
pub(super) struct Reader<'a> {
    kinds: &'a [Kind],
    words: &'a [u64],
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(kinds: &'a [Kind], records: &'a Records) -> Self {
        Self {
            kinds,
            words: &records.words,
            bytes: &records.bytes,
        }
    }

    /// The next record as a tuple.
    pub(super) fn next<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let (words, rest) = self.words.split_at(self.kinds.len());
        self.words = rest;
        // SAFETY: attached. The tuple is new and of that length; nobody else sees it before all of its
        // places are set, each to a reference of its own.
        unsafe {
            let tuple = ffi::PyTuple_New(words.len() as ffi::Py_ssize_t);
            let tuple = Bound::from_owned_ptr_or_err(py, tuple)?;
            for (index, (kind, word)) in self.kinds.iter().zip(words).enumerate() {
                let value = self.value(*kind, *word);
                if value.is_null() {
                    return Err(PyErr::fetch(py));
                }
                ffi::PyTuple_SET_ITEM(tuple.as_ptr(), index as ffi::Py_ssize_t, value);
            }
            Ok(tuple)
        }
    }

    /// # Safety
    /// Attached.
    unsafe fn value(&mut self, kind: Kind, word: u64) -> *mut ffi::PyObject {
        // SAFETY: the caller's; the content is as long as it says.
        unsafe {
            match kind {
                Kind::Bool => ffi::PyBool_FromLong((unsigned(word, 8) != 0).into()),
                Kind::Signed(bits) => ffi::PyLong_FromLongLong(signed(word, bits)),
                Kind::Unsigned(bits) => ffi::PyLong_FromUnsignedLongLong(unsigned(word, bits)),
                Kind::Pointer => ffi::PyLong_FromUnsignedLongLong(word),
                Kind::Float => ffi::PyFloat_FromDouble(f32::from_bits(word as u32).into()),
                Kind::Double => ffi::PyFloat_FromDouble(f64::from_bits(word)),
                Kind::Text | Kind::Bytes { .. } if is_null(word) => ffi::Py_NewRef(ffi::Py_None()),
                Kind::Text | Kind::Bytes { .. } => {
                    let (content, rest) = self.bytes.split_at(word as usize);
                    self.bytes = rest;
                    let length = content.len() as ffi::Py_ssize_t;
                    ffi::PyBytes_FromStringAndSize(content.as_ptr().cast(), length)
                }
            }
        }
    }
}

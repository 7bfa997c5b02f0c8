//! Short ways into methods: functions that the interpreter calls in place of those that PyO3 made.
//!
//! PyO3's own way into a method parses the arguments by name and makes the call known to itself,
//! which takes as many instructions as a push or a pop of a queue. A shortcut takes the call that is as
//! most are, without keywords and done at once, and passes every other one on to the method that PyO3
//! made, whose name, signature and documentation stay in use.
//!
//! PyO3 does not know that a shortcut was called, so what is dropped there is dropped through a
//! `Bound`: a bare reference would be put aside until PyO3's next turn.

use std::sync::OnceLock;

use pyo3::{Borrowed, PyClass, exceptions::PySystemError, ffi, prelude::*};

pub(crate) type Method = ffi::PyCFunctionFastWithKeywords;

/// A method of a class: its shortcut and, once that is in place, PyO3's own function.
pub(crate) struct Shortcut {
    pub(crate) name: &'static str,
    pub(crate) shortcut: Method,
    pub(crate) whole: &'static OnceLock<Method>,
}

/// What the interpreter hands to a method, valid during the call.
#[derive(Clone, Copy)]
pub(crate) struct Call {
    pub(crate) slf: *mut ffi::PyObject,
    pub(crate) arguments: *const *mut ffi::PyObject,
    pub(crate) count: ffi::Py_ssize_t,
    pub(crate) keywords: *mut ffi::PyObject,
}

impl Call {
    /// The object whose method it is, if the call is a plain one of so many arguments.
    ///
    /// # Safety
    /// The call is the interpreter's, of a method of `T`.
    #[inline(always)]
    pub(crate) unsafe fn plain<T: PyClass>(
        &self,
        count: ffi::Py_ssize_t,
    ) -> Option<Borrowed<'_, '_, T>> {
        // SAFETY: attached, as the interpreter calls; a method's object is of its class.
        let slf = unsafe {
            Borrowed::from_ptr(Python::assume_attached(), self.slf).cast_unchecked::<T>()
        };
        (self.count == count && self.keywords.is_null()).then_some(slf)
    }

    /// The first argument.
    ///
    /// # Safety
    /// There is one.
    #[inline(always)]
    pub(crate) unsafe fn argument(&self) -> Borrowed<'_, '_, PyAny> {
        // SAFETY: attached; a live object in the interpreter's array.
        unsafe { Borrowed::from_ptr(Python::assume_attached(), *self.arguments) }
    }

    /// The same call of PyO3's function.
    ///
    /// # Safety
    /// The call is the interpreter's, of the method that `whole` belongs to.
    #[cold]
    pub(crate) unsafe fn pass_on(self, whole: &OnceLock<Method>) -> *mut ffi::PyObject {
        let Some(whole) = whole.get() else {
            unreachable!("a shortcut is put in place after what it stands before");
        };
        // SAFETY: the same method with the same arguments.
        unsafe { whole(self.slf, self.arguments, self.count, self.keywords) }
    }
}

/// A function as the interpreter calls it, from one of a [`Call`].
macro_rules! method {
    ($name:ident, $call:ident => $body:expr) => {
        /// # Safety
        /// Called by the interpreter only, as this method of a live object of its class.
        unsafe extern "C" fn $name(
            slf: *mut pyo3::ffi::PyObject,
            arguments: *const *mut pyo3::ffi::PyObject,
            count: pyo3::ffi::Py_ssize_t,
            keywords: *mut pyo3::ffi::PyObject,
        ) -> *mut pyo3::ffi::PyObject {
            let $call = $crate::shortcut::Call {
                slf,
                arguments,
                count,
                keywords,
            };
            // SAFETY: the call is the interpreter's.
            unsafe { $body }
        }
    };
}
pub(crate) use method;

/// Puts each shortcut before the method of `T` that it belongs to.
pub(crate) fn install<T: PyClass>(
    py: Python<'_>,
    shortcuts: impl IntoIterator<Item = Shortcut>,
) -> PyResult<()> {
    let class = py.get_type::<T>();
    for Shortcut {
        name,
        shortcut,
        whole,
    } in shortcuts
    {
        let descriptor = class.getattr(name)?;
        // SAFETY: a plain look at an object's type, and at a method's record only if it is a
        // method's. PyO3 keeps these records on the heap for ever and never reads them again; the
        // module is being initialised, so nobody calls the method meanwhile. The interpreter reads
        // the function at each call.
        unsafe {
            let is_method = descriptor.get_type_ptr() == &raw mut ffi::PyMethodDescr_Type;
            let record = is_method
                .then(|| (*descriptor.as_ptr().cast::<ffi::PyMethodDescrObject>()).d_method);
            let takes_keywords = ffi::METH_FASTCALL | ffi::METH_KEYWORDS;
            let Some(record) = record.filter(|record| (**record).ml_flags == takes_keywords) else {
                let message = format!("{class}.{name} is not called as its shortcut expects");
                return Err(PySystemError::new_err(message));
            };
            if whole
                .set((*record).ml_meth.PyCFunctionFastWithKeywords)
                .is_ok()
            {
                (*record).ml_meth.PyCFunctionFastWithKeywords = shortcut;
            }
        }
    }
    Ok(())
}

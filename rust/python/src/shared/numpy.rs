//! What is used of numpy's C interface; looked up where an array, or the record of one, is first met.
//!
//! The layout of an array and the places in the table of functions are numpy's binary interface: the same
//! in every numpy from 1.26 to the last 2.x, and what every extension is compiled against. A numpy
//! of another interface counts as none: its arrays are pickle's affair.

use std::{
    ffi::{CStr, c_char, c_int, c_uint, c_void},
    ptr,
    sync::atomic::{AtomicPtr, Ordering},
};

use pyo3::{
    exceptions::PyModuleNotFoundError, ffi, intern, prelude::*, sync::PyOnceLock, types::PyType,
};

/// The beginning of every array object.
#[repr(C)]
pub(super) struct ArrayObject {
    head: ffi::PyObject,
    pub(super) data: *mut u8,
    pub(super) dimensions: c_int,
    pub(super) lengths: *mut ffi::Py_ssize_t,
    strides: *mut ffi::Py_ssize_t,
    base: *mut ffi::PyObject,
    pub(super) dtype: *mut DtypeObject,
    pub(super) flags: c_int,
}

/// The beginning of every dtype object.
#[repr(C)]
pub(super) struct DtypeObject {
    head: ffi::PyObject,
    scalar: *mut ffi::PyTypeObject,
    kind: c_char,
    letter: c_char,
    order: c_char,
    /// Flags in numpy 1, nothing in numpy 2.
    _other: c_char,
    /// What numpy calls the type number.
    pub(super) number: c_int,
}

/// Flags of an array.
pub(super) const C_CONTIGUOUS: c_int = 0x1;
pub(super) const F_CONTIGUOUS: c_int = 0x2;
pub(super) const ALIGNED: c_int = 0x100;
pub(super) const WRITEABLE: c_int = 0x400;

/// The most dimensions of any numpy.
pub(super) const MOST_DIMENSIONS: usize = 64;

/// Type numbers below this are numpy's own.
pub(super) const NUMBERS: usize = 24;
const DOUBLE: usize = 12;
const OBJECT: usize = 17;
const STRING: usize = 18;
const UNICODE: usize = 19;
const VOID: usize = 20;
const DATETIME: usize = 21;
const TIMEDELTA: usize = 22;

/// The binary interfaces of numpy 1 and 2.
const INTERFACES: std::ops::RangeInclusive<c_uint> = 0x0100_0009..=0x0200_0000;

/// Places in the table of functions.
const INTERFACE: usize = 0;
const ARRAY_TYPE: usize = 2;
const DTYPE_TYPE: usize = 3;
const DTYPE_OF_NUMBER: usize = 45;
const NEW_ARRAY: usize = 94;
const SET_BASE: usize = 282;

type NewArray = unsafe extern "C" fn(
    *mut ffi::PyTypeObject,
    *mut ffi::PyObject,
    c_int,
    *const ffi::Py_ssize_t,
    *const ffi::Py_ssize_t,
    *mut c_void,
    c_int,
    *mut ffi::PyObject,
) -> *mut ffi::PyObject;
type SetBase = unsafe extern "C" fn(*mut ffi::PyObject, *mut ffi::PyObject) -> c_int;

/// A dtype that is known by its number alone: plain numbers in the machine's byte order.
#[derive(Clone, Copy)]
pub(super) struct Plain {
    /// A reference that is kept for good.
    dtype: *mut ffi::PyObject,
    pub(super) size: usize,
    pub(super) alignment: usize,
}

impl Plain {
    pub(super) fn is(&self, dtype: *mut DtypeObject) -> bool {
        self.dtype == dtype.cast()
    }

    pub(super) fn dtype<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        // SAFETY: alive for good.
        unsafe { Bound::from_borrowed_ptr(py, self.dtype) }
    }
}

/// See the module's head.
pub(super) struct Numpy {
    array: *mut ffi::PyTypeObject,
    dtype: *mut ffi::PyObject,
    new_array: NewArray,
    set_base: SetBase,
    plain: [Option<Plain>; NUMBERS],
}

// SAFETY: pointers to what lives as long as the interpreter: static types, functions, and dtypes that hold a
// reference of their own.
unsafe impl Send for Numpy {}
// SAFETY: as above.
unsafe impl Sync for Numpy {}

static NUMPY: PyOnceLock<Option<Numpy>> = PyOnceLock::new();

/// The types whose objects are laid out as an [`ArrayObject`] and travel as arrays; null until they are
/// known. Types that were found are never freed.
static ARRAY: AtomicPtr<ffi::PyTypeObject> = AtomicPtr::new(ptr::null_mut());
static SHARED_ARRAY: AtomicPtr<ffi::PyTypeObject> = AtomicPtr::new(ptr::null_mut());

/// `class` is an array as any other, with nothing that would have to travel along.
#[pyfunction]
#[pyo3(signature = (class, /))]
pub(crate) fn know_shared_array(class: &Bound<'_, PyType>) {
    SHARED_ARRAY.store(class.clone().into_ptr().cast(), Ordering::Release);
}

impl Numpy {
    /// numpy, imported if it is not yet; `None` if it is one of another interface.
    pub(super) fn get(py: Python<'_>) -> PyResult<Option<&'static Self>> {
        let numpy = match NUMPY.get(py) {
            Some(numpy) => numpy,
            None => NUMPY.get_or_try_init(py, || Self::look_up(py))?,
        };
        Ok(numpy.as_ref())
    }

    /// numpy, if `object` is an array and neither of a subclass nor of a numpy of another interface.
    #[inline]
    pub(super) fn of(object: &Bound<'_, PyAny>) -> Option<&'static Self> {
        if Self::is_array(object) {
            // Types are set aside only after numpy was found, or the class has imported it.
            return Self::get(object.py()).ok().flatten();
        }
        if ARRAY.load(Ordering::Relaxed).is_null() {
            return Self::meet(object);
        }
        None
    }

    /// Whether it is an array of a kind that was met before.
    #[inline]
    pub(super) fn is_array(object: &Bound<'_, PyAny>) -> bool {
        let kind = object.get_type_ptr();
        kind == ARRAY.load(Ordering::Acquire) || kind == SHARED_ARRAY.load(Ordering::Acquire)
    }

    /// numpy, if somebody has imported it.
    pub(super) fn get_if_imported(py: Python<'_>) -> Option<&'static Self> {
        if let Some(numpy) = NUMPY.get(py) {
            return numpy.as_ref();
        }
        let modules = py.import(intern!(py, "sys")).ok()?;
        let modules = modules.getattr(intern!(py, "modules")).ok()?;
        if !modules.contains(intern!(py, "numpy")).ok()? {
            return None;
        }
        // What cannot be looked up now is looked up again.
        Self::get(py).ok().flatten()
    }

    /// As `of`, where no array was met before.
    #[cold]
    fn meet(object: &Bound<'_, PyAny>) -> Option<&'static Self> {
        // SAFETY: a live type has a name that ends with a zero.
        let name = unsafe { CStr::from_ptr((*object.get_type_ptr()).tp_name) };
        // Whoever has such an object has imported numpy.
        if name != c"numpy.ndarray" {
            return None;
        }
        // What cannot be looked up now is pickle's affair, and looked up again.
        let numpy = Self::get(object.py()).ok().flatten()?;
        (object.get_type_ptr() == numpy.array).then_some(numpy)
    }

    fn look_up(py: Python<'_>) -> PyResult<Option<Self>> {
        let module = py
            .import("numpy._core._multiarray_umath")
            .or_else(|failure| {
                if failure.is_instance_of::<PyModuleNotFoundError>(py) {
                    py.import("numpy.core._multiarray_umath") // as numpy 1 calls it
                } else {
                    Err(failure)
                }
            })?;
        let capsule = module.getattr(intern!(py, "_ARRAY_API"))?;
        // SAFETY: a live object; what is no capsule without a name raises.
        let table = unsafe { ffi::PyCapsule_GetPointer(capsule.as_ptr(), ptr::null()) };
        if table.is_null() {
            return Err(PyErr::fetch(py));
        }
        let table = table.cast::<*mut c_void>();
        // SAFETY: the capsule is numpy's table, whose first function says which interface the rest has;
        // the places and signatures are those of that interface. The capsule is kept by the module,
        // which is never unloaded.
        unsafe {
            let interface: unsafe extern "C" fn() -> c_uint =
                std::mem::transmute(*table.add(INTERFACE));
            if !INTERFACES.contains(&interface()) {
                return Ok(None);
            }
            let dtype_of: unsafe extern "C" fn(c_int) -> *mut ffi::PyObject =
                std::mem::transmute(*table.add(DTYPE_OF_NUMBER));
            let mut plain = [None; NUMBERS];
            for (number, plain) in plain.iter_mut().enumerate() {
                if matches!(
                    number,
                    OBJECT | STRING | UNICODE | VOID | DATETIME | TIMEDELTA
                ) {
                    continue; // a number does not say all of these
                }
                let dtype = Bound::from_owned_ptr_or_err(py, dtype_of(number as c_int))?;
                *plain = Some(Plain {
                    size: dtype.getattr(intern!(py, "itemsize"))?.extract()?,
                    alignment: dtype.getattr(intern!(py, "alignment"))?.extract()?,
                    dtype: dtype.into_ptr(),
                });
            }
            let numpy = Self {
                array: (*table.add(ARRAY_TYPE)).cast(),
                dtype: (*table.add(DTYPE_TYPE)).cast(),
                new_array: std::mem::transmute::<*mut c_void, NewArray>(*table.add(NEW_ARRAY)),
                set_base: std::mem::transmute::<*mut c_void, SetBase>(*table.add(SET_BASE)),
                plain,
            };
            ARRAY.store(numpy.array, Ordering::Release);
            Ok(Some(numpy))
        }
    }

    /// What a number stands for, if it says all.
    pub(super) fn plain(&self, number: usize) -> Option<&Plain> {
        self.plain.get(number)?.as_ref()
    }

    /// Whether the name of a dtype of that number says all, its byte order too: numbers and strings of a fixed
    /// length. Times have no buffer interface, so pickle makes another thing of them than of the rest.
    pub(super) fn is_named(number: c_int) -> bool {
        let number = usize::try_from(number).unwrap_or(NUMBERS);
        number < NUMBERS && !matches!(number, OBJECT | VOID | DATETIME | TIMEDELTA)
    }

    /// What a dtype's number stands for, if it says all of it.
    ///
    /// # Safety
    /// A dtype that is alive.
    pub(super) unsafe fn plain_is(&self, dtype: *mut DtypeObject) -> Option<&Plain> {
        // SAFETY: the caller's; its fields never change.
        let number = usize::try_from(unsafe { (*dtype).number }).ok()?;
        self.plain(number).filter(|plain| plain.is(dtype))
    }

    /// What somebody gives as a dtype, if its number says all of that. Raises what numpy does where it is none.
    pub(super) fn plain_of(&self, dtype: &Bound<'_, PyAny>) -> PyResult<Option<&Plain>> {
        if dtype.as_ptr().cast() == &raw mut ffi::PyFloat_Type {
            return Ok(self.plain(DOUBLE)); // what is meant where nobody says anything
        }
        // SAFETY: a static type of numpy's.
        let class = unsafe { Bound::from_borrowed_ptr(dtype.py(), self.dtype) };
        let meant;
        let dtype = if dtype.is_instance(&class)? {
            dtype
        } else {
            meant = class.call1((dtype,))?;
            &meant
        };
        // SAFETY: a live dtype.
        Ok(unsafe { self.plain_is(dtype.as_ptr().cast()) })
    }

    /// Whether it is the class that `know_shared_array` was told of.
    pub(super) fn is_shared_array(class: &Bound<'_, PyType>) -> bool {
        class.as_type_ptr() == SHARED_ARRAY.load(Ordering::Acquire)
    }

    /// The dtype that numpy calls so.
    pub(super) fn dtype_of_name<'py>(
        &self,
        py: Python<'py>,
        name: &str,
    ) -> PyResult<Bound<'py, PyAny>> {
        // SAFETY: a static type of numpy's.
        let class = unsafe { Bound::from_borrowed_ptr(py, self.dtype) };
        class.call1((name,))
    }

    /// A new array of numpy's own class. Without `data` it has memory of its own, writable and not
    /// cleared.
    ///
    /// # Safety
    /// `data`, if given, is memory of that dtype, shape and order, as long as the array or its base lives.
    pub(super) unsafe fn new_array<'py>(
        &self,
        dtype: Bound<'py, PyAny>,
        lengths: &[ffi::Py_ssize_t],
        data: *mut u8,
        flags: c_int,
    ) -> PyResult<Bound<'py, PyAny>> {
        // SAFETY: numpy's static type.
        let class = unsafe { Borrowed::from_ptr(dtype.py(), self.array.cast()) };
        // SAFETY: a type, and the caller's promise.
        unsafe { self.new_array_of(&class.cast_unchecked(), dtype, lengths, data, flags) }
    }

    /// As `new_array`, of a class below numpy's own.
    ///
    /// # Safety
    /// As there.
    pub(super) unsafe fn new_array_of<'py>(
        &self,
        class: &Bound<'py, PyType>,
        dtype: Bound<'py, PyAny>,
        lengths: &[ffi::Py_ssize_t],
        data: *mut u8,
        flags: c_int,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = dtype.py();
        // SAFETY: a dtype, whose reference is given away; the caller's promise; attached.
        unsafe {
            let array = (self.new_array)(
                class.as_type_ptr(),
                dtype.into_ptr(),
                lengths.len() as c_int,
                lengths.as_ptr(),
                ptr::null(),
                data.cast(),
                flags,
                ptr::null_mut(),
            );
            Bound::from_owned_ptr_or_err(py, array)
        }
    }

    /// `array` keeps `base` alive from now on.
    ///
    /// # Safety
    /// A new array, which has none yet.
    pub(super) unsafe fn set_base(
        &self,
        array: &Bound<'_, PyAny>,
        base: Bound<'_, PyAny>,
    ) -> PyResult<()> {
        // SAFETY: the caller's promise; the reference is given away, also in the case of an error.
        if unsafe { (self.set_base)(array.as_ptr(), base.into_ptr()) } == 0 {
            Ok(())
        } else {
            Err(PyErr::fetch(array.py()))
        }
    }
}

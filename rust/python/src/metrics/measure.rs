//! The function `metrics.measure`, as a built-in: arguments pass through it as they lie on the stack.

use super::{
    call::MeasuredCall,
    identity::shown,
    measurement::{Measurement, now, seconds_since},
    timing::Timing,
};
use crate::{
    ending,
    errors::{Family, error},
};
use pyo3::{ffi, prelude::*, types::PyDict};
use std::{ffi::CStr, ptr};

const DOC: &CStr = c"measure(name, fn=None, /, *args, **kwargs)
--

Measure one call of fn: how long it takes, whether it fails and with what, how many are under way.

measure(name, fn, ...) calls fn with the other arguments. If fn is async, await what comes back:
`user = await metrics.measure(\"fetch_user\", get_user, \"123\")`. If it is not, its value comes back at
once. measure(name) alone is for a block: `with metrics.measure(\"parse\"): ...`, or `async with`.

What fn returns or raises passes through unchanged. An exception counts as an error of its type;
a cancellation never does, it is counted apart, and has no duration. A call of a function that
returns an awaitable lasts until that is done. All calls of one name are one measurement; read it by
snapshot()[name]. Raises Misuse for a name that is not valid or that belongs to an instrument, and
for an fn that cannot be called. Any thread may call it; about 0.2 us more than the bare await.";

struct Definition(ffi::PyMethodDef);
// SAFETY: never written; it points to constants.
unsafe impl Sync for Definition {}

static DEFINITION: Definition = Definition(ffi::PyMethodDef {
    ml_name: c"measure".as_ptr(),
    ml_meth: ffi::PyMethodDefPointer {
        PyCFunctionFastWithKeywords: measure,
    },
    ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
    ml_doc: DOC.as_ptr(),
});

/// The `measure` of one registry. `measurements` is the registry's dict, to which only `create` adds
/// and from which nothing is removed; `create(name)` makes and returns the measurement of a new name.
#[pyfunction]
pub(crate) fn measure_function<'py>(
    measurements: Bound<'py, PyDict>,
    create: Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = create.py();
    let registry = (measurements, create).into_pyobject(py)?;
    // SAFETY: the definition is static; the new object keeps its own reference to `registry`.
    unsafe {
        let definition = (&raw const DEFINITION.0).cast_mut();
        let function = ffi::PyCFunction_NewEx(definition, registry.as_ptr(), ptr::null_mut());
        Bound::from_owned_ptr_or_err(py, function)
    }
}

unsafe extern "C" fn measure(
    registry: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: called by the interpreter, attached, with the pair of `measure_function` and `count`
    // live arguments, followed by one for each of `keywords`.
    unsafe {
        let py = Python::assume_attached();
        let outcome = if count == 0 {
            Err(misuse(
                py,
                "measure() needs a name",
                "measure(\"fetch_user\", get_user, \"123\")",
            ))
        } else {
            find(py, registry, *arguments).and_then(|measurement| {
                if count == 1 {
                    block(measurement, keywords)
                } else {
                    call(
                        measurement,
                        *arguments.add(1),
                        arguments.add(2),
                        count - 2,
                        keywords,
                    )
                }
            })
        };
        match outcome {
            Ok(result) => result.into_ptr(),
            Err(error) => {
                error.restore(py);
                ptr::null_mut()
            }
        }
    }
}

/// The measurement called `name`, made now if there is none.
///
/// # Safety
/// `registry` is a tuple (dict of measurements, callable), `name` a live object.
#[inline]
unsafe fn find<'py>(
    py: Python<'py>,
    registry: *mut ffi::PyObject,
    name: *mut ffi::PyObject,
) -> PyResult<Bound<'py, Measurement>> {
    // SAFETY: the caller's. An unhashable name fails the look-up, and `create` says why.
    unsafe {
        let mut found = ptr::null_mut();
        let known = ffi::PyTuple_GET_ITEM(registry, 0);
        if ffi::compat::PyDict_GetItemRef(known, name, &raw mut found) == 1 {
            return Ok(Bound::from_owned_ptr(py, found).cast_into_unchecked());
        }
        ffi::PyErr_Clear();
        let create = Borrowed::from_ptr(py, ffi::PyTuple_GET_ITEM(registry, 1));
        let name = Borrowed::from_ptr(py, name);
        Ok(create.call1((name,))?.cast_into::<Measurement>()?)
    }
}

/// # Safety
/// `keywords` is null or a tuple.
unsafe fn block(
    measurement: Bound<'_, Measurement>,
    keywords: *mut ffi::PyObject,
) -> PyResult<Bound<'_, PyAny>> {
    let py = measurement.py();
    // SAFETY: the caller's.
    if !keywords.is_null() && unsafe { ffi::PyTuple_GET_SIZE(keywords) } > 0 {
        return Err(misuse(
            py,
            "measure(name) takes no keywords",
            "they belong to the function that is measured",
        ));
    }
    Ok(Bound::new(py, Timing::new(measurement.unbind()))?.into_any())
}

/// # Safety
/// `function` and `count` arguments, then one for each of `keywords`, are live objects.
unsafe fn call(
    measurement: Bound<'_, Measurement>,
    function: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    keywords: *mut ffi::PyObject,
) -> PyResult<Bound<'_, PyAny>> {
    let py = measurement.py();
    let this = measurement.get();
    // SAFETY: the caller's, for everything below.
    unsafe {
        let code = code_of(function);
        let known = this
            .coroutine_code
            .get()
            .is_some_and(|known| known.as_ptr() == code);
        let start = if known { 0 } else { now() };
        if !known {
            if ffi::PyCallable_Check(function) == 0 {
                let given = shown(&Borrowed::from_ptr(py, function));
                let what = format!(
                    "measure('{}', fn, ...) calls fn, and {given} cannot be called",
                    this.name(py)
                );
                return Err(misuse(
                    py,
                    &what,
                    "hand in the function and its arguments, not what it returned",
                ));
            }
            this.calls.begin();
        }
        ending::outlast();
        let result = ffi::PyObject_Vectorcall(function, arguments, count as usize, keywords);
        if result.is_null() {
            if known {
                // It never came to a coroutine: the arguments do not fit.
                this.calls.begin();
                this.end_raising(py, now());
            } else {
                this.end_raising(py, start);
            }
            return Err(PyErr::fetch(py));
        }
        let result = Bound::from_owned_ptr(py, result);
        let inner = if ffi::PyCoro_CheckExact(result.as_ptr()) != 0 {
            if !known && this.coroutine_code.get().is_none() {
                // Asked again: the call may have given the function another code.
                remember(this, py, code_of(function));
            }
            result
        } else if is_awaitable(result.as_ptr()) {
            match result.call_method0("__await__") {
                Ok(inner) => inner,
                Err(error) => {
                    this.end_with(py, start, error.value(py).as_any());
                    return Err(error);
                }
            }
        } else {
            this.calls.succeed(seconds_since(start));
            return Ok(result);
        };
        if !known {
            this.calls.withdraw();
        }
        Ok(Bound::new(py, MeasuredCall::new(inner.unbind(), measurement.unbind()))?.into_any())
    }
}

// CPython exports both (Include/cpython/classobject.h); the bindings leave them out.
unsafe extern "C" {
    static mut PyMethod_Type: ffi::PyTypeObject;
    fn PyMethod_Function(method: *mut ffi::PyObject) -> *mut ffi::PyObject;
}

/// The code object behind a function or bound method, borrowed; null for other callables.
///
/// # Safety
/// `function` is a live object.
#[inline]
unsafe fn code_of(function: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: the caller's; each macro is used after its check.
    unsafe {
        let function = if ffi::Py_IS_TYPE(function, &raw mut PyMethod_Type) != 0 {
            PyMethod_Function(function)
        } else {
            function
        };
        if ffi::PyFunction_Check(function) != 0 {
            ffi::PyFunction_GetCode(function)
        } else {
            ptr::null_mut()
        }
    }
}

/// Keeps `code`, if it says of itself that it makes coroutines: a plain function may return one now
/// and something else the next time.
///
/// # Safety
/// `code` is null or a live code object.
#[cold]
unsafe fn remember(measurement: &Measurement, py: Python<'_>, code: *mut ffi::PyObject) {
    if code.is_null() {
        return;
    }
    // SAFETY: the caller's.
    let code = unsafe { Borrowed::from_ptr(py, code) };
    let flags = code
        .getattr("co_flags")
        .and_then(|flags| flags.extract::<i32>());
    if flags.is_ok_and(|flags| flags & ffi::CO_COROUTINE != 0) {
        // Losing the race against another thread leaves that one's code.
        let _ = measurement.coroutine_code.set(code.to_owned().unbind());
    }
}

/// # Safety
/// `object` is a live object.
unsafe fn is_awaitable(object: *mut ffi::PyObject) -> bool {
    // SAFETY: the caller's; a type's table lives as long as the type.
    unsafe {
        let methods = (*ffi::Py_TYPE(object)).tp_as_async;
        !methods.is_null() && (*methods).am_await.is_some()
    }
}

#[cold]
fn misuse(py: Python<'_>, what: &str, hint: &str) -> PyErr {
    error(py, Family::Misuse, what, Some(hint))
}

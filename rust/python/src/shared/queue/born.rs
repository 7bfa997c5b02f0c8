//! The shortest way to an array in a queue's memory; see `SharedArray.empty`.
//!
//! What is usual is made here, where its memory is there at once: some number's dtype, a shape of ints,
//! a warm slab. Everything else, and what is wrong, is for the longer way.

use penstock_core::shm::queue::Born;
use pyo3::{
    ffi::Py_ssize_t,
    prelude::*,
    types::{PyInt, PyTuple, PyType},
};

use super::{
    super::{
        Slab, arrays,
        numpy::{ALIGNED, C_CONTIGUOUS, MOST_DIMENSIONS, Numpy, Plain, WRITEABLE},
    },
    SharedQueue,
};

/// A new array of `class` in the memory of `queue`, if that is there now and nothing about it is unusual; None
/// otherwise.
#[pyfunction]
#[pyo3(signature = (class, shape, dtype, queue, timeout, /))]
pub(crate) fn born_at_once<'py>(
    class: &Bound<'py, PyType>,
    shape: &Bound<'py, PyAny>,
    dtype: &Bound<'py, PyAny>,
    queue: &Bound<'py, PyAny>,
    timeout: Option<f64>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = class.py();
    let Ok(queue) = queue.cast::<SharedQueue>() else {
        return Ok(None);
    };
    if timeout.is_some_and(|seconds| seconds.is_nan() || seconds < 0.0) {
        return Ok(None);
    }
    let Some(numpy) = Numpy::get(py)?.filter(|_| Numpy::is_shared_array(class)) else {
        return Ok(None);
    };
    let Some(plain) = numpy.plain_of(dtype)? else {
        return Ok(None);
    };
    let mut places = [0; MOST_DIMENSIONS];
    let Some(lengths) = lengths(shape, &mut places) else {
        return Ok(None);
    };
    let Some(bytes) = arrays::total(lengths, plain.size) else {
        return Ok(None);
    };
    let Some(born) = queue.get().queue.allocate_at_once(bytes.max(1)) else {
        return Ok(None);
    };
    array(class, numpy, plain, lengths, born).map(Some)
}

/// What a shape of ints says, if they are lengths.
fn lengths<'a>(
    shape: &Bound<'_, PyAny>,
    places: &'a mut [Py_ssize_t; MOST_DIMENSIONS],
) -> Option<&'a [Py_ssize_t]> {
    let length = |given: &Bound<'_, PyAny>| -> Option<Py_ssize_t> {
        let length = given.cast_exact::<PyInt>().ok()?.extract().ok()?;
        (length >= 0).then_some(length)
    };
    if let Ok(shape) = shape.cast_exact::<PyTuple>() {
        let places = places.get_mut(..shape.len())?;
        for (place, given) in places.iter_mut().zip(shape.iter_borrowed()) {
            *place = length(&given)?;
        }
        Some(places)
    } else {
        places[0] = length(shape)?;
        Some(&places[..1])
    }
}

fn array<'py>(
    class: &Bound<'py, PyType>,
    numpy: &Numpy,
    plain: &Plain,
    lengths: &[Py_ssize_t],
    born: Born,
) -> PyResult<Bound<'py, PyAny>> {
    let py = class.py();
    let (data, _) = born.content();
    let base = Bound::new(py, Slab::born(born))?;
    let flags = C_CONTIGUOUS | ALIGNED | WRITEABLE;
    // SAFETY: the slab has as many bytes as were counted, begins where an arena's unit does, which is a multiple
    // of every alignment, and stays in place as long as the base lives; whoever has it may write to it.
    unsafe {
        let dtype = plain.dtype(py);
        let array = numpy.new_array_of(class, dtype, lengths, data.as_ptr(), flags)?;
        numpy.set_base(&array, base.into_any())?;
        Ok(array)
    }
}

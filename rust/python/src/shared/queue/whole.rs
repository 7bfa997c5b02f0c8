//! Whole numbers as callers give them: what is too large is refused by name, where it is judged, and not before.

use pyo3::{exceptions::PyOverflowError, prelude::*};

/// What does not fit is as good as the largest number, or the smallest.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whole(pub(super) i128);

impl<'py> FromPyObject<'_, 'py> for Whole {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(number) = object.extract::<isize>() {
            return Ok(Self(number as i128));
        }
        let number = object.extract::<i128>();
        number.map(Self).or_else(|failure| {
            if !failure.is_instance_of::<PyOverflowError>(object.py()) {
                return Err(failure);
            }
            let is_negative = object.lt(0)?;
            Ok(Self(if is_negative { i128::MIN } else { i128::MAX }))
        })
    }
}

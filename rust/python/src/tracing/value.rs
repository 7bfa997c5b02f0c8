//! Attribute values, from Python and back. Nothing that a user hands in makes it raise.

use penstock_core::span::{Attributes, MAX_LIST, Value, bounded};
use pyo3::{
    intern,
    prelude::*,
    types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple},
};

/// Adds all of `given`, a dict or another mapping, to `attributes`.
pub(super) fn collect(given: &Bound<'_, PyAny>, attributes: &mut Attributes) {
    if let Ok(given) = given.cast_exact::<PyDict>()
        && given
            .iter()
            .all(|(name, value)| add_plain(&name, &value, attributes))
    {
        return;
    }
    // The text of a value may be the user's code, which may change the mapping: go by a copy.
    let items = given.call_method0(intern!(given.py(), "items"));
    let pairs = items.and_then(|items| items.try_iter()?.collect::<PyResult<Vec<_>>>());
    for pair in pairs.unwrap_or_default() {
        if let Ok((name, value)) = pair.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>() {
            add(&name, &value, attributes);
        }
    }
}

/// Adds one attribute. `None` is no value and adds nothing.
pub(super) fn add(name: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>, attributes: &mut Attributes) {
    if !value.is_none() {
        attributes.set(text(name).into(), convert(value));
    }
}

/// As [`add`], if that needs none of the user's code; false if it does.
#[inline]
fn add_plain(
    name: &Bound<'_, PyAny>,
    value: &Bound<'_, PyAny>,
    attributes: &mut Attributes,
) -> bool {
    let Some(name) = name
        .cast_exact::<PyString>()
        .ok()
        .and_then(|name| name.to_str().ok())
    else {
        return false;
    };
    let Some(value) = plain(value) else {
        return value.is_none();
    };
    attributes.set(bounded(name).into(), value);
    true
}

#[inline]
fn plain(value: &Bound<'_, PyAny>) -> Option<Value> {
    if let Ok(text) = value.cast_exact::<PyString>() {
        let text = text.to_str().ok()?;
        return Some(Value::Text(bounded(text).into()));
    }
    if let Ok(flag) = value.cast_exact::<PyBool>() {
        return Some(Value::Bool(flag.is_true()));
    }
    if let Ok(number) = value.cast_exact::<PyInt>() {
        return number.extract().ok().map(Value::Int);
    }
    let number = value.cast::<PyFloat>().ok()?;
    Some(Value::Float(number.value()))
}

fn convert(value: &Bound<'_, PyAny>) -> Value {
    if let Some(value) = plain(value) {
        return value;
    }
    if value.is_exact_instance_of::<PyList>() || value.is_exact_instance_of::<PyTuple>() {
        let elements = value.try_iter().into_iter().flatten().flatten();
        let scalar = |element: Bound<'_, PyAny>| {
            plain(&element).unwrap_or_else(|| Value::Text(text(&element).into()))
        };
        return Value::List(elements.take(MAX_LIST).map(scalar).collect());
    }
    Value::Text(text(value).into())
}

/// `str(object)`, bounded; its type's name where that fails.
pub(super) fn text(object: &Bound<'_, PyAny>) -> String {
    let whole = object.str().map_or_else(
        |_| object.get_type().to_string(),
        |text| text.to_string_lossy().into_owned(),
    );
    bounded(&whole).to_owned()
}

/// `attributes` as a dict.
pub(super) fn to_dict<'py>(
    py: Python<'py>,
    attributes: &Attributes,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (name, value) in attributes.iter() {
        dict.set_item(name, to_object(py, value)?)?;
    }
    Ok(dict)
}

fn to_object<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Text(text) => PyString::new(py, text).into_any(),
        Value::Bool(flag) => PyBool::new(py, *flag).to_owned().into_any(),
        Value::Int(number) => number.into_pyobject(py)?.into_any(),
        Value::Float(number) => PyFloat::new(py, *number).into_any(),
        Value::List(elements) => {
            let objects = elements.iter().map(|element| to_object(py, element));
            PyTuple::new(py, objects.collect::<PyResult<Vec<_>>>()?)?.into_any()
        }
    })
}

//! What was taken, made into an object.

use penstock_core::shm::{
    Pinned,
    queue::{Lease as Token, Taken},
};
use pyo3::{
    prelude::*,
    sync::PyOnceLock,
    types::{PyBytes, PyList, PyMemoryView},
};

use super::{
    super::{
        Slab, arrays, codes,
        short::{self, DecodeError},
    },
    SharedQueue,
    operation::Form,
    refusals,
};

/// An item that is out of the queue and can not be rebuilt.
pub(super) struct Unreadable {
    pub(super) code: u16,
    /// Its stream as it came.
    pub(super) record: Option<Py<PyBytes>>,
    pub(super) cause: Cause,
}

pub(super) enum Cause {
    /// What its own code raised.
    Raised(PyErr),
    /// Bytes that no sender of this version writes.
    Nonsense,
    /// An object, where bytes were asked for.
    NoBytes,
}

impl From<DecodeError> for Cause {
    fn from(failure: DecodeError) -> Self {
        match failure {
            DecodeError::Raised(raised) => Self::Raised(raised),
            DecodeError::Nonsense => Self::Nonsense,
        }
    }
}

impl Unreadable {
    #[cold]
    pub(super) fn into_error(self, slf: &Bound<'_, SharedQueue>, lease: Option<Token>) -> PyErr {
        refusals::unreadable(slf, self, lease)
    }
}

/// What was put, if it is one of the usual; anything else, and what is wrong, is for [`object`] and [`bytes`].
#[inline]
pub(super) fn plain<'py>(
    py: Python<'py>,
    form: Form,
    code: u16,
    content: &[u8],
) -> Option<Bound<'py, PyAny>> {
    match form {
        Form::Item => short::decode(py, code, content).ok(),
        Form::Bytes if code == codes::RAW => Some(PyBytes::new(py, content).into_any()),
        Form::Bytes | Form::Lease => None,
    }
}

/// The object that was put.
#[inline]
pub(super) fn object<'py>(
    py: Python<'py>,
    taken: Taken<'_>,
) -> Result<Bound<'py, PyAny>, Unreadable> {
    let code = taken.code;
    if taken.stream.is_none() && taken.buffers.is_empty() {
        match short::decode(py, code, taken.inline) {
            Ok(object) => return Ok(object),
            Err(DecodeError::Raised(raised)) => {
                return Err(unreadable(py, taken, Cause::Raised(raised)));
            }
            Err(DecodeError::Nonsense) => {}
        }
    }
    // The interpreter may have come here without PyO3's knowledge, and what is dropped outside of
    // `attach` is dropped late then.
    Python::attach(|_| rarer(py, taken))
}

fn rarer<'py>(py: Python<'py>, taken: Taken<'_>) -> Result<Bound<'py, PyAny>, Unreadable> {
    let code = taken.code;
    let raised = |raised| of(code, None, Cause::Raised(raised));
    match (code, taken.stream.is_some(), taken.buffers.is_empty()) {
        (codes::PICKLE, ..) => pickled(py, taken),
        (codes::ARRAY, _, false) => array(py, taken),
        (codes::MIXED, _, false) => mixed(py, taken),
        (codes::VIEW, _, true) => view(py, taken).map_err(raised),
        (codes::RAW, true, true) => record(py, &taken).map_err(raised).map(Bound::into_any),
        (_, true, true) => {
            let record = record(py, &taken).map_err(raised)?;
            short::decode(py, code, record.as_bytes())
                .map_err(|failure| of(code, Some(record.unbind()), failure.into()))
        }
        _ => Err(unreadable(py, taken, Cause::Nonsense)),
    }
}

/// The stream as an object that others can keep.
fn stream<'py>(py: Python<'py>, taken: &mut Taken<'_>) -> PyResult<Bound<'py, PyAny>> {
    match taken.stream.take() {
        Some(stream) => Bound::new(py, Slab::new(stream, false)).map(Bound::into_any),
        None => Ok(PyBytes::new(py, taken.inline).into_any()),
    }
}

fn view<'py>(py: Python<'py>, mut taken: Taken<'_>) -> PyResult<Bound<'py, PyAny>> {
    PyMemoryView::from(&stream(py, &mut taken)?).map(Bound::into_any)
}

/// An array whose content lies in a slab.
fn array<'py>(py: Python<'py>, mut taken: Taken<'_>) -> Result<Bound<'py, PyAny>, Unreadable> {
    let code = taken.code;
    let head;
    let bytes = match &taken.stream {
        None => taken.inline,
        // Where a record has little room.
        Some(_) => {
            head = record(py, &taken).map_err(|raised| of(code, None, Cause::Raised(raised)))?;
            head.as_bytes()
        }
    };
    let made = match (taken.buffers.pop(), taken.buffers.is_empty()) {
        (Some(content), true) => arrays::view(py, bytes, content),
        _ => Err(DecodeError::Nonsense),
    };
    made.map_err(|failure| of(code, Some(PyBytes::new(py, bytes).unbind()), failure.into()))
}

/// A container some of whose values are arrays with their content in slabs.
fn mixed<'py>(py: Python<'py>, mut taken: Taken<'_>) -> Result<Bound<'py, PyAny>, Unreadable> {
    let code = taken.code;
    let record = record(py, &taken).map_err(|raised| of(code, None, Cause::Raised(raised)))?;
    let slabs = std::mem::take(&mut taken.buffers);
    let made = short::decode_mixed(py, record.as_bytes(), slabs);
    made.map_err(|failure| of(code, Some(record.unbind()), failure.into()))
}

fn pickled<'py>(py: Python<'py>, mut taken: Taken<'_>) -> Result<Bound<'py, PyAny>, Unreadable> {
    let code = taken.code;
    let stream = stream(py, &mut taken).map_err(|raised| of(code, None, Cause::Raised(raised)))?;
    load(py, &stream, taken.buffers).map_err(|raised| {
        let record = py.get_type::<PyBytes>().call1((&stream,));
        let record = record.and_then(|record| Ok(record.cast_into::<PyBytes>()?.unbind()));
        of(code, record.ok(), Cause::Raised(raised))
    })
}

fn load<'py>(
    py: Python<'py>,
    stream: &Bound<'py, PyAny>,
    pinned: Vec<Pinned>,
) -> PyResult<Bound<'py, PyAny>> {
    static LOADS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    static LOAD: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    if pinned.is_empty() {
        return LOADS.import(py, "pickle", "loads")?.call1((stream,));
    }
    let buffers = PyList::empty(py);
    for buffer in pinned {
        buffers.append(Bound::new(py, Slab::new(buffer, false))?)?;
    }
    let load = LOAD.import(py, "penstock.shared.payload", "load")?;
    load.call1((stream, buffers))
}

/// The bytes that were put, whether here or by a program in another language.
pub(super) fn bytes<'py>(
    py: Python<'py>,
    taken: Taken<'_>,
) -> Result<Bound<'py, PyAny>, Unreadable> {
    if !matches!(taken.code, codes::RAW | codes::VIEW) || !taken.buffers.is_empty() {
        return Err(unreadable(py, taken, Cause::NoBytes));
    }
    let bytes = record(py, &taken).map(Bound::into_any);
    bytes.map_err(|raised| of(taken.code, None, Cause::Raised(raised)))
}

/// The bytes of the stream; a copy, since whoever has the segment may write there at any time.
fn record<'py>(py: Python<'py>, taken: &Taken<'_>) -> PyResult<Bound<'py, PyBytes>> {
    let Some(stream) = &taken.stream else {
        return Ok(PyBytes::new(py, taken.inline));
    };
    let (at, length) = stream.content();
    PyBytes::new_with(py, length, |to| {
        // SAFETY: mapped as long as it is pinned, and that long; who writes there meanwhile tears
        // the copy, which is plain bytes being copied and no more.
        unsafe {
            to.as_mut_ptr()
                .copy_from_nonoverlapping(at.as_ptr(), length)
        };
        Ok(())
    })
}

#[cold]
fn unreadable(py: Python<'_>, taken: Taken<'_>, cause: Cause) -> Unreadable {
    of(
        taken.code,
        record(py, &taken).ok().map(Bound::unbind),
        cause,
    )
}

fn of(code: u16, record: Option<Py<PyBytes>>, cause: Cause) -> Unreadable {
    Unreadable {
        code,
        record,
        cause,
    }
}

//! `Handler`: one subscription, as an emission calls it.

use pyo3::{PyTraverseError, PyVisit, ffi, prelude::*};

use super::tally::Tally;

/// One subscription: what is called, with how much, and what came of it so far.
///
/// `call` is what an emission on a loop calls, with timeout, policy and the like around the user's
/// function; `direct` is what a plain thread calls, and None for what needs a loop.
#[pyclass(frozen, module = "penstock._native")]
pub(crate) struct Handler {
    call: Py<PyAny>,
    pub(super) direct: Option<Py<PyAny>>,
    /// How many of data and name it is given.
    takes: u8,
    /// What users gave to `on`.
    #[pyo3(get)]
    pub(super) function: Py<PyAny>,
    #[pyo3(get)]
    subscription: Py<PyAny>,
    #[pyo3(get)]
    pub(super) label: Py<PyAny>,
    #[pyo3(get)]
    tally: Py<Tally>,
}

/// What a handler is given, borrowed from the emission.
#[derive(Clone, Copy)]
pub(super) struct Given<'a, 'py> {
    pub(super) data: &'a Bound<'py, PyAny>,
    pub(super) key: &'a Bound<'py, PyAny>,
}

impl Given<'_, '_> {
    /// A name is its own; an event of a type goes by the type's.
    fn name<'py>(self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        // SAFETY: a plain look at a live object.
        if unsafe { ffi::PyUnicode_Check(self.key.as_ptr()) } != 0 {
            return Ok(self.key.clone().into_any().unbind().into_bound(py));
        }
        Ok(self
            .key
            .getattr(pyo3::intern!(py, "__qualname__"))?
            .unbind()
            .into_bound(py))
    }
}

impl Handler {
    #[inline]
    pub(super) fn call<'py>(
        &self,
        py: Python<'py>,
        given: Given<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        call(py, self.call.bind(py), self.takes, given)
    }

    /// For a plain thread; only where there is a `direct`.
    #[inline]
    pub(super) fn call_direct<'py>(
        &self,
        py: Python<'py>,
        given: Given<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let direct = self.direct.as_ref().unwrap_or(&self.call);
        call(py, direct.bind(py), self.takes, given)
    }

    #[inline]
    pub(super) fn tally(&self) -> &Tally {
        self.tally.get()
    }
}

#[inline]
fn call<'py>(
    py: Python<'py>,
    function: &Bound<'py, PyAny>,
    takes: u8,
    given: Given<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    match takes {
        // SAFETY: attached; live objects, and what comes back is a new reference or an error.
        1 => unsafe {
            let result = ffi::PyObject_CallOneArg(function.as_ptr(), given.data.as_ptr());
            Bound::from_owned_ptr_or_err(py, result)
        },
        0 => function.call0(),
        _ => function.call1((given.data, given.name(py)?)),
    }
}

#[pymethods]
impl Handler {
    #[new]
    #[pyo3(signature = (*, call, direct, takes, function, subscription, label, tally))]
    fn new(
        call: Py<PyAny>,
        direct: Option<Py<PyAny>>,
        takes: u8,
        function: Py<PyAny>,
        subscription: Py<PyAny>,
        label: Py<PyAny>,
        tally: Py<Tally>,
    ) -> Self {
        Self {
            call,
            direct,
            takes,
            function,
            subscription,
            label,
            tally,
        }
    }

    /// Whether a plain thread can call it.
    #[getter]
    fn is_plain(&self) -> bool {
        self.direct.is_some()
    }

    /// Calls it with as much of data and name as it takes.
    #[pyo3(signature = (data, key, /))]
    fn __call__<'py>(
        &self,
        data: &Bound<'py, PyAny>,
        key: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.call(data.py(), Given { data, key })
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.call)?;
        visit.call(&self.direct)?;
        visit.call(&self.function)?;
        visit.call(&self.subscription)
    }
}

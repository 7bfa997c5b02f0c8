//! `Outcomes` and `Outcome`: what came of an emission.

use penstock_core::clock::ticks::Ruler;
use pyo3::{
    PyTraverseError, PyVisit,
    exceptions::{PyBaseExceptionGroup, PyIndexError},
    prelude::*,
    types::{PyList, PySlice},
};

use super::{frame, records::Records, route::Route};

/// What came of one handler.
pub(super) enum Settled {
    Pending,
    Returned(Py<PyAny>),
    Raised(Py<PyAny>),
    Cancelled,
}

/// One handler's part of an emission.
pub(super) struct Record {
    pub(super) settled: Settled,
    /// A moment while it is pending, ticks it took afterwards.
    pub(super) ticks: u64,
}

/// Result, error, whether it was cancelled, and seconds.
type Told = (Option<Py<PyAny>>, Option<Py<PyAny>>, bool, f64);

/// What every handler of an emission came to, in the order in which they were started.
///
/// A sequence of `Outcome`. Holds the handlers and what they returned or raised, not the event.
#[pyclass(frozen, sequence, freelist = 16, module = "penstock.events")]
pub(crate) struct Outcomes {
    route: Py<Route>,
    records: Records,
    ruler: Ruler,
}

impl Outcomes {
    #[inline]
    pub(super) fn new(route: Py<Route>, records: Records, ruler: Ruler) -> Self {
        Self {
            route,
            records,
            ruler,
        }
    }

    fn outcome(&self, py: Python<'_>, index: usize) -> Outcome {
        let record = self.records.get(index);
        let (result, error, was_cancelled) = match record.map(|record| &record.settled) {
            Some(Settled::Returned(result)) => (Some(result.clone_ref(py)), None, false),
            Some(Settled::Raised(error)) => (None, Some(error.clone_ref(py)), false),
            Some(Settled::Cancelled | Settled::Pending) | None => (None, None, true),
        };
        Outcome {
            event: self.route.get().key.clone_ref(py),
            handler: self.route.get().handlers[index]
                .get()
                .function
                .clone_ref(py),
            label: self.route.get().handlers[index].get().label.clone_ref(py),
            result,
            error,
            was_cancelled,
            seconds: self.ruler.seconds(record.map_or(0, |record| record.ticks)),
        }
    }

    pub(super) fn has_failed(&self) -> bool {
        self.records
            .iter()
            .any(|record| matches!(record.settled, Settled::Raised(_)))
    }
}

#[pymethods]
impl Outcomes {
    /// Of outcomes made elsewhere: (result, error, was_cancelled, seconds) for each of the route's handlers.
    #[staticmethod]
    fn of(route: Py<Route>, outcomes: Vec<Told>, py: Python<'_>) -> Self {
        let records = outcomes
            .into_iter()
            .map(|(result, error, was_cancelled, seconds)| Record {
                settled: match error {
                    Some(error) => Settled::Raised(error),
                    None if was_cancelled => Settled::Cancelled,
                    None => Settled::Returned(result.unwrap_or_else(|| py.None())),
                },
                ticks: (seconds * 1e9) as u64,
            })
            .collect();
        Self::new(route, records, Ruler::of_nanoseconds())
    }

    fn __len__(&self) -> usize {
        self.records.len()
    }

    fn __getitem__<'py>(&self, index: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = index.py();
        let length = self.records.len() as isize;
        if let Ok(slice) = index.cast::<PySlice>() {
            let bounds = slice.indices(length)?;
            let picked = PyList::empty(py);
            let mut at = bounds.start;
            for _ in 0..bounds.slicelength {
                picked.append(self.outcome(py, at as usize))?;
                at += bounds.step;
            }
            return Ok(picked.into_any());
        }
        let given = index.extract::<isize>()?;
        let at = if given < 0 { given + length } else { given };
        if !(0..length).contains(&at) {
            let message = format!("outcome {given} of {length}");
            return Err(PyIndexError::new_err(message));
        }
        Ok(Bound::new(py, self.outcome(py, at as usize))?.into_any())
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let all = (0..self.records.len()).map(|index| self.outcome(py, index));
        let all = all.collect::<Vec<_>>();
        Ok(PyList::new(
            py,
            all.into_iter()
                .map(|each| Bound::new(py, each).map(Bound::into_any))
                .collect::<PyResult<Vec<_>>>()?,
        )?
        .try_iter()?
        .into_any())
    }

    /// What those returned that did, in order.
    #[getter]
    fn results(&self, py: Python<'_>) -> Vec<Py<PyAny>> {
        let results = self
            .records
            .iter()
            .filter_map(|record| match &record.settled {
                Settled::Returned(result) => Some(result.clone_ref(py)),
                _ => None,
            });
        results.collect()
    }

    /// What those raised that failed, in order. A cancellation is none.
    #[getter]
    fn errors(&self, py: Python<'_>) -> Vec<Py<PyAny>> {
        let errors = self
            .records
            .iter()
            .filter_map(|record| match &record.settled {
                Settled::Raised(error) => Some(error.clone_ref(py)),
                _ => None,
            });
        errors.collect()
    }

    /// Whether every handler returned.
    #[getter]
    fn is_ok(&self) -> bool {
        self.records
            .iter()
            .all(|record| matches!(record.settled, Settled::Returned(_)))
    }

    /// Raises an ExceptionGroup of what was raised, if anything was.
    fn raise_if_failed(&self, py: Python<'_>) -> PyResult<()> {
        if !self.has_failed() {
            return Ok(());
        }
        let errors = self.errors(py);
        let name = frame::described(self.route.get().key.bind(py));
        let message = format!(
            "{} of {} handlers of {name} failed",
            errors.len(),
            self.records.len()
        );
        let group = py
            .get_type::<PyBaseExceptionGroup>()
            .call1((message, errors))?;
        Err(PyErr::from_value(group))
    }

    /// Whether any handler raised.
    #[getter]
    fn has_errors(&self) -> bool {
        self.has_failed()
    }

    /// The name or the class that was emitted.
    #[getter]
    fn event(&self, py: Python<'_>) -> Py<PyAny> {
        self.route.get().key.clone_ref(py)
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let name = frame::described(self.route.get().key.bind(py));
        let (mut ok, mut failed, mut cancelled) = (0, 0, 0);
        for record in self.records.iter() {
            match record.settled {
                Settled::Returned(_) => ok += 1,
                Settled::Raised(_) => failed += 1,
                Settled::Cancelled | Settled::Pending => cancelled += 1,
            }
        }
        format!("<Outcomes of {name}: {ok} returned, {failed} failed, {cancelled} cancelled>")
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.route)?;
        for record in self.records.iter() {
            match &record.settled {
                Settled::Returned(value) | Settled::Raised(value) => visit.call(value)?,
                Settled::Pending | Settled::Cancelled => {}
            }
        }
        Ok(())
    }
}

/// What came of one handler.
#[pyclass(frozen, get_all, module = "penstock.events")]
pub(crate) struct Outcome {
    /// The name or the class that was emitted.
    event: Py<PyAny>,
    /// The function that was given to `on`; what it is called, if it is held weakly.
    handler: Py<PyAny>,
    /// What it is called.
    label: Py<PyAny>,
    /// What it returned; None if it did not.
    result: Option<Py<PyAny>>,
    /// What it raised; None if it did not.
    error: Option<Py<PyAny>>,
    /// Whether it was cancelled from elsewhere.
    was_cancelled: bool,
    /// From its start to its end.
    seconds: f64,
}

#[pymethods]
impl Outcome {
    /// Whether it returned.
    #[getter]
    fn is_ok(&self) -> bool {
        self.error.is_none() && !self.was_cancelled
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let label = self.label.bind(py);
        let what = match (&self.result, &self.error) {
            (_, Some(error)) => error.bind(py).repr().map(|text| text.to_string()),
            _ if self.was_cancelled => Ok("cancelled".to_owned()),
            (Some(result), _) => result.bind(py).repr().map(|text| text.to_string()),
            (None, None) => Ok("None".to_owned()),
        };
        format!("<Outcome of {label}: {}>", what.unwrap_or_default())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.handler)?;
        visit.call(&self.result)?;
        visit.call(&self.error)
    }
}

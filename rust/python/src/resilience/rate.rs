//! `RateState`: how fast.

use penstock_core::resilience::{
    definition::Definition,
    rate::{Grant, LEAST_SHARE, LONGEST_WAIT, Rate, RateRules},
};
use pyo3::{prelude::*, types::PyDict};

use super::{
    keyed::{Keyed, over, refuse, within},
    moment::moment,
};

/// The state of a rate limit, of this process or of all that share its name on this machine.
///
/// With `exchange`, several machines divide the rate, and this one begins with a tenth of it until its share is set.
/// `burst=1` spaces calls evenly (GCRA); `burst=limit` is a token bucket. Safe from any thread and process, without
/// a lock.
#[pyclass(frozen, module = "penstock._native")]
pub(crate) struct RateState {
    pub(super) keyed: Keyed<Rate>,
    pub(super) rules: RateRules,
}

#[pymethods]
impl RateState {
    #[new]
    #[pyo3(signature = (*, limit, per, burst=1, name=None, key="", exchange=None))]
    fn new(
        py: Python<'_>,
        limit: f64,
        per: u64,
        burst: u64,
        name: Option<String>,
        key: &str,
        exchange: Option<&str>,
    ) -> PyResult<Self> {
        let rules = RateRules::new(limit, per, burst).ok_or_else(|| {
            let message = format!(
                "RateState: limit={limit} in per={per} ns with burst={burst} cannot be kept"
            );
            let hint = "a call may cost from 1/16 ns to an hour, and a burst an hour in all";
            refuse(py, &message, hint)
        })?;
        let rules = match exchange {
            Some(_) => rules.divided(),
            None => rules,
        };
        let words = [
            ("limit", limit.to_string()),
            ("per", per.to_string()),
            ("burst", burst.to_string()),
        ];
        let definition = Definition::new(words.into_iter().chain(over(exchange)));
        let keyed = Keyed::new(py, name, key, definition, |_| ())?;
        Ok(Self { keyed, rules })
    }

    /// 0: go. More: granted, begin after so many nanoseconds. Less: refused, it would have had to wait for so many
    /// nanoseconds, which is more than `max_wait`.
    #[pyo3(signature = (n=1, max_wait=0, now=None, /))]
    fn acquire(&self, py: Python<'_>, n: u64, max_wait: u64, now: Option<u64>) -> PyResult<i64> {
        within(py, "RateState", "n", n, 1, u64::from(u32::MAX))?;
        let max_wait = max_wait.min(LONGEST_WAIT);
        let now = moment(py, now)?;
        let here = self.keyed.here(py)?;
        Ok(to_number(here.state().acquire(
            &self.rules,
            n,
            max_wait,
            now,
        )))
    }

    /// Gives back what was granted and will not be used.
    #[pyo3(signature = (n=1, now=None, /))]
    fn give_back(&self, py: Python<'_>, n: u64, now: Option<u64>) -> PyResult<()> {
        let now = moment(py, now)?;
        self.keyed.here(py)?.state().give_back(&self.rules, n, now);
        Ok(())
    }

    /// The rate of another key, of the same name and definition.
    #[pyo3(signature = (key, /))]
    fn for_key(&self, py: Python<'_>, key: &str) -> PyResult<Self> {
        Ok(Self {
            keyed: self.keyed.for_key(py, key)?,
            rules: self.rules,
        })
    }

    /// The part of it that is this machine's; the floor until it is set.
    #[getter]
    fn share(&self, py: Python<'_>) -> PyResult<f64> {
        Ok(self.keyed.here(py)?.state().share(&self.rules))
    }

    /// Sets this machine's part, above 0 to 1. Only for a state with `exchange`.
    #[pyo3(signature = (share, now=None, /))]
    fn set_share(&self, py: Python<'_>, share: f64, now: Option<u64>) -> PyResult<()> {
        let share = within(py, "RateState", "share", share, LEAST_SHARE, 1.0)?;
        let now = moment(py, now)?;
        self.keyed
            .here(py)?
            .state()
            .set_share(&self.rules, share, now);
        Ok(())
    }

    /// How often it was asked in all, refusals included; of a state with `exchange`.
    #[getter]
    fn asked(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.keyed.here(py)?.state().asked())
    }

    /// A number for this machine that no other has; the same in all processes that share the state.
    #[getter]
    fn machine(&self, py: Python<'_>) -> PyResult<u64> {
        self.keyed.machine(py, |it| &it.courier)
    }

    /// Whether this process speaks for the machine for the next two seconds; another one does while it lives.
    fn is_courier(&self, py: Python<'_>) -> PyResult<bool> {
        self.keyed.is_courier(py, |it| &it.courier)
    }

    /// How many calls could be made at once.
    #[pyo3(signature = (now=None, /))]
    fn snapshot<'py>(&self, py: Python<'py>, now: Option<u64>) -> PyResult<Bound<'py, PyDict>> {
        let now = moment(py, now)?;
        let available = self.keyed.here(py)?.state().available(&self.rules, now);
        let snapshot = self.keyed.snapshot(py)?;
        snapshot.set_item("available", available)?;
        Ok(snapshot)
    }

    /// Leaves the table of that name, with all keys. The last process to leave it removes it.
    fn close(&self, py: Python<'_>) {
        self.keyed.close(py);
    }

    #[getter]
    fn key(&self) -> &str {
        self.keyed.key()
    }

    #[getter]
    fn definition(&self) -> &str {
        self.keyed.definition()
    }

    fn __repr__(&self) -> String {
        self.keyed.shown("RateState")
    }
}

pub(super) fn to_number(grant: Grant) -> i64 {
    match grant {
        Grant::Now => 0,
        Grant::After(wait) => wait.min(i64::MAX as u64) as i64,
        Grant::Refused(wait) => -(wait.min(i64::MAX as u64) as i64),
    }
}

//! `BudgetState`: how many retries.

use penstock_core::resilience::{
    buckets::BUCKETS,
    budget::{Budget, BudgetRules},
    definition::Definition,
};
use pyo3::{prelude::*, types::PyDict};

use super::common::{Common, moment, within};

/// The state of a retry budget, of this process or of all that share its name on this machine.
///
/// Each call earns `ratio` of a retry for `window` nanoseconds; `min_per_second` may be made in any case. Safe
/// from any thread and process, without a lock.
#[pyclass(frozen, module = "penstock._native")]
pub(crate) struct BudgetState {
    common: Common<Budget>,
    rules: BudgetRules,
}

#[pymethods]
impl BudgetState {
    #[new]
    #[pyo3(signature = (*, ratio, min_per_second=0.0, window=10_000_000_000, name=None, key=""))]
    fn new(
        py: Python<'_>,
        ratio: f64,
        min_per_second: f64,
        window: u64,
        name: Option<String>,
        key: &str,
    ) -> PyResult<Self> {
        const CLASS: &str = "BudgetState";
        let window = within(py, CLASS, "window", window, BUCKETS as u64 * 1_000, 1 << 50)?;
        let ratio = within(py, CLASS, "ratio", ratio, 0.0, 1000.0)?;
        let least = within(py, CLASS, "min_per_second", min_per_second, 0.0, 1e9)?;
        let rules = BudgetRules {
            ratio,
            least: least * (window as f64 / 1e9),
            window,
        };
        let definition = Definition::new([
            ("ratio", ratio.to_string()),
            ("min_per_second", min_per_second.to_string()),
            ("window", window.to_string()),
        ]);
        let common = Common::new(py, name, key, definition, |_| ())?;
        Ok(Self { common, rules })
    }

    /// Counts a call.
    #[pyo3(signature = (now=None, /))]
    fn deposit(&self, py: Python<'_>, now: Option<u64>) -> PyResult<()> {
        let now = moment(py, now)?;
        self.common.here(py)?.state().deposit(&self.rules, now);
        Ok(())
    }

    /// Asks for a retry.
    #[pyo3(signature = (now=None, /))]
    fn withdraw(&self, py: Python<'_>, now: Option<u64>) -> PyResult<bool> {
        let now = moment(py, now)?;
        Ok(self.common.here(py)?.state().withdraw(&self.rules, now))
    }

    /// The budget of another key, of the same name and definition.
    #[pyo3(signature = (key, /))]
    fn for_key(&self, py: Python<'_>, key: &str) -> PyResult<Self> {
        Ok(Self {
            common: self.common.for_key(py, key)?,
            rules: self.rules,
        })
    }

    /// Retries that were earned and spent in the window that ends now.
    #[pyo3(signature = (now=None, /))]
    fn snapshot<'py>(&self, py: Python<'py>, now: Option<u64>) -> PyResult<Bound<'py, PyDict>> {
        let now = moment(py, now)?;
        let (earned, spent) = self.common.here(py)?.state().balance(&self.rules, now);
        let snapshot = self.common.snapshot(py)?;
        snapshot.set_item("earned", earned)?;
        snapshot.set_item("spent", spent)?;
        Ok(snapshot)
    }

    /// Leaves the table of that name, with all keys. The last process to leave it removes it.
    fn close(&self, py: Python<'_>) {
        self.common.close(py);
    }

    #[getter]
    fn key(&self) -> &str {
        self.common.key()
    }

    #[getter]
    fn definition(&self) -> &str {
        self.common.definition()
    }

    fn __repr__(&self) -> String {
        self.common.shown("BudgetState")
    }
}

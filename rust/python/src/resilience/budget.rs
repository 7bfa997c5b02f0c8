//! `BudgetState`: how many retries.

use penstock_core::resilience::{
    buckets::BUCKETS,
    budget::{Budget, BudgetRules},
    definition::Definition,
    rate::LEAST_SHARE,
};
use pyo3::{prelude::*, types::PyDict};

use super::{
    keyed::{Keyed, over, within},
    moment::moment,
};

/// The state of a retry budget, of this process or of all that share its name on this machine.
///
/// With `exchange`, several machines divide what may be made in any case. Each call earns `ratio` of a retry for `window` nanoseconds; `min_per_second` may be made in any case. Safe
/// from any thread and process, without a lock.
#[pyclass(frozen, module = "penstock._native")]
pub(crate) struct BudgetState {
    keyed: Keyed<Budget>,
    rules: BudgetRules,
    /// Whether machines divide the least.
    is_divided: bool,
}

#[pymethods]
impl BudgetState {
    #[new]
    #[pyo3(signature = (*, ratio, min_per_second=0.0, window=10_000_000_000, name=None, key="", exchange=None))]
    fn new(
        py: Python<'_>,
        ratio: f64,
        min_per_second: f64,
        window: u64,
        name: Option<String>,
        key: &str,
        exchange: Option<&str>,
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
        let words = [
            ("ratio", ratio.to_string()),
            ("min_per_second", min_per_second.to_string()),
            ("window", window.to_string()),
        ];
        let definition = Definition::new(words.into_iter().chain(over(exchange)));
        let keyed = Keyed::new(py, name, key, definition, |_| ())?;
        Ok(Self {
            keyed,
            rules,
            is_divided: exchange.is_some(),
        })
    }

    /// Counts a call.
    #[pyo3(signature = (now=None, /))]
    fn deposit(&self, py: Python<'_>, now: Option<u64>) -> PyResult<()> {
        let now = moment(py, now)?;
        self.keyed.here(py)?.state().deposit(&self.rules, now);
        Ok(())
    }

    /// Asks for a retry.
    #[pyo3(signature = (now=None, /))]
    fn withdraw(&self, py: Python<'_>, now: Option<u64>) -> PyResult<bool> {
        let now = moment(py, now)?;
        let budget = self.keyed.here(py)?.state();
        Ok(budget.withdraw(&self.rules_of(budget), now))
    }

    /// The budget of another key, of the same name and definition.
    #[pyo3(signature = (key, /))]
    fn for_key(&self, py: Python<'_>, key: &str) -> PyResult<Self> {
        Ok(Self {
            keyed: self.keyed.for_key(py, key)?,
            rules: self.rules,
            is_divided: self.is_divided,
        })
    }

    /// The part of it that is this machine's; the floor until it is set.
    #[getter]
    fn share(&self, py: Python<'_>) -> PyResult<f64> {
        Ok(self.keyed.here(py)?.state().share())
    }

    /// Sets this machine's part, above 0 to 1. Only for a state with `exchange`.
    #[pyo3(signature = (share, /))]
    fn set_share(&self, py: Python<'_>, share: f64) -> PyResult<()> {
        let share = within(py, "BudgetState", "share", share, LEAST_SHARE, 1.0)?;
        self.keyed.here(py)?.state().set_share(share);
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

    /// Retries that were earned and spent in the window that ends now.
    #[pyo3(signature = (now=None, /))]
    fn snapshot<'py>(&self, py: Python<'py>, now: Option<u64>) -> PyResult<Bound<'py, PyDict>> {
        let now = moment(py, now)?;
        let budget = self.keyed.here(py)?.state();
        let (earned, spent) = budget.balance(&self.rules_of(budget), now);
        let snapshot = self.keyed.snapshot(py)?;
        snapshot.set_item("earned", earned)?;
        snapshot.set_item("spent", spent)?;
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
        self.keyed.shown("BudgetState")
    }
}

impl BudgetState {
    /// As they are on this machine.
    fn rules_of(&self, budget: &Budget) -> BudgetRules {
        let share = if self.is_divided { budget.share() } else { 1.0 };
        BudgetRules {
            least: self.rules.least * share,
            ..self.rules
        }
    }
}

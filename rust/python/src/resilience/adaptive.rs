//! `AdaptiveState`: how many at once, as the dependency shows.

use penstock_core::resilience::{
    adaptive::{Adaptive, AdaptiveRules},
    definition::Definition,
    ledger::{PERMITS, Seat},
};
use pyo3::{prelude::*, types::PyDict};

use super::{
    breaker::outcome,
    keyed::{Keyed, refuse, within},
    moment::moment,
};

/// The state of an adaptive concurrency limit, of this process or of all that share its name on this machine.
///
/// The limit follows the time that calls take (gradient); what a process held that was killed is free again. Safe
/// from any thread and process, without a lock.
#[pyclass(frozen, module = "penstock._native")]
pub(crate) struct AdaptiveState {
    keyed: Keyed<Adaptive>,
    rules: AdaptiveRules,
}

#[pymethods]
impl AdaptiveState {
    #[new]
    #[pyo3(signature = (*, initial=20, min_limit=1, max_limit=200, window=1_000_000_000, tolerance=1.5,
        name=None, key=""))]
    #[expect(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        initial: u32,
        min_limit: u32,
        max_limit: u32,
        window: u64,
        tolerance: f64,
        name: Option<String>,
        key: &str,
    ) -> PyResult<Self> {
        const CLASS: &str = "AdaptiveState";
        let most = within(py, CLASS, "max_limit", max_limit, 1, PERMITS as u32)?;
        let least = within(py, CLASS, "min_limit", min_limit, 1, most)?;
        let initial = within(py, CLASS, "initial", initial, least, most)?;
        let window = within(py, CLASS, "window", window, 1_000_000, 1 << 50)?;
        if !(1.0..=100.0).contains(&tolerance) {
            let message = format!("AdaptiveState: tolerance={tolerance} is out of range");
            return Err(refuse(py, &message, "from 1 to 100"));
        }
        let rules = AdaptiveRules {
            initial,
            least,
            most,
            window,
            tolerance: tolerance as f32,
        };
        let definition = Definition::new([
            ("initial", initial.to_string()),
            ("min_limit", min_limit.to_string()),
            ("max_limit", max_limit.to_string()),
            ("window", window.to_string()),
            ("tolerance", tolerance.to_string()),
        ]);
        let keyed = Keyed::new(py, name, key, definition, |_| ())?;
        Ok(Self { keyed, rules })
    }

    /// A permit, or None if as many as the limit are out. Give it to `record`.
    #[pyo3(signature = (now=None, /))]
    fn acquire(&self, py: Python<'_>, now: Option<u64>) -> PyResult<Option<u64>> {
        let now = moment(py, now)?;
        let here = self.keyed.here(py)?;
        let seat = here.state().acquire(&self.rules, here.me(), now, here);
        Ok(seat.map(Seat::to_bits))
    }

    /// Gives a permit back and says how its call went: True with its `duration` in nanoseconds, False if it was dropped
    /// (timed out, refused as too much), None for one that tells nothing. False if this process did not have the permit
    /// any more.
    #[pyo3(signature = (permit, ok, duration=0, now=None, /))]
    fn record(
        &self,
        py: Python<'_>,
        permit: u64,
        ok: &Bound<'_, PyAny>,
        duration: u64,
        now: Option<u64>,
    ) -> PyResult<bool> {
        let ok = outcome(ok)?;
        let now = moment(py, now)?;
        let here = self.keyed.here(py)?;
        let seat = Seat::from_bits(permit);
        Ok(here
            .state()
            .record(&self.rules, here.me(), seat, ok, duration, now))
    }

    /// The limit of another key, of the same name and definition.
    #[pyo3(signature = (key, /))]
    fn for_key(&self, py: Python<'_>, key: &str) -> PyResult<Self> {
        Ok(Self {
            keyed: self.keyed.for_key(py, key)?,
            rules: self.rules,
        })
    }

    /// The limit, how many permits are out, and the long average of durations in nanoseconds.
    #[pyo3(signature = (now=None, /))]
    fn snapshot<'py>(&self, py: Python<'py>, now: Option<u64>) -> PyResult<Bound<'py, PyDict>> {
        moment(py, now)?;
        let state = self.keyed.here(py)?.state();
        let snapshot = self.keyed.snapshot(py)?;
        snapshot.set_item("limit", state.limit(&self.rules))?;
        snapshot.set_item("out", state.inside(&self.rules))?;
        snapshot.set_item("long_average", state.long_average(&self.rules))?;
        Ok(snapshot)
    }

    /// Leaves the table of that name, with all keys. The last process to leave it removes it.
    fn close(&self, py: Python<'_>) {
        self.keyed.close(py);
    }

    #[getter]
    fn limit(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.keyed.here(py)?.state().limit(&self.rules))
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
        self.keyed.shown("AdaptiveState")
    }
}

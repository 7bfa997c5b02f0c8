//! `ConcurrencyState`: how many at once.

use penstock_core::resilience::{
    definition::Definition,
    lease::LONGEST,
    ledger::{Ledger, PERMITS, Seat},
};
use pyo3::{prelude::*, types::PyDict};

use super::{
    keyed::{Keyed, within},
    moment::moment,
};

/// The state of a bulkhead, of this process or of all that share its name on this machine.
///
/// What a process held that was killed is free again for whoever asks next. Safe from any thread and process, without
/// a lock.
#[pyclass(frozen, module = "penstock._native")]
pub(crate) struct ConcurrencyState {
    pub(super) keyed: Keyed<Ledger>,
    pub(super) limit: usize,
    pub(super) expires: u64,
}

#[pymethods]
impl ConcurrencyState {
    #[new]
    #[pyo3(signature = (*, limit, expires=0, name=None, key=""))]
    fn new(
        py: Python<'_>,
        limit: usize,
        expires: u64,
        name: Option<String>,
        key: &str,
    ) -> PyResult<Self> {
        const CLASS: &str = "ConcurrencyState";
        let limit = within(py, CLASS, "limit", limit, 1, PERMITS)?;
        let expires = within(py, CLASS, "expires", expires, 0, LONGEST / 2)?;
        let definition = Definition::new([
            ("limit", limit.to_string()),
            ("expires", expires.to_string()),
        ]);
        let keyed = Keyed::new(py, name, key, definition, |_| ())?;
        Ok(Self {
            keyed,
            limit,
            expires,
        })
    }

    /// A permit, or None if all are out. Give it back with `release`.
    #[pyo3(signature = (now=None, /))]
    fn acquire(&self, py: Python<'_>, now: Option<u64>) -> PyResult<Option<u64>> {
        let now = moment(py, now)?;
        let here = self.keyed.here(py)?;
        let permits = here.state();
        let seat = permits.acquire(self.limit, self.expires, here.me(), now, here);
        Ok(seat.map(Seat::to_bits))
    }

    /// Gives a permit back; False if this process did not have it any more.
    #[pyo3(signature = (permit, /))]
    fn release(&self, py: Python<'_>, permit: u64) -> PyResult<bool> {
        let here = self.keyed.here(py)?;
        Ok(here.state().release(Seat::from_bits(permit), here.me()))
    }

    /// The bulkhead of another key, of the same name and definition.
    #[pyo3(signature = (key, /))]
    fn for_key(&self, py: Python<'_>, key: &str) -> PyResult<Self> {
        Ok(Self {
            keyed: self.keyed.for_key(py, key)?,
            limit: self.limit,
            expires: self.expires,
        })
    }

    /// How many permits are out, after those of dead processes have been taken back.
    #[pyo3(signature = (now=None, /))]
    fn snapshot<'py>(&self, py: Python<'py>, now: Option<u64>) -> PyResult<Bound<'py, PyDict>> {
        let now = moment(py, now)?;
        let here = self.keyed.here(py)?;
        here.state().reclaim(now, here);
        let snapshot = self.keyed.snapshot(py)?;
        snapshot.set_item("limit", self.limit)?;
        snapshot.set_item("out", here.state().out(self.limit))?;
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
        self.keyed.shown("ConcurrencyState")
    }
}

//! What tracing has put up with in this process: counted, since it is never raised.

use pyo3::{prelude::*, types::PyDict};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// One of the counts.
#[derive(Clone, Copy)]
pub(super) enum Oddity {
    Traceparent,
    Tracestate,
    Baggage,
    CorrelationId,
    Binary,
    ForeignExit,
    Abandoned,
    AfterEnd,
}

const NAMES: [&str; 8] = [
    "malformed_traceparent",
    "malformed_tracestate",
    "malformed_baggage",
    "malformed_correlation_id",
    "malformed_binary",
    "foreign_exits",
    "abandoned_spans",
    "changes_after_end",
];

static COUNTS: [AtomicU64; NAMES.len()] = [const { AtomicU64::new(0) }; NAMES.len()];

#[cold]
pub(super) fn count(oddity: Oddity, n: usize) {
    COUNTS[oddity as usize].fetch_add(n as u64, Relaxed);
}

/// The counts by name.
#[pyfunction]
pub(crate) fn tracing_statistics(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let counts = PyDict::new(py);
    for (name, n) in NAMES.iter().zip(&COUNTS) {
        counts.set_item(name, n.load(Relaxed))?;
    }
    Ok(counts)
}

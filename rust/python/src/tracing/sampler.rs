//! `penstock.tracing.Sampler`: which traces are recorded.

use crate::errors::{Family, error};
use penstock_core::sampler as core;
use pyo3::prelude::*;

/// Decides which traces are recorded; what is not recorded still travels, and costs little.
///
/// A `Tracer` follows the parent and records all traces that begin with it, unless it is given
/// another one: `Sampler.parent_based(Sampler.ratio(0.1))` records a tenth of them.
#[pyclass(frozen, module = "penstock.tracing")]
pub(crate) struct Sampler(pub(super) core::Sampler);

#[pymethods]
impl Sampler {
    /// Records every span.
    #[staticmethod]
    fn always() -> Self {
        Self(core::Sampler::Always)
    }

    /// Records none.
    #[staticmethod]
    fn never() -> Self {
        Self(core::Sampler::Never)
    }

    /// Records a share of all traces, from 0 to 1, by their ids: the same ones wherever they come
    /// by, also in services that use OpenTelemetry's ratio sampler. Raises `Misuse` outside of that.
    #[staticmethod]
    #[pyo3(signature = (share, /))]
    fn ratio(py: Python<'_>, share: f64) -> PyResult<Self> {
        core::Sampler::ratio(share).map(Self).ok_or_else(|| {
            let what = format!("Sampler.ratio({share}) is no share of all traces");
            error(
                py,
                Family::Misuse,
                &what,
                Some("give a number from 0.0 to 1.0"),
            )
        })
    }

    /// Does what the parent did, and for spans without one what `root` says.
    #[staticmethod]
    #[pyo3(signature = (root, /))]
    fn parent_based(root: &Self) -> Self {
        Self(core::Sampler::Parent(Box::new(root.0.clone())))
    }

    fn __repr__(&self) -> String {
        fn shown(sampler: &core::Sampler) -> String {
            match sampler {
                core::Sampler::Always => "Sampler.always()".to_owned(),
                core::Sampler::Never => "Sampler.never()".to_owned(),
                core::Sampler::Ratio(bound) => {
                    format!("Sampler.ratio({:.6})", *bound as f64 / 2_f64.powi(64))
                }
                core::Sampler::Parent(root) => format!("Sampler.parent_based({})", shown(root)),
            }
        }
        shown(&self.0)
    }
}

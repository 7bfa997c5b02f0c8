//! `penstock.metrics.Distribution`.

use super::identity::shown;
use crate::errors::{Family, error};
use penstock_core::histogram;
use pyo3::{prelude::*, sync::PyOnceLock, types::PyType};

/// What a histogram has counted, at one moment: read, merged, pickled.
///
/// Immutable, so any thread may read it, and it travels between processes. Buckets are those of an
/// OTLP exponential histogram: bucket `i` holds the values in (baseⁱ, baseⁱ⁺¹], with
/// base = 2^(2^-scale). A quantile is off by at most 2.2 % at scale 4, 1.1 % at scale 5, 4.4 % at
/// scale 3, and exact at both ends. Where there is no value, `mean`, `min`, `max` and quantiles are NaN.
#[pyclass(frozen, eq, module = "penstock.metrics")]
#[derive(PartialEq)]
pub(crate) struct Distribution(pub(crate) histogram::Distribution);

#[pymethods]
impl Distribution {
    #[new]
    #[expect(
        clippy::too_many_arguments,
        reason = "all the fields, by keyword, for pickle"
    )]
    #[pyo3(signature = (scale, zero, offset, bucket_counts, sum, min, max, clamped=0, ignored=0))]
    fn new(
        py: Python<'_>,
        scale: i8,
        zero: u64,
        offset: i32,
        bucket_counts: Vec<u64>,
        sum: f64,
        min: f64,
        max: f64,
        clamped: u64,
        ignored: u64,
    ) -> PyResult<Self> {
        let empty = zero == 0 && bucket_counts.iter().all(|n| *n == 0);
        let total = bucket_counts
            .iter()
            .try_fold(zero, |total, n| total.checked_add(*n));
        // 2²⁰ buckets a power of two is the finest OTLP scale; no double needs more than 2¹¹ octaves.
        let fault = if !(-10..=20).contains(&scale) {
            format!("scale {scale} is outside -10..20")
        } else if bucket_counts.len() > 1 << 20 || offset.unsigned_abs() > 1 << 30 {
            format!(
                "offset {offset} with {} buckets is out of range",
                bucket_counts.len()
            )
        } else if total.is_none() {
            "the bucket counts add up to more than 2⁶⁴".to_owned()
        } else if sum.is_nan() || !(empty || min <= max) {
            format!("sum={sum}, min={min}, max={max} do not belong to any set of values")
        } else {
            return Ok(Self(histogram::Distribution {
                scale,
                zero,
                first: offset,
                counts: bucket_counts,
                sum,
                min,
                max,
                clamped,
                ignored,
            }));
        };
        let hint = "take distributions from a histogram's snapshot()";
        Err(error(
            py,
            Family::Misuse,
            &format!("Distribution: {fault}"),
            Some(hint),
        ))
    }

    /// How many values were counted: the sum of all buckets.
    #[getter]
    fn count(&self) -> u64 {
        self.0.count()
    }

    /// The sum of the values.
    #[getter]
    fn sum(&self) -> f64 {
        self.0.sum
    }

    /// The mean.
    #[getter]
    fn mean(&self) -> f64 {
        self.0.mean().unwrap_or(f64::NAN)
    }

    /// The least value, exactly.
    #[getter]
    fn min(&self) -> f64 {
        if self.0.count() == 0 {
            f64::NAN
        } else {
            self.0.min
        }
    }

    /// The greatest value, exactly.
    #[getter]
    fn max(&self) -> f64 {
        if self.0.count() == 0 {
            f64::NAN
        } else {
            self.0.max
        }
    }

    /// The median.
    #[getter]
    fn p50(&self) -> f64 {
        self.read(0.5)
    }

    /// The 90th percentile.
    #[getter]
    fn p90(&self) -> f64 {
        self.read(0.9)
    }

    /// The 99th percentile.
    #[getter]
    fn p99(&self) -> f64 {
        self.read(0.99)
    }

    /// The 99.9th percentile.
    #[getter]
    fn p999(&self) -> f64 {
        self.read(0.999)
    }

    /// 2^scale buckets per power of two.
    #[getter]
    fn scale(&self) -> i8 {
        self.0.scale
    }

    /// How many values were 0; they have a bucket of their own.
    #[getter]
    fn zero(&self) -> u64 {
        self.0.zero
    }

    /// The index of the first of `bucket_counts`.
    #[getter]
    fn offset(&self) -> i32 {
        self.0.first
    }

    /// The counts of consecutive buckets from `offset` on.
    #[getter]
    fn bucket_counts(&self) -> Vec<u64> {
        self.0.counts.clone()
    }

    /// How many values were outside (2⁻⁴⁰, 2⁵⁶] and are counted in the first or last bucket.
    #[getter]
    fn clamped(&self) -> u64 {
        self.0.clamped
    }

    /// How many records were negative, NaN or infinite and were left out.
    #[getter]
    fn ignored(&self) -> u64 {
        self.0.ignored
    }

    /// The value below or at which a share `q` of all values lies, by nearest rank.
    ///
    /// Raises `Misuse` unless 0 ≤ q ≤ 1. Costs well below a microsecond.
    #[pyo3(signature = (q, /))]
    fn quantile(&self, q: &Bound<'_, PyAny>) -> PyResult<f64> {
        quantile(&self.0, q)
    }

    /// Both together, as a new distribution; the finer scale gives way to the coarser.
    ///
    /// Nothing is lost: merging in any order and grouping gives the same buckets.
    #[pyo3(signature = (other, /))]
    fn merge(&self, other: &Bound<'_, Self>) -> Self {
        let mut sum = self.0.clone();
        sum.merge(&other.get().0);
        Self(sum)
    }

    /// The same values in coarser buckets; raises `Misuse` for a finer scale or one below −10.
    #[pyo3(signature = (scale, /))]
    fn coarsen(&self, py: Python<'_>, scale: i8) -> PyResult<Self> {
        let mut coarse = self.0.clone();
        if coarse.coarsen(scale) {
            return Ok(Self(coarse));
        }
        let what = format!("Distribution: scale {} cannot become {scale}", self.0.scale);
        Err(error(
            py,
            Family::Misuse,
            &what,
            Some("a coarser scale is a smaller number, down to -10"),
        ))
    }

    /// (lower, upper, count) of each bucket that is not empty, ascending; (0.0, 0.0, n) for zeros.
    fn buckets(&self) -> Vec<(f64, f64, u64)> {
        let zero = (self.0.zero > 0).then_some((0.0, 0.0, self.0.zero));
        let others = self
            .0
            .buckets()
            .map(|bucket| (bucket.lower, bucket.upper, bucket.count));
        zero.into_iter().chain(others).collect()
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("<Distribution {}>", describe(py, &self.0, false)?))
    }

    #[allow(
        clippy::type_complexity,
        reason = "the argument list of the constructor, for pickle"
    )]
    fn __reduce__<'py>(
        slf: &Bound<'py, Self>,
    ) -> (
        Bound<'py, PyType>,
        (i8, u64, i32, Vec<u64>, f64, f64, f64, u64, u64),
    ) {
        let this = &slf.get().0;
        let state = (
            this.scale,
            this.zero,
            this.first,
            this.counts.clone(),
            this.sum,
            this.min,
            this.max,
            this.clamped,
            this.ignored,
        );
        (slf.get_type(), state)
    }
}

impl Distribution {
    fn read(&self, q: f64) -> f64 {
        self.0.quantile(q).unwrap_or(f64::NAN)
    }
}

/// `q` checked, then read.
pub(super) fn quantile(
    distribution: &histogram::Distribution,
    q: &Bound<'_, PyAny>,
) -> PyResult<f64> {
    match q.extract::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => {
            Ok(distribution.quantile(share).unwrap_or(f64::NAN))
        }
        _ => {
            let what = format!("quantile takes a share between 0 and 1, got {}", shown(q));
            Err(error(
                q.py(),
                Family::Misuse,
                &what,
                Some("the 99th percentile is quantile(0.99)"),
            ))
        }
    }
}

static DESCRIBE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// One line of text with a sparkline; text is made in Python.
pub(super) fn describe(
    py: Python<'_>,
    distribution: &histogram::Distribution,
    seconds: bool,
) -> PyResult<String> {
    DESCRIBE
        .import(py, "penstock.metrics.sparkline", "describe")?
        .call1((Distribution(distribution.clone()), seconds))?
        .extract()
}

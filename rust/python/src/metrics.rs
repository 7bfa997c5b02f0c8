//! The native half of `penstock.metrics`: one file per type.

mod call;
mod counter;
mod distribution;
mod gauge;
mod histogram;
mod identity;
mod measure;
mod measurement;
mod timing;

pub(crate) use call::{MeasuredCall, install_send};
pub(crate) use counter::Counter;
pub(crate) use distribution::Distribution;
pub(crate) use gauge::Gauge;
pub(crate) use histogram::Histogram;
pub(crate) use measure::measure_function;
pub(crate) use measurement::{Measurement, failure};
pub(crate) use timing::Timing;

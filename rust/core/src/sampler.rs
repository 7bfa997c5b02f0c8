//! Which traces are recorded.

/// Decides by the trace id and by what the parent decided; the same everywhere a trace comes by.
#[derive(Clone, Debug, PartialEq)]
pub enum Sampler {
    /// All.
    Always,
    /// None.
    Never,
    /// Those whose lower 64 id bits are below this bound: OpenTelemetry's `TraceIdRatioBased`, so
    /// that services of both kinds choose the same traces.
    Ratio(u128),
    /// As the parent says; without a parent, as the one inside says.
    Parent(Box<Self>),
}

impl Sampler {
    /// A share of all traces; `None` unless 0 ≤ `share` ≤ 1.
    #[must_use]
    pub fn ratio(share: f64) -> Option<Self> {
        (0.0..=1.0)
            .contains(&share)
            .then(|| Self::Ratio((share * 2_f64.powi(64)).round() as u128))
    }

    /// Whether a span is recorded. `parent` is the parent's decision, if there is one.
    #[inline]
    #[must_use]
    pub fn decides(&self, trace_id: u128, parent: Option<bool>) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Ratio(bound) => trace_id & u128::from(u64::MAX) < *bound,
            Self::Parent(root) => parent.unwrap_or_else(|| root.decides(trace_id, None)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random_id::trace_id;

    #[test]
    fn a_ratio_takes_its_share() {
        let tenth = Sampler::ratio(0.1).unwrap();
        let taken = (0..100_000)
            .filter(|_| tenth.decides(trace_id(), None))
            .count();
        assert!((9_000..11_000).contains(&taken), "{taken}");
        for (share, expected) in [(0.0, 0), (1.0, 1000)] {
            let sampler = Sampler::ratio(share).unwrap();
            let taken = (0..1000)
                .filter(|_| sampler.decides(trace_id(), None))
                .count();
            assert_eq!(taken, expected);
        }
        for share in [-0.1, 1.1, f64::NAN] {
            assert_eq!(Sampler::ratio(share), None);
        }
    }

    #[test]
    fn a_parent_is_followed() {
        let sampler = Sampler::Parent(Box::new(Sampler::Never));
        assert!(sampler.decides(1, Some(true)));
        assert!(!sampler.decides(1, Some(false)));
        assert!(!sampler.decides(1, None));
        assert!(Sampler::Parent(Box::new(Sampler::Always)).decides(1, None));
    }
}

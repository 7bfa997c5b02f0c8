//! Times as C programs give them.

use std::time::{Duration, Instant};

/// How long a call may wait: milliseconds, without limit if negative.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeout(pub(crate) i64);

impl Timeout {
    pub(crate) const fn is_zero(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn duration(self) -> Option<Duration> {
        u64::try_from(self.0).ok().map(Duration::from_millis)
    }

    /// When it is over, counted from now; a time that the clock cannot express is as good as none.
    pub(crate) fn deadline(self) -> Option<Instant> {
        Instant::now().checked_add(self.duration()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negative_and_endless_times_have_no_end() {
        assert!(Timeout(-1).deadline().is_none());
        assert!(Timeout(i64::MIN).deadline().is_none());
        assert!(Timeout(1).deadline().is_some());
        let _ = Timeout(i64::MAX).deadline();
    }
}

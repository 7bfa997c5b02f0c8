//! Monotonic nanoseconds, and what they are on the wall.
//!
//! Durations and deadlines are taken from the monotonic clock alone. A moment is shown to others as
//! Unix time by adding one offset, which is measured again every minute: moments of one minute
//! keep their order and distances whatever is done to the wall clock meanwhile.
//!
//! Guarantee: wait-free; no system call beyond what the vDSO answers.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

pub mod ticks;

const MINUTE: u64 = 60_000_000_000;

/// Unix minus monotonic time. Both words are written by whoever finds them old, and any pair of
/// them is valid: each offset is right for the moment it was taken.
static OFFSET: AtomicU64 = AtomicU64::new(0);
/// When the offset has to be measured again; 0 at first.
static OLD_AT: AtomicU64 = AtomicU64::new(0);

fn read(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is ours to write; both clocks exist on every supported system.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    (time.tv_sec as u64)
        .wrapping_mul(1_000_000_000)
        .wrapping_add(time.tv_nsec as u64)
}

/// Nanoseconds since some moment before the program started; the same for all processes.
#[inline]
#[must_use]
pub fn monotonic() -> u64 {
    read(libc::CLOCK_MONOTONIC)
}

/// Unix nanoseconds of a moment of the monotonic clock that is about now.
#[inline]
#[must_use]
pub fn to_unix(moment: u64) -> u64 {
    moment.wrapping_add(offset(moment))
}

/// Unix nanoseconds of any moment of the monotonic clock, a deadline far ahead included.
#[must_use]
pub fn to_unix_at(moment: u64) -> u64 {
    moment.wrapping_add(offset(monotonic()))
}

/// The moment of the monotonic clock at which the wall clock shows `unix`; 0 if it never did.
#[must_use]
pub fn from_unix(unix: u64) -> u64 {
    unix.saturating_sub(offset(monotonic()))
}

#[inline]
fn offset(now: u64) -> u64 {
    if now < OLD_AT.load(Relaxed) {
        return OFFSET.load(Relaxed);
    }
    measure()
}

#[cold]
fn measure() -> u64 {
    let now = monotonic();
    let offset = read(libc::CLOCK_REALTIME).wrapping_sub(now);
    OFFSET.store(offset, Relaxed);
    // A thread that sees the new time sees the new offset too, or the one before it.
    OLD_AT.store(now.saturating_add(MINUTE), Relaxed);
    offset
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{SystemTime, UNIX_EPOCH};

    #[test]
    fn a_moment_goes_to_the_wall_and_back() {
        let moment = monotonic();
        let unix = to_unix(moment);
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        assert!((wall.as_nanos() as u64).abs_diff(unix) < 1_000_000_000);
        assert!(from_unix(unix).abs_diff(moment) < 1_000_000);
        assert_eq!(from_unix(1), 0);
    }
}

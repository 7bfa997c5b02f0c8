//! A word that others can sleep on, in this process and in all that have the segment mapped.
//!
//! Guarantee: who has heard a number and waits for the next one is woken by the ring that makes it, or
//! does not fall asleep: the kernel compares and sleeps in one step. A ring says how many it woke.

#[cfg(not(penstock_loom))]
use std::time::Duration;

use crate::sync::{AtomicU32, Ordering};

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// It was rung, or had been before the sleep began.
    Rung,
    /// The time is up.
    Silence,
    /// A signal came in.
    Signal,
}

/// See the module's head.
#[derive(Debug, Default)]
#[repr(C, align(128))]
pub struct Bell {
    /// Rings so far; wraps. Raised by whoever wakes (AcqRel), read by sleepers (Acquire).
    rings: AtomicU32,
    #[cfg(penstock_loom)]
    model: model::Sleepers,
}

impl Bell {
    /// The number to wait with.
    pub fn rings(&self) -> u32 {
        self.rings.load(Ordering::Acquire)
    }

    /// Rings, and wakes up to `most` of those who sleep: how many did.
    pub fn ring(&self, most: u32) -> u32 {
        self.rings.fetch_add(1, Ordering::AcqRel);
        self.nudge(most)
    }
}

#[cfg(not(penstock_loom))]
impl Bell {
    /// Wakes up to `most` sleepers who have heard the last ring or not.
    pub fn nudge(&self, most: u32) -> u32 {
        crate::sync::failpoint();
        let most = i32::try_from(most).unwrap_or(i32::MAX);
        // SAFETY: the word is alive during the call; waking touches nothing.
        let woken = unsafe {
            libc::syscall(
                libc::SYS_futex,
                &raw const self.rings,
                libc::FUTEX_WAKE,
                most,
            )
        };
        u32::try_from(woken).unwrap_or(0)
    }

    /// Sleeps until there are more rings than `heard`, for at most `time`.
    pub fn wait(&self, heard: u32, time: Option<Duration>) -> Heard {
        let time = time.map(|time| libc::timespec {
            tv_sec: libc::time_t::try_from(time.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: libc::c_long::from(time.subsec_nanos()),
        });
        let time = time.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        // SAFETY: the word and the time are alive during the call.
        let answer = unsafe {
            libc::syscall(
                libc::SYS_futex,
                &raw const self.rings,
                libc::FUTEX_WAIT,
                heard,
                time,
            )
        };
        if answer == 0 {
            return Heard::Rung;
        }
        match std::io::Error::last_os_error().raw_os_error() {
            Some(libc::ETIMEDOUT) => Heard::Silence,
            Some(libc::EINTR) => Heard::Signal,
            _ => Heard::Rung,
        }
    }
}

#[cfg(penstock_loom)]
mod model {
    use super::{Bell, Heard};
    use crate::sync::{Condvar, Mutex, Ordering, lock};

    /// What the kernel keeps of a word: who sleeps on it, and who of them was woken.
    #[derive(Debug, Default)]
    pub(super) struct Sleepers {
        asleep: Mutex<(u32, u32)>,
        call: Condvar,
    }

    impl Bell {
        /// Wakes up to `most` sleepers.
        pub fn nudge(&self, most: u32) -> u32 {
            let mut asleep = lock(&self.model.asleep);
            let woken = most.min(asleep.0);
            asleep.0 -= woken;
            asleep.1 += woken;
            self.model.call.notify_all();
            woken
        }

        /// Sleeps until there are more rings than `heard`; there is no time in a model.
        pub fn wait(&self, heard: u32, _time: Option<std::time::Duration>) -> Heard {
            let mut asleep = lock(&self.model.asleep);
            if self.rings.load(Ordering::Acquire) != heard {
                return Heard::Rung;
            }
            asleep.0 += 1;
            while asleep.1 == 0 {
                asleep = match self.model.call.wait(asleep) {
                    Ok(asleep) => asleep,
                    Err(poisoned) => poisoned.into_inner(),
                };
            }
            asleep.1 -= 1;
            Heard::Rung
        }
    }
}

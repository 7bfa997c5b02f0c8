//! Whether to look for a moment before a sleep, judged by what came of it lately.
//!
//! Who looks for as long as a sleep and a wake cost together never takes more than twice the processor
//! time of the better choice (Karlin et al., "Empirical studies of competitive spinning for a shared-memory
//! multiprocessor", 1991). Where looks are in vain one after the other, as with a partner that is slow, or two of
//! them on one processor, even that is saved for a while.

use std::{
    sync::atomic::{AtomicI32, Ordering},
    time::Duration,
};

/// What a sleep and a wake cost together; a processor that has gone idle takes its time.
pub const PATIENCE: Duration = Duration::from_micros(20);

/// How many looks in vain, one after the other, end the looking, and after how many sleeps it is tried
/// again.
const TRIES: i32 = 8;
const SLEEPS: i32 = 32;

/// See the module's head. Threads that share one may lose each other's judgements, and no more.
#[derive(Debug)]
pub struct Luck(
    /// Above zero: how many looks in vain are left; else one less than the sleeps until the next look,
    /// negative.
    AtomicI32,
);

impl Luck {
    /// One that begins with looks.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicI32::new(TRIES))
    }

    /// Before a sleep: runs `look`, which looks for [`PATIENCE`] at most and says whether that was of use,
    /// unless it was not lately. True if it was now.
    pub fn try_with(&self, look: impl FnOnce() -> bool) -> bool {
        let luck = self.0.load(Ordering::Relaxed);
        let (next, answer) = if luck <= 0 {
            (luck + 1, false)
        } else if look() {
            (TRIES, true)
        } else if luck == 1 {
            (1 - SLEEPS, false)
        } else {
            (luck - 1, false)
        };
        self.0.store(next, Ordering::Relaxed);
        answer
    }
}

impl Default for Luck {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of so many sleeps had a look before them.
    fn looks(luck: &Luck, sleeps: usize, found: bool) -> usize {
        let mut looks = 0;
        for _ in 0..sleeps {
            let answer = luck.try_with(|| {
                looks += 1;
                found
            });
            assert!(!answer || found);
        }
        looks
    }

    #[test]
    fn looks_that_help_go_on_and_others_become_rare() {
        let luck = Luck::new();
        assert_eq!(looks(&luck, 1000, true), 1000);
        assert_eq!(looks(&luck, TRIES as usize, false), TRIES as usize);
        assert_eq!(looks(&luck, SLEEPS as usize, false), 0);
        assert_eq!(looks(&luck, 1, false), 1, "one try, in vain");
        assert_eq!(looks(&luck, SLEEPS as usize, true), 0);
        assert_eq!(looks(&luck, 1000, true), 1000, "one that helped");
    }
}

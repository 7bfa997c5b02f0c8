//! Places at which a test ends or stops the process: before every store and read-modify-write of a word
//! that may be shared, and before what a system call shows to others. Built with `--cfg penstock_failpoints`
//! only.
//!
//! They are numbered by the order in which one thread passes them, so a script that is repeated is killed at
//! each of its steps in turn.

use std::{cell::Cell, sync::atomic::Ordering};

thread_local! {
    static LEFT: Cell<u64> = const { Cell::new(0) };
    static SIGNAL: Cell<i32> = const { Cell::new(0) };
}

/// Has the calling thread's `number`-th place from here on (the first is 1) send `signal` to the process.
pub fn arm(number: u64, signal: i32) {
    LEFT.set(number);
    SIGNAL.set(signal);
}

/// Disarms the calling thread: whether its signal is still to come.
#[must_use]
pub fn disarm() -> bool {
    LEFT.replace(0) > 0
}

pub(crate) fn hit() {
    let left = LEFT.get();
    if left == 0 {
        return;
    }
    LEFT.set(left - 1);
    if left == 1 {
        // SAFETY: a plain system call on the calling process.
        unsafe { libc::kill(libc::getpid(), SIGNAL.get()) };
    }
}

/// What sets the word by one operand and answers what was there before.
macro_rules! changed_by {
    ($value:ty: $($name:ident),*) => {
        $(
            pub fn $name(&self, value: $value, order: Ordering) -> $value {
                hit();
                self.0.$name(value, order)
            }
        )*
    };
}

macro_rules! atomic {
    ($name:ident, $std:ty, $value:ty) => {
        /// As the standard library's, with a place before whatever changes it.
        #[derive(Debug, Default)]
        #[repr(transparent)]
        pub struct $name($std);

        #[allow(missing_docs)]
        impl $name {
            pub const fn new(value: $value) -> Self {
                Self(<$std>::new(value))
            }

            pub fn load(&self, order: Ordering) -> $value {
                self.0.load(order)
            }

            pub fn get_mut(&mut self) -> &mut $value {
                self.0.get_mut()
            }

            pub fn store(&self, value: $value, order: Ordering) {
                hit();
                self.0.store(value, order);
            }

            pub fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                hit();
                self.0.compare_exchange(current, new, success, failure)
            }

            pub fn compare_exchange_weak(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.compare_exchange(current, new, success, failure)
            }

            changed_by!($value: swap, fetch_add, fetch_sub, fetch_or, fetch_and, fetch_max, fetch_min);
        }
    };
}

atomic!(AtomicU32, std::sync::atomic::AtomicU32, u32);
atomic!(AtomicU64, std::sync::atomic::AtomicU64, u64);

//! The border: nothing unwinds across it, and what failed leaves its words behind.

use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    ptr::NonNull,
    slice,
};

use crate::{code::Code, failure::Failure};

/// Does the work of one call.
#[inline(always)]
pub(crate) fn border(work: impl FnOnce() -> Result<(), Failure>) -> Code {
    // What a panic leaves half done is in this process's own memory, behind locks that take no notice;
    // what others see is whole after every single step.
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => Code::Ok,
        Ok(Err(failure)) => failure.told(),
        Err(payload) => {
            // Dropping it could panic again.
            mem::forget(payload);
            Failure::fault().told()
        }
    }
}

/// Where an answer goes; what is there before is never read.
pub(crate) struct Out<T>(NonNull<T>);

impl<T> Out<T> {
    /// # Safety
    /// Null, or writable and this call's own for as long as the value lives.
    pub(crate) unsafe fn new(pointer: *mut T, missing: &'static str) -> Result<Self, Failure> {
        match NonNull::new(pointer) {
            Some(pointer) if pointer.is_aligned() => Ok(Self(pointer)),
            _ => Err(Failure::argument(missing)),
        }
    }

    pub(crate) fn set(&mut self, value: T) {
        // SAFETY: by the promise made to `new`.
        unsafe { self.0.write(value) };
    }
}

/// `count` values that an argument points to.
///
/// # Safety
/// Null, or readable, initialised and not written to for `'a`.
pub(crate) unsafe fn list<'a, T>(
    pointer: *const T,
    count: usize,
    missing: &'static str,
) -> Result<&'a [T], Failure> {
    if count == 0 {
        return Ok(&[]);
    }
    let fits = count <= isize::MAX as usize / size_of::<T>().max(1);
    if pointer.is_null() || !pointer.is_aligned() || !fits {
        return Err(Failure::argument(missing));
    }
    // SAFETY: just looked at, and by the caller's promise.
    Ok(unsafe { slice::from_raw_parts(pointer, count) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message;

    #[test]
    fn a_panic_becomes_a_code() {
        let code = border(|| panic!("meant"));
        assert_eq!(code, Code::Fault);
        assert!(message::last().starts_with("a fault in penstock itself"));
        assert_eq!(border(|| Ok(())), Code::Ok);
    }
}

//! The end of a queue, for everybody.

use std::ffi::c_int;

use crate::{
    border::border,
    code::Code,
    handles::{self, Opaque},
};

/// Refuses further records from everybody.
#[unsafe(no_mangle)]
pub extern "C" fn penstock_shutdown(queue: *const Opaque, immediate: c_int) -> Code {
    border(|| {
        let handle = handles::enter(queue)?;
        handle
            .queue
            .shutdown(immediate != 0)
            .map_err(|error| handle.failure(&error))
    })
}

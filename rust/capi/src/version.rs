//! What this library is.

use std::ffi::{CStr, c_char};

use penstock_core::shm::LAYOUT;

/// As `PENSTOCK_ABI` in the header: raised when something that was there changes.
const ABI: u32 = 1;

const VERSION: &CStr =
    match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => panic!("a version without a zero in it"),
    };

/// The version of the interface.
#[unsafe(no_mangle)]
pub extern "C" fn penstock_abi() -> u32 {
    ABI
}

/// The layout of segments.
#[unsafe(no_mangle)]
pub extern "C" fn penstock_layout() -> u32 {
    LAYOUT
}

/// The version of the package.
#[unsafe(no_mangle)]
pub extern "C" fn penstock_version() -> *const c_char {
    VERSION.as_ptr()
}

//! What the bytes of a record are, as its head says it.

/// Bytes as they are: what C programs write and read. Comes out as `bytes`.
pub(crate) const RAW: u16 = 0;
/// Bytes as they are, that come out as a `memoryview`.
pub(crate) const VIEW: u16 = 1;
/// A value in the short code; see [`super::short`].
pub(crate) const SHORT: u16 = 2;
/// A pickle stream; its large buffers stand beside it.
pub(crate) const PICKLE: u16 = 3;
/// Characters of 1, 2 or 4 bytes each.
pub(crate) const TEXT_1: u16 = 4;
pub(crate) const TEXT_2: u16 = 5;
pub(crate) const TEXT_4: u16 = 6;
/// An array of numpy's; see [`super::arrays`].
pub(crate) const ARRAY: u16 = 7;

/// A container in the short code with arrays among its values, each of which has its content beside the record.
pub(crate) const MIXED: u16 = 8;

/// The code of a string whose characters take so many bytes each.
#[inline(always)]
pub(crate) const fn text(width: u8) -> u16 {
    match width {
        1 => TEXT_1,
        2 => TEXT_2,
        _ => TEXT_4,
    }
}

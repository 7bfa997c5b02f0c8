//! What is sent: a stream of its own, and large buffers beside it.

use std::marker::PhantomData;

/// How many buffers one item can have.
pub const MOST_BUFFERS: usize = 512;

/// Bytes that stay where they are until they are copied, once, to where they can be sent from; or
/// not at all, if they lie in a slab of this process.
#[derive(Debug, Clone, Copy)]
pub struct Buffer<'a> {
    pub(super) at: *const u8,
    pub(super) length: usize,
    _lives: PhantomData<&'a [u8]>,
}

impl<'a> Buffer<'a> {
    /// # Safety
    /// `length` bytes at `at` are readable for `'a`. Who writes to them during a send spoils the item,
    /// nothing else.
    #[must_use]
    pub unsafe fn new(at: *const u8, length: usize) -> Self {
        Self {
            at,
            length,
            _lives: PhantomData,
        }
    }

    /// Where it begins, and how long it is.
    #[must_use]
    pub fn content(&self) -> (*const u8, usize) {
        (self.at, self.length)
    }
}

impl<'a> From<&'a [u8]> for Buffer<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self {
            at: bytes.as_ptr(),
            length: bytes.len(),
            _lives: PhantomData,
        }
    }
}

/// See the module's head.
#[derive(Debug, Clone, Copy)]
pub struct Item<'a> {
    /// What the stream is, in the words of whoever sends and takes; the queue does not look at it.
    pub code: u16,
    /// Travels in the lane if it is short, in a slab otherwise.
    pub stream: Buffer<'a>,
    /// Each travels in a slab.
    pub buffers: &'a [Buffer<'a>],
}

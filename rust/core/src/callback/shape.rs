//! Which arguments a callback has, where its caller leaves them, and how they are kept.
//!
//! Scalars and pointers are passed in the registers of their class in order, integers and pointers in one
//! row and floating point in the other; what finds its row full lies on the stack, each in a word of its
//! own, in order. That is so for x86-64 (System V) and AArch64 (AAPCS64 as on Linux) alike, which
//! differ in the length of the first row only. A record keeps one word for each argument, as it came: how
//! much of it means something is known to whoever reads it. Content that is only good during the call is
//! copied beside it, and its word says how long it is.

use std::slice;

/// How many integers and pointers are passed in registers.
pub const INTEGERS: usize = if cfg!(target_arch = "aarch64") { 8 } else { 6 };
/// How many floating-point numbers are.
pub const FLOATS: usize = 8;

/// The word of a copied argument whose pointer was null.
const NULL: u64 = u64::MAX;

/// The registers and the stack of a call, as a stub leaves them.
#[repr(C)]
#[derive(Debug)]
pub struct Arguments {
    /// The first row.
    pub integers: [u64; INTEGERS],
    /// The second row; of a `float` the lower half counts.
    pub floats: [u64; FLOATS],
    /// What did not fit into its row.
    pub stack: *const u64,
}

/// What an argument is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `_Bool`.
    Bool,
    /// Signed, of so many bits.
    Signed(u32),
    /// Unsigned, of so many bits.
    Unsigned(u32),
    /// `float`.
    Float,
    /// `double`.
    Double,
    /// An address, kept as a number.
    Pointer,
    /// What the address leads to, up to and without a zero byte.
    Text,
    /// What the address leads to: as many units as another argument says.
    Bytes {
        /// Which argument says so.
        length: usize,
        /// The size of a unit.
        unit: usize,
    },
}

impl Kind {
    /// Whether its content is copied.
    #[must_use]
    pub const fn is_copied(self) -> bool {
        matches!(self, Self::Text | Self::Bytes { .. })
    }
}

#[derive(Debug, Clone, Copy)]
enum Place {
    Integer(usize),
    Float(usize),
    Stack(usize),
}

/// See the module's head.
#[derive(Debug)]
pub struct Shape {
    kinds: Box<[Kind]>,
    places: Box<[Place]>,
    copies: bool,
}

/// Whether a copied argument was null.
#[must_use]
pub const fn is_null(word: u64) -> bool {
    word == NULL
}

/// How many bytes a copied argument's word stands for.
pub(super) const fn copied(word: u64) -> usize {
    if is_null(word) { 0 } else { word as usize }
}

impl Shape {
    /// The shape of a callback with these arguments.
    ///
    /// # Panics
    /// If a length is said to be in an argument that is no integer.
    #[must_use]
    pub fn new(kinds: Box<[Kind]>) -> Self {
        let (mut integers, mut floats, mut stack) = (0..INTEGERS, 0..FLOATS, 0..);
        let mut on_stack = || Place::Stack(stack.next().unwrap_or(usize::MAX));
        let place = |kind: &Kind| match kind {
            Kind::Float | Kind::Double => floats.next().map_or_else(&mut on_stack, Place::Float),
            _ => integers.next().map_or_else(&mut on_stack, Place::Integer),
        };
        let places = kinds.iter().map(place).collect();
        for kind in &kinds {
            if let Kind::Bytes { length, .. } = kind {
                let length = kinds.get(*length);
                assert!(
                    matches!(length, Some(Kind::Signed(_) | Kind::Unsigned(_))),
                    "a length is an integer"
                );
            }
        }
        Self {
            copies: kinds.iter().any(|kind| kind.is_copied()),
            kinds,
            places,
        }
    }

    /// The arguments.
    #[must_use]
    pub fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    /// Whether the content of any argument is copied.
    #[must_use]
    pub const fn copies(&self) -> bool {
        self.copies
    }

    /// Calls `each` with every argument's word and with what is to be copied of it.
    ///
    /// # Safety
    /// `arguments` are those of a call of this shape that has not returned.
    pub(super) unsafe fn read(&self, arguments: &Arguments, mut each: impl FnMut(u64, &[u8])) {
        for (index, kind) in self.kinds.iter().enumerate() {
            // SAFETY: the caller's.
            let word = unsafe { self.word(arguments, index) };
            match *kind {
                Kind::Text | Kind::Bytes { .. } if word == 0 => each(NULL, &[]),
                Kind::Text => {
                    // SAFETY: a callback's text ends with a zero byte, and is there during the call.
                    let text = unsafe {
                        let start = word as usize as *const u8;
                        slice::from_raw_parts(start, libc::strlen(start.cast()))
                    };
                    each(text.len() as u64, text);
                }
                Kind::Bytes { length, unit } => {
                    // SAFETY: the caller's, twice: the argument of that number, and the pair of an
                    // address and a length of this call's, of which a negative one is nothing.
                    let content = unsafe {
                        let length = self.length(arguments, length).saturating_mul(unit);
                        let length = length.min(isize::MAX as usize);
                        slice::from_raw_parts(word as usize as *const u8, length)
                    };
                    each(content.len() as u64, content);
                }
                _ => each(word, &[]),
            }
        }
    }

    /// How many bytes [`Shape::read`] would have copied.
    ///
    /// # Safety
    /// As there.
    pub(super) unsafe fn weigh(&self, arguments: &Arguments) -> usize {
        let mut sum = 0_usize;
        if self.copies {
            // SAFETY: the caller's.
            unsafe {
                self.read(arguments, |_, content| {
                    sum = sum.saturating_add(content.len())
                })
            };
        }
        sum
    }

    /// How many bytes were copied for the record of these words.
    pub(super) fn weight(&self, words: impl Iterator<Item = u64>) -> usize {
        let copied = |(word, kind): (u64, &Kind)| match kind.is_copied() {
            true => copied(word),
            false => 0,
        };
        words.zip(&self.kinds).map(copied).sum()
    }

    /// # Safety
    /// As [`Shape::read`].
    unsafe fn word(&self, arguments: &Arguments, index: usize) -> u64 {
        match self.places[index] {
            Place::Integer(nth) => arguments.integers[nth],
            Place::Float(nth) => arguments.floats[nth],
            // SAFETY: a call of this shape has that many words on its stack.
            Place::Stack(nth) => unsafe { *arguments.stack.add(nth) },
        }
    }

    /// # Safety
    /// As [`Shape::read`].
    unsafe fn length(&self, arguments: &Arguments, index: usize) -> usize {
        // SAFETY: the caller's.
        let word = unsafe { self.word(arguments, index) };
        match self.kinds[index] {
            Kind::Signed(bits) => usize::try_from(signed(word, bits)).unwrap_or(0),
            Kind::Unsigned(bits) => unsigned(word, bits) as usize,
            _ => 0,
        }
    }
}

/// The lower `bits` of a word as a signed number: what is above them is nobody's.
#[must_use]
pub const fn signed(word: u64, bits: u32) -> i64 {
    ((word << (64 - bits)) as i64) >> (64 - bits)
}

/// The lower `bits` of a word.
#[must_use]
pub const fn unsigned(word: u64, bits: u32) -> u64 {
    word << (64 - bits) >> (64 - bits)
}

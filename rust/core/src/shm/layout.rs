//! The first page of every segment: what it is, which layout, how large, and a checksum over it.
//!
//! Written once, before anybody else has the descriptor; copied out and checked on attach, so a
//! segment of another version, a truncated one or a foreign file is refused by name.

use std::{fmt, io};

/// Spells `penstock` in memory.
const MAGIC: u64 = u64::from_le_bytes(*b"penstock");

/// Raised whenever the meaning of a byte in a segment changes: builds refuse each other's segments.
pub const VERSION: u32 = 1;

/// Bytes before the content.
pub(super) const HEADER_BYTES: usize = 4096;

/// What a segment holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Content {
    Arena = 1,
    Link = 2,
    Queue = 3,
}

#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct Header {
    magic: u64,
    version: u32,
    content: u32,
    length: u64,
    parameters: [u64; 3],
    checksum: u64,
}

impl Header {
    pub(super) fn new(content: Content, length: usize, parameters: [u64; 3]) -> Self {
        let mut header = Self {
            magic: MAGIC,
            version: VERSION,
            content: content as u32,
            length: length as u64,
            parameters,
            checksum: 0,
        };
        header.checksum = header.digest();
        header
    }

    /// FNV-1a over the fields: it tells a torn or foreign page, it is no defence against forgery.
    fn digest(&self) -> u64 {
        let words = [
            self.magic,
            u64::from(self.version) << 32 | u64::from(self.content),
            self.length,
            self.parameters[0],
            self.parameters[1],
            self.parameters[2],
        ];
        words
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
            })
    }

    /// The parameters, if the header is sound, of this version, and for this content and length.
    pub(super) fn check(&self, content: Content, length: usize) -> Result<[u64; 3], AttachError> {
        if self.magic != MAGIC {
            return Err(AttachError::Foreign);
        }
        if self.version != VERSION {
            return Err(AttachError::Version {
                found: self.version,
            });
        }
        if self.checksum != self.digest()
            || self.content != content as u32
            || self.length != length as u64
        {
            return Err(AttachError::Damaged);
        }
        Ok(self.parameters)
    }
}

/// Why a segment was refused.
#[derive(Debug)]
pub enum AttachError {
    /// The descriptor could not be mapped.
    Io(io::Error),
    /// Not a segment of penstock.
    Foreign,
    /// A segment of another layout.
    Version {
        /// The layout it says it has.
        found: u32,
    },
    /// Its own description does not add up.
    Damaged,
    /// It could still shrink under a reader.
    Unsealed,
}

impl fmt::Display for AttachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "the segment cannot be mapped: {error}"),
            Self::Foreign => write!(f, "the descriptor is no segment of penstock"),
            Self::Version { found } => {
                write!(
                    f,
                    "the segment has layout {found}, this build knows layout {VERSION}"
                )
            }
            Self::Damaged => write!(f, "the segment's header does not match its content"),
            Self::Unsealed => write!(f, "the segment is not sealed against shrinking"),
        }
    }
}

impl std::error::Error for AttachError {}

impl From<io::Error> for AttachError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_damaged_field_is_refused() {
        let sound = Header::new(Content::Arena, 1 << 20, [1, 2, 3]);
        assert_eq!(sound.check(Content::Arena, 1 << 20).unwrap(), [1, 2, 3]);
        assert!(matches!(
            sound.check(Content::Link, 1 << 20),
            Err(AttachError::Damaged)
        ));
        assert!(matches!(
            sound.check(Content::Arena, 1 << 19),
            Err(AttachError::Damaged)
        ));
        let other = Header {
            version: 9,
            ..sound
        };
        assert!(matches!(
            other.check(Content::Arena, 1 << 20),
            Err(AttachError::Version { found: 9 })
        ));
        let foreign = Header { magic: 7, ..sound };
        assert!(matches!(
            foreign.check(Content::Arena, 1 << 20),
            Err(AttachError::Foreign)
        ));
        let torn = Header {
            parameters: [1, 2, 4],
            ..sound
        };
        assert!(matches!(
            torn.check(Content::Arena, 1 << 20),
            Err(AttachError::Damaged)
        ));
    }
}

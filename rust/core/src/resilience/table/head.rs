//! The first page of a table: written once under the file's lock, copied and judged by everybody else.

use std::{
    mem::size_of,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use super::{
    super::{
        definition::{self, Definition},
        file::Mapping,
    },
    HEAD_BYTES, State, TableError, VERSION, length,
};

/// Spells `penstres` in memory.
pub(super) const MAGIC: u64 = u64::from_le_bytes(*b"penstres");

/// Where the definition stands.
pub(super) const TEXT_AT: usize = 128;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Head {
    magic: u64,
    version: u32,
    kind: u32,
    length: u64,
    state: u64,
    text: u64,
    text_digest: u64,
    checksum: u64,
}

impl Head {
    pub(super) fn new<T: State>(definition: &Definition) -> Self {
        let mut head = Self {
            magic: MAGIC,
            version: VERSION,
            kind: T::NUMBER,
            length: length::<T>() as u64,
            state: size_of::<T>() as u64,
            text: definition.text().len() as u64,
            text_digest: definition.digest(),
            checksum: 0,
        };
        head.checksum = head.digest();
        head
    }

    fn digest(&self) -> u64 {
        let words = [
            self.magic,
            u64::from(self.version) << 32 | u64::from(self.kind),
            self.length,
            self.state,
            self.text,
            self.text_digest,
        ];
        let mut bytes = [0; 48];
        for (to, word) in bytes.chunks_exact_mut(8).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        definition::digest(&bytes)
    }
}

pub(super) fn write(mapping: &Mapping, head: &Head, definition: &Definition) {
    let text = definition.text().as_bytes();
    let at = mapping.at(0, HEAD_BYTES);
    let at = at.unwrap_or_else(|| unreachable!("a mapping is never shorter than the head"));
    // SAFETY: inside the mapping, aligned; the file's lock is held, and nobody has read it yet.
    unsafe {
        let to = at.as_ptr().add(TEXT_AT);
        to.copy_from_nonoverlapping(text.as_ptr(), text.len());
        // The head last, and its first word last of all: whoever finds it finds the rest.
        let head_at = at.cast::<Head>().as_ptr();
        head_at.write_volatile(Head { magic: 0, ..*head });
        std::sync::atomic::fence(Ordering::Release);
        at.cast::<AtomicU64>()
            .as_ref()
            .store(head.magic, Ordering::Release);
    }
}

/// What a file holds.
pub(super) enum Found {
    /// Its maker was killed while making it.
    Unfinished,
    /// The definition under which it was made.
    Text(String),
}

pub(super) fn check<T: State>(mapping: &Mapping, path: &Path) -> Result<Found, TableError> {
    let damaged = || TableError::Damaged { path: path.into() };
    let at = mapping.at(0, HEAD_BYTES).ok_or_else(damaged)?;
    // SAFETY: inside the mapping and aligned; a copy is taken, and only the copy is judged.
    let head = unsafe { at.cast::<Head>().read_volatile() };
    if head.magic == 0 {
        return Ok(Found::Unfinished);
    }
    if head.magic == MAGIC && head.version != VERSION {
        return Err(TableError::Version {
            path: path.into(),
            found: head.version,
        });
    }
    let text = head.text as usize;
    let is_sound = head.magic == MAGIC
        && head.checksum == head.digest()
        && head.kind == T::NUMBER
        && head.length == mapping.length() as u64
        && head.length == length::<T>() as u64
        && head.state == size_of::<T>() as u64
        && text <= definition::TEXT_MAX;
    if !is_sound {
        return Err(damaged());
    }
    let mut bytes = vec![0; text];
    // SAFETY: inside the head's page, as was just seen.
    unsafe {
        let from = at.as_ptr().add(TEXT_AT);
        bytes.as_mut_ptr().copy_from_nonoverlapping(from, text);
    }
    if definition::digest(&bytes) != head.text_digest {
        return Err(damaged());
    }
    String::from_utf8(bytes)
        .map(Found::Text)
        .map_err(|_| damaged())
}

/// Whether a file is a table of this layout; none if its maker was killed while making it.
pub(super) fn mark(mapping: &Mapping) -> Option<bool> {
    let at = mapping.at(0, HEAD_BYTES)?;
    // SAFETY: inside the mapping and aligned; a copy is taken, and only the copy is judged.
    let head = unsafe { at.cast::<Head>().read_volatile() };
    (head.magic != 0).then_some(head.magic == MAGIC && head.version == VERSION)
}

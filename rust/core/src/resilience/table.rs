//! States that all processes of a user on one machine share, found by the name of their policy.
//!
//! ```text
//! head 4 KiB | rows, one for each process | slots, one for each key: key, state
//! ```
//! The head is written once, before anybody else can see it: which layout, sizes, and the definition as
//! text. Who comes with another definition while somebody takes part is refused, with what differs. The
//! file lives as long as one process takes part. If all were killed it stays, and the next that comes by
//! that name, or makes another table, sees that nobody in its rows lives and removes it: a state
//! never outlives the processes that made it.
//!
//! Nothing in here is on the way of a call: a handle keeps the address of its slot ([`super::home`]).

use std::{
    fmt,
    fs::File,
    io,
    marker::PhantomData,
    mem::{align_of, size_of},
    path::{Path, PathBuf},
    ptr::NonNull,
    sync::{
        Arc, LazyLock, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use super::{
    definition::{self, Definition},
    file::{self, Locked, Mapping},
    lease::{Holder, Lives},
    members::{MEMBERS, Members},
};
use crate::{
    clock,
    fork::Owner,
    fork_gate::Guarded,
    shm::queue::{process, seats::Process},
};

/// Raised whenever the meaning of a byte changes.
pub const VERSION: u32 = 1;

/// Spells `penstres` in memory.
const MAGIC: u64 = u64::from_le_bytes(*b"penstres");

const HEAD_BYTES: usize = 4096;
const TEXT_AT: usize = 128;
const ROWS_AT: usize = HEAD_BYTES;
const SLOTS_AT: usize = ROWS_AT + size_of::<Members>();

/// Keys that one table can have.
pub const KEYS: usize = 64;
/// Bytes of the longest key.
pub const KEY_MAX: usize = 240;
/// Characters of the longest name.
pub const NAME_MAX: usize = 64;

/// Who misses a permit looks at the other processes again after so many nanoseconds, of the real clock:
/// they die in real time.
const LOOK_AGAIN: u64 = 20_000_000;

/// A state that can lie in a table.
///
/// # Safety
/// It consists of atomic words only, has a fixed layout, and zeros are its initial state.
pub unsafe trait State: Default + Send + Sync + 'static {
    /// What it is, in names of files and in messages.
    const KIND: &'static str;
    /// The same as a number.
    const NUMBER: u32;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
struct Head {
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
    fn new<T: State>(definition: &Definition) -> Self {
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

#[repr(C)]
struct SlotHead {
    /// Bytes of the key, plus one; 0: free. Written last (Release) and read, under the lock.
    used: AtomicU64,
    key: [u8; KEY_MAX],
}

const SLOT_HEAD: usize = 256;
const _: () = assert!(size_of::<SlotHead>() <= SLOT_HEAD && size_of::<Head>() <= TEXT_AT);
const _: () = assert!(TEXT_AT + definition::TEXT_MAX <= HEAD_BYTES);

fn stride<T>() -> usize {
    (SLOT_HEAD + size_of::<T>()).next_multiple_of(128)
}

fn length<T>() -> usize {
    (SLOTS_AT + KEYS * stride::<T>()).next_multiple_of(4096)
}

/// One comes or goes at a time, and a fork waits for it.
static TURN: LazyLock<Guarded<()>> = LazyLock::new(|| Guarded::new(()));

/// See the module's head.
#[derive(Debug)]
pub struct Table<T> {
    seat: Arc<Seat>,
    name: String,
    of: PhantomData<fn() -> T>,
}

/// A process's place in a table.
#[derive(Debug)]
struct Seat {
    owner: Owner,
    file: File,
    path: PathBuf,
    mapping: Mapping,
    me: Holder,
    has_left: AtomicBool,
    /// Of the real clock, when the other processes were looked at.
    looked: AtomicU64,
}

impl Seat {
    fn members(&self) -> &Members {
        members(&self.mapping)
    }

    /// Takes the process out, and removes the file if it was the last.
    fn leave(&self) {
        if !self.owner.is_here() || self.has_left.swap(true, Ordering::AcqRel) {
            return;
        }
        let _turn = TURN.lock();
        self.members().leave(self.me);
        // If that cannot be, it is left to who comes next.
        if let Ok(locked) = Locked::wait(&self.file, &self.path)
            && locked.is_there().unwrap_or(false)
            && self.members().bury().is_empty()
        {
            file::remove(&self.path);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.leave();
    }
}

impl<T: State> Table<T> {
    /// Joins the table of that name, or makes it.
    pub fn join(name: &str, definition: &Definition) -> Result<Self, TableError> {
        let text = definition.text();
        if text.len() > definition::TEXT_MAX {
            return Err(io::Error::from(io::ErrorKind::InvalidInput).into());
        }
        validate(name)?;
        let namespace = process::namespace();
        let path = file::path(namespace, T::KIND, name);
        let seat = {
            let _turn = TURN.lock();
            let seat = Self::join_file(name, &path, definition)?;
            if seat.1 {
                sweep(namespace, &path);
            }
            Arc::new(seat.0)
        };
        exits::remember(&seat);
        Ok(Self {
            seat,
            name: name.to_owned(),
            of: PhantomData,
        })
    }

    /// Whether it was made, too.
    fn join_file(
        name: &str,
        path: &Path,
        definition: &Definition,
    ) -> Result<(Seat, bool), TableError> {
        loop {
            let file = file::open(path, true)?;
            let locked = Locked::wait(&file, path)?;
            if !locked.is_there()? {
                continue;
            }
            let made = match file.metadata()?.len() {
                0 => {
                    // Until the head is there, nobody takes part; if this process dies before, nobody did.
                    file.set_len(length::<T>() as u64)?;
                    file::reserve(&file, 0, SLOTS_AT).inspect_err(|_| file::remove(path))?;
                    true
                }
                _ => false,
            };
            let found = usize::try_from(file.metadata()?.len()).unwrap_or(0);
            let mapping = match found {
                // Too short to look at; a table was never so.
                0..SLOTS_AT => return Err(TableError::Damaged { path: path.into() }),
                length => Mapping::new(&file, length)?,
            };
            if made {
                write_head(&mapping, &Head::new::<T>(definition), definition);
            } else {
                match check::<T>(&mapping, path)? {
                    Found::Unfinished => {
                        file::remove(path);
                        continue;
                    }
                    Found::Text(text) => {
                        let living = members(&mapping).bury();
                        if living.is_empty() {
                            file::remove(path);
                            continue;
                        }
                        if text != definition.text() {
                            return Err(TableError::Conflict {
                                name: name.to_owned(),
                                kind: T::KIND,
                                pids: living,
                                differences: definition.differences(&text),
                            });
                        }
                    }
                }
            }
            let me = members(&mapping).join(Process::current());
            let me = me.ok_or_else(|| TableError::Crowded {
                name: name.to_owned(),
            })?;
            drop(locked);
            let seat = Seat {
                owner: Owner::current(),
                file,
                path: path.to_owned(),
                mapping,
                me,
                has_left: AtomicBool::new(false),
                looked: AtomicU64::new(0),
            };
            return Ok((seat, made));
        }
    }

    /// The state of `key`, whose slot is taken and initialised if nobody has asked for it before. It lies where the
    /// pointer says for as long as the table is kept.
    pub fn state(&self, key: &str, initialise: impl Fn(&T)) -> Result<NonNull<T>, TableError> {
        const { assert!(align_of::<T>() <= 128) };
        let bytes = key.as_bytes();
        if bytes.len() > KEY_MAX {
            return Err(TableError::Key { bytes: bytes.len() });
        }
        let _turn = TURN.lock();
        let seat = &self.seat;
        let _locked = Locked::wait(&seat.file, &seat.path)?;
        for number in 0..KEYS {
            let offset = SLOTS_AT + number * stride::<T>();
            // The lock is held by this process alone, whatever else is written in the file: a slot is
            // touched by one at a time, and its bytes may be anything.
            if self.used(offset)? == 0 {
                file::reserve(&seat.file, offset, stride::<T>())?;
                let state = self.at(offset)?;
                // SAFETY: inside the mapping, aligned; atomics, for which any bytes are valid.
                initialise(unsafe { state.as_ref() });
                let head = seat.at(offset, SLOT_HEAD)?;
                // SAFETY: inside the slot's head, which has room for the longest key.
                unsafe {
                    let to = head.as_ptr().add(std::mem::offset_of!(SlotHead, key));
                    to.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
                }
                seat.word(offset)?
                    .store(bytes.len() as u64 + 1, Ordering::Release);
                return Ok(state);
            }
            if self.key(offset)?.as_deref() == Some(bytes) {
                return self.at(offset);
            }
        }
        Err(TableError::Full {
            name: self.name.clone(),
            kind: T::KIND,
        })
    }

    fn used(&self, offset: usize) -> io::Result<u64> {
        // A slot whose pages are not taken yet reads as zero, and takes none by being read.
        Ok(self.seat.word(offset)?.load(Ordering::Acquire))
    }

    fn key(&self, offset: usize) -> io::Result<Option<Vec<u8>>> {
        let length = (self.used(offset)? as usize).wrapping_sub(1);
        if length > KEY_MAX {
            return Ok(None);
        }
        let head = self.seat.at(offset, SLOT_HEAD)?;
        let mut bytes = vec![0; length];
        // SAFETY: inside the slot's head; nobody but a holder of the lock writes there.
        unsafe {
            let from = head.as_ptr().add(std::mem::offset_of!(SlotHead, key));
            bytes.as_mut_ptr().copy_from_nonoverlapping(from, length);
        }
        Ok(Some(bytes))
    }

    fn at(&self, offset: usize) -> Result<NonNull<T>, TableError> {
        let at = self.seat.at(offset + SLOT_HEAD, size_of::<T>())?;
        Ok(at.cast())
    }

    /// Who this process is in it.
    #[must_use]
    pub fn me(&self) -> Holder {
        self.seat.me
    }

    /// The processes that take part, by number.
    #[must_use]
    pub fn members(&self) -> Vec<u32> {
        self.seat.members().bury()
    }

    /// Takes this process out of it, before the last handle goes.
    pub fn leave(&self) {
        self.seat.leave();
    }

    /// Where its file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.seat.path
    }
}

impl Seat {
    fn at(&self, offset: usize, length: usize) -> io::Result<NonNull<u8>> {
        let at = self.mapping.at(offset, length);
        at.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn word(&self, offset: usize) -> io::Result<&AtomicU64> {
        // SAFETY: eight bytes inside the mapping, which outlives the reference; slots are aligned.
        Ok(unsafe { self.at(offset, 8)?.cast().as_ref() })
    }
}

impl<T> Lives for Table<T> {
    fn look(&self) {
        let now = clock::monotonic();
        let looked = self.seat.looked.load(Ordering::Relaxed);
        if now.wrapping_sub(looked) >= LOOK_AGAIN || looked == 0 {
            self.seat.looked.store(now, Ordering::Relaxed);
            self.seat.members().bury();
        }
    }

    fn is_dead(&self, holder: Holder) -> bool {
        self.seat.members().is_dead(holder)
    }
}

fn members(mapping: &Mapping) -> &Members {
    let at = mapping.at(ROWS_AT, size_of::<Members>());
    let at = at.unwrap_or_else(|| unreachable!("a mapping is never shorter than the rows"));
    // SAFETY: inside the mapping, aligned, atomics only.
    unsafe { at.cast().as_ref() }
}

fn write_head(mapping: &Mapping, head: &Head, definition: &Definition) {
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

enum Found {
    /// Its maker was killed while making it.
    Unfinished,
    Text(String),
}

fn check<T: State>(mapping: &Mapping, path: &Path) -> Result<Found, TableError> {
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

/// Removes other tables of which nobody lives.
fn sweep(namespace: u64, but: &Path) {
    for path in file::others(namespace, but) {
        let Ok(file) = file::open(&path, false) else {
            continue;
        };
        let Ok(locked) = Locked::attempt(&file) else {
            continue;
        };
        let length = file.metadata().map_or(0, |found| found.len() as usize);
        let is_there = locked.is_there().unwrap_or(false);
        if !is_there || length < SLOTS_AT {
            continue;
        }
        let Ok(mapping) = Mapping::new(&file, length) else {
            continue;
        };
        let magic = mapping.at(0, 8);
        // SAFETY: eight bytes inside the mapping, aligned.
        let is_table = magic.is_some_and(|at| unsafe { at.cast::<u64>().read_volatile() } == MAGIC);
        // Of another layout, the rows may lie elsewhere.
        let version = mapping.at(8, 4);
        // SAFETY: four bytes inside the mapping, aligned.
        let is_known =
            version.is_some_and(|at| unsafe { at.cast::<u32>().read_volatile() } == VERSION);
        if is_table && is_known && members(&mapping).bury().is_empty() {
            file::remove(&path);
        }
    }
}

fn validate(name: &str) -> Result<(), TableError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(plain) {
        return Ok(());
    }
    Err(TableError::Name { name: name.into() })
}

mod exits {
    //! At the program's end every table is left, though its handles are never dropped.

    use super::{Arc, Guarded, LazyLock, Seat, Weak};
    use std::sync::Once;

    static SEATS: LazyLock<Guarded<Vec<Weak<Seat>>>> = LazyLock::new(|| Guarded::new(Vec::new()));
    static ONCE: Once = Once::new();

    pub(super) fn remember(seat: &Arc<Seat>) {
        ONCE.call_once(|| {
            // SAFETY: the handler lives in the text of this object, which is not unloaded while the process runs.
            unsafe { libc::atexit(leave_all) };
        });
        let mut seats = SEATS.lock();
        seats.retain(|seat| seat.strong_count() > 0);
        seats.push(Arc::downgrade(seat));
    }

    extern "C" fn leave_all() {
        let seats: Vec<_> = SEATS.lock().iter().filter_map(Weak::upgrade).collect();
        for seat in seats {
            seat.leave();
        }
    }
}

/// Why a table cannot be had.
#[derive(Debug)]
pub enum TableError {
    /// The file cannot be opened, locked or mapped.
    Io(io::Error),
    /// No name that a table can have.
    Name {
        /// As it was given.
        name: String,
    },
    /// A key that is too long.
    Key {
        /// So long.
        bytes: usize,
    },
    /// Somebody takes part in it, under another definition.
    Conflict {
        /// Of the table.
        name: String,
        /// What it holds.
        kind: &'static str,
        /// Who takes part.
        pids: Vec<u32>,
        /// What is not the same.
        differences: String,
    },
    /// All slots are taken.
    Full {
        /// Of the table.
        name: String,
        /// What it holds.
        kind: &'static str,
    },
    /// All rows are taken.
    Crowded {
        /// Of the table.
        name: String,
    },
    /// Another version of penstock made it.
    Version {
        /// The file.
        path: PathBuf,
        /// The layout it says it has.
        found: u32,
    },
    /// Its own description does not add up.
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "the table cannot be had: {error}"),
            Self::Name { name } => write!(
                f,
                "{name:?} is no name for a table: letters, digits, '.', '_' and '-', at most {NAME_MAX}"
            ),
            Self::Key { bytes } => {
                write!(f, "a key of {bytes} bytes is too long: at most {KEY_MAX}")
            }
            Self::Conflict {
                name,
                kind,
                pids,
                differences,
            } => write!(
                f,
                "the {kind} {name:?} of this machine has another definition in the processes {pids:?}: {differences}"
            ),
            Self::Full { name, kind } => {
                write!(f, "the {kind} {name:?} has {KEYS} keys already")
            }
            Self::Crowded { name } => {
                write!(f, "{name:?} is shared by {MEMBERS} processes already")
            }
            Self::Version { path, found } => write!(
                f,
                "{} has layout {found}, this build knows layout {VERSION}",
                path.display()
            ),
            Self::Damaged { path } => write!(f, "{} is no sound table", path.display()),
        }
    }
}

impl std::error::Error for TableError {}

impl From<io::Error> for TableError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

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
    fs::File,
    io,
    marker::PhantomData,
    mem::{align_of, size_of},
    path::{Path, PathBuf},
    ptr::NonNull,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

mod error;
mod exits;
mod head;

pub use error::TableError;

use super::{
    definition::{self, Definition},
    file::{self, Locked, Mapping},
    lease::{Holder, Lives},
    members::Members,
};
use crate::{
    clock,
    fork::Owner,
    fork_gate::Guarded,
    shm::queue::{process, seats::Process},
};

/// Raised whenever the meaning of a byte changes.
pub const VERSION: u32 = 2;

const HEAD_BYTES: usize = 4096;
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

#[repr(C)]
struct SlotHead {
    /// Bytes of the key, plus one; 0: free. Written last (Release) and read, under the lock.
    used: AtomicU64,
    key: [u8; KEY_MAX],
}

const SLOT_HEAD: usize = 256;
use head::{Found, Head};

const _: () = assert!(size_of::<SlotHead>() <= SLOT_HEAD && size_of::<Head>() <= head::TEXT_AT);
const _: () = assert!(head::TEXT_AT + definition::TEXT_MAX <= HEAD_BYTES);

fn stride<T>() -> usize {
    (SLOT_HEAD + size_of::<T>()).next_multiple_of(128)
}

fn length<T>() -> usize {
    (SLOTS_AT + KEYS * stride::<T>()).next_multiple_of(4096)
}

/// One comes or goes at a time, and a fork waits for it.
static TURN: LazyLock<Guarded<()>> = LazyLock::new(|| Guarded::new(()));

/// Makes the lock of those who come and go. A child that is forked while another thread makes it would wait for that
/// thread for ever, so the extension calls this as it is loaded, before there is a table that anybody shares.
pub fn prepare() {
    LazyLock::force(&TURN);
}

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
        let path = file::path(namespace, T::KIND, name, machine()?);
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
                head::write(&mapping, &Head::new::<T>(definition), definition);
            } else {
                match head::check::<T>(&mapping, path)? {
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

/// Removes other tables of which nobody lives.
fn sweep(namespace: u64, but: &Path) {
    for path in file::others(namespace, but) {
        let Ok(file) = file::open(&path, false) else {
            continue;
        };
        let Ok(locked) = Locked::attempt(&file) else {
            continue;
        };
        let is_unused = locked.is_there().unwrap_or(false) && is_unused(&file).unwrap_or(false);
        if is_unused {
            file::remove(&path);
        }
    }
}

/// Whether nobody takes part in a file of tables whose lock the caller holds.
fn is_unused(file: &File) -> io::Result<bool> {
    let length = file.metadata()?.len() as usize;
    if length == 0 {
        return Ok(true); // whoever made it has died, or will see that its name is gone
    }
    if length < SLOTS_AT {
        return Ok(false);
    }
    let mapping = Mapping::new(file, length)?;
    Ok(match head::mark(&mapping) {
        None => true,
        // Of another layout, the rows may lie elsewhere.
        Some(is_known) => is_known && members(&mapping).bury().is_empty(),
    })
}

/// What `PENSTOCK_MACHINE` says when the first table is joined: processes with different names share nothing, as if
/// they ran on different machines.
fn machine() -> Result<&'static str, TableError> {
    static MACHINE: LazyLock<String> = LazyLock::new(|| {
        std::env::var_os("PENSTOCK_MACHINE")
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    });
    if !MACHINE.is_empty() {
        validate(&MACHINE)?;
    }
    Ok(&MACHINE)
}

fn validate(name: &str) -> Result<(), TableError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(plain) {
        return Ok(());
    }
    Err(TableError::Name { name: name.into() })
}

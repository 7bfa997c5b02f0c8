//! A file in memory that processes find by its name, and that the last of them removes.
//!
//! It is one of `/dev/shm`, for this user alone, mapped whole. Who comes, goes, or takes a new slot locks it (`flock`),
//! so these happen one after the other; the kernel ends the lock of who dies. Nothing else is done under
//! it, and nobody waits for it longer than [`PATIENCE`].
//!
//! A file is only ever made and removed by who holds its lock, and never truncated: who has it mapped without taking
//! part in it any more keeps what it had. After the lock was given, the file may have been removed by the
//! one before; then it is opened anew.

use std::{
    ffi::CString,
    fs::{self, File, OpenOptions},
    io,
    os::{
        fd::AsRawFd,
        unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    },
    path::{Path, PathBuf},
    ptr::{self, NonNull},
    thread,
    time::{Duration, Instant},
};

const FOLDER: &str = "/dev/shm";
const MODE: u32 = 0o600;

/// Who holds the lock for longer is stopped, or no penstock.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_micros(200);

/// The names of this user's files in this namespace of processes begin so.
fn prefix(namespace: u64) -> String {
    // SAFETY: no arguments, cannot fail.
    let user = unsafe { libc::geteuid() };
    format!("penstock-{user}-{namespace:x}-")
}

/// `machine` is empty, or tells apart what shares nothing though it runs on one.
pub(super) fn path(namespace: u64, kind: &str, name: &str, machine: &str) -> PathBuf {
    let gap = if machine.is_empty() { "" } else { "~" };
    Path::new(FOLDER).join(format!("{}{kind}-{name}{gap}{machine}", prefix(namespace)))
}

/// The other files of this user and namespace.
pub(super) fn others(namespace: u64, but: &Path) -> Vec<PathBuf> {
    let prefix = prefix(namespace);
    let Ok(entries) = fs::read_dir(FOLDER) else {
        return Vec::new();
    };
    let is_ours = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with(&prefix);
    let entries = entries.filter_map(Result::ok).filter(is_ours);
    entries
        .map(|entry| entry.path())
        .filter(|path| path != but)
        .collect()
}

/// A file that is locked until this goes.
#[derive(Debug)]
pub(super) struct Locked<'a> {
    file: &'a File,
}

impl<'a> Locked<'a> {
    /// Waits for the lock.
    pub(super) fn wait(file: &'a File, path: &Path) -> io::Result<Self> {
        let start = Instant::now();
        loop {
            match Self::attempt(file) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                answer => return answer,
            }
            if start.elapsed() > PATIENCE {
                let message = format!("another process keeps {} locked", path.display());
                return Err(io::Error::new(io::ErrorKind::TimedOut, message));
            }
            thread::sleep(PAUSE);
        }
    }

    pub(super) fn attempt(file: &'a File) -> io::Result<Self> {
        // SAFETY: a plain system call on a descriptor that is open.
        if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { file })
    }

    /// Whether the file still has its name.
    pub(super) fn is_there(&self) -> io::Result<bool> {
        Ok(self.file.metadata()?.nlink() > 0)
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // Said, not left to closing: a forked child may have inherited the descriptor.
        // SAFETY: as above.
        unsafe { libc::flock(self.file.as_raw_fd(), libc::LOCK_UN) };
    }
}

/// The file of that path, made if there is none. Another user's, or one that others may open, is refused.
pub(super) fn open(path: &Path, may_make: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(MODE);
    options.custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC);
    let file = options
        .create(may_make)
        .open(path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
    let found = file.metadata()?;
    // SAFETY: no arguments, cannot fail.
    let user = unsafe { libc::geteuid() };
    if !found.is_file() || found.uid() != user || found.permissions().mode() & 0o077 != 0 {
        let message = format!("{} is not this user's alone", path.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
    }
    Ok(file)
}

/// Takes room for a range in the file system, so that a store into it cannot be a SIGBUS.
pub(super) fn reserve(file: &File, offset: usize, length: usize) -> io::Result<()> {
    loop {
        // SAFETY: a plain system call on a descriptor that is open.
        let answer = unsafe { libc::fallocate(file.as_raw_fd(), 0, offset as i64, length as i64) };
        if answer == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Removes the name of a file whose lock the caller holds.
pub(super) fn remove(path: &Path) {
    // A path without a zero byte, as it was opened; on failure the file stays, and the next to come removes it.
    if let Ok(path) = CString::new(path.as_os_str().as_encoded_bytes()) {
        // SAFETY: a C string that outlives the call.
        unsafe { libc::unlink(path.as_ptr()) };
    }
}

/// A file's content.
#[derive(Debug)]
pub(super) struct Mapping {
    base: NonNull<u8>,
    length: usize,
}

// SAFETY: plain memory that lives as long as the value; it is reached through atomics only.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    pub(super) fn new(file: &File, length: usize) -> io::Result<Self> {
        // SAFETY: a new mapping at an address of the kernel's choice; the answer is checked.
        let base = unsafe {
            libc::mmap(
                ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { base, length })
    }

    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// A pointer to `length` bytes at `offset`, if they lie inside.
    pub(super) fn at(&self, offset: usize, length: usize) -> Option<NonNull<u8>> {
        let end = offset.checked_add(length)?;
        if end > self.length {
            return None;
        }
        // SAFETY: `offset` is inside the mapping, as was just seen.
        Some(unsafe { self.base.add(offset) })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping was made in `new` with this base and length; whoever holds a pointer into it keeps
        // the value alive.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.length) };
    }
}

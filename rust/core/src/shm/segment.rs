//! A sealed memfd, mapped once.
//!
//! It has no name, so nothing is left behind when its last user dies, and it does not count
//! against the size of `/dev/shm`. Its length is fixed at creation and sealed; the file is
//! sparse, so length costs nothing until pages are touched. A sealed file cannot shrink under a
//! reader, which is what would turn a load into SIGBUS.
//!
//! Where the system has no memfd, or a sandbox forbids it, the file is one of [`named`], with the
//! weaker guarantees that are stated there. `PENSTOCK_SEGMENTS=named` takes that way at once,
//! `memfd` never.

use std::{
    ffi::{CStr, OsStr},
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    ptr::{self, NonNull},
};

use super::{
    headroom,
    layout::{AttachError, Content, HEADER_BYTES, Header},
    named,
};

const SEALS: libc::c_int = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;

/// The setting that chooses what segments are made of.
const CHOICE: &str = "PENSTOCK_SEGMENTS";

/// Pages are made in steps of so many bytes, and before each it is asked again whether there is
/// memory: of several processes that fill their segments at once, each can overshoot by one step.
const STEP: usize = 1 << 20;

/// See the module's head.
#[derive(Debug)]
pub struct Segment {
    fd: OwnedFd,
    base: NonNull<u8>,
    length: usize,
    /// A memfd; otherwise a file of a file system that may be full.
    is_sealed: bool,
}

// SAFETY: the mapping is plain memory that lives as long as the value; who touches which byte,
// and how, is the affair of the types built on it.
unsafe impl Send for Segment {}
// SAFETY: as above.
unsafe impl Sync for Segment {}

impl Segment {
    pub(super) fn create(
        name: &CStr,
        content: Content,
        length: usize,
        parameters: [u64; 3],
    ) -> io::Result<Self> {
        let (fd, is_sealed) = file_of(name, length)?;
        let segment = Self::map(fd, length, is_sealed)?;
        segment.reserve(0, HEADER_BYTES)?;
        let header = Header::new(content, length, parameters);
        // SAFETY: the mapping is at least a header long, page-aligned, and nobody else has it yet.
        unsafe { segment.base.cast::<Header>().write(header) };
        Ok(segment)
    }

    pub(super) fn attach(fd: OwnedFd, content: Content) -> Result<(Self, [u64; 3]), AttachError> {
        // SAFETY: `stat` is plain data that the call fills in.
        let mut stat: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: the descriptor is open and the pointer is to a live value.
        if unsafe { libc::fstat(fd.as_raw_fd(), &raw mut stat) } < 0 {
            return Err(io::Error::last_os_error().into());
        }
        let length = usize::try_from(stat.st_size).map_err(|_| AttachError::Damaged)?;
        if length < HEADER_BYTES {
            return Err(AttachError::Foreign);
        }
        // SAFETY: a plain system call; a descriptor without seals answers with an error.
        let seals = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GET_SEALS) };
        let is_sealed = seals >= 0 && seals & libc::F_SEAL_SHRINK != 0;
        if !is_sealed && !named::is_private(&fd, &stat) {
            return Err(AttachError::Unsealed);
        }
        let segment = Self::map(fd, length, is_sealed)?;
        // SAFETY: inside the mapping and aligned; a copy is taken, and only the copy is judged.
        let header = unsafe { segment.base.cast::<Header>().read_volatile() };
        let parameters = header.check(content, length)?;
        Ok((segment, parameters))
    }

    fn map(fd: OwnedFd, length: usize, is_sealed: bool) -> io::Result<Self> {
        // SAFETY: a new mapping at an address of the kernel's choice; the answer is checked.
        let base = unsafe {
            libc::mmap(
                ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_NORESERVE,
                fd.as_raw_fd(),
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self {
            fd,
            base,
            length,
            is_sealed,
        })
    }

    /// The descriptor, to hand to another process.
    pub fn fd(&self) -> BorrowedFd<'_> {
        use std::os::fd::AsFd;
        self.fd.as_fd()
    }

    /// Bytes in all.
    pub fn length(&self) -> usize {
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

    /// Takes the right to write from what lies behind `offset`, from the next page on.
    pub(super) fn protect(&self, offset: usize) -> io::Result<()> {
        // SAFETY: a plain question.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) }.max(1) as usize;
        let offset = offset.next_multiple_of(page);
        let Some(length) = self.length.checked_sub(offset) else {
            return Ok(());
        };
        let start = self.at(offset, length).ok_or(io::ErrorKind::InvalidInput)?;
        // SAFETY: the range lies in the mapping, from a page boundary to its end; who made it
        // writes nothing there.
        if unsafe { libc::mprotect(start.as_ptr().cast(), length, libc::PROT_READ) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// Makes sure that the pages of the range exist, so that a lack of memory is an error here
    /// and not a SIGBUS at a store, or the end of a process. On failure some may exist.
    pub(super) fn populate(&self, offset: usize, length: usize) -> io::Result<()> {
        if self.at(offset, length).is_none() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        for done in (0..length).step_by(STEP) {
            headroom::ask(length - done)?;
            let step = STEP.min(length - done);
            self.reserve(offset + done, step)?;
            self.touch(offset + done, step)?;
        }
        Ok(())
    }

    /// Takes room for the range in a file system that has little of it, so that a store cannot be
    /// a SIGBUS; a memfd needs nothing but memory. For what is written without being populated.
    pub(super) fn reserve(&self, offset: usize, length: usize) -> io::Result<()> {
        if self.is_sealed {
            return Ok(());
        }
        allocate(&self.fd, offset, length)
    }

    fn touch(&self, offset: usize, length: usize) -> io::Result<()> {
        let Some(start) = self.at(offset, length) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        // SAFETY: the range lies in the mapping; the advice changes no content.
        let answer =
            unsafe { libc::madvise(start.as_ptr().cast(), length, libc::MADV_POPULATE_WRITE) };
        if answer == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::EINVAL) {
            return Err(error);
        }
        // Before Linux 5.14 there is no such advice; allocating in the file comes close.
        allocate(&self.fd, offset, length)
    }

    /// Gives the pages of the range back to the system; they read as zero afterwards.
    pub(super) fn punch(&self, offset: usize, length: usize) {
        debug_assert!(self.at(offset, length).is_some());
        // SAFETY: a plain system call; on failure the pages stay, which costs memory only.
        unsafe {
            libc::fallocate(
                self.fd.as_raw_fd(),
                libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE,
                offset as i64,
                length as i64,
            )
        };
    }
}

/// A file of `length` zeroes as segments are made of, all of its pages there, and nothing of penstock's in it:
/// memory that several programs use as they agree. A lack of memory is an error here.
pub fn plain_memory(name: &CStr, length: usize) -> io::Result<OwnedFd> {
    let (fd, _) = file_of(name, length)?;
    for done in (0..length).step_by(STEP) {
        headroom::ask(length - done)?;
        allocate(&fd, done, STEP.min(length - done))?;
    }
    Ok(fd)
}

/// A new file of that length, sealed if it can be, and whether it is.
fn file_of(name: &CStr, length: usize) -> io::Result<(OwnedFd, bool)> {
    let too_long = || io::Error::new(io::ErrorKind::InvalidInput, "no file can be that long");
    let size = libc::off_t::try_from(length).map_err(|_| too_long())?;
    let (fd, is_sealed) = new_file(name)?;
    // SAFETY: plain system calls on a descriptor that is open.
    if unsafe { libc::ftruncate(fd.as_raw_fd(), size) } < 0
        || is_sealed
            // SAFETY: as above.
            && unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_ADD_SEALS, SEALS) } < 0
    {
        return Err(io::Error::last_os_error());
    }
    Ok((fd, is_sealed))
}

/// Takes the pages of a range of a file in memory.
fn allocate(fd: &OwnedFd, offset: usize, length: usize) -> io::Result<()> {
    loop {
        // SAFETY: a plain system call on a descriptor that is open.
        let answer = unsafe { libc::fallocate(fd.as_raw_fd(), 0, offset as i64, length as i64) };
        if answer == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// A new, empty file, and whether it can be sealed.
fn new_file(name: &CStr) -> io::Result<(OwnedFd, bool)> {
    let choice = std::env::var_os(CHOICE);
    let is_open = match choice.as_deref().map(OsStr::as_encoded_bytes) {
        None | Some(b"") => true,
        Some(b"memfd") => false,
        Some(b"named") => return Ok((named::open()?, false)),
        Some(_) => {
            let message = format!(
                "{CHOICE} is {:?}: it can be memfd or named",
                choice.unwrap_or_default()
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
    };
    // SAFETY: the name is a C string; a negative answer is handled.
    let fd =
        unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING) };
    if fd >= 0 {
        // SAFETY: the descriptor is new and owned by nobody else.
        return Ok((unsafe { OwnedFd::from_raw_fd(fd) }, true));
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::ENOSYS | libc::EPERM) if is_open => Ok((named::open()?, false)),
        _ => Err(error),
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        // SAFETY: the mapping was made in `map` with this base and length; whoever holds a
        // pointer into it keeps the segment alive.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.length) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shm::ArenaMap;
    use std::process::Command;

    #[test]
    fn two_mappings_see_the_same_bytes() {
        let one = Segment::create(c"penstock-test", Content::Arena, 1 << 16, [7, 8, 9]).unwrap();
        let fd = one.fd().try_clone_to_owned().unwrap();
        let (two, parameters) = Segment::attach(fd, Content::Arena).unwrap();
        assert_eq!(parameters, [7, 8, 9]);
        // SAFETY: inside both mappings, and this thread is alone with them.
        unsafe {
            one.at(5000, 1).unwrap().write(42);
            assert_eq!(two.at(5000, 1).unwrap().read(), 42);
        }
        assert!(one.at(1 << 16, 1).is_none());
        assert!(one.at(usize::MAX, 2).is_none());
    }

    #[test]
    fn foreign_and_unsealed_files_are_refused() {
        // SAFETY: plain system calls with answers that are checked by what follows.
        let fd = unsafe {
            let raw = libc::memfd_create(c"other".as_ptr(), libc::MFD_CLOEXEC);
            libc::ftruncate(raw, 1 << 16);
            OwnedFd::from_raw_fd(raw)
        };
        assert!(matches!(
            Segment::attach(fd, Content::Arena),
            Err(AttachError::Unsealed)
        ));
        let empty = tempfile_of_zeroes();
        assert!(matches!(
            Segment::attach(empty, Content::Arena),
            Err(AttachError::Foreign)
        ));
        let link = Segment::create(c"penstock-test", Content::Link, 1 << 16, [0; 3]).unwrap();
        let fd = link.fd().try_clone_to_owned().unwrap();
        assert!(matches!(
            Segment::attach(fd, Content::Arena),
            Err(AttachError::Damaged)
        ));
    }

    /// Set where the tests of this room are run once more, over files of `/dev/shm`.
    const AGAIN: &str = "PENSTOCK_TEST_AGAIN";

    #[test]
    fn the_choice_is_followed() {
        let segment = Segment::create(c"penstock-test", Content::Arena, 1 << 16, [0; 3]).unwrap();
        let is_named = std::env::var_os(CHOICE).is_some_and(|choice| choice == "named");
        assert_eq!(segment.is_sealed, !is_named);
        let fd = segment.fd().try_clone_to_owned().unwrap();
        let (other, _) = Segment::attach(fd, Content::Arena).unwrap();
        assert_eq!(other.is_sealed, !is_named);
        assert_eq!(is_named, std::env::var_os(AGAIN).is_some());
    }

    #[test]
    fn everything_here_holds_over_named_files() {
        if std::env::var_os(AGAIN).is_some() {
            return;
        }
        let output = Command::new(std::env::current_exe().unwrap())
            .arg("shm::")
            .env(AGAIN, "1")
            .env(CHOICE, "named")
            .output()
            .unwrap();
        let report = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{report}");
        assert!(report.contains("shm::segment::tests::the_choice_is_followed ... ok"));
    }

    #[test]
    fn an_unknown_choice_is_refused() {
        if std::env::var_os(AGAIN).is_some_and(|again| again == "2") {
            let error = ArenaMap::create(1).unwrap_err();
            assert_eq!(
                error.to_string(),
                r#"PENSTOCK_SEGMENTS is "nmaed": it can be memfd or named"#
            );
            return;
        }
        let output = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "shm::segment::tests::an_unknown_choice_is_refused",
            ])
            .env(AGAIN, "2")
            .env(CHOICE, "nmaed")
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stdout)
        );
    }

    #[test]
    fn a_system_without_memfd_has_files() {
        // SAFETY: the child takes the system call from itself, makes a segment and ends.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let made = forbid_memfd().and_then(|()| new_file(c"penstock-test"));
            let is_named = made.is_ok_and(|(_, is_sealed)| !is_sealed);
            // SAFETY: ends the child without the test runner's destructors.
            unsafe { libc::_exit(i32::from(is_named)) };
        }
        let mut status = 0;
        // SAFETY: `child` is ours, `status` writable.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!(libc::WEXITSTATUS(status), 1);
    }

    /// Lets `memfd_create` fail as a sandbox does.
    fn forbid_memfd() -> io::Result<()> {
        let step = |code: u32, jump_true, jump_false, value| libc::sock_filter {
            code: code as u16,
            jt: jump_true,
            jf: jump_false,
            k: value,
        };
        let (load, test, answer) = (
            libc::BPF_LD | libc::BPF_W | libc::BPF_ABS,
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            libc::BPF_RET | libc::BPF_K,
        );
        let mut filter = [
            step(load, 0, 0, 0), // the number of the system call
            step(test, 0, 1, libc::SYS_memfd_create as u32),
            step(answer, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
            step(answer, 0, 0, libc::SECCOMP_RET_ALLOW),
        ];
        let program = libc::sock_fprog {
            len: filter.len() as u16,
            filter: filter.as_mut_ptr(),
        };
        // SAFETY: the program outlives the call, which copies it.
        let answer = unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
                | libc::prctl(
                    libc::PR_SET_SECCOMP,
                    libc::SECCOMP_MODE_FILTER,
                    &raw const program,
                )
        };
        if answer < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    fn tempfile_of_zeroes() -> OwnedFd {
        // SAFETY: as above.
        unsafe {
            let raw = libc::memfd_create(
                c"zeroes".as_ptr(),
                libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING,
            );
            libc::ftruncate(raw, 1 << 16);
            libc::fcntl(raw, libc::F_ADD_SEALS, SEALS);
            OwnedFd::from_raw_fd(raw)
        }
    }
}

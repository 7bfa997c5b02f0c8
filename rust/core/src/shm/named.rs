//! A file for a segment where there is no memfd: one of `/dev/shm`, without a name.
//!
//! It is made without a name (`O_TMPFILE`), or with a random one that is taken away at once, so
//! nothing is left behind whoever dies. Two things are worse than with a memfd. It cannot be
//! sealed: that nobody shrinks it under its readers rests on nobody else being able to open it,
//! so what is accepted on attach has no name, belongs to this user, and is open to this user
//! alone. And it counts against the size of `/dev/shm`, 64 MB in many containers, beyond which a
//! store is a SIGBUS: so a segment allocates in it before it stores, which fails with an error.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::{OpenOptionsExt, PermissionsExt},
    },
    path::Path,
};

use crate::random_id;

const FOLDER: &str = "/dev/shm";
const MODE: u32 = 0o600;

/// A new, empty file.
pub(super) fn open() -> io::Result<OwnedFd> {
    let folder = Path::new(FOLDER);
    // The first fails where a file system has no such files; what is wrong otherwise, the second
    // says as well.
    let file = unnamed(folder).or_else(|_| unlinked(folder));
    let file = file.and_then(|file| {
        // The mode asked for above was cut by the umask.
        file.set_permissions(Permissions::from_mode(MODE))?;
        Ok(file)
    });
    file.map(OwnedFd::from)
        .map_err(|error| match error.raw_os_error() {
            // That is so wherever the file was to be.
            Some(libc::EMFILE | libc::ENFILE) => error,
            _ => io::Error::new(error.kind(), format!("no file in {FOLDER}: {error}")),
        })
}

fn unnamed(folder: &Path) -> io::Result<File> {
    // With O_EXCL it cannot be given a name later either.
    let flags = libc::O_TMPFILE | libc::O_EXCL;
    private().custom_flags(flags).open(folder)
}

fn unlinked(folder: &Path) -> io::Result<File> {
    let path = folder.join(format!("penstock-{:032x}", random_id::trace_id()));
    let file = private().create_new(true).open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(MODE);
    options
}

/// Whether a file is as [`open`] makes them: in memory, without a name, this user's alone.
pub(super) fn is_private(file: &OwnedFd, stat: &libc::stat) -> bool {
    // SAFETY: `statfs` is plain data that the call fills in.
    let mut system: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: the descriptor is open and the pointer is to a live value.
    let answer = unsafe { libc::fstatfs(file.as_raw_fd(), &raw mut system) };
    // SAFETY: no arguments, cannot fail.
    let user = unsafe { libc::geteuid() };
    answer == 0
        && system.f_type == libc::TMPFS_MAGIC
        && stat.st_mode == libc::S_IFREG | MODE
        && stat.st_nlink == 0
        && stat.st_uid == user
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    fn stat(file: &OwnedFd) -> libc::stat {
        // SAFETY: plain data that the call fills in, for a descriptor that is open.
        unsafe {
            let mut stat = std::mem::zeroed();
            assert_eq!(libc::fstat(file.as_raw_fd(), &raw mut stat), 0);
            stat
        }
    }

    fn is_accepted(file: File) -> bool {
        let file = OwnedFd::from(file);
        is_private(&file, &stat(&file))
    }

    #[test]
    fn both_ways_leave_no_name() {
        for make in [unnamed, unlinked] {
            let file = make(Path::new(FOLDER)).unwrap();
            assert_eq!(file.metadata().unwrap().nlink(), 0);
            assert!(is_accepted(file));
        }
        let file = open().unwrap();
        assert!(is_private(&file, &stat(&file)));
    }

    #[test]
    fn what_others_could_open_is_no_private_file() {
        let open_to_others = unnamed(Path::new(FOLDER)).unwrap();
        let mode = Permissions::from_mode(0o640);
        open_to_others.set_permissions(mode).unwrap();
        assert!(!is_accepted(open_to_others), "mode");

        let path = Path::new(FOLDER).join(format!("penstock-test-{:x}", random_id::span_id()));
        let named = private().create_new(true).open(&path).unwrap();
        let accepted = is_accepted(named);
        fs::remove_file(&path).unwrap();
        assert!(!accepted, "a name");

        // Of a file system that keeps its files, if there is one here.
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        if let Ok(kept) = unnamed(here) {
            assert!(!is_accepted(kept), "a disk");
        }
    }

    #[test]
    fn another_users_file_is_no_private_file() {
        let file = unnamed(Path::new(FOLDER)).unwrap();
        if std::os::unix::fs::fchown(&file, Some(65_534), None).is_err() {
            return; // only root gives files away
        }
        assert!(!is_accepted(file));
    }

    #[test]
    fn a_missing_folder_is_an_error_by_name() {
        let nowhere = Path::new("/nonexistent");
        assert!(unnamed(nowhere).is_err() && unlinked(nowhere).is_err());
    }
}

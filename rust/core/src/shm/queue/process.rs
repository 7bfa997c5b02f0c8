//! Which process this is, and whether another one is still there.

use std::{
    fs, io,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd},
        unix::fs::MetadataExt,
    },
};

use super::seats::Process;
use crate::{shm::door::pid_namespace, sync::Arc};

impl Process {
    /// The calling one.
    pub(crate) fn current() -> Self {
        // SAFETY: no arguments, cannot fail.
        let pid = unsafe { libc::getpid() } as u32;
        let started = Stat::of(pid).map_or(0, |stat| stat.started);
        Self { pid, started }
    }
}

/// What tells the namespaces in which this process has its number, and its start its time, from others;
/// 0 where that cannot be seen.
pub(crate) fn namespace() -> u64 {
    let times = fs::metadata("/proc/self/ns/time").map_or(0, |link| link.ino());
    pid_namespace() ^ times.rotate_left(32)
}

/// The fields of a process that matter here.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    is_zombie: bool,
    threads: u64,
    started: u64,
}

impl Stat {
    fn of(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The name may hold anything, brackets too; what counts comes behind the last one.
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.rsplit_once(')')?.1.split_ascii_whitespace();
        let state = fields.next()?;
        let threads = fields.nth(16)?.parse().ok()?;
        let started = fields.nth(1)?.parse().ok()?;
        Some(Self {
            is_zombie: matches!(state, "Z" | "X"),
            threads,
            started,
        })
    }
}

/// How a process is watched.
#[derive(Debug)]
pub(super) enum Watch {
    /// It is gone already.
    Gone,
    /// By a descriptor that becomes readable when it ends. The sentinel sleeps on it while others may end the watch.
    Descriptor(Arc<OwnedFd>),
    /// By looking at it from time to time: this system gives no such descriptors.
    Looks,
}

/// Begins to watch a process. `started` is 0 if it has not said yet when it began, then
/// `may_be` decides from what is known.
pub(super) fn watch(pid: u32, is_same: impl Fn(u64) -> bool) -> Watch {
    // SAFETY: no memory arguments; a negative answer is handled.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    if fd < 0 {
        return match io::Error::last_os_error().raw_os_error() {
            Some(libc::ESRCH | libc::EINVAL) => Watch::Gone,
            _ if is_gone_by_looks(pid, is_same) => Watch::Gone,
            _ => Watch::Looks,
        };
    }
    // SAFETY: the descriptor is new and owned by nobody else.
    let fd = unsafe { OwnedFd::from_raw_fd(fd as i32) };
    // The descriptor first, the comparison second: from here on its process stays the same one.
    match Stat::of(pid) {
        Some(stat) if !is_same(stat.started) => Watch::Gone,
        _ if has_ended(&fd) => Watch::Gone,
        _ => Watch::Descriptor(Arc::new(fd)),
    }
}

fn entry(fd: &OwnedFd) -> libc::pollfd {
    libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    }
}

/// Whether the process behind a descriptor has.
fn has_ended(fd: &OwnedFd) -> bool {
    let mut entry = entry(fd);
    // SAFETY: one entry, which outlives the call.
    unsafe { libc::poll(&raw mut entry, 1, 0) == 1 }
}

/// Which of those that are watched have, by one system call; `None` where it takes a look.
pub(super) fn ended<'a>(watches: impl Iterator<Item = &'a Watch>) -> Vec<Option<bool>> {
    let mut entries = Vec::new();
    let mut ended: Vec<_> = watches
        .map(|watch| match watch {
            Watch::Descriptor(fd) => {
                entries.push(entry(fd));
                Some(false)
            }
            Watch::Gone => Some(true),
            Watch::Looks => None,
        })
        .collect();
    if entries.is_empty() {
        return ended;
    }
    // SAFETY: as many entries, which outlive the call; one that fails leaves their answers as they are.
    unsafe { libc::poll(entries.as_mut_ptr(), entries.len() as libc::nfds_t, 0) };
    let mut answers = entries.iter().map(|entry| entry.revents != 0);
    for each in ended.iter_mut().filter(|each| **each == Some(false)) {
        *each = answers.next();
    }
    ended
}

/// Whether a process is gone, where it has to be looked at.
pub(crate) fn is_gone_by_looks(pid: u32, is_same: impl Fn(u64) -> bool) -> bool {
    match Stat::of(pid) {
        Some(stat) => !is_same(stat.started) || (stat.is_zombie && stat.threads <= 1),
        None => {
            // SAFETY: signal 0 is not delivered.
            let answer = unsafe { libc::kill(pid as i32, 0) };
            answer < 0 && io::Error::last_os_error().raw_os_error() == Some(libc::ESRCH)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_hides_nothing() {
        let line = "7 (a) Z (b) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 3 0 4711 1 1";
        let stat = Stat::parse(line).unwrap();
        assert_eq!(
            (stat.is_zombie, stat.threads, stat.started),
            (false, 3, 4711)
        );
        assert_eq!(Stat::parse("7 (x"), None);
    }

    #[test]
    fn a_process_is_seen_to_end_before_it_is_reaped() {
        let me = Process::current();
        assert!(me.started > 0 && namespace() > 0);
        let mine = |started| started == me.started;
        assert!(matches!(watch(me.pid, mine), Watch::Descriptor(_)));
        assert!(!is_gone_by_looks(me.pid, mine));
        assert!(matches!(watch(me.pid, |_| false), Watch::Gone), "another");
        // SAFETY: the child ends at once.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: as above.
            unsafe { libc::_exit(0) };
        }
        let pid = child as u32;
        while !is_gone_by_looks(pid, |_| true) {
            std::thread::yield_now();
        }
        assert!(matches!(watch(pid, |_| true), Watch::Gone), "a zombie");
        // SAFETY: `child` is ours.
        unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
        assert!(matches!(watch(pid, |_| true), Watch::Gone));
        assert!(is_gone_by_looks(pid, |_| true));
    }
}

//! How much memory a control group still grants, asked before fresh pages are touched.
//!
//! A page that is touched at the group's limit is not an error: the kernel ends a process of the
//! group for it, or raises SIGBUS. So whoever is about to populate pages asks here, and is refused
//! with [`io::ErrorKind::OutOfMemory`] and the numbers while there is still room for the refusal.
//! Pages of a memfd or a tmpfs file are "shmem": charged to the group of the process that touches
//! them first, whoever made the file, and counted neither as file cache nor as anything the kernel
//! could drop.
//!
//! The machine itself is asked, too: it has what `MemAvailable` says, and its free swap. A range larger than that would
//! end programs that have nothing to do with it.
//!
//! Best effort. Groups are those of versions 1 and 2 (also mixed), from this process's own up to
//! the highest that is mounted here; a limit that lies above what a container sees is not seen.
//! Nobody reserves anything: what others take between the answer and the touch is theirs, which is
//! what the margin is for, and why large ranges are asked for again as they are filled.
//!
//! What counts as free:
//!
//! - what is not in use, less a margin of a sixteenth of the limit, between 1 and 64 MiB;
//! - file cache on the LRU lists, clean and not being written: the kernel drops it before it ends
//!   anybody. A group that has read files stands at its limit all its life, so without this the
//!   answer would be no where there is plenty. All of it counts, the recently used part too: what
//!   that costs is reading it again. Of the kernel's reclaimable objects (version 2 counts them)
//!   half, as in the kernel's own `MemAvailable`;
//! - swap, where the machine has some and the group may use it: slow, but nobody is ended.
//!
//! Cost: 30 ns where no group has a limit. A look at one costs 12 µs, and grants small requests for
//! up to a MiB and 10 ms; the groups are looked for once a second and after a fork, 54 µs. A MiB of
//! fresh pages, given back again, costs 1.0 ms in the same run (`cargo test --release -p
//! penstock-core --lib headroom -- --ignored --nocapture`). No descriptor is kept in between: programs
//! that close all they have not opened would close it, and its number would be another file's.
//!
//! Guarantee: blocking, under a lock that a fork never finds taken.

use std::{
    fmt,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::OnceLock,
};

use crate::{clock, fork, fork_gate::Guarded};

mod mounts;

use mounts::{Mount, Version, membership};

/// How long the list of groups is good for: limits may be set, and processes moved, at any time.
const LOOK_AGAIN: u64 = 1_000_000_000;

const MARGIN_SHARE: u64 = 16;
const MARGIN_MIN: u64 = 1 << 20;
const MARGIN_MAX: u64 = 64 << 20;

/// After a look at the groups so much is granted without another, or a sixteenth of what is free
/// if that is less, and for so long: for small slabs, which cost less than a look.
const GRANT: u64 = 1 << 20;
const GRANT_SHARE: u64 = 16;
const GRANT_LASTS: u64 = 10_000_000;

/// One byte in so many goes to page tables and to the file's own index.
const BOOKKEEPING: u64 = 128;

/// Version 1 writes a number near 2⁶³ where nothing is limited.
const UNLIMITED: u64 = 1 << 60;

/// Refuses if `wanted` bytes of fresh pages would bring a group of this process to its limit.
pub(super) fn ask(wanted: usize) -> io::Result<()> {
    static HEADROOM: OnceLock<Guarded<Headroom>> = OnceLock::new();
    HEADROOM
        .get_or_init(|| Guarded::new(Headroom::below("/")))
        .lock()
        .ask(wanted as u64, clock::monotonic())
}

/// What this process knows of its groups.
struct Headroom {
    /// Where `proc` and the mounts are found; a folder of a test, or the root.
    root: PathBuf,
    /// Where hierarchies that may limit memory are mounted; looked for once.
    mounts: Option<Vec<Mount>>,
    groups: Vec<Group>,
    /// When `groups` is no longer good, and for which process it is.
    until: u64,
    owner: fork::Owner,
    /// Bytes that may be taken without a look, and until when.
    grant: u64,
    grant_until: u64,
}

impl Headroom {
    fn below(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            mounts: None,
            groups: Vec::new(),
            until: 0,
            owner: fork::Owner::current(),
            grant: 0,
            grant_until: 0,
        }
    }

    fn ask(&mut self, wanted: u64, now: u64) -> io::Result<()> {
        let is_here = self.owner.is_here();
        if wanted <= self.grant && now < self.grant_until && is_here {
            self.grant -= wanted;
            return Ok(());
        }
        if now >= self.until || !is_here {
            self.look();
            self.until = now.saturating_add(LOOK_AGAIN);
            self.owner = fork::Owner::current();
        }
        let left = self.after(wanted);
        let left = left.map_err(|refusal| io::Error::new(io::ErrorKind::OutOfMemory, refusal))?;
        self.grant = GRANT.min(left / GRANT_SHARE);
        self.grant_until = now.saturating_add(GRANT_LASTS);
        Ok(())
    }

    /// What all of them could still grant after `wanted` bytes.
    fn after(&self, wanted: u64) -> Result<u64, Refusal> {
        let groups = self.groups.iter().map(|group| group.after(wanted));
        let machine = std::iter::once_with(|| after_machine(&self.root, wanted));
        groups
            .chain(machine)
            .try_fold(u64::MAX, |left, after| Ok(left.min(after?)))
    }

    /// Finds the groups that have a limit. What cannot be read limits nothing.
    fn look(&mut self) {
        let root = &self.root;
        let mounts = self.mounts.get_or_insert_with(|| Mount::all(root));
        self.groups.clear();
        let Ok(list) = fs::read_to_string(root.join("proc/self/cgroup")) else {
            return;
        };
        for (version, path) in list.lines().filter_map(membership) {
            for folder in Mount::folders(mounts, version, path) {
                self.groups.extend(Group::limits(root, version, &folder));
            }
        }
    }
}

/// A limit of a group and what is used of it.
#[derive(Debug)]
struct Group {
    root: PathBuf,
    folder: PathBuf,
    version: Version,
    limit: &'static str,
    used: &'static str,
    /// Whether the limit is on memory and swap together, so that swapping makes no room.
    with_swap: bool,
}

impl Group {
    /// The limits that the group has; none is the rule.
    fn limits(root: &Path, version: Version, folder: &Path) -> impl Iterator<Item = Self> {
        let pairs: &[_] = match version {
            Version::One => &[
                ("memory.limit_in_bytes", "memory.usage_in_bytes", false),
                (
                    "memory.memsw.limit_in_bytes",
                    "memory.memsw.usage_in_bytes",
                    true,
                ),
            ],
            Version::Two => &[("memory.max", "memory.current", false)],
        };
        let group = move |(limit, used, with_swap)| Self {
            root: root.to_path_buf(),
            folder: folder.to_path_buf(),
            version,
            limit,
            used,
            with_swap,
        };
        let groups = pairs.iter().copied().map(group);
        groups.filter(|group| group.read(group.limit).is_some())
    }

    fn read(&self, name: &str) -> Option<u64> {
        number(&self.folder.join(name))
    }

    /// What could be taken after `wanted` bytes, the margin left alone.
    fn after(&self, wanted: u64) -> Result<u64, Refusal> {
        let (Some(limit), Some(used)) = (self.read(self.limit), self.read(self.used)) else {
            return Ok(u64::MAX); // the group is gone, or its limit
        };
        let (margin, needed) = needed(wanted, limit);
        let free = limit.saturating_sub(used);
        if let Some(left) = free.checked_sub(needed) {
            return Ok(left);
        }
        // Only now is it worth adding up the group's pages, which may take the kernel a while.
        let spare = self.reclaimable().min(used);
        let with_cache = (free + spare).checked_sub(needed);
        let left = with_cache.or_else(|| {
            (free + spare)
                .saturating_add(self.swap())
                .checked_sub(needed)
        });
        left.ok_or_else(|| Refusal {
            wanted,
            limit,
            used,
            spare,
            margin,
            group: Some(self.folder.clone()),
        })
    }

    /// Bytes in use that the kernel gives up before it ends anybody.
    fn reclaimable(&self) -> u64 {
        let stat = fs::read_to_string(self.folder.join("memory.stat")).unwrap_or_default();
        let [inactive, active, dirty, writeback, slab] = match self.version {
            Version::One => [
                "total_inactive_file",
                "total_active_file",
                "total_dirty",
                "total_writeback",
                "", // not told
            ],
            Version::Two => [
                "inactive_file",
                "active_file",
                "file_dirty",
                "file_writeback",
                "slab_reclaimable",
            ],
        }
        .map(|key| entry(&stat, key));
        let cache = inactive.saturating_add(active);
        let clean = cache.saturating_sub(dirty.saturating_add(writeback));
        clean.saturating_add(slab / 2)
    }

    /// Bytes in use that could go to swap.
    fn swap(&self) -> u64 {
        if self.with_swap {
            return 0;
        }
        let meminfo = fs::read_to_string(self.root.join("proc/meminfo")).unwrap_or_default();
        let free = entry(&meminfo, "SwapFree:").saturating_mul(1024);
        match self.version {
            Version::One if self.read("memory.swappiness") == Some(0) => 0,
            Version::One => free,
            // Without the second file the kernel has no swap to give.
            Version::Two => self.read("memory.swap.current").map_or(0, |used| {
                let limit = self.read("memory.swap.max").unwrap_or(u64::MAX);
                free.min(limit.saturating_sub(used))
            }),
        }
    }
}

/// The margin that is kept of a limit, and what must be free for so many bytes, that margin included.
fn needed(wanted: u64, limit: u64) -> (u64, u64) {
    let margin = (limit / MARGIN_SHARE).clamp(MARGIN_MIN, MARGIN_MAX);
    let needed = wanted.saturating_add(wanted / BOOKKEEPING + margin);
    (margin, needed)
}

/// What the machine could give after `wanted` bytes, the margin left alone.
fn after_machine(root: &Path, wanted: u64) -> Result<u64, Refusal> {
    let meminfo = fs::read_to_string(root.join("proc/meminfo")).unwrap_or_default();
    let bytes = |key| entry(&meminfo, key).saturating_mul(1024);
    let (limit, free) = (bytes("MemTotal:"), bytes("MemAvailable:"));
    if free == 0 {
        return Ok(u64::MAX); // not told
    }
    let (margin, needed) = needed(wanted, limit);
    let spare = bytes("SwapFree:");
    let left = free.saturating_add(spare).checked_sub(needed);
    left.ok_or_else(|| Refusal {
        wanted,
        limit,
        used: limit.saturating_sub(free),
        spare,
        margin,
        group: None,
    })
}

/// The number at the start of a file; None for `max`, for what is as good as that, or on failure.
fn number(path: &Path) -> Option<u64> {
    let mut text = [0; 24];
    let length = File::open(path).ok()?.read(&mut text).ok()?;
    let number = str::from_utf8(&text[..length]).ok()?.trim().parse().ok()?;
    (number < UNLIMITED).then_some(number)
}

/// The number behind `key` in a list of one entry a line; 0 if there is none.
fn entry(list: &str, key: &str) -> u64 {
    let mut values = list.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        (words.next()? == key).then(|| words.next()?.parse().ok())?
    });
    values.next_back().unwrap_or(0)
}

/// Why memory was refused.
#[derive(Debug)]
struct Refusal {
    wanted: u64,
    limit: u64,
    used: u64,
    spare: u64,
    margin: u64,
    /// None: the machine itself.
    group: Option<PathBuf>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            wanted,
            limit,
            used,
            spare,
            margin,
            group,
        } = self;
        if let Some(group) = group {
            return write!(
                f,
                "{wanted} bytes wanted, but the control group {} is limited to {limit} and uses {used} \
                 ({spare} of them could be given back, {margin} are kept free)",
                group.display(),
            );
        }
        write!(
            f,
            "{wanted} bytes wanted, but of the machine's {limit} are {used} in use and cannot be given back \
             (there are {spare} of swap, {margin} are kept free)",
        )
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests;

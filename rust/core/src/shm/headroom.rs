//! How much memory a control group still grants, asked before fresh pages are touched.
//!
//! A page that is touched at the group's limit is not an error: the kernel ends a process of the
//! group for it, or raises SIGBUS. So whoever is about to populate pages asks here, and is refused
//! with [`io::ErrorKind::OutOfMemory`] and the numbers while there is still room for the refusal.
//! Pages of a memfd or a tmpfs file are "shmem": charged to the group of the process that touches
//! them first, whoever made the file, and counted neither as file cache nor as anything the kernel
//! could drop.
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
        let mut left = u64::MAX;
        for group in &self.groups {
            let after = group.after(wanted);
            left = left
                .min(after.map_err(|refusal| io::Error::new(io::ErrorKind::OutOfMemory, refusal))?);
        }
        self.grant = GRANT.min(left / GRANT_SHARE);
        self.grant_until = now.saturating_add(GRANT_LASTS);
        Ok(())
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
        let margin = (limit / MARGIN_SHARE).clamp(MARGIN_MIN, MARGIN_MAX);
        let needed = wanted.saturating_add(wanted / BOOKKEEPING + margin);
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
            group: self.folder.clone(),
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
    group: PathBuf,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} bytes wanted, but the control group {} is limited to {} and uses {} \
             ({} of them could be given back, {} are kept free)",
            self.wanted,
            self.group.display(),
            self.limit,
            self.used,
            self.spare,
            self.margin,
        )
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    const ONE: &str = "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory";
    const TWO: &str = "41 31 0:38 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw";

    /// A folder that looks like the root of a machine; gone when dropped.
    struct Machine {
        root: PathBuf,
        headroom: Headroom,
        now: u64,
    }

    impl Machine {
        fn new(mounts: &str, groups: &str) -> Self {
            let name = format!("penstock-headroom-{:x}", crate::random_id::span_id());
            let root = std::env::temp_dir().join(name);
            let machine = Self {
                headroom: Headroom::below(&root),
                root,
                now: 0,
            };
            machine.write("proc/self/mountinfo", mounts);
            machine.write("proc/self/cgroup", groups);
            machine
        }

        fn write(&self, path: &str, text: impl fmt::Display) {
            let path = self.root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{text}\n")).unwrap();
        }

        fn one(&self, group: &str, limit: u64, used: u64) {
            let folder = format!("sys/fs/cgroup/memory/{group}");
            self.write(&format!("{folder}/memory.limit_in_bytes"), limit);
            self.write(&format!("{folder}/memory.usage_in_bytes"), used);
        }

        fn two(&self, group: &str, limit: impl fmt::Display, used: u64) {
            let folder = format!("sys/fs/cgroup/{group}");
            self.write(&format!("{folder}/memory.max"), limit);
            self.write(&format!("{folder}/memory.current"), used);
        }

        /// Whether so many MiB are granted, the groups looked for again.
        fn grants(&mut self, mib: u64) -> bool {
            self.now += LOOK_AGAIN;
            self.headroom.ask(mib * MIB, self.now).is_ok()
        }

        fn refusal(&mut self, mib: u64) -> String {
            let error = self.headroom.ask(mib * MIB, self.now).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
            error.to_string()
        }
    }

    impl Drop for Machine {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.root);
        }
    }

    #[test]
    fn a_limit_of_version_two() {
        let mut machine = Machine::new(TWO, "0::/app");
        machine.two("app", 64 * MIB, 40 * MIB);
        // 24 free, 4 of them kept, and what the pages' own administration takes.
        assert!(machine.grants(19));
        assert!(!machine.grants(20));
        let refusal = machine.refusal(20);
        for number in [20 * MIB, 64 * MIB, 40 * MIB, 4 * MIB] {
            assert!(refusal.contains(&number.to_string()), "{refusal}");
        }
        assert!(refusal.contains("sys/fs/cgroup/app"), "{refusal}");
        machine.two("app", "max", 40 * MIB);
        assert!(machine.grants(1 << 20));
    }

    #[test]
    fn a_limit_of_version_one() {
        let unlimited = 9_223_372_036_854_771_712;
        let mut machine = Machine::new(ONE, "9:name=systemd:/\n4:memory:/app\n0::/");
        machine.one("", unlimited, 900 * MIB);
        machine.one("app", 64 * MIB, 40 * MIB);
        assert!(machine.grants(19));
        assert!(!machine.grants(20));
        machine.one("app", unlimited, 40 * MIB);
        assert!(machine.grants(1 << 20));
    }

    #[test]
    fn both_versions_at_once() {
        let hybrid = TWO.replace("/sys/fs/cgroup", "/sys/fs/cgroup/unified");
        let mut machine = Machine::new(&format!("{ONE}\n{hybrid}"), "4:memory:/a\n0::/b");
        machine.one("a", 64 * MIB, 0);
        machine.two("unified/b", 32 * MIB, 0);
        assert!(machine.grants(29));
        assert!(!machine.grants(30));
        assert!(machine.refusal(30).contains("unified/b"));
        machine.two("unified/b", "max", 0);
        assert!(machine.grants(30));
        assert!(!machine.grants(64));
        assert!(machine.refusal(64).contains("memory/a"));
    }

    #[test]
    fn the_tightest_group_on_the_way_up_counts() {
        let mut machine = Machine::new(TWO, "0::/slice/pod/app");
        machine.two("slice/pod/app", "max", 0);
        machine.two("slice/pod", 64 * MIB, 50 * MIB);
        machine.two("slice", 1024 * MIB, 200 * MIB);
        assert!(machine.grants(9));
        assert!(!machine.grants(10));
        machine.two("slice", 1024 * MIB, 955 * MIB);
        assert!(machine.grants(4));
        assert!(!machine.grants(5));
        assert!(machine.refusal(5).contains("slice is limited"));
    }

    #[test]
    fn what_is_missing_limits_nothing() {
        for (mounts, groups) in [
            ("", ""),
            (TWO, ""),
            ("", "0::/a"),
            (TWO, "0::/a"),
            ("\0", ":"),
        ] {
            assert!(
                Machine::new(mounts, groups).grants(1 << 30),
                "{mounts} {groups}"
            );
        }
        let mut machine = Machine::new(TWO, "0::/app");
        machine.write("sys/fs/cgroup/app/memory.max", MIB);
        assert!(machine.grants(2), "no use is told");
        machine.two("app", MIB, 0);
        assert!(!machine.grants(2));
        for nonsense in ["", "-1", "many", "99999999999999999999999999"] {
            machine.two("app", nonsense, 0);
            assert!(machine.grants(2), "{nonsense}");
        }
        assert!(Headroom::below("/nonexistent").ask(u64::MAX, 0).is_ok());
    }

    #[test]
    fn no_number_is_too_large() {
        let mut machine = Machine::new(TWO, "0::/app");
        machine.two("app", UNLIMITED - 1, u64::MAX);
        assert!(
            machine.headroom.ask(0, 0).is_ok(),
            "as much use as that is none"
        );
        machine.two("app", UNLIMITED - 1, UNLIMITED - 1);
        machine.write(
            "sys/fs/cgroup/app/memory.stat",
            format!("inactive_file {}", u64::MAX),
        );
        assert!(machine.headroom.ask(u64::MAX, LOOK_AGAIN).is_err());
        machine.write("proc/meminfo", format!("SwapFree: {} kB", u64::MAX));
        assert!(machine.headroom.ask(u64::MAX, LOOK_AGAIN).is_err());
    }

    #[test]
    fn file_cache_is_as_good_as_free() {
        let mut machine = Machine::new(TWO, "0::/app");
        machine.two("app", 64 * MIB, 64 * MIB);
        assert!(!machine.grants(1));
        let stat = |inactive, active, dirty, slab| {
            format!(
                "anon 999999999\nfile 999999999\nshmem 999999999\nfile_dirty {}\ninactive_anon 9\n\
                 inactive_file {}\nactive_file {}\nslab_reclaimable {}\nfile_writeback {MIB}",
                dirty * MIB,
                inactive * MIB,
                active * MIB,
                slab * MIB,
            )
        };
        machine.write("sys/fs/cgroup/app/memory.stat", stat(20, 10, 1, 4));
        assert!(machine.grants(25), "20 + 10 - 1 - 1 + 4 / 2 - the margin");
        assert!(!machine.grants(26));
        machine.write("sys/fs/cgroup/app/memory.stat", stat(20, 10, 30, 0));
        assert!(!machine.grants(1));

        let mut machine = Machine::new(ONE, "4:memory:/app");
        machine.one("app", 64 * MIB, 64 * MIB);
        let stat = format!(
            "cache {0}\ninactive_file {0}\ntotal_cache {0}\ntotal_inactive_file {1}\n\
             total_active_file {1}\ntotal_dirty 0\ntotal_writeback 0",
            64 * MIB,
            10 * MIB
        );
        machine.write("sys/fs/cgroup/memory/app/memory.stat", stat);
        assert!(machine.grants(15));
        assert!(!machine.grants(16));
    }

    #[test]
    fn swap_is_room_as_far_as_the_group_may_use_it() {
        let meminfo = |mib| {
            format!(
                "MemTotal: 1 kB\nSwapTotal: 9 kB\nSwapFree: {} kB",
                mib * 1024
            )
        };
        let mut machine = Machine::new(TWO, "0::/app");
        machine.two("app", 64 * MIB, 64 * MIB);
        machine.write("proc/meminfo", meminfo(100));
        assert!(!machine.grants(1), "no swap for groups");
        machine.write("sys/fs/cgroup/app/memory.swap.current", 5 * MIB);
        machine.write("sys/fs/cgroup/app/memory.swap.max", 25 * MIB);
        assert!(machine.grants(15));
        assert!(!machine.grants(16));
        machine.write("sys/fs/cgroup/app/memory.swap.max", "max");
        assert!(machine.grants(95));
        machine.write("proc/meminfo", meminfo(0));
        assert!(!machine.grants(1));

        let mut machine = Machine::new(ONE, "4:memory:/app");
        machine.one("app", 64 * MIB, 64 * MIB);
        machine.write("proc/meminfo", meminfo(100));
        assert!(machine.grants(95));
        machine.write("sys/fs/cgroup/memory/app/memory.swappiness", 0);
        assert!(!machine.grants(1));
        machine.write("sys/fs/cgroup/memory/app/memory.swappiness", 60);
        machine.write(
            "sys/fs/cgroup/memory/app/memory.memsw.limit_in_bytes",
            96 * MIB,
        );
        machine.write(
            "sys/fs/cgroup/memory/app/memory.memsw.usage_in_bytes",
            70 * MIB,
        );
        assert!(machine.grants(19), "26 together, 6 kept");
        assert!(!machine.grants(20));
    }

    #[test]
    fn the_margin_grows_with_the_limit_within_bounds() {
        let mut machine = Machine::new(TWO, "0::/app");
        for (limit, most) in [(8, 6), (64, 59), (512, 476), (4096, 4000)] {
            machine.two("app", limit * MIB, 0);
            assert!(machine.grants(most), "{limit}");
            assert!(!machine.grants(most + 1), "{limit}");
        }
    }

    #[test]
    fn groups_are_looked_for_again() {
        let mut machine = Machine::new(TWO, "0::/app");
        machine.two("app", 64 * MIB, 0);
        machine.two("other", 8 * MIB, 0);
        assert!(machine.grants(50));
        machine.write("proc/self/cgroup", "0::/other");
        assert!(
            machine.headroom.ask(50 * MIB, machine.now).is_ok(),
            "not yet"
        );
        assert!(!machine.grants(50));
        // A limit that is known is read every time.
        machine.write("proc/self/cgroup", "0::/app");
        assert!(machine.grants(50));
        machine.two("app", 32 * MIB, 0);
        assert!(machine.headroom.ask(50 * MIB, machine.now).is_err());
        // A child may be in another group.
        machine.write("proc/self/cgroup", "0::/other");
        assert!(machine.headroom.ask(20 * MIB, machine.now).is_ok());
        for wanted in [20 * MIB, 4096] {
            machine.two("other", 8 * MIB, 8 * MIB);
            let mut ask = || machine.headroom.ask(wanted, machine.now).is_err();
            assert_eq!(in_a_child(|| u8::from(ask())), 1, "{wanted}");
        }
    }

    #[test]
    fn small_requests_are_granted_for_a_while_without_a_look() {
        const SMALL: u64 = 16 << 10;
        let mut machine = Machine::new(TWO, "0::/app");
        machine.two("app", 64 * MIB, 0);
        let small = |machine: &mut Machine, now| machine.headroom.ask(SMALL, now).is_ok();
        assert!(small(&mut machine, 0));
        machine.two("app", 64 * MIB, 64 * MIB);
        let granted = (0..1000).take_while(|_| small(&mut machine, 1)).count() as u64;
        assert_eq!(granted, GRANT / SMALL);
        machine.two("app", 64 * MIB, 0);
        assert!(small(&mut machine, 2));
        machine.two("app", 64 * MIB, 64 * MIB);
        assert!(small(&mut machine, 1 + GRANT_LASTS));
        assert!(!small(&mut machine, 2 + GRANT_LASTS));
        // Near the limit less is granted.
        machine.two("app", 64 * MIB, 59 * MIB);
        assert!(small(&mut machine, LOOK_AGAIN));
        machine.two("app", 64 * MIB, 64 * MIB);
        let granted = (0..1000)
            .take_while(|_| small(&mut machine, LOOK_AGAIN))
            .count();
        assert_eq!(granted, 3);
    }

    /// What `work` says in a forked child.
    fn in_a_child(work: impl FnOnce() -> u8) -> i32 {
        // SAFETY: the child does what is asked of it and ends, whatever happens.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let answer = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            // SAFETY: ends the child without the test runner's destructors.
            unsafe { libc::_exit(answer.unwrap_or(99).into()) };
        }
        let mut status = 0;
        // SAFETY: `child` is ours, `status` writable.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        libc::WEXITSTATUS(status)
    }

    #[test]
    #[ignore = "a measurement"]
    fn what_a_question_costs() {
        use crate::shm::{Segment, layout::Content};
        use std::{hint::black_box, io::Write};

        fn report(what: &str, mut call: impl FnMut()) {
            let rounds = 500;
            let times = (0..20).map(|_| {
                let start = clock::monotonic();
                (0..rounds).for_each(|_| call());
                (clock::monotonic() - start) / rounds
            });
            let best = times.min().unwrap();
            writeln!(io::stdout(), "{what}: {best} ns").unwrap();
        }

        report("a question here", || ask(1).unwrap());
        let mut here = Headroom::below("/");
        report("looking for groups here", || here.look());
        for name in [
            "memory/memory.usage_in_bytes",
            "system.slice/memory.current",
        ] {
            let path = Path::new("/sys/fs/cgroup").join(name);
            if path.exists() {
                let read = || black_box(number(&path));
                report(name, || _ = (read(), read()));
            }
        }
        let length = 64 << 20;
        let segment = Segment::create(c"penstock-test", Content::Arena, length, [0; 3]).unwrap();
        let mut offset = 0;
        report("a fresh MiB", || {
            segment.populate(offset, 1 << 20).unwrap();
            offset = (offset + (1 << 20)) % length;
            segment.punch(offset, 1 << 20);
        });
    }
}

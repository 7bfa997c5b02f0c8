//! Groups as they are mounted, in a folder that looks like the root of a machine.

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
fn the_machine_itself_is_a_bound() {
    let meminfo = |free, swap| {
        format!(
            "MemTotal: {} kB\nMemFree: 9 kB\nMemAvailable: {} kB\nSwapFree: {} kB",
            2048 << 10,
            free << 10,
            swap << 10
        )
    };
    let mut machine = Machine::new("", "");
    machine.write("proc/meminfo", meminfo(1024, 0));
    // 64 of them kept.
    assert!(machine.grants(952));
    assert!(!machine.grants(953));
    let refusal = machine.refusal(953);
    assert!(
        refusal.contains("the machine's 2147483648 are 1073741824 in use"),
        "{refusal}"
    );
    machine.write("proc/meminfo", meminfo(1024, 100));
    assert!(machine.grants(1051));
    assert!(!machine.grants(1052));
    assert!(!machine.grants(1 << 30));
    machine.write("proc/meminfo", "MemTotal: 1 kB");
    assert!(machine.grants(1 << 30), "what is not told limits nothing");
    // The tighter one counts.
    let mut machine = Machine::new(TWO, "0::/app");
    machine.two("app", 64 * MIB, 0);
    machine.write("proc/meminfo", meminfo(80, 0));
    assert!(machine.grants(15));
    assert!(!machine.grants(16));
    assert!(machine.refusal(16).contains("the machine"));
    machine.write("proc/meminfo", meminfo(70, 0));
    assert!(!machine.grants(60));
    assert!(machine.refusal(60).contains("group"), "which is told first");
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

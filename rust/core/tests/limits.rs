//! Arenas in a control group whose limit they reach, and on a file system that is full: an error,
//! and the process lives. Where no such group or file system can be made, there is no test.
#![cfg(not(penstock_loom))]

use std::{
    ffi::{CStr, CString},
    fs,
    io::{self, Write},
    os::unix::{
        ffi::OsStrExt,
        process::{CommandExt, ExitStatusExt},
    },
    path::{Path, PathBuf},
    process::{Command, Output},
    ptr,
    sync::Arc,
};

use penstock_core::shm::{Arena, ArenaError, ArenaMap, OwnedSlab, Port};

const MIB: usize = 1 << 20;

/// Set in a process that a test has started to be its inside.
const INSIDE: &str = "PENSTOCK_TEST_INSIDE";

/// A control group of our own with a limit; gone when dropped.
struct Group(PathBuf);

impl Group {
    fn new(name: &str, limit: usize) -> Option<Self> {
        let name = format!("penstock-test-{}-{name}", std::process::id());
        [
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            ("/sys/fs/cgroup", "memory.max"),
        ]
        .iter()
        .find_map(|(top, file)| {
            let folder = Path::new(top).join(&name);
            fs::create_dir(&folder).ok()?;
            let group = Self(folder);
            // Where memory is not this hierarchy's, there is no such file.
            let mut file = fs::OpenOptions::new()
                .write(true)
                .open(group.0.join(file))
                .ok()?;
            file.write_all(limit.to_string().as_bytes()).ok()?;
            Some(group)
        })
    }

    /// Runs the test of that name once more, in a process of this group.
    fn run(&self, test: &str) -> Output {
        let members = fs::OpenOptions::new()
            .write(true)
            .open(self.0.join("cgroup.procs"))
            .unwrap();
        let mut command = again(test);
        // SAFETY: between fork and exec there is one write, which is safe there.
        unsafe { command.pre_exec(move || (&members).write_all(b"0")) };
        command.output().unwrap()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A moment may pass until the last member is really out.
        for _ in 0..1000 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::yield_now();
        }
    }
}

fn again(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1");
    command
}

fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

#[track_caller]
fn assert_well(output: &Output) {
    assert!(
        output.status.success(),
        "signal {:?}: {}{}",
        output.status.signal(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Slabs until there is no more, and why not.
fn fill(arena: &Arc<Arena>, slab: usize) -> (Vec<OwnedSlab>, String) {
    let mut slabs = Vec::new();
    loop {
        match arena.allocate(slab) {
            Ok(slab) => {
                let (at, length) = slab.content();
                // SAFETY: the slab is ours and that long.
                unsafe { at.write_bytes(0xA5, length) };
                slabs.push(slab);
            }
            Err(ArenaError::Memory(error)) => return (slabs, error.to_string()),
            Err(other) => panic!("{other}"),
        }
    }
}

fn arena() -> Arc<Arena> {
    Arena::new(Arc::new(ArenaMap::create(1 << 30).unwrap()))
}

#[test]
fn an_arena_stops_before_the_groups_limit() {
    if !is_inside() {
        if let Some(group) = Group::new("stops", 64 * MIB) {
            assert_well(&group.run("an_arena_stops_before_the_groups_limit"));
        }
        return;
    }
    let arena = arena();
    // What one round leaves idle is no loss to the next.
    for slab in [20 << 10, 300 << 10, 8 * MIB, 20 << 10] {
        let (slabs, why) = fill(&arena, slab);
        assert!(why.contains("is limited to 67108864"), "{why}");
        let held = arena.usage().held;
        assert!(slabs.len() * slab > 35 * MIB, "{held} of slabs of {slab}");
        // Nothing of what was refused is there.
        assert_eq!(arena.usage().resident, held);
    }
    drop(arena);
    let arena = self::arena();
    let too_much = arena.allocate(512 * MIB).err().unwrap().to_string();
    assert!(too_much.contains("536870912 bytes wanted"), "{too_much}");
    assert_eq!(arena.usage().resident, 0);
    assert!(arena.allocate(32 * MIB).is_ok());
}

#[test]
fn a_group_full_of_file_cache_is_not_full() {
    if !is_inside() {
        if let Some(group) = Group::new("cache", 64 * MIB) {
            assert_well(&group.run("a_group_full_of_file_cache_is_not_full"));
        }
        return;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    if system(folder).f_type == libc::TMPFS_MAGIC {
        return; // its files are memory themselves
    }
    let path = folder.join(format!("penstock-cache-{}", std::process::id()));
    let mut file = fs::File::create(&path).unwrap();
    for _ in 0..100 {
        file.write_all(&vec![7; MIB]).unwrap();
    }
    file.sync_all().unwrap();
    let read = io::copy(&mut fs::File::open(&path).unwrap(), &mut io::sink());
    fs::remove_file(&path).unwrap();
    assert_eq!(read.unwrap(), 100 << 20);
    assert!(arena().allocate(40 * MIB).is_ok());
    drop(file);
}

#[test]
fn several_that_fill_at_once_all_live() {
    const FILLERS: usize = 4;
    if !is_inside() {
        if let Some(group) = Group::new("several", 96 * MIB) {
            assert_well(&group.run("several_that_fill_at_once_all_live"));
        }
        return;
    }
    let children: Vec<_> = (0..FILLERS)
        .map(|_| {
            // SAFETY: the child fills an arena and ends.
            let child = unsafe { libc::fork() };
            if child == 0 {
                for _ in 0..10 {
                    let _ = arena().allocate(60 * MIB);
                }
                // SAFETY: ends the child without the test runner's destructors.
                unsafe { libc::_exit(7) };
            }
            child
        })
        .collect();
    for child in children {
        let mut status = 0;
        // SAFETY: `child` is ours, `status` writable.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert!(libc::WIFEXITED(status), "signal {}", libc::WTERMSIG(status));
        assert_eq!(libc::WEXITSTATUS(status), 7);
    }
}

/// Runs the test of that name once more, where `/dev/shm` is a file system of that size.
fn with_small_shm(test: &str, options: &CStr) -> Option<Output> {
    let mut command = again(test);
    command.env("PENSTOCK_SEGMENTS", "named");
    let options = options.to_owned();
    // SAFETY: between fork and exec there are three system calls, which are safe there. They
    // change what this child sees and nothing else.
    unsafe {
        command.pre_exec(move || {
            let (none, shm, tmpfs) = (ptr::null(), c"/dev/shm".as_ptr(), c"tmpfs".as_ptr());
            let private = libc::MS_REC | libc::MS_PRIVATE;
            let options = options.as_ptr().cast();
            if libc::unshare(libc::CLONE_NEWNS) < 0
                || libc::mount(none, c"/".as_ptr(), none, private, none.cast()) < 0
                || libc::mount(tmpfs, shm, tmpfs, 0, options) < 0
            {
                return Err(io::Error::last_os_error());
            }
            Ok(())
        });
    }
    match command.output() {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => None,
        output => Some(output.unwrap()),
    }
}

#[test]
fn a_full_file_system_is_an_error_and_no_bus_error() {
    if !is_inside() {
        let test = "a_full_file_system_is_an_error_and_no_bus_error";
        if let Some(output) = with_small_shm(test, c"size=2m") {
            assert_well(&output);
        }
        return;
    }
    let arena = arena();
    let before = space();
    assert!(before < 2 * MIB);
    let (slabs, why) = fill(&arena, 16 << 10);
    assert!(why.contains("No space left"), "{why}");
    assert_eq!(slabs.len(), before / (16 << 10));
    drop(slabs);
    assert!(arena.allocate(MIB).is_ok());
    drop(arena);

    // What is written without a slab is room taken when a segment is made.
    let arena = self::arena();
    let rest = space();
    for free in (0..rest).step_by(4096) {
        fs::write("/dev/shm/rest", vec![7; rest - free]).unwrap();
        if let Ok((port, end)) = Port::create(&arena, MIB) {
            let (worker, own) = Port::attach(end, 7).unwrap();
            assert!(free > 500 << 10, "lanes and table are larger than {free}");
            drop((port, worker, own));
            break;
        }
    }
    fs::remove_file("/dev/shm/rest").unwrap();
    drop(arena);

    let arena = self::arena();
    let (slabs, why) = fill(&arena, 300 << 10);
    assert!(why.contains("No space left"), "{why}");
    assert!(slabs.len() > 3);
    assert_eq!(arena.usage().resident, arena.usage().held);
    drop((arena, slabs));
    let arena = self::arena();
    assert!(arena.allocate(8 * MIB).is_err());
    assert_eq!(space(), before, "what it had got by then is given back");
}

/// Bytes that are free in `/dev/shm`.
fn space() -> usize {
    let system = system(Path::new("/dev/shm"));
    (system.f_bfree * system.f_bsize as u64) as usize
}

fn system(folder: &Path) -> libc::statfs {
    let path = CString::new(folder.as_os_str().as_bytes()).unwrap();
    // SAFETY: plain data that the call fills in; the path is a C string.
    unsafe {
        let mut system: libc::statfs = std::mem::zeroed();
        assert_eq!(libc::statfs(path.as_ptr(), &raw mut system), 0);
        system
    }
}

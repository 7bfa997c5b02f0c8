//! The files in which states are shared: who may, what is left, what damage does.
#![cfg(not(any(penstock_loom, penstock_shuttle)))]

mod forked;
mod states;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    ptr,
    sync::atomic::{AtomicU64, Ordering},
};

use forked::{Child, Ledger};
use penstock_core::{
    clock,
    resilience::{
        breaker::Breaker,
        definition::Definition,
        ledger::Ledger as Permits,
        rate::Rate,
        table::{Table, TableError},
    },
};
use states::{ask, handle, open, say, unique, wait};

#[test]
fn another_definition_is_refused_by_name_while_somebody_takes_part() {
    let name = unique("definition");
    let first = handle::<Breaker>(&name);
    let definition = Definition::new([("test", "2".to_owned())]);
    let Err(TableError::Conflict {
        differences, pids, ..
    }) = Table::<Breaker>::join(&name, &definition).map(|_| ())
    else {
        panic!("two definitions of one breaker");
    };
    assert_eq!(differences, "test=2 here, 1 there");
    assert_eq!(pids, [std::process::id()]);
    first.home().leave();
    drop(first);
    let second = Table::<Breaker>::join(&name, &definition).unwrap();
    assert!(second.path().exists());
}

#[test]
fn the_last_one_removes_it_and_a_killed_one_is_found_out() {
    let name = unique("last");
    let first = handle::<Permits>(&name);
    let path = Table::<Permits>::join(&name, first.home().definition())
        .unwrap()
        .path()
        .to_owned();
    assert!(path.exists(), "one is left");
    drop(first);
    assert!(!path.exists());

    let board = Ledger::new();
    let child = Child::run(|| {
        let permits = handle::<Permits>(&name);
        let here = permits.here().unwrap();
        assert!(here.state().acquire(1, 0, here.me(), 0, here).is_some());
        board.add(0, 1);
        wait(&board, 1, 1);
    });
    wait(&board, 0, 1);
    child.kill();
    // Whoever makes another table removes it; nobody could before, unless another test did so.
    let other = handle::<Rate>(&unique("other"));
    assert!(!path.exists());
    drop(other);
}

#[test]
fn a_state_does_not_outlive_all_that_made_it() {
    let name = unique("stale");
    let board = Ledger::new();
    let child = Child::run(|| {
        let breaker = handle::<Breaker>(&name);
        open(&breaker);
        board.add(0, 1);
        wait(&board, 1, 1);
    });
    wait(&board, 0, 1);
    let witness = handle::<Breaker>(&name);
    assert!(ask(&witness, 0).is_none(), "it is open");
    drop(witness);
    child.kill();
    assert!(ask(&handle::<Breaker>(&name), 0).is_some(), "a new one");
}

#[test]
fn damaged_files_are_refused_and_unfinished_ones_replaced() {
    let name = unique("damaged");
    let table = Table::<Rate>::join(&name, &Definition::new([("a", "1".to_owned())])).unwrap();
    let path: PathBuf = table.path().to_owned();
    let definition = Definition::new([("a", "1".to_owned())]);
    let sound = fs::read(&path).unwrap();
    drop(table);
    for (at, what) in [
        (0, "magic"),
        (8, "version"),
        (12, "kind"),
        (16, "length"),
        (24, "size"),
        (32, "text"),
        (40, "digest"),
        (48, "checksum"),
        (128, "definition"),
    ] {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x55;
        write_private(&path, &bytes);
        let refused = Table::<Rate>::join(&name, &definition).map(|_| ());
        assert!(
            matches!(
                refused,
                Err(TableError::Damaged { .. } | TableError::Version { .. })
            ),
            "{what}: {refused:?}"
        );
    }
    write_private(&path, &sound[..100]);
    assert!(matches!(
        Table::<Rate>::join(&name, &definition),
        Err(TableError::Damaged { .. })
    ));
    write_private(&path, &vec![0; sound.len()]);
    let table = Table::<Rate>::join(&name, &definition).unwrap();
    assert_eq!(table.members(), [std::process::id()]);
}

#[test]
fn whatever_the_words_hold_nothing_breaks() {
    let name = unique("hostile");
    let breaker = handle::<Breaker>(&name);
    let permits = handle::<Permits>(&name);
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..2_000 {
        scribble(breaker.here().unwrap().state(), &mut seed);
        scribble(permits.here().unwrap().state(), &mut seed);
        for now in [0, clock::monotonic(), 1 << 58] {
            if let Some(permit) = ask(&breaker, now) {
                say(&breaker, permit, Some(seed & 1 == 0), now);
            }
            let here = permits.here().unwrap();
            if let Some(seat) = here.state().acquire(1024, 0, here.me(), now, here) {
                assert!(here.state().release(seat, here.me()));
            }
        }
    }
}

fn scribble<T>(state: &T, seed: &mut u64) {
    let words = std::mem::size_of::<T>() / 8;
    let at = ptr::from_ref(state).cast::<AtomicU64>();
    for number in 0..words {
        *seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        // SAFETY: inside the state, which is atomic words only.
        unsafe { (*at.add(number)).store(*seed ^ *seed >> 29, Ordering::Relaxed) };
    }
}

/// At once: what is empty for a moment could be taken for what a dead process left.
fn write_private(path: &Path, bytes: &[u8]) {
    let new = Path::new("/dev/shm").join(unique("new"));
    fs::write(&new, bytes).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(&new, path).unwrap();
}

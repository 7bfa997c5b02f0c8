//! Room that is claimed, written to, and committed or abandoned.

use std::{ptr, thread};

use penstock_capi::*;
use penstock_core::shm::queue::{Batch, Settings};

mod caller;

use caller::{AT_ONCE, KIB, attach, both, claim, commit, commit_many, core, fill, taken, told};

#[test]
fn a_claim_is_sent_as_it_was_written_whatever_its_size() {
    let (core, queue) = both(256 * KIB);
    for length in [0, 1, 64, 16 * KIB, 16 * KIB + 1, 200 * KIB] {
        let (code, mut claimed) = claim(queue, length);
        assert_eq!(code, Code::Ok);
        assert_eq!(claimed.length, length);
        assert_eq!(claimed.bytes.addr() % 16, 0);
        fill(&claimed, 5);
        let copy = claimed;
        assert_eq!(commit(queue, &mut claimed, AT_ONCE), Code::Ok);
        assert!(claimed.bytes.is_null() && claimed.token == 0);
        assert_eq!(taken(&core, 1), [(0, vec![5; length])]);
        assert_eq!(commit(queue, &mut copy.clone(), AT_ONCE), Code::BadClaim);
        // SAFETY: the place is there.
        let code = unsafe { penstock_abandon(queue, &mut copy.clone()) };
        assert_eq!(code, Code::BadClaim);
    }
}

/// What this process has mapped where the address points to.
fn mapping(at: usize) -> String {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let contains = |line: &&str| {
        let (from, to) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
        let number = |text| usize::from_str_radix(text, 16).unwrap();
        (number(from)..number(to)).contains(&at)
    };
    maps.lines().find(contains).unwrap().to_owned()
}

#[test]
fn a_long_claim_lies_in_shared_memory_and_is_not_copied() {
    let (core, queue) = both(4096 * KIB);
    let (_, short) = claim(queue, 16 * KIB);
    assert!(!mapping(short.bytes.addr()).contains("memfd:penstock"));
    let (_, mut claimed) = claim(queue, 1024 * KIB);
    let at = claimed.bytes.cast::<u8>();
    assert!(
        mapping(at.addr()).contains("memfd:penstock"),
        "{}",
        mapping(at.addr())
    );
    fill(&claimed, 1);
    assert_eq!(core.statistics().unwrap().bytes, 0);
    assert_eq!(commit(queue, &mut claimed, AT_ONCE), Code::Ok);
    let mut batch = Batch::new();
    core.take(1, usize::MAX, &mut batch).unwrap();
    let stream = batch.pop().unwrap().stream.unwrap();
    // The same memory, mapped by the other handle.
    // SAFETY: both are mapped and held; the record is taken, so that nobody else looks at it.
    unsafe {
        at.write(9);
        assert_eq!(stream.content().0.as_ptr().read(), 9);
    }
}

#[test]
fn a_claim_may_be_shortened_and_never_lengthened() {
    let (core, queue) = both(64 * KIB);
    for length in [64, 20 * KIB] {
        let (_, mut claimed) = claim(queue, length);
        fill(&claimed, 5);
        claimed.length = length + 1;
        assert_eq!(commit(queue, &mut claimed, AT_ONCE), Code::BadArgument);
        assert!(
            told().contains(&format!("{length} bytes were claimed")),
            "{}",
            told()
        );
        claimed.length = length - 3;
        assert_eq!(commit(queue, &mut claimed, AT_ONCE), Code::Ok);
        assert_eq!(taken(&core, 1), [(0, vec![5; length - 3])]);
    }
}

#[test]
fn claims_are_committed_together_in_the_order_given() {
    let (core, queue) = both(64 * KIB);
    let lengths = [8, 20 * KIB, 8, 0, 64];
    let mut claims: Vec<Claimed> = lengths
        .iter()
        .map(|&length| claim(queue, length).1)
        .collect();
    for (byte, claimed) in claims.iter().enumerate() {
        fill(claimed, byte as u8);
    }
    let twice = [claims[0], claims[0]];
    assert_eq!(
        commit_many(queue, &mut twice.clone(), AT_ONCE),
        (Code::BadClaim, 0)
    );
    assert_eq!(taken(&core, 9), []);
    claims.swap(0, 4);
    assert_eq!(commit_many(queue, &mut claims, AT_ONCE), (Code::Ok, 5));
    let items = taken(&core, 9);
    let shapes: Vec<_> = items
        .iter()
        .map(|(_, it)| (it.len(), it.first().copied()))
        .collect();
    let wanted = [
        (64, Some(4)),
        (20 * KIB, Some(1)),
        (8, Some(2)),
        (0, None),
        (8, Some(0)),
    ];
    assert_eq!(shapes, wanted);
    assert_eq!(
        commit_many(queue, &mut claims, AT_ONCE),
        (Code::BadClaim, 0)
    );
    assert_eq!(commit_many(queue, &mut [], AT_ONCE), (Code::Ok, 0));
}

#[test]
fn claims_that_find_no_room_stay_claims() {
    let (core, queue) = both(16 * KIB);
    let mut claims: Vec<Claimed> = (0..40).map(|_| claim(queue, KIB).1).collect();
    claims.iter().for_each(|claimed| fill(claimed, 3));
    let (code, done) = commit_many(queue, &mut claims, AT_ONCE);
    assert_eq!(code, Code::Full);
    assert!((14..40).contains(&done), "{done}");
    assert!(claims[..done].iter().all(|claimed| claimed.token == 0));
    let mut rest = claims[done];
    assert_eq!(commit(queue, &mut rest, AT_ONCE), Code::Full);
    assert_eq!(taken(&core, 99).len(), done);
    assert_eq!(commit(queue, &mut rest, AT_ONCE), Code::Ok);
    // SAFETY: the place is there.
    let code = unsafe { penstock_abandon(queue, &raw mut claims[done + 1]) };
    assert_eq!(code, Code::Ok);
    assert_eq!(
        commit(queue, &mut claims[done + 1], AT_ONCE),
        Code::BadClaim
    );
}

#[test]
fn a_claim_is_its_threads_and_its_handles() {
    let (core, queue) = both(64 * KIB);
    let other = attach(&core);
    for length in [64, 20 * KIB] {
        let (_, mut claimed) = claim(queue, length);
        assert_eq!(commit(other, &mut claimed, AT_ONCE), Code::BadClaim);
        let (bytes, number) = (claimed.bytes.addr(), queue.addr());
        thread::spawn(move || {
            let bytes = ptr::without_provenance_mut(bytes);
            let mut claimed = Claimed {
                bytes,
                ..claimed_with(length, 1 << 32 | 1)
            };
            let queue = ptr::without_provenance::<Opaque>(number);
            let own = claim(queue, length).1;
            assert_eq!(own.token, claimed.token, "threads count alike");
            assert_eq!(commit(queue, &mut claimed, AT_ONCE), Code::BadClaim);
        })
        .join()
        .unwrap();
        assert_eq!(commit(queue, &mut claimed, AT_ONCE), Code::Ok);
    }
    assert_eq!(taken(&core, 9).len(), 2);
}

const fn claimed_with(length: usize, token: u64) -> Claimed {
    Claimed {
        bytes: ptr::null_mut(),
        length,
        token,
    }
}

#[test]
fn arenas_that_are_full_cost_a_copy_and_nothing_else() {
    let mut settings = Settings::new(64 * KIB);
    settings.arena_bytes = 64 * KIB;
    let core = core(settings);
    let queue = attach(&core);
    let mut claims: Vec<Claimed> = (0..4).map(|_| claim(queue, 32 * KIB).1).collect();
    for (byte, claimed) in claims.iter().enumerate() {
        fill(claimed, byte as u8);
    }
    for (byte, claimed) in claims.iter_mut().enumerate() {
        assert_eq!(
            commit(queue, claimed, AT_ONCE),
            Code::Ok,
            "{byte}: {}",
            told()
        );
        assert_eq!(taken(&core, 1), [(0, vec![byte as u8; 32 * KIB])]);
    }
}

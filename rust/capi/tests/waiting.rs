//! Threads of a C program that wait, and what ends their waiting.

use std::{ptr, thread};

use penstock_capi::*;
use penstock_core::shm::queue::Settings;

mod caller;

use caller::{
    AT_ONCE, KIB, PATIENCE, attach, both, claim, commit, commit_many, core, put, receive,
    receive_many, send, taken, told,
};

#[test]
fn times_that_are_up_change_nothing() {
    let mut settings = Settings::new(64 * KIB);
    settings.max_items = Some(1);
    let core = core(settings);
    let queue = attach(&core);
    assert_eq!(receive(queue, 8, 1).0, Code::Empty);
    assert_eq!(penstock_wait(queue, 0, 1), Code::Empty);
    assert_eq!(penstock_wait(queue, 1, AT_ONCE), Code::Ok);
    assert_eq!(send(queue, b"a", 1), Code::Ok);
    assert_eq!(penstock_wait(queue, 0, AT_ONCE), Code::Ok);
    assert_eq!(penstock_wait(queue, 1, 1), Code::Full);
    assert_eq!(send(queue, b"b", 1), Code::Full);
    assert!(told().starts_with("there was no room"));
    let (_, mut claimed) = claim(queue, 1);
    assert_eq!(commit(queue, &mut claimed, 1), Code::Full);
    assert_eq!(taken(&core, 9), [(0, b"a".to_vec())]);
    assert_eq!(commit(queue, &mut claimed, 1), Code::Ok);
}

#[test]
fn sleepers_are_woken_by_what_comes_and_by_what_goes() {
    let mut settings = Settings::new(64 * KIB);
    settings.max_items = Some(2);
    let core = core(settings);
    let number = attach(&core).addr();
    let queue = move || ptr::without_provenance::<Opaque>(number);
    let figures = |side: fn(&penstock_core::shm::queue::Statistics) -> usize| {
        while side(&core.statistics().unwrap()) == 0 {
            thread::yield_now();
        }
    };
    let taker = thread::spawn(move || receive(queue(), 8, PATIENCE));
    figures(|it| it.getters);
    put(&core, 0, b"woken", &[]);
    assert_eq!(taker.join().unwrap().2, b"woken");
    let sender = thread::spawn(move || [1, 2, 3, 4].map(|it| send(queue(), &[it], PATIENCE)));
    figures(|it| it.putters);
    let mut got = Vec::new();
    while got.len() < 4 {
        got.extend(taken(&core, 9).into_iter().flat_map(|it| it.1));
    }
    assert_eq!(got, [1, 2, 3, 4]);
    assert_eq!(sender.join().unwrap(), [Code::Ok; 4]);
}

#[test]
fn closing_ends_waits_and_shutting_down_does_for_all() {
    let (core, queue) = both(64 * KIB);
    let number = queue.addr();
    let at = move || ptr::without_provenance::<Opaque>(number);
    let until_parked = || {
        while core.statistics().unwrap().getters == 0 {
            thread::yield_now();
        }
    };
    let taker = thread::spawn(move || receive(at(), 8, PATIENCE).0);
    until_parked();
    assert_eq!(penstock_close(queue), Code::Ok);
    assert_eq!(taker.join().unwrap(), Code::Closed);
    for code in [
        send(queue, b"x", AT_ONCE),
        receive(queue, 8, AT_ONCE).0,
        claim(queue, 8).0,
        penstock_wait(queue, 0, AT_ONCE),
        penstock_shutdown(queue, 0),
        penstock_close(queue),
    ] {
        assert_eq!(code, Code::Closed);
    }
    let queue = attach(&core);
    let number = queue.addr();
    let at = move || ptr::without_provenance::<Opaque>(number);
    let taker = thread::spawn(move || receive(at(), 8, PATIENCE).0);
    until_parked();
    assert_eq!(penstock_shutdown(queue, 0), Code::Ok);
    assert_eq!(taker.join().unwrap(), Code::ShutDown);
    assert_eq!(send(queue, b"x", PATIENCE), Code::ShutDown);
    assert_eq!(penstock_wait(queue, 0, PATIENCE), Code::ShutDown);
    assert_eq!(penstock_wait(queue, 1, PATIENCE), Code::ShutDown);
}

#[test]
fn what_is_inside_at_a_shutdown_is_drained_or_dropped() {
    for (immediate, first) in [(0, Code::Ok), (1, Code::ShutDown)] {
        let (core, queue) = both(64 * KIB);
        assert_eq!(send(queue, b"last", AT_ONCE), Code::Ok);
        assert_eq!(penstock_shutdown(queue, immediate), Code::Ok);
        assert_eq!(penstock_wait(queue, 0, PATIENCE), first);
        assert_eq!(receive(queue, 8, PATIENCE).0, first);
        assert_eq!(receive(queue, 8, PATIENCE).0, Code::ShutDown);
        drop(core);
    }
}

#[test]
fn threads_send_and_take_through_one_handle() {
    const EACH: u32 = 20_000;
    let (core, queue) = both(64 * KIB);
    let number = queue.addr();
    let at = move || ptr::without_provenance::<Opaque>(number);
    let senders = [0_u32, 1].map(|sender| {
        thread::spawn(move || {
            let mut next = 0;
            while next < EACH {
                let count = (1 + next % 7).min(EACH - next);
                let mut claims: Vec<Claimed> = (next..next + count)
                    .map(|index| {
                        let (code, claimed) = claim(at(), 8);
                        assert_eq!(code, Code::Ok);
                        // SAFETY: eight bytes, aligned.
                        unsafe { claimed.bytes.cast::<[u32; 2]>().write([sender, index]) };
                        claimed
                    })
                    .collect();
                let done = commit_many(at(), &mut claims, PATIENCE);
                assert_eq!(done, (Code::Ok, count as usize));
                next += count;
            }
        })
    });
    let takers = [(); 2].map(|()| {
        thread::spawn(move || {
            let mut got = Vec::new();
            loop {
                let (code, bytes, _) = receive_many(at(), 1000, 64, PATIENCE);
                match code {
                    Code::Ok => got.extend(
                        bytes
                            .into_iter()
                            .map(|it| u64::from_le_bytes(it.try_into().unwrap())),
                    ),
                    Code::ShutDown => return got,
                    code => panic!("{code:?}: {}", told()),
                }
            }
        })
    });
    senders.into_iter().for_each(|it| it.join().unwrap());
    core.shutdown(false).unwrap();
    let mut all: Vec<u64> = takers
        .into_iter()
        .flat_map(|it| it.join().unwrap())
        .collect();
    all.sort_unstable();
    let wanted = |sender: u64| (0..u64::from(EACH)).map(move |index| index << 32 | sender);
    let mut sent: Vec<u64> = wanted(0).chain(wanted(1)).collect();
    sent.sort_unstable();
    assert_eq!(all, sent);
}

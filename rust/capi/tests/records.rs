//! Records as a C program sends and receives them, and what is answered where that cannot be.

use std::{ffi::c_void, os::fd::AsRawFd, ptr};

use penstock_capi::*;
use penstock_core::shm::queue::{Acknowledged, Settings};

mod caller;

use caller::{
    AT_ONCE, KIB, PATIENCE, attach, both, claim, core, no_record, put, receive, receive_many, send,
    taken, told,
};

#[test]
fn what_is_sent_is_taken() {
    let (core, queue) = both(256 * KIB);
    let records: [&[u8]; 4] = [b"", b"x", &[7; 64], &[9; 100 * KIB]];
    for record in records {
        assert_eq!(send(queue, record, AT_ONCE), Code::Ok);
    }
    for record in records {
        assert_eq!(taken(&core, 1), [(0, record.to_vec())]);
    }
    // SAFETY: no bytes are read.
    let code = unsafe { penstock_send(queue, ptr::null(), 0, AT_ONCE) };
    assert_eq!(code, Code::Ok);
    assert_eq!(taken(&core, 1), [(0, Vec::new())]);
    assert_eq!(penstock_close(queue), Code::Ok);
}

#[test]
fn many_are_sent_in_order_as_far_as_they_fit() {
    let (core, queue) = both(64 * KIB);
    let bytes: Vec<u8> = (0..=255).cycle().take(2000 * 64).collect();
    let records: Vec<Bytes> = bytes
        .chunks(64)
        .map(|it| Bytes {
            bytes: it.as_ptr().cast(),
            length: it.len(),
        })
        .collect();
    let mut sent = 9;
    let count = records.len();
    // SAFETY: records and their bytes are there, and so is the count.
    let code =
        unsafe { penstock_send_many(queue, records.as_ptr(), count, AT_ONCE, &raw mut sent) };
    assert_eq!(code, Code::Full);
    assert!((700..2000).contains(&sent), "{sent}");
    let first = taken(&core, usize::MAX);
    assert_eq!(first.len(), sent);
    // SAFETY: as above.
    let code = unsafe {
        let rest = records[sent..].as_ptr();
        penstock_send_many(queue, rest, 100, AT_ONCE, &raw mut sent)
    };
    assert_eq!((code, sent), (Code::Ok, 100));
    let all: Vec<u8> = first
        .into_iter()
        .chain(taken(&core, 100))
        .flat_map(|it| it.1)
        .collect();
    assert_eq!(all, bytes[..all.len()]);
    // SAFETY: nothing is read.
    let code = unsafe { penstock_send_many(queue, ptr::null(), 0, AT_ONCE, &raw mut sent) };
    assert_eq!((code, sent), (Code::Ok, 0));
}

#[test]
fn what_is_put_is_received_with_its_kind() {
    let (core, queue) = both(512 * KIB);
    let (short, long) = (&[1; 32][..], &[2; 20 * KIB][..]);
    put(&core, 0, short, &[]);
    put(&core, 2, long, &[]);
    put(&core, 3, short, &[long, b"tail"]);
    put(&core, 3, &[4; 40 * KIB], &[long]);
    let (code, record, bytes) = receive(queue, 64, AT_ONCE);
    assert_eq!((code, record.kind, record.buffers), (Code::Ok, 0, 0));
    assert_eq!((record.lease.entry, record.lease.generation), (0, 0));
    assert_eq!(bytes, short);
    let (_, record, bytes) = receive(queue, 512 * KIB, AT_ONCE);
    assert_eq!((record.kind, record.buffers), (2, 0));
    assert_eq!(bytes, long);
    let (_, record, bytes) = receive(queue, 512 * KIB, AT_ONCE);
    assert_eq!((record.kind, record.buffers), (3, 2));
    assert_eq!(bytes, [short, long, b"tail"].concat());
    let (_, record, bytes) = receive(queue, 512 * KIB, AT_ONCE);
    assert_eq!((record.kind, record.buffers), (3, 1));
    assert_eq!(bytes, [&[4; 40 * KIB][..], long].concat());
    let (code, record, _) = receive(queue, 64, AT_ONCE);
    assert_eq!((code, record.length), (Code::Empty, 0));
}

#[test]
fn a_batch_stands_aligned_and_no_record_is_lost_at_its_end() {
    let (core, queue) = both(64 * KIB);
    let sent: Vec<Vec<u8>> = (0..200)
        .map(|it| vec![it; 1 + usize::from(it) % 23])
        .collect();
    sent.iter().for_each(|it| put(&core, 0, it, &[]));
    let mut got = Vec::new();
    for capacity in (24..).step_by(13) {
        let (code, bytes, records) = receive_many(queue, capacity, 50, AT_ONCE);
        match code {
            Code::Ok => {}
            Code::Empty => break,
            _ => panic!("{code:?}"),
        }
        assert!(!bytes.is_empty() && bytes.len() <= 50);
        assert!(records[..bytes.len()].iter().all(|it| it.offset % 8 == 0));
        got.extend(bytes);
    }
    assert_eq!(got, sent);
    assert_eq!(core.statistics().unwrap().items, 0);
}

#[test]
fn a_record_larger_than_the_buffer_waits_for_a_larger_one() {
    let (core, queue) = both(512 * KIB);
    put(&core, 0, b"first", &[]);
    put(&core, 0, &[7; 100 * KIB], &[]);
    put(&core, 0, b"last", &[]);
    let (_, _, bytes) = receive(queue, 64, AT_ONCE);
    assert_eq!(bytes, b"first");
    for _ in 0..2 {
        let (code, record, _) = receive(queue, 64, AT_ONCE);
        assert_eq!((code, record.length), (Code::TooSmall, 100 * KIB));
        assert!(
            told().contains("102400 bytes is larger than the buffer of 64"),
            "{}",
            told()
        );
        let (code, bytes, records) = receive_many(queue, 64, 8, AT_ONCE);
        assert_eq!((code, bytes.len()), (Code::TooSmall, 0));
        assert_eq!(records[0].length, 100 * KIB);
    }
    assert_eq!(penstock_wait(queue, 0, AT_ONCE), Code::Ok);
    let (code, _, bytes) = receive(queue, 100 * KIB, AT_ONCE);
    assert_eq!((code, bytes), (Code::Ok, vec![7; 100 * KIB]));
    assert_eq!(receive(queue, 64, AT_ONCE).2, b"last");
    assert_eq!(penstock_wait(queue, 0, AT_ONCE), Code::Empty);
    put(&core, 0, b"alone", &[]);
    assert_eq!(receive(queue, 4, AT_ONCE).0, Code::TooSmall);
    assert_eq!(penstock_wait(queue, 0, AT_ONCE), Code::Ok);
    assert_eq!(receive(queue, 5, AT_ONCE).2, b"alone");
}

#[test]
fn arguments_that_make_no_sense_change_nothing() {
    let (core, queue) = both(64 * KIB);
    fn null<T>() -> *mut T {
        ptr::null_mut()
    }
    let mut place = queue;
    let (mut count, mut record, mut byte) = (0, no_record(), 0_u8);
    let into = (&raw mut byte).cast::<c_void>();
    let missing = Bytes {
        bytes: ptr::null(),
        length: 4,
    };
    // SAFETY: what is null is looked for, the rest is there.
    let codes = unsafe {
        [
            penstock_attach(core.fd().as_raw_fd(), null()),
            penstock_attach_name(c"orders".as_ptr(), 0, null()),
            penstock_attach_name(ptr::null(), 0, &raw mut place),
            penstock_send(queue, ptr::null(), 1, AT_ONCE),
            penstock_send_many(queue, ptr::null(), 1, AT_ONCE, &raw mut count),
            penstock_send_many(queue, &raw const missing, 1, AT_ONCE, &raw mut count),
            penstock_send_many(queue, &raw const missing, usize::MAX, 0, &raw mut count),
            penstock_send_many(queue, &raw const missing, 1, AT_ONCE, null()),
            penstock_claim(queue, 1, null()),
            penstock_commit(queue, null(), AT_ONCE),
            penstock_commit_many(queue, null(), 1, AT_ONCE, &raw mut count),
            penstock_abandon(queue, null()),
            penstock_receive(queue, null(), 1, &raw mut record, AT_ONCE),
            penstock_receive(queue, into, 1, null(), AT_ONCE),
            penstock_receive(queue, into, usize::MAX, &raw mut record, AT_ONCE),
            penstock_receive_many(queue, into, 1, &raw mut record, 0, 0, &raw mut count),
            penstock_receive_many(
                queue,
                into,
                1,
                &raw mut record,
                usize::MAX,
                0,
                &raw mut count,
            ),
            penstock_receive_many(queue, into, 1, &raw mut record, 1, 0, null()),
            penstock_wait(queue, 2, AT_ONCE),
            penstock_wait(queue, -1, AT_ONCE),
            penstock_statistics(queue, null(), 8),
            penstock_acknowledge(
                queue,
                Lease {
                    entry: 0,
                    generation: 0,
                },
            ),
        ]
    };
    for (index, code) in codes.into_iter().enumerate() {
        assert_eq!(code, Code::BadArgument, "{index}");
    }
    assert_eq!(core.statistics().unwrap().items, 0);
    assert_eq!(send(queue, b"still", AT_ONCE), Code::Ok);
    assert_eq!(taken(&core, 9), [(0, b"still".to_vec())]);
}

#[test]
fn what_can_never_fit_is_refused_with_its_numbers() {
    let (core, queue) = both(64 * KIB);
    let record = vec![1; 64 * KIB + 1];
    assert_eq!(send(queue, &record, PATIENCE), Code::TooLarge);
    assert!(
        told().contains("65537 bytes is larger than 65536"),
        "{}",
        told()
    );
    let (code, claimed) = claim(queue, 64 * KIB + 1);
    assert_eq!((code, claimed.token), (Code::TooLarge, 0));
    assert!(told().contains("larger max_bytes"), "{}", told());
    assert_eq!(claim(queue, usize::MAX).0, Code::TooLarge);
    let records = [(b"fits".as_slice()), &record].map(|it| Bytes {
        bytes: it.as_ptr().cast(),
        length: it.len(),
    });
    let mut sent = 9;
    // SAFETY: records, bytes and count are there.
    let code = unsafe { penstock_send_many(queue, records.as_ptr(), 2, PATIENCE, &raw mut sent) };
    assert_eq!((code, sent), (Code::TooLarge, 1));
    assert_eq!(taken(&core, 9).len(), 1);
}

#[test]
fn leases_are_acknowledged_once_and_given_back() {
    let mut settings = Settings::new(64 * KIB);
    settings.ack = Some(Acknowledged {
        lease: std::time::Duration::from_secs(600),
        leases: 16,
    });
    let core = core(settings);
    let queue = attach(&core);
    assert_eq!(send(queue, b"job", AT_ONCE), Code::Ok);
    let (code, record, bytes) = receive(queue, 8, AT_ONCE);
    assert_eq!((code, &bytes[..]), (Code::Ok, &b"job"[..]));
    assert_ne!(record.lease.entry, 0);
    assert_eq!(receive(queue, 8, AT_ONCE).0, Code::Empty);
    assert_eq!(penstock_give_back(queue, record.lease), Code::Ok);
    assert_eq!(penstock_acknowledge(queue, record.lease), Code::LeaseLost);
    let (code, again, bytes) = receive(queue, 8, AT_ONCE);
    assert_eq!((code, &bytes[..]), (Code::Ok, &b"job"[..]));
    assert_eq!(penstock_shutdown(queue, 0), Code::Ok);
    assert_eq!(
        penstock_wait(queue, 0, AT_ONCE),
        Code::Empty,
        "it may come back"
    );
    assert_eq!(penstock_acknowledge(queue, again.lease), Code::Ok);
    assert_eq!(penstock_acknowledge(queue, again.lease), Code::LeaseLost);
    assert_eq!(receive(queue, 8, AT_ONCE).0, Code::ShutDown);
    for entry in [1, 17, 1 << 20, u64::MAX] {
        let lease = Lease {
            entry,
            generation: 77,
        };
        assert_ne!(penstock_acknowledge(queue, lease), Code::Ok, "{entry}");
    }
}

#[test]
fn figures_come_in_the_size_that_the_caller_knows() {
    let mut settings = Settings::new(64 * KIB);
    settings.max_items = Some(5);
    let core = core(settings);
    let queue = attach(&core);
    assert_eq!(send(queue, &[1; 100], AT_ONCE), Code::Ok);
    let mut figures = [Figures {
        burials: 77,
        ..Figures::default()
    }; 2];
    let size = size_of::<Figures>();
    // SAFETY: so much is there.
    unsafe {
        assert_eq!(
            penstock_statistics(queue, figures.as_mut_ptr(), size),
            Code::Ok
        );
        assert_eq!(figures[1].burials, 77, "nothing beyond it");
        assert_eq!(
            penstock_statistics(queue, figures.as_mut_ptr(), 2 * size),
            Code::Ok
        );
        assert_eq!(figures[1].burials, 0, "what this version does not know");
    }
    let now = figures[0];
    assert_eq!((now.items, now.sent, now.taken), (1, 1, 0));
    assert_eq!((now.max_bytes, now.max_items), (65536, 5));
    assert!(now.participants >= 1);
    assert!(
        now.bytes.abs_diff(100) <= 64,
        "told to the nearest 64: {}",
        now.bytes
    );
    let mut first = [7_u64; 2];
    // SAFETY: as above.
    let code = unsafe { penstock_statistics(queue, first.as_mut_ptr().cast(), 8) };
    assert_eq!((code, first), (Code::Ok, [1, 7]));
}

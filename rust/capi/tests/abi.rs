//! The interface as a C program calls it, beside a queue of the core's.

use std::{
    ffi::{CStr, c_void},
    fs::File,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    ptr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use penstock_capi::*;
use penstock_core::{
    ring::{Wake, Woken},
    shm::door::Door,
    shm::queue::{Acknowledged, Batch, Buffer, Item, Queue, Settings},
};

/// Nobody waits in these.
struct NoTask;

impl Wake for NoTask {
    fn wake(&self) -> Woken {
        unreachable!("there is none")
    }
}

type Core = Arc<Queue<NoTask>>;

const KIB: usize = 1 << 10;
const AT_ONCE: i64 = 0;
const PATIENCE: i64 = 30_000;

fn core(settings: Settings) -> Core {
    Queue::create(settings).unwrap()
}

fn attach(core: &Core) -> *mut Opaque {
    let mut queue = ptr::null_mut();
    // SAFETY: a live place.
    let code = unsafe { penstock_attach(core.fd().as_raw_fd(), &raw mut queue) };
    assert_eq!((code, queue.is_null()), (Code::Ok, false), "{}", told());
    queue
}

fn both(max_bytes: usize) -> (Core, *mut Opaque) {
    let core = core(Settings::new(max_bytes));
    let queue = attach(&core);
    (core, queue)
}

fn told() -> String {
    // SAFETY: a string that ends, of this thread.
    let text = unsafe { CStr::from_ptr(penstock_last_error()) };
    text.to_str().unwrap().to_owned()
}

fn send(queue: *const Opaque, bytes: &[u8], timeout: i64) -> Code {
    // SAFETY: the bytes are there.
    unsafe { penstock_send(queue, bytes.as_ptr().cast(), bytes.len(), timeout) }
}

/// A record and its bytes, from a buffer of that capacity.
fn receive(queue: *const Opaque, capacity: usize, timeout: i64) -> (Code, Record, Vec<u8>) {
    let mut buffer = vec![0; capacity];
    let mut record = no_record();
    let into = buffer.as_mut_ptr().cast::<c_void>();
    // SAFETY: buffer and record are there.
    let code = unsafe { penstock_receive(queue, into, capacity, &raw mut record, timeout) };
    if code == Code::Ok {
        buffer = buffer[record.offset..][..record.length].to_vec();
    }
    (code, record, buffer)
}

fn receive_many(
    queue: *const Opaque,
    capacity: usize,
    max: usize,
    timeout: i64,
) -> (Code, Vec<Vec<u8>>, Vec<Record>) {
    let mut buffer = vec![0_u8; capacity];
    let mut records = vec![no_record(); max];
    let mut received = usize::MAX;
    // SAFETY: buffer, records and count are there.
    let code = unsafe {
        penstock_receive_many(
            queue,
            buffer.as_mut_ptr().cast(),
            capacity,
            records.as_mut_ptr(),
            max,
            timeout,
            &raw mut received,
        )
    };
    let bytes = records[..received]
        .iter()
        .map(|it| buffer[it.offset..][..it.length].to_vec());
    (code, bytes.collect(), records)
}

const fn no_record() -> Record {
    let lease = Lease {
        entry: 0,
        generation: 0,
    };
    Record {
        offset: 9,
        length: 9,
        lease,
        kind: 9,
        buffers: 9,
    }
}

fn claim(queue: *const Opaque, length: usize) -> (Code, Claimed) {
    let mut claimed = Claimed {
        bytes: ptr::null_mut(),
        length: 9,
        token: 9,
    };
    // SAFETY: the place is there.
    let code = unsafe { penstock_claim(queue, length, &raw mut claimed) };
    (code, claimed)
}

fn fill(claimed: &Claimed, byte: u8) {
    // SAFETY: so many were claimed.
    unsafe { claimed.bytes.cast::<u8>().write_bytes(byte, claimed.length) };
}

fn commit(queue: *const Opaque, claimed: &mut Claimed, timeout: i64) -> Code {
    // SAFETY: the claim is there.
    unsafe { penstock_commit(queue, claimed, timeout) }
}

fn commit_many(queue: *const Opaque, claims: &mut [Claimed], timeout: i64) -> (Code, usize) {
    let (at, count, mut done) = (claims.as_mut_ptr(), claims.len(), 9);
    // SAFETY: the claims are there, and so is the count.
    let code = unsafe { penstock_commit_many(queue, at, count, timeout, &raw mut done) };
    (code, done)
}

/// What the core takes: code and bytes of up to `max` items.
fn taken(core: &Core, max: usize) -> Vec<(u16, Vec<u8>)> {
    let mut batch = Batch::new();
    core.take(max, usize::MAX, &mut batch).unwrap();
    let mut items = Vec::new();
    while let Some(item) = batch.pop() {
        let mut bytes = item.inline.to_vec();
        for pinned in item.stream.iter().chain(&item.buffers) {
            let (at, length) = pinned.content();
            // SAFETY: pinned, and that long; nobody writes there.
            bytes.extend_from_slice(unsafe { std::slice::from_raw_parts(at.as_ptr(), length) });
        }
        items.push((item.code, bytes));
    }
    items
}

fn put(core: &Core, code: u16, stream: &[u8], buffers: &[&[u8]]) {
    let buffers: Vec<Buffer<'_>> = buffers.iter().map(|&bytes| bytes.into()).collect();
    let (stream, buffers) = (stream.into(), &buffers[..]);
    core.send(&Item {
        code,
        stream,
        buffers,
    })
    .unwrap();
}

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
fn descriptors_of_other_things_are_refused() {
    let mut queue = ptr::dangling_mut();
    let file = File::open("/proc/self/exe").unwrap();
    for (fd, wanted) in [(-1, Code::System), (file.as_raw_fd(), Code::NotAQueue)] {
        // SAFETY: the place is there.
        let code = unsafe { penstock_attach(fd, &raw mut queue) };
        assert_eq!((code, queue), (wanted, ptr::null_mut()), "{}", told());
        assert!(told().contains(&format!("descriptor {fd}: ")), "{}", told());
    }
}

fn attach_name(name: &str, timeout: i64) -> (Code, *mut Opaque) {
    let name = std::ffi::CString::new(name).unwrap();
    let mut queue = ptr::dangling_mut();
    // SAFETY: name and place are there.
    let code = unsafe { penstock_attach_name(name.as_ptr(), timeout, &raw mut queue) };
    (code, queue)
}

/// Hands a descriptor to all who knock while `work` runs.
fn attended<T>(door: &Door, fd: BorrowedFd<'_>, work: impl FnOnce() -> T) -> T {
    struct Done<'a>(&'a AtomicBool);
    impl Drop for Done<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                door.answer(fd).unwrap();
                thread::yield_now();
            }
        });
        let _done = Done(&is_done);
        work()
    })
}

#[test]
fn a_queue_is_found_by_its_name() {
    let core = core(Settings::new(64 * KIB));
    let name = format!("capi-{}", std::process::id());
    let door = Door::open(&name, 3, core.id()).unwrap();
    assert_eq!(attach_name(&name, 1), (Code::NotFound, ptr::null_mut()));
    assert!(told().contains("none answers"), "{}", told());
    let (code, queue) = attended(&door, core.fd(), || attach_name(&name, -1));
    assert_eq!(code, Code::Ok, "{}", told());
    assert_eq!(send(queue, b"by name", AT_ONCE), Code::Ok);
    assert_eq!(send(queue, &[0; 64 * KIB + 1], AT_ONCE), Code::TooLarge);
    let start = format!("queue '{name}': ");
    assert!(told().starts_with(&start), "{}", told());
    assert_eq!(taken(&core, 1), [(0, b"by name".to_vec())]);
    drop(door);
    let nobody = attach_name(&name, i64::MAX);
    assert_eq!(nobody, (Code::NotFound, ptr::null_mut()));
    let text = told();
    assert!(text.contains(&name) && text.contains("name="), "{text}");
    assert_eq!(attach_name("a b", 1).0, Code::BadArgument);
}

#[test]
fn a_queue_that_has_a_name_is_called_by_it_and_found_through_whoever_takes_part() {
    let name = format!("capi-named-{}", std::process::id());
    let core: Core = Queue::create_named(Settings::new(64 * KIB), &name).unwrap();
    let queue = attach(&core);
    assert_eq!(send(queue, &[0; 64 * KIB + 1], AT_ONCE), Code::TooLarge);
    assert!(
        told().starts_with(&format!("queue '{name}': ")),
        "{}",
        told()
    );
    assert_eq!(send(queue, b"here", AT_ONCE), Code::Ok);
    // From here on nobody but the handle answers.
    drop(core);
    let (code, other) = attach_name(&name, PATIENCE);
    assert_eq!(code, Code::Ok, "{}", told());
    assert_eq!(receive(other, 8, AT_ONCE).2, b"here");
}

#[test]
fn a_door_that_hands_out_something_else_is_refused() {
    let (one, other) = (core(Settings::new(64 * KIB)), core(Settings::new(64 * KIB)));
    let file = File::open("/proc/self/exe").unwrap();
    let name = format!("capi-other-{}", std::process::id());
    for (fd, wanted) in [(other.fd(), Code::Damaged), (file.as_fd(), Code::NotAQueue)] {
        let door = Door::open(&name, 0, one.id()).unwrap();
        let answer = attended(&door, fd, || attach_name(&name, PATIENCE));
        assert_eq!(answer, (wanted, ptr::null_mut()), "{}", told());
    }
}

#[test]
fn seats_come_to_an_end_and_back() {
    let core = core(Settings::new(64 * KIB));
    let handles: Vec<_> = (0..70).map(|_| attach(&core)).collect();
    let codes: Vec<Code> = handles
        .iter()
        .map(|&queue| send(queue, b"x", AT_ONCE))
        .collect();
    let seated = codes.iter().filter(|&&code| code == Code::Ok).count();
    assert!((48..64).contains(&seated), "{codes:?}");
    assert!(codes[seated..].iter().all(|&code| code == Code::Crowded));
    assert!(told().contains("all seats"), "{}", told());
    let (code, _, bytes) = receive(handles[69], 8, AT_ONCE);
    assert_eq!(
        (code, bytes),
        (Code::Ok, b"x".to_vec()),
        "takers have seats of their own"
    );
    assert_eq!(taken(&core, 99).len(), seated - 1);
    for &queue in &handles[..seated] {
        assert_eq!(penstock_close(queue), Code::Ok);
    }
    assert_eq!(send(handles[68], b"y", AT_ONCE), Code::Ok);
    assert_eq!(taken(&core, 99), [(0, b"y".to_vec())]);
}

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

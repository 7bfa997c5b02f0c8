//! A queue of the core's, and the interface beside it as a C program calls it.
#![allow(
    dead_code,
    reason = "each test file is a crate of its own and uses what it needs"
)]

use std::{
    ffi::{CStr, c_void},
    os::fd::AsRawFd,
    ptr,
    sync::Arc,
};

use penstock_capi::*;
use penstock_core::{
    ring::{Wake, Woken},
    shm::queue::{Batch, Buffer, Item, Queue, Settings},
};

/// Nobody waits in these.
pub(crate) struct NoTask;

impl Wake for NoTask {
    fn wake(&self) -> Woken {
        unreachable!("there is none")
    }
}

pub(crate) type Core = Arc<Queue<NoTask>>;

pub(crate) const KIB: usize = 1 << 10;
pub(crate) const AT_ONCE: i64 = 0;
pub(crate) const PATIENCE: i64 = 30_000;

pub(crate) fn core(settings: Settings) -> Core {
    Queue::create(settings).unwrap()
}

pub(crate) fn attach(core: &Core) -> *mut Opaque {
    let mut queue = ptr::null_mut();
    // SAFETY: a live place.
    let code = unsafe { penstock_attach(core.fd().as_raw_fd(), &raw mut queue) };
    assert_eq!((code, queue.is_null()), (Code::Ok, false), "{}", told());
    queue
}

pub(crate) fn both(max_bytes: usize) -> (Core, *mut Opaque) {
    let core = core(Settings::new(max_bytes));
    let queue = attach(&core);
    (core, queue)
}

pub(crate) fn told() -> String {
    // SAFETY: a string that ends, of this thread.
    let text = unsafe { CStr::from_ptr(penstock_last_error()) };
    text.to_str().unwrap().to_owned()
}

pub(crate) fn send(queue: *const Opaque, bytes: &[u8], timeout: i64) -> Code {
    // SAFETY: the bytes are there.
    unsafe { penstock_send(queue, bytes.as_ptr().cast(), bytes.len(), timeout) }
}

/// A record and its bytes, from a buffer of that capacity.
pub(crate) fn receive(
    queue: *const Opaque,
    capacity: usize,
    timeout: i64,
) -> (Code, Record, Vec<u8>) {
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

pub(crate) fn receive_many(
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

pub(crate) const fn no_record() -> Record {
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

pub(crate) fn claim(queue: *const Opaque, length: usize) -> (Code, Claimed) {
    let mut claimed = Claimed {
        bytes: ptr::null_mut(),
        length: 9,
        token: 9,
    };
    // SAFETY: the place is there.
    let code = unsafe { penstock_claim(queue, length, &raw mut claimed) };
    (code, claimed)
}

pub(crate) fn fill(claimed: &Claimed, byte: u8) {
    // SAFETY: so many were claimed.
    unsafe { claimed.bytes.cast::<u8>().write_bytes(byte, claimed.length) };
}

pub(crate) fn commit(queue: *const Opaque, claimed: &mut Claimed, timeout: i64) -> Code {
    // SAFETY: the claim is there.
    unsafe { penstock_commit(queue, claimed, timeout) }
}

pub(crate) fn commit_many(
    queue: *const Opaque,
    claims: &mut [Claimed],
    timeout: i64,
) -> (Code, usize) {
    let (at, count, mut done) = (claims.as_mut_ptr(), claims.len(), 9);
    // SAFETY: the claims are there, and so is the count.
    let code = unsafe { penstock_commit_many(queue, at, count, timeout, &raw mut done) };
    (code, done)
}

/// What the core takes: code and bytes of up to `max` items.
pub(crate) fn taken(core: &Core, max: usize) -> Vec<(u16, Vec<u8>)> {
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

pub(crate) fn put(core: &Core, code: u16, stream: &[u8], buffers: &[&[u8]]) {
    let buffers: Vec<Buffer<'_>> = buffers.iter().map(|&bytes| bytes.into()).collect();
    let (stream, buffers) = (stream.into(), &buffers[..]);
    core.send(&Item {
        code,
        stream,
        buffers,
    })
    .unwrap();
}

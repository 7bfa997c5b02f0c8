//! Records that come out, copied to where the caller wants them.

use std::{
    cell::RefCell,
    collections::VecDeque,
    ffi::c_void,
    mem,
    sync::atomic::{AtomicBool, Ordering},
};

use penstock_core::{
    fork_gate::Guarded,
    shm::{
        Pinned,
        queue::{Batch, Side, Taken},
    },
};

use crate::{
    border::{Out, border},
    clock::Timeout,
    code::Code,
    failure::Failure,
    handles::{self, Handle, Opaque},
    leases::Lease,
    waiting::until,
};

/// What the records in a buffer begin at multiples of.
const ALIGNMENT: usize = 8;

/// A record that was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Record {
    pub offset: usize,
    pub length: usize,
    pub lease: Lease,
    pub kind: u32,
    pub buffers: u32,
}

impl Record {
    const NONE: Self = Self {
        offset: 0,
        length: 0,
        lease: Lease::NONE,
        kind: 0,
        buffers: 0,
    };

    fn of(taken: &Taken<'_>) -> Self {
        Self {
            offset: 0,
            length: parts(taken).map(|(_, length)| length).sum(),
            lease: taken.lease.map_or(Lease::NONE, Lease::of),
            kind: taken.code.into(),
            buffers: taken.buffers.len() as u32,
        }
    }
}

/// The stretches that the bytes of an item lie in, in order.
fn parts<'a>(taken: &'a Taken<'_>) -> impl Iterator<Item = (*const u8, usize)> + 'a {
    let pinned = |pinned: &Pinned| {
        let (at, length) = pinned.content();
        (at.as_ptr().cast_const(), length)
    };
    let inline = (taken.inline.as_ptr(), taken.inline.len());
    let slabs = taken.stream.iter().chain(&taken.buffers).map(pinned);
    std::iter::once(inline).chain(slabs)
}

/// A record that was taken and did not fit, and what was taken with it.
struct Leftover {
    record: Record,
    bytes: Vec<u8>,
    rest: Batch,
}

impl Leftover {
    fn new(taken: &Taken<'_>) -> Self {
        let record = Record::of(taken);
        let mut bytes: Vec<u8> = Vec::with_capacity(record.length);
        for (at, length) in parts(taken) {
            // SAFETY: readable while the item lives, and there is room for all parts; who writes to a
            // slab meanwhile tears the copy and no more.
            unsafe {
                at.copy_to_nonoverlapping(bytes.as_mut_ptr().add(bytes.len()), length);
                bytes.set_len(bytes.len() + length);
            }
        }
        let rest = Batch::new();
        Self {
            record,
            bytes,
            rest,
        }
    }

    /// Copies what fits; what is left of it then.
    fn hand_out(mut self, place: &mut Place) -> Option<Self> {
        let Some(to) = place.next(self.record) else {
            return Some(self);
        };
        // SAFETY: `next` has seen that there is room.
        unsafe { to.copy_from_nonoverlapping(self.bytes.as_ptr(), self.bytes.len()) };
        place.fill(&mut self.rest)
    }
}

/// The records that wait for a call with room for them, oldest first.
pub(crate) struct Kept {
    /// Whether there are any; written under the lock, read (Relaxed) before it is taken.
    is_some: AtomicBool,
    leftovers: Guarded<VecDeque<Leftover>>,
}

impl Kept {
    pub(crate) fn new() -> Self {
        Self {
            is_some: AtomicBool::new(false),
            leftovers: Guarded::new(VecDeque::new()),
        }
    }

    pub(crate) fn is_some(&self) -> bool {
        self.is_some.load(Ordering::Relaxed)
    }

    #[cold]
    fn keep(&self, leftover: Leftover) {
        let mut leftovers = self.leftovers.lock();
        leftovers.push_back(leftover);
        self.is_some.store(true, Ordering::Relaxed);
    }

    #[cold]
    fn hand_out(&self, place: &mut Place) {
        let mut leftovers = self.leftovers.lock();
        while let Some(oldest) = leftovers.pop_front() {
            if let Some(rest) = oldest.hand_out(place) {
                leftovers.push_front(rest);
                break;
            }
        }
        self.is_some.store(!leftovers.is_empty(), Ordering::Relaxed);
    }
}

/// Where records go.
struct Place {
    buffer: *mut u8,
    capacity: usize,
    used: usize,
    records: *mut Record,
    max: usize,
    count: usize,
    /// The first one that did not fit.
    refused: Option<Record>,
}

impl Place {
    /// Room for the bytes of a record, if there is some; the record is in the list then.
    #[inline]
    fn next(&mut self, record: Record) -> Option<*mut u8> {
        let offset = self.used.next_multiple_of(ALIGNMENT);
        let fits = self.count < self.max
            && offset <= self.capacity
            && record.length <= self.capacity - offset;
        if !fits {
            self.refused.get_or_insert(record);
            return None;
        }
        // SAFETY: fewer than `max` have been written.
        unsafe {
            self.records
                .add(self.count)
                .write(Record { offset, ..record })
        };
        self.count += 1;
        self.used = offset + record.length;
        // SAFETY: inside of the buffer, or at its end if the record is empty.
        Some(unsafe { self.buffer.add(offset) })
    }

    /// Copies what fits; what is left then.
    fn fill(&mut self, batch: &mut Batch) -> Option<Leftover> {
        while let Some(taken) = batch.pop() {
            let Some(mut to) = self.next(Record::of(&taken)) else {
                let mut leftover = Leftover::new(&taken);
                mem::swap(&mut leftover.rest, batch);
                return Some(leftover);
            };
            for (at, length) in parts(&taken) {
                // SAFETY: readable while the item lives; `next` has seen that there is room for all
                // parts. Who writes to a slab meanwhile tears the copy and no more.
                unsafe {
                    to.copy_from_nonoverlapping(at, length);
                    to = to.add(length);
                }
            }
        }
        None
    }
}

thread_local! {
    /// What one take leaves for the next to take into.
    static BATCH: RefCell<Batch> = RefCell::new(Batch::new());
}

fn with_batch<T>(mut work: impl FnMut(&mut Batch) -> T) -> T {
    BATCH
        .try_with(|batch| work(&mut batch.borrow_mut()))
        // The thread ends, and has none any more.
        .unwrap_or_else(|_| work(&mut Batch::new()))
}

/// Takes what is there and fits.
fn receive(handle: &Handle, place: &mut Place, timeout: Timeout) -> Result<(), Failure> {
    with_batch(|batch| {
        // Items that an unwinding taker left there are lost as it is.
        batch.clear();
        until(handle, Side::Items, timeout, || {
            if handle.kept.is_some() {
                handle.kept.hand_out(place);
            } else {
                match handle.queue.take(place.max, place.capacity, batch) {
                    Ok(0) => return Ok(None),
                    Ok(_) => {
                        if let Some(leftover) = place.fill(batch) {
                            handle.kept.keep(leftover);
                        }
                    }
                    Err(error) => return Err(handle.failure(&error)),
                }
            }
            match (place.count, place.refused) {
                (0, None) => Ok(None),
                (0, Some(record)) => Err(too_small(handle, place.capacity, &record)),
                _ => Ok(Some(())),
            }
        })
    })
}

#[cold]
fn too_small(handle: &Handle, capacity: usize, record: &Record) -> Failure {
    let text = format!(
        "{}: a record of {} bytes is larger than the buffer of {capacity}; call again with one that \
         is large enough: the record waits",
        handle.label, record.length
    );
    Failure::new(Code::TooSmall, text)
}

/// Takes one record.
///
/// # Safety
/// `capacity` bytes of `buffer` are writable, and so is `record`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn penstock_receive(
    queue: *const Opaque,
    buffer: *mut c_void,
    capacity: usize,
    record: *mut Record,
    timeout: i64,
) -> Code {
    let mut count = 0;
    // SAFETY: the caller's promise.
    unsafe { penstock_receive_many(queue, buffer, capacity, record, 1, timeout, &raw mut count) }
}

/// Takes many records.
///
/// # Safety
/// `capacity` bytes of `buffer` are writable, and so are `max` records, and `received`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn penstock_receive_many(
    queue: *const Opaque,
    buffer: *mut c_void,
    capacity: usize,
    records: *mut Record,
    max: usize,
    timeout: i64,
    received: *mut usize,
) -> Code {
    border(|| {
        // SAFETY: the caller's promise.
        let mut received =
            unsafe { Out::new(received, "received is NULL; hand in where to count") }?;
        received.set(0);
        if max == 0 || max > isize::MAX as usize / size_of::<Record>() {
            return Err(Failure::argument(
                "max is no number of records; it is at least 1",
            ));
        }
        // SAFETY: as above.
        let mut first =
            unsafe { Out::new(records, "records is NULL; hand in where they are described") }?;
        first.set(Record::NONE);
        let handle = handles::enter(queue)?;
        let buffer: *mut u8 = buffer.cast();
        if buffer.is_null() && capacity > 0 || capacity > isize::MAX as usize {
            return Err(Failure::argument(
                "buffer is NULL; hand in where the bytes go",
            ));
        }
        let mut place = Place {
            buffer,
            capacity,
            used: 0,
            records,
            max,
            count: 0,
            refused: None,
        };
        let outcome = receive(&handle, &mut place, Timeout(timeout));
        received.set(place.count);
        if let (0, Some(record)) = (place.count, place.refused) {
            first.set(record);
        }
        outcome
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(bytes: &[u8]) -> Taken<'_> {
        Taken {
            code: 0,
            inline: bytes,
            stream: None,
            buffers: Vec::new(),
            lease: None,
        }
    }

    fn place(buffer: &mut [u64], records: &mut [Record], capacity: usize) -> Place {
        Place {
            buffer: buffer.as_mut_ptr().cast(),
            capacity,
            used: 0,
            records: records.as_mut_ptr(),
            max: records.len(),
            count: 0,
            refused: None,
        }
    }

    #[test]
    fn records_stand_behind_each_other_and_never_beyond_the_buffer() {
        let (mut buffer, mut records) = ([0; 8], [Record::NONE; 8]);
        let kept = Kept::new();
        for length in [3, 0, 8, 1, 2] {
            kept.keep(Leftover::new(&taken(&[7; 8][..length])));
        }
        let mut at = place(&mut buffer, &mut records, 16);
        kept.hand_out(&mut at);
        assert_eq!((at.count, at.refused.map(|it| it.length)), (3, Some(1)));
        let shapes = records.map(|it| (it.offset, it.length));
        assert_eq!(shapes[..3], [(0, 3), (8, 0), (8, 8)]);
        assert!(kept.is_some());
        let mut at = place(&mut buffer, &mut records, 10);
        kept.hand_out(&mut at);
        assert_eq!((at.count, at.refused), (2, None));
        assert_eq!((records[0].length, records[1].length), (1, 2));
        assert!(!kept.is_some());
    }

    #[test]
    fn no_more_records_than_are_asked_for() {
        let (mut buffer, mut records) = ([0; 8], [Record::NONE; 2]);
        let kept = Kept::new();
        (0..3).for_each(|_| kept.keep(Leftover::new(&taken(b"x"))));
        let mut at = place(&mut buffer, &mut records, 64);
        kept.hand_out(&mut at);
        assert_eq!(at.count, 2);
        assert!(kept.is_some());
    }
}

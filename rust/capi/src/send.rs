//! Records that go in, copied from where the caller has them.

use std::{ffi::c_void, mem::MaybeUninit, ptr::NonNull, slice};

use penstock_core::shm::queue::{Buffer, Item, QueueError, Side};

use crate::{
    border::{Out, border, list},
    clock::Timeout,
    code::Code,
    failure::Failure,
    handles::{self, Handle, Opaque},
    waiting::until,
};

/// What C programs send, and what Python makes bytes of.
const RAW: u16 = 0;

/// Records that go in at once, if there are as many.
const STEP: usize = 256;

/// Bytes to be sent.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Bytes {
    pub bytes: *const c_void,
    pub length: usize,
}

impl Bytes {
    const fn is_missing(&self) -> bool {
        self.bytes.is_null() && self.length > 0
    }

    /// # Safety
    /// `length` bytes are readable for `'a`.
    pub(crate) unsafe fn item<'a>(&self) -> Item<'a> {
        let at = match NonNull::new(self.bytes.cast_mut()) {
            Some(at) => at.as_ptr().cast_const().cast(),
            None => NonNull::<u8>::dangling().as_ptr().cast_const(),
        };
        Item {
            code: RAW,
            // SAFETY: by the caller's promise.
            stream: unsafe { Buffer::new(at, self.length) },
            buffers: &[],
        }
    }
}

/// Sends `count` items, and counts in `done` those that are in.
pub(crate) fn give<'a>(
    handle: &Handle,
    timeout: Timeout,
    count: usize,
    item: impl Fn(usize) -> Item<'a>,
    done: &mut usize,
) -> Result<(), Failure> {
    until(handle, Side::Room, timeout, || {
        while *done < count {
            let mut step = [const { MaybeUninit::<Item<'a>>::uninit() }; STEP];
            let wanted = (count - *done).min(STEP);
            for (index, place) in step[..wanted].iter_mut().enumerate() {
                place.write(item(*done + index));
            }
            // SAFETY: so many have just been written.
            let step = unsafe { slice::from_raw_parts(step.as_ptr().cast::<Item<'a>>(), wanted) };
            match handle.queue.send_many(step) {
                Ok(0) | Err(QueueError::Full) => return Ok(None),
                Ok(sent) => *done += sent,
                Err(error) => return Err(handle.failure(&error)),
            }
        }
        Ok(Some(()))
    })
}

/// Sends one item.
#[inline]
pub(crate) fn give_one(handle: &Handle, timeout: Timeout, item: &Item<'_>) -> Result<(), Failure> {
    until(handle, Side::Room, timeout, || {
        match handle.queue.send(item) {
            Ok(()) => Ok(Some(())),
            Err(QueueError::Full) => Ok(None),
            Err(error) => Err(handle.failure(&error)),
        }
    })
}

/// Puts one record in.
///
/// # Safety
/// `length` bytes are readable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn penstock_send(
    queue: *const Opaque,
    bytes: *const c_void,
    length: usize,
    timeout: i64,
) -> Code {
    border(|| {
        let handle = handles::enter(queue)?;
        let record = Bytes { bytes, length };
        if record.is_missing() {
            return Err(Failure::argument("bytes is NULL; hand in those to be sent"));
        }
        // SAFETY: the caller's promise.
        give_one(&handle, Timeout(timeout), &unsafe { record.item() })
    })
}

/// Puts many records in.
///
/// # Safety
/// `count` records are readable, and so are the bytes of each; `sent` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn penstock_send_many(
    queue: *const Opaque,
    records: *const Bytes,
    count: usize,
    timeout: i64,
    sent: *mut usize,
) -> Code {
    border(|| {
        // SAFETY: the caller's promise.
        let mut sent = unsafe { Out::new(sent, "sent is NULL; hand in where to count") }?;
        sent.set(0);
        let handle = handles::enter(queue)?;
        // SAFETY: as above.
        let records = unsafe { list(records, count, "records is NULL; hand in an array") }?;
        if let Some(index) = records.iter().position(Bytes::is_missing) {
            let text = format!("records[{index}].bytes is NULL; hand in those to be sent");
            return Err(Failure::new(Code::BadArgument, text));
        }
        let mut done = 0;
        // SAFETY: as above.
        let item = |index: usize| unsafe { records[index].item() };
        let outcome = give(&handle, Timeout(timeout), count, item, &mut done);
        sent.set(done);
        outcome
    })
}

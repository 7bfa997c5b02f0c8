//! Threads that wait, and how their wait ends.

use std::{ffi::c_int, time::Duration};

use penstock_core::{
    park::Parked,
    shm::queue::{Shutdown, Side},
};

use crate::{
    border::border,
    clock::Timeout,
    code::Code,
    failure::Failure,
    handles::{self, Handle, Opaque},
};

/// What a wait for that side ends with when its time is up.
const fn expired(side: Side) -> Code {
    match side {
        Side::Items => Code::Empty,
        Side::Room => Code::Full,
    }
}

/// Tries until there is an outcome, and sleeps in between.
#[inline]
pub(crate) fn until<T>(
    handle: &Handle,
    side: Side,
    timeout: Timeout,
    mut attempt: impl FnMut() -> Result<Option<T>, Failure>,
) -> Result<T, Failure> {
    match attempt()? {
        Some(outcome) => Ok(outcome),
        None if timeout.is_zero() => Err(expired(side).into()),
        None => slowly(handle, side, timeout, &mut attempt),
    }
}

fn slowly<T>(
    handle: &Handle,
    side: Side,
    timeout: Timeout,
    attempt: &mut impl FnMut() -> Result<Option<T>, Failure>,
) -> Result<T, Failure> {
    let deadline = timeout.deadline();
    // Dropped on every way out: it passes on a wake that was not used.
    let mut sleeper = handle
        .queue
        .sleeper(side)
        .map_err(|error| handle.failure(&error))?;
    let mut end = None;
    loop {
        sleeper.arm();
        if let Some(outcome) = attempt()? {
            return Ok(outcome);
        }
        if let Some(code) = end {
            return Err(Failure::from(code));
        }
        end = match sleeper.park(deadline) {
            Parked::Woken | Parked::Rested => None,
            Parked::Expired => Some(expired(side)),
            Parked::Interrupted => Some(Code::Interrupted),
        };
    }
}

/// Waits until there is something to do on a side.
#[unsafe(no_mangle)]
pub extern "C" fn penstock_wait(queue: *const Opaque, side: c_int, timeout: i64) -> Code {
    border(|| {
        let handle = handles::enter(queue)?;
        let side = match side {
            0 => Side::Items,
            1 => Side::Room,
            _ => return Err(Failure::argument("side is PENSTOCK_ITEMS or PENSTOCK_ROOM")),
        };
        until(&handle, side, Timeout(timeout), || look(&handle, side))
    })
}

fn look(handle: &Handle, side: Side) -> Result<Option<()>, Failure> {
    let queue = &handle.queue;
    if queue.is_closed() {
        return Err(Code::Closed.into());
    }
    let is_there = match (side, queue.is_shutdown()) {
        (_, Shutdown::Immediate) | (Side::Room, Shutdown::Draining) => {
            return Err(Code::ShutDown.into());
        }
        (Side::Items, _) if handle.kept.is_some() || !queue.is_empty() => true,
        (Side::Items, Shutdown::Draining) => {
            let now = queue.statistics().map_err(|error| handle.failure(&error))?;
            // What is out under a lease may come back.
            if now.leased == 0 {
                return Err(Code::ShutDown.into());
            }
            false
        }
        _ => queue.spin(side, Duration::ZERO),
    };
    Ok(is_there.then_some(()))
}

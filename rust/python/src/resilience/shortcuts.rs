//! The shortest way through the states; see [`crate::shortcut`].
//!
//! Calls without `now`, whose outcome nobody has to be told of.

use std::sync::OnceLock;

use penstock_core::{
    clock,
    resilience::{
        breaker::{Mode, Permit, State},
        ledger::Seat,
        rate::{Grant, LONGEST_WAIT},
    },
};
use pyo3::{ffi, prelude::*};

use super::{
    BreakerState, ConcurrencyState, RateState,
    breaker::{from_number, to_number},
};
use crate::shortcut::{self, Call, Method, Shortcut, method};

static BREAKER_ACQUIRE: OnceLock<Method> = OnceLock::new();
static BREAKER_RECORD: OnceLock<Method> = OnceLock::new();
static BREAKER_REFUSAL: OnceLock<Method> = OnceLock::new();
static RATE_ACQUIRE: OnceLock<Method> = OnceLock::new();
static CONCURRENCY_ACQUIRE: OnceLock<Method> = OnceLock::new();
static CONCURRENCY_RELEASE: OnceLock<Method> = OnceLock::new();

/// A permit, or nothing where a call must not be made. Who may probe on which of several machines is the whole
/// method's affair.
///
/// # Safety
/// The call is the interpreter's, of `BreakerState.acquire`.
#[inline(always)]
unsafe fn breaker_acquire(call: Call) -> *mut ffi::PyObject {
    // SAFETY: the caller's.
    unsafe {
        let Some(breaker) = call.plain::<BreakerState>(0) else {
            return call.pass_on(&BREAKER_ACQUIRE);
        };
        let Some(here) = breaker.get().keyed.quickly() else {
            return call.pass_on(&BREAKER_ACQUIRE);
        };
        let state = here.state();
        let word = state.word();
        let is_counted = matches!(word.mode(), Mode::Normal | Mode::Shadow);
        if is_counted && word.state() == State::Closed && breaker.get().is_told(word) {
            return ffi::PyLong_FromLongLong(to_number(Permit::Call(word.generation())));
        }
        if breaker.get().is_exchanged {
            return call.pass_on(&BREAKER_ACQUIRE);
        }
        let rules = &breaker.get().rules;
        let (permit, change) = state.acquire(rules, here.me(), clock::monotonic, here);
        if change.is_some() || !breaker.get().is_told(state.word()) {
            breaker
                .get()
                .tell(breaker.py(), state, change, clock::monotonic());
        }
        breaker.get().tell_of_ghost(breaker.py(), state, permit);
        match permit {
            Some(permit) => ffi::PyLong_FromLongLong(to_number(permit)),
            None => ffi::Py_NewRef(ffi::Py_None()),
        }
    }
}

/// The error for a call that must not be made.
///
/// # Safety
/// The call is the interpreter's, of `BreakerState.refusal`.
#[inline(always)]
unsafe fn breaker_refusal(call: Call) -> *mut ffi::PyObject {
    // SAFETY: the caller's; a plain call of three arguments has them.
    unsafe {
        let Some(breaker) = call.plain::<BreakerState>(3) else {
            return call.pass_on(&BREAKER_REFUSAL);
        };
        let Some(here) = breaker.get().keyed.quickly() else {
            return call.pass_on(&BREAKER_REFUSAL);
        };
        let now = clock::monotonic();
        let until = here.state().until(&breaker.get().rules, now);
        let after = until.map_or(0, |until| until.saturating_sub(now));
        let seconds = ffi::PyFloat_FromDouble(after as f64 * 1e-9);
        if seconds.is_null() {
            return seconds;
        }
        let given = [*call.arguments.add(1), *call.arguments.add(2), seconds];
        let none = std::ptr::null_mut();
        let error = ffi::PyObject_Vectorcall(*call.arguments, given.as_ptr(), given.len(), none);
        ffi::Py_DECREF(seconds);
        error
    }
}

/// The outcome of a call that a closed breaker let through, or one that tells nothing of it.
///
/// # Safety
/// The call is the interpreter's, of `BreakerState.record`.
#[inline(always)]
unsafe fn breaker_record(call: Call) -> *mut ffi::PyObject {
    // SAFETY: the caller's; as many arguments as were counted.
    unsafe {
        let plain = call
            .plain::<BreakerState>(2)
            .or_else(|| call.plain::<BreakerState>(3));
        let Some(breaker) = plain else {
            return call.pass_on(&BREAKER_RECORD);
        };
        let Some(here) = breaker.get().keyed.quickly() else {
            return call.pass_on(&BREAKER_RECORD);
        };
        let Some(permit) = whole(*call.arguments) else {
            return call.pass_on(&BREAKER_RECORD);
        };
        let ok = *call.arguments.add(1);
        let ok = if ok == ffi::Py_True() {
            true
        } else if ok == ffi::Py_False() {
            false
        } else {
            return call.pass_on(&BREAKER_RECORD);
        };
        let duration = if call.count == 3 {
            whole(*call.arguments.add(2))
        } else {
            Some(0)
        };
        let permit = from_number(permit);
        let Some(duration) = duration.and_then(|it| u64::try_from(it).ok()) else {
            return call.pass_on(&BREAKER_RECORD);
        };
        if !matches!(permit, Permit::Call(_)) {
            return call.pass_on(&BREAKER_RECORD);
        }
        let state = here.state();
        let rules = &breaker.get().rules;
        let change = state.record(
            rules,
            here.me(),
            permit,
            Some(ok),
            duration,
            clock::monotonic,
        );
        breaker.get().note(state, Some(ok));
        if change.is_some() || !breaker.get().is_told(state.word()) {
            breaker
                .get()
                .tell(breaker.py(), state, change, clock::monotonic());
        }
        ffi::Py_NewRef(ffi::Py_None())
    }
}

/// One call at once or not at all, or after a wait that may be so long.
///
/// # Safety
/// The call is the interpreter's, of `RateState.acquire`.
#[inline(always)]
unsafe fn rate_acquire(call: Call) -> *mut ffi::PyObject {
    // SAFETY: the caller's.
    unsafe {
        let alone = call.plain::<RateState>(0).map(|rate| (rate, Some((1, 0))));
        let asked = || {
            let rate = call.plain::<RateState>(2)?;
            Some((rate, numbers(call)))
        };
        if let Some((rate, Some((n, max_wait)))) = alone.or_else(asked)
            && let Some(here) = rate.get().keyed.quickly()
        {
            let rules = &rate.get().rules;
            let grant: Grant =
                here.state()
                    .acquire(rules, n, max_wait.min(LONGEST_WAIT), clock::monotonic());
            return ffi::PyLong_FromLongLong(super::rate::to_number(grant));
        }
        call.pass_on(&RATE_ACQUIRE)
    }
}

/// How many, and the longest wait, if both are what `RateState.acquire` takes.
///
/// # Safety
/// A call of two arguments.
#[inline(always)]
unsafe fn numbers(call: Call) -> Option<(u64, u64)> {
    // SAFETY: the caller's.
    let (n, max_wait) = unsafe { (whole(*call.arguments)?, whole(*call.arguments.add(1))?) };
    let n = u64::try_from(n)
        .ok()
        .filter(|n| (1..=u64::from(u32::MAX)).contains(n))?;
    Some((n, u64::try_from(max_wait).ok()?))
}

/// # Safety
/// The call is the interpreter's, of `ConcurrencyState.acquire`.
#[inline(always)]
unsafe fn concurrency_acquire(call: Call) -> *mut ffi::PyObject {
    // SAFETY: the caller's.
    unsafe {
        if let Some(permits) = call.plain::<ConcurrencyState>(0)
            && let Some(here) = permits.get().keyed.quickly()
        {
            let (limit, expires) = (permits.get().limit, permits.get().expires);
            let now = clock::monotonic();
            return match here.state().acquire(limit, expires, here.me(), now, here) {
                Some(seat) => ffi::PyLong_FromUnsignedLongLong(seat.to_bits()),
                None => ffi::Py_NewRef(ffi::Py_None()),
            };
        }
        call.pass_on(&CONCURRENCY_ACQUIRE)
    }
}

/// # Safety
/// The call is the interpreter's, of `ConcurrencyState.release`.
#[inline(always)]
unsafe fn concurrency_release(call: Call) -> *mut ffi::PyObject {
    // SAFETY: the caller's; a plain call of one argument has one.
    unsafe {
        if let Some(permits) = call.plain::<ConcurrencyState>(1)
            && let Some(here) = permits.get().keyed.quickly()
            && let Some(permit) = whole(*call.arguments)
            && let Ok(permit) = u64::try_from(permit)
        {
            let was_held = here.state().release(Seat::from_bits(permit), here.me());
            return ffi::PyBool_FromLong(was_held.into());
        }
        call.pass_on(&CONCURRENCY_RELEASE)
    }
}

/// The number that an object is, if it is an int that fits.
///
/// # Safety
/// Attached; a live object.
#[inline(always)]
unsafe fn whole(object: *mut ffi::PyObject) -> Option<i64> {
    // SAFETY: the caller's; an exact int has no code of its own to run.
    unsafe {
        if ffi::PyLong_CheckExact(object) == 0 {
            return None;
        }
        let mut overflow = 0;
        let value = ffi::PyLong_AsLongLongAndOverflow(object, &raw mut overflow);
        (overflow == 0).then_some(value)
    }
}

method!(acquire_breaker, call => breaker_acquire(call));
method!(refuse_breaker, call => breaker_refusal(call));
method!(record_breaker, call => breaker_record(call));
method!(acquire_rate, call => rate_acquire(call));
method!(acquire_concurrency, call => concurrency_acquire(call));
method!(release_concurrency, call => concurrency_release(call));

/// Puts each shortcut before the method it belongs to.
pub(crate) fn install(py: Python<'_>) -> PyResult<()> {
    let shortcut = |name, shortcut, whole| Shortcut {
        name,
        shortcut,
        whole,
    };
    shortcut::install::<BreakerState>(
        py,
        [
            shortcut("acquire", acquire_breaker as Method, &BREAKER_ACQUIRE),
            shortcut("record", record_breaker as Method, &BREAKER_RECORD),
            shortcut("refusal", refuse_breaker as Method, &BREAKER_REFUSAL),
        ],
    )?;
    let rate = [shortcut("acquire", acquire_rate as Method, &RATE_ACQUIRE)];
    shortcut::install::<RateState>(py, rate)?;
    shortcut::install::<ConcurrencyState>(
        py,
        [
            shortcut(
                "acquire",
                acquire_concurrency as Method,
                &CONCURRENCY_ACQUIRE,
            ),
            shortcut(
                "release",
                release_concurrency as Method,
                &CONCURRENCY_RELEASE,
            ),
        ],
    )
}

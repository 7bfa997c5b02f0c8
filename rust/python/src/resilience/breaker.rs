//! `BreakerState`: the circuit breaker's words, and who is told when they change.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use penstock_core::resilience::{
    breaker::{
        ANSWERS_MAX, Breaker, BreakerRules, COUNT_MAX, Change, Mode, PROBES, Permit, State, WHOLE,
        Window, Word,
    },
    definition::Definition,
    lease::{LONGEST, STUB_BITS},
};
use pyo3::{
    exceptions::PyTypeError,
    prelude::*,
    types::{PyBool, PyDict, PyInt},
};

use super::{
    keyed::{Keyed, over, refuse, within},
    moment::moment,
};

/// As a permit: a probe, whose number and lease follow.
const PROBE: i64 = 1 << 61;
/// As a permit: let through by a breaker that would have refused, or does not count.
const GHOST: i64 = -1;

/// Ten years.
const LONG: u64 = 315_360_000_000_000_000;

/// The state of a circuit breaker, of this process or of all that share its name on this machine.
///
/// `acquire()` returns a permit, or None if the call must not be made; every permit is handed to
/// `record` once, however the call ended. Both are safe from any thread and process, take no lock, and
/// cost about 50 ns each while it is closed. A forked child goes on with a place of its own.
#[pyclass(frozen, module = "penstock._native")]
pub(crate) struct BreakerState {
    pub(super) keyed: Keyed<Breaker>,
    pub(super) rules: BreakerRules,
    on_transition: Option<Py<PyAny>>,
    /// Called for each call that passes in shadow mode and would have been refused.
    on_ghost: Option<Py<PyAny>>,
    /// Generation and state that `on_transition` was told last. Swapped by all threads.
    told: AtomicU64,
    /// Whether it is one of several machines: then probes are given by `probe`, and successes are noted.
    pub(super) is_exchanged: bool,
}

pub(super) const fn to_number(permit: Permit) -> i64 {
    match permit {
        Permit::Call(generation) => generation as i64,
        Permit::Probe(number, stub) => PROBE | (number as i64) << STUB_BITS | stub as i64,
        Permit::Ghost => GHOST,
    }
}

pub(super) const fn from_number(number: i64) -> Permit {
    if number < 0 {
        return Permit::Ghost;
    }
    if number & PROBE == 0 {
        return Permit::Call(number as u64);
    }
    let number = (number & (PROBE - 1)) as u64;
    Permit::Probe(
        (number >> STUB_BITS) as usize,
        number & ((1 << STUB_BITS) - 1),
    )
}

const fn told(word: Word) -> u64 {
    word.generation() << 2 | word.state() as u64
}

/// A generation has 28 bits, its state 2.
const TOLD_MASK: u64 = (1 << 30) - 1;

const STATES: [State; 3] = [State::Closed, State::Open, State::HalfOpen];

fn mode(py: Python<'_>, name: &str) -> PyResult<Mode> {
    Mode::ALL
        .into_iter()
        .find(|mode| mode.name() == name)
        .ok_or_else(|| {
            let message = format!("BreakerState: mode={name:?} is no mode");
            refuse(py, &message, "normal, shadow, forced_open or disabled")
        })
}

fn share(py: Python<'_>, name: &str, value: f64) -> PyResult<u64> {
    let value = within(py, "BreakerState", name, value, 0.0, 1.0)?;
    Ok((value * WHOLE as f64).round() as u64)
}

#[pymethods]
impl BreakerState {
    #[new]
    #[pyo3(signature = (*, window="consecutive", size=0, failure_threshold=0, failure_rate=0.0, slow_rate=0.0,
        slow_after=0, min_calls=1, open_for=60_000_000_000, probes=1, success_threshold=1, probe_failures=0,
        probe_expires=60_000_000_000, mode="normal", name=None, key="", on_transition=None, on_ghost=None,
        exchange=None))]
    #[expect(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        window: &str,
        size: u64,
        failure_threshold: u32,
        failure_rate: f64,
        slow_rate: f64,
        slow_after: u64,
        min_calls: u64,
        open_for: u64,
        probes: usize,
        success_threshold: u32,
        probe_failures: u32,
        probe_expires: u64,
        mode: &str,
        name: Option<String>,
        key: &str,
        on_transition: Option<Py<PyAny>>,
        on_ghost: Option<Py<PyAny>>,
        exchange: Option<&str>,
    ) -> PyResult<Self> {
        const CLASS: &str = "BreakerState";
        let first = self::mode(py, mode)?;
        let kind = match window {
            "consecutive" => {
                within(py, CLASS, "failure_threshold", failure_threshold, 1, 65_535)?;
                if size != 0 || failure_rate != 0.0 || slow_rate != 0.0 {
                    let message = "BreakerState: window=\"consecutive\" has no size and no rates";
                    return Err(refuse(
                        py,
                        message,
                        "use window=\"count\" or window=\"time\"",
                    ));
                }
                Window::Consecutive
            }
            "count" => {
                let size = within(py, CLASS, "size", size, 1, COUNT_MAX as u64)?;
                within(py, CLASS, "min_calls", min_calls, 1, size)?;
                within(
                    py,
                    CLASS,
                    "failure_threshold",
                    u64::from(failure_threshold),
                    0,
                    size,
                )?;
                Window::Count(size as usize)
            }
            "time" => Window::Time(within(py, CLASS, "size", size, 1_000_000, LONG)?),
            _ => {
                let message = format!("BreakerState: window={window:?} is no window");
                return Err(refuse(py, &message, "consecutive, count or time"));
            }
        };
        let rules = BreakerRules {
            window: kind,
            failure_threshold,
            failure_rate: share(py, "failure_rate", failure_rate)?,
            slow_rate: share(py, "slow_rate", slow_rate)?,
            slow_after: within(py, CLASS, "slow_after", slow_after, 0, LONG)?,
            min_calls: within(py, CLASS, "min_calls", min_calls, 1, u64::from(u32::MAX))?,
            open_for: within(py, CLASS, "open_for", open_for, 1, LONG)?,
            probes: within(py, CLASS, "probes", probes, 1, PROBES)?,
            success_threshold: within(
                py,
                CLASS,
                "success_threshold",
                success_threshold,
                1,
                ANSWERS_MAX,
            )?,
            probe_failures: within(py, CLASS, "probe_failures", probe_failures, 0, ANSWERS_MAX)?,
            probe_expires: within(py, CLASS, "probe_expires", probe_expires, 0, LONGEST / 2)?,
        };
        if rules.failure_threshold == 0 && rules.failure_rate == 0 && rules.slow_rate == 0 {
            let message = "BreakerState: nothing would ever open it";
            return Err(refuse(
                py,
                message,
                "set failure_threshold, failure_rate or slow_rate",
            ));
        }
        if (rules.slow_rate > 0) != (rules.slow_after > 0) {
            let message = "BreakerState: slow_rate and slow_after go together";
            return Err(refuse(py, message, "set both or none"));
        }
        let words = [
            ("window", window.to_owned()),
            ("size", size.to_string()),
            ("failure_threshold", failure_threshold.to_string()),
            ("failure_rate", failure_rate.to_string()),
            ("slow_rate", slow_rate.to_string()),
            ("slow_after", slow_after.to_string()),
            ("min_calls", min_calls.to_string()),
            ("open_for", open_for.to_string()),
            ("probes", probes.to_string()),
            ("success_threshold", success_threshold.to_string()),
            ("probe_failures", probe_failures.to_string()),
            ("probe_expires", probe_expires.to_string()),
            ("mode", mode.to_owned()),
        ];
        let definition = Definition::new(words.into_iter().chain(over(exchange)));
        let initialise = move |breaker: &Breaker| {
            breaker.set_mode(first);
        };
        let keyed = Keyed::new(py, name, key, definition, initialise)?;
        let state = keyed.here(py)?.state().word();
        Ok(Self {
            keyed,
            rules,
            on_transition,
            on_ghost,
            told: AtomicU64::new(told(state)),
            is_exchanged: exchange.is_some(),
        })
    }

    /// A permit for a call, or None if it must not be made. Give it to `record`. A negative one was given by a
    /// breaker in shadow mode that would have refused, or by one that is disabled.
    #[pyo3(signature = (now=None, /))]
    fn acquire(&self, py: Python<'_>, now: Option<u64>) -> PyResult<Option<i64>> {
        if self.is_exchanged {
            let here = self.keyed.here(py)?;
            let word = here.state().word();
            if word.mode() == Mode::Normal && word.state() != State::Closed {
                self.tell(py, here.state(), None, moment(py, now)?);
                return Ok(None);
            }
        }
        self.probe(py, now)
    }

    /// The same, probes included, of a breaker with `exchange`: `acquire` gives none there, since machines agree on
    /// who probes before anybody does.
    #[pyo3(signature = (now=None, /))]
    fn probe(&self, py: Python<'_>, now: Option<u64>) -> PyResult<Option<i64>> {
        let here = self.keyed.here(py)?;
        let now = moment(py, now)?;
        let (permit, change) = here.state().acquire(&self.rules, here.me(), || now, here);
        self.tell(py, here.state(), change, now);
        self.tell_of_ghost(py, here.state(), permit);
        Ok(permit.map(to_number))
    }

    /// Says how the call of a permit ended: True, False, or None for one that tells nothing (it was cancelled).
    /// `duration` is in nanoseconds.
    #[pyo3(signature = (permit, ok, duration=0, now=None, /))]
    fn record(
        &self,
        py: Python<'_>,
        permit: &Bound<'_, PyInt>,
        ok: &Bound<'_, PyAny>,
        duration: u64,
        now: Option<u64>,
    ) -> PyResult<()> {
        let here = self.keyed.here(py)?;
        let permit = from_number(permit.extract()?);
        let ok = outcome(ok)?;
        let now = moment(py, now)?;
        let change = here
            .state()
            .record(&self.rules, here.me(), permit, ok, duration, || now);
        self.note(here.state(), ok);
        self.tell(py, here.state(), change, now);
        Ok(())
    }

    /// Nanoseconds until an open breaker lets a probe through; 0 if it is not open.
    #[pyo3(signature = (now=None, /))]
    fn retry_after(&self, py: Python<'_>, now: Option<u64>) -> PyResult<u64> {
        let now = moment(py, now)?;
        let until = self.keyed.here(py)?.state().until(&self.rules, now);
        Ok(until.map_or(0, |until| until.saturating_sub(now)))
    }

    /// `kind(policy, key, seconds)`: the error for a call that must not be made, with the seconds until one may be.
    #[pyo3(signature = (kind, policy, key, now=None, /))]
    fn refusal<'py>(
        &self,
        kind: &Bound<'py, PyAny>,
        policy: &Bound<'py, PyAny>,
        key: &Bound<'py, PyAny>,
        now: Option<u64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let after = self.retry_after(kind.py(), now)?;
        kind.call1((policy, key, after as f64 * 1e-9))
    }

    /// Sets the mode, for all that share it.
    #[pyo3(signature = (mode, /))]
    fn set_mode(&self, py: Python<'_>, mode: &str) -> PyResult<()> {
        let mode = self::mode(py, mode)?;
        self.keyed.here(py)?.state().set_mode(mode);
        Ok(())
    }

    /// Closes the circuit, with an empty window; the mode stays.
    #[pyo3(signature = (now=None, /))]
    fn reset(&self, py: Python<'_>, now: Option<u64>) -> PyResult<()> {
        let now = moment(py, now)?;
        let here = self.keyed.here(py)?;
        let change = here.state().reset(now);
        self.tell(py, here.state(), change, now);
        Ok(())
    }

    /// The breaker of another key, of the same name and definition.
    #[pyo3(signature = (key, /))]
    fn for_key(&self, py: Python<'_>, key: &str) -> PyResult<Self> {
        let keyed = self.keyed.for_key(py, key)?;
        let word = keyed.here(py)?.state().word();
        Ok(Self {
            keyed,
            rules: self.rules,
            on_transition: self.on_transition.as_ref().map(|it| it.clone_ref(py)),
            on_ghost: self.on_ghost.as_ref().map(|it| it.clone_ref(py)),
            told: AtomicU64::new(told(word)),
            is_exchanged: self.is_exchanged,
        })
    }

    /// All there is to know: state, mode, generation, what is in the window, probes, the moment until which it is open.
    #[pyo3(signature = (now=None, /))]
    fn snapshot<'py>(&self, py: Python<'py>, now: Option<u64>) -> PyResult<Bound<'py, PyDict>> {
        let now = moment(py, now)?;
        let breaker = self.keyed.here(py)?.state();
        let word = breaker.word();
        let tally = breaker.tally(&self.rules, now);
        let is_half_open = word.state() == State::HalfOpen;
        let of_probes = |count: u32| if is_half_open { count } else { 0 };
        let in_a_row = match word.state() {
            State::Closed => word.failures_in_a_row(),
            _ => 0,
        };
        let snapshot = self.keyed.snapshot(py)?;
        snapshot.set_item("state", word.state().name())?;
        snapshot.set_item("mode", word.mode().name())?;
        snapshot.set_item("generation", word.generation())?;
        snapshot.set_item("calls", tally.calls)?;
        snapshot.set_item("failures", tally.failures)?;
        snapshot.set_item("slow", tally.slow)?;
        snapshot.set_item("failures_in_a_row", in_a_row)?;
        snapshot.set_item("probes", of_probes(word.probes().count_ones()))?;
        snapshot.set_item("probe_successes", of_probes(word.successes()))?;
        snapshot.set_item("probe_failures", of_probes(word.failures()))?;
        snapshot.set_item("open_until", breaker.until(&self.rules, now))?;
        if self.is_exchanged {
            snapshot.set_item("is_followed", breaker.is_followed())?;
            snapshot.set_item("success_age", breaker.success_age(now))?;
        }
        Ok(snapshot)
    }

    /// Opens a closed circuit of this generation for so many nanoseconds, or begins an open one's time anew, because
    /// other machines say so. Whether it did.
    #[pyo3(signature = (generation, open_for, now=None, /))]
    fn follow_open(
        &self,
        py: Python<'_>,
        generation: u64,
        open_for: u64,
        now: Option<u64>,
    ) -> PyResult<bool> {
        let open_for = within(py, "BreakerState", "open_for", open_for, 1, LONG)?;
        let now = moment(py, now)?;
        let breaker = self.keyed.here(py)?.state();
        let has_followed = breaker.follow_open(generation, open_for, now).is_some();
        self.tell(py, breaker, None, now);
        Ok(has_followed)
    }

    /// Closes a circuit of this generation that is open because other machines said so. Whether it did.
    #[pyo3(signature = (generation, now=None, /))]
    fn follow_closed(&self, py: Python<'_>, generation: u64, now: Option<u64>) -> PyResult<bool> {
        let now = moment(py, now)?;
        let breaker = self.keyed.here(py)?.state();
        let has_followed = breaker.follow_closed(generation, now).is_some();
        self.tell(py, breaker, None, now);
        Ok(has_followed)
    }

    /// Puts a date to the successes since the last look, for `success_age` of the snapshot. By one process.
    #[pyo3(signature = (now=None, /))]
    fn look_for_success(&self, py: Python<'_>, now: Option<u64>) -> PyResult<()> {
        let now = moment(py, now)?;
        self.keyed.here(py)?.state().look_for_success(now);
        Ok(())
    }

    /// A number for this machine that no other has; the same in all processes that share the state.
    #[getter]
    fn machine(&self, py: Python<'_>) -> PyResult<u64> {
        self.keyed.machine(py, |it| &it.courier)
    }

    /// Whether this process speaks for the machine for the next two seconds; another one does while it lives.
    fn is_courier(&self, py: Python<'_>) -> PyResult<bool> {
        self.keyed.is_courier(py, |it| &it.courier)
    }

    /// Leaves the table of that name, with all keys. The last process to leave it removes it.
    fn close(&self, py: Python<'_>) {
        self.keyed.close(py);
    }

    #[getter]
    fn state(&self, py: Python<'_>) -> PyResult<&'static str> {
        Ok(self.keyed.here(py)?.state().word().state().name())
    }

    #[getter]
    fn mode(&self, py: Python<'_>) -> PyResult<&'static str> {
        Ok(self.keyed.here(py)?.state().word().mode().name())
    }

    #[getter]
    fn key(&self) -> &str {
        self.keyed.key()
    }

    #[getter]
    fn definition(&self) -> &str {
        self.keyed.definition()
    }

    fn __repr__(&self) -> String {
        self.keyed.shown("BreakerState")
    }
}

impl BreakerState {
    /// Remembers a success where other machines want to know of it.
    #[inline(always)]
    pub(super) fn note(&self, breaker: &Breaker, ok: Option<bool>) {
        if self.is_exchanged && ok == Some(true) {
            breaker.note_success();
        }
    }

    /// Whether `on_transition` knows of this word.
    #[inline(always)]
    pub(super) fn is_told(&self, word: Word) -> bool {
        self.told.load(Relaxed) == told(word)
    }

    /// Calls `on_transition` for a change that this call made, or that it is the first in this process to see.
    #[inline]
    pub(super) fn tell(&self, py: Python<'_>, breaker: &Breaker, change: Option<Change>, now: u64) {
        if change.is_some() || !self.is_told(breaker.word()) {
            self.tell_now(py, breaker, change, now);
        }
    }

    /// Calls `on_ghost` for a call that passes in shadow mode alone.
    #[inline]
    pub(super) fn tell_of_ghost(&self, py: Python<'_>, breaker: &Breaker, permit: Option<Permit>) {
        if let (Some(Permit::Ghost), Some(function)) = (permit, &self.on_ghost)
            && breaker.word().mode() == Mode::Shadow
            && let Err(failure) = function.call0(py)
        {
            failure.write_unraisable(py, Some(function.bind(py)));
        }
    }

    #[cold]
    fn tell_now(&self, py: Python<'_>, breaker: &Breaker, change: Option<Change>, now: u64) {
        if let Some(change) = change {
            let made = change.generation << 2 | change.to as u64;
            // Another thread may have told of a later one by now.
            let is_later = |seen: u64| (made.wrapping_sub(seen) & TOLD_MASK) < TOLD_MASK / 2;
            let later = |seen| is_later(seen).then_some(made);
            // In vain if it is not.
            let _ = self.told.fetch_update(Relaxed, Relaxed, later);
            self.call(py, change.from, change.to, change.generation, now, true);
        }
        let word = breaker.word();
        let seen = self.told.load(Relaxed);
        // By one thread of this process; whatever lies between the two is told as one change.
        if seen != told(word)
            && self
                .told
                .compare_exchange(seen, told(word), Relaxed, Relaxed)
                .is_ok()
        {
            let from = STATES[(seen & 3).min(2) as usize];
            self.call(py, from, word.state(), word.generation(), now, false);
        }
    }

    fn call(&self, py: Python<'_>, from: State, to: State, generation: u64, now: u64, own: bool) {
        let Some(function) = &self.on_transition else {
            return;
        };
        let arguments = (from.name(), to.name(), generation, now, own);
        if let Err(failure) = function.call1(py, arguments) {
            failure.write_unraisable(py, Some(function.bind(py)));
        }
    }
}

pub(super) fn outcome(ok: &Bound<'_, PyAny>) -> PyResult<Option<bool>> {
    if ok.is_none() {
        return Ok(None);
    }
    match ok.cast_exact::<PyBool>() {
        Ok(ok) => Ok(Some(ok.is_true())),
        Err(_) => Err(PyTypeError::new_err("ok is True, False or None")),
    }
}

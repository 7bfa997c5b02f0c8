//! `Emission`: one event on its way to its handlers; a coroutine to whoever awaits it.
//!
//! Its first step starts every handler. If all of them end in it, it returns what came of them without
//! touching the event loop; otherwise the coroutine `penstock.events.waiting.settled` waits for the
//! rest.

use std::{
    ops::{Deref, DerefMut},
    ptr,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU8, Ordering::Relaxed},
    },
};

use penstock_core::{clock::ticks::Ruler, sync::lock};
use pyo3::{
    PyTraverseError, PyTypeInfo, PyVisit,
    exceptions::{PyRuntimeError, PyRuntimeWarning, PyStopIteration},
    ffi, intern,
    prelude::*,
    sync::PyOnceLock,
    types::PyTuple,
};

use super::{
    carrier::{Carrier, Load},
    current::Swapped,
    emitter::Emitter,
    frame::{self, Frame},
    handler::Given,
    outcomes::{Outcomes, Record, Settled},
    records::Records,
    route::Route,
    step::{self, Step, is_cancellation, is_fatal},
};
use crate::hub::Place;

const FRESH: u8 = 0;
const WAITING: u8 = 1;
const DONE: u8 = 2;
/// Begun by `emit_nowait`: whoever awaits it waits for the rest.
const BEGUN: u8 = 3;

/// One event on its way to its handlers.
#[pyclass(frozen, freelist = 16, module = "penstock.events")]
pub(crate) struct Emission {
    emitter: Py<Emitter>,
    /// What `Emission.key` says: a name or a class.
    key: Py<PyAny>,
    state: AtomicU8,
    /// Whether somebody has asked what came of it.
    is_heard: AtomicBool,
    /// Until it is begun.
    data: Mutex<Option<Py<PyAny>>>,
    inner: Mutex<Late>,
}

/// What an emission needs when it does not end in its first step; most have none.
#[derive(Default)]
struct Late(Option<Box<Inner>>);

static NOTHING: Inner = Inner {
    route: None,
    records: Records::NONE,
    carriers: Vec::new(),
    pending: 0,
    ruler: None,
    depth: 0,
    places: Vec::new(),
    failure: None,
    waiting: None,
    outcomes: None,
};

impl Deref for Late {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        self.0.as_deref().unwrap_or(&NOTHING)
    }
}

impl DerefMut for Late {
    fn deref_mut(&mut self) -> &mut Inner {
        self.0.get_or_insert_default()
    }
}

#[derive(Default)]
struct Inner {
    route: Option<Py<Route>>,
    records: Records,
    carriers: Vec<Option<Py<Carrier>>>,
    pending: usize,
    ruler: Option<Ruler>,
    depth: u32,
    /// What is woken at the end: places of tasks, and what threads wait for.
    places: Vec<Py<PyAny>>,
    /// Why it was not begun.
    failure: Option<Py<PyAny>>,
    waiting: Option<Py<PyAny>>,
    outcomes: Option<Py<Outcomes>>,
}

/// What the first steps of all handlers have led to.
struct Begun {
    records: Records,
    carriers: Vec<Option<Py<Carrier>>>,
    pending: usize,
    /// What ends the program.
    fatal: Option<PyErr>,
}

impl Emission {
    #[inline]
    pub(super) fn new(emitter: Py<Emitter>, key: Py<PyAny>, data: Py<PyAny>) -> Self {
        Self {
            emitter,
            key,
            state: AtomicU8::new(FRESH),
            is_heard: AtomicBool::new(false),
            data: Mutex::new(Some(data)),
            inner: Mutex::new(Late::default()),
        }
    }

    pub(super) fn key<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.key.bind(py).clone()
    }

    /// How deep a handler is that goes on: one that somebody waits for. Nobody does for those of
    /// `emit_nowait`, which nest in nothing from their first suspension on.
    pub(super) fn depth(&self) -> u32 {
        match self.state.load(Relaxed) {
            BEGUN => 0,
            _ => lock(&self.inner).depth,
        }
    }

    /// Starts the handlers, on the loop that is the bus's home, whose thread this is.
    #[inline]
    pub(super) fn start<'py>(
        slf: &Bound<'py, Self>,
        emitter: &Bound<'py, Emitter>,
        event_loop: &Bound<'py, PyAny>,
        is_awaited: bool,
    ) -> PyResult<Option<Bound<'py, Outcomes>>> {
        let (py, this) = (slf.py(), slf.get());
        let key = this.key.bind(py);
        let depth = frame::depth() + 1;
        let limit = emitter.get().max_depth;
        if depth > limit {
            return Err(frame::too_deep(
                py,
                &emitter.repr()?.to_string(),
                limit,
                key,
            ));
        }
        // Last of all that may refuse it: it unsubscribes those who hear once.
        let route = Emitter::route(emitter, key, is_awaited)?;
        let Some(data) = lock(&this.data).take() else {
            return Err(PyRuntimeError::new_err("the emission has begun before"));
        };
        let data = data.into_bound(py);
        emitter.get().count();
        let ruler = Ruler::pick();
        let frame = Frame::new(key, depth);
        let begun = Self::begin(slf, emitter, event_loop, &route, &data, ruler, &frame)?;
        drop(data);
        if begun.pending == 0 {
            if let Some(fatal) = begun.fatal {
                return Err(fatal);
            }
            let outcomes = Outcomes::new(route.unbind(), begun.records, ruler);
            return Bound::new(py, outcomes).map(Some);
        }
        {
            let mut inner = lock(&this.inner);
            inner.route = Some(route.unbind());
            inner.records = begun.records;
            inner.carriers = begun.carriers;
            inner.pending = begun.pending;
            inner.ruler = Some(ruler);
            inner.depth = depth;
        }
        match begun.fatal {
            Some(fatal) => {
                this.cancel(py)?;
                Err(fatal)
            }
            None => Ok(None),
        }
    }

    #[inline]
    fn begin<'py>(
        slf: &Bound<'py, Self>,
        emitter: &Bound<'py, Emitter>,
        event_loop: &Bound<'py, PyAny>,
        route: &Bound<'py, Route>,
        data: &Bound<'py, PyAny>,
        ruler: Ruler,
        frame: &Frame,
    ) -> PyResult<Begun> {
        let py = slf.py();
        let key = slf.get().key.bind(py);
        let given = Given { data, key };
        let handlers = &route.get().handlers;
        let mut begun = Begun {
            records: Records::with_capacity(handlers.len()),
            carriers: Vec::new(),
            pending: 0,
            fatal: None,
        };
        if handlers.is_empty() {
            return Ok(begun);
        }
        let (mut carrier, mut task) = emitter.get().carrier(event_loop)?;
        carrier.get().use_for_first_steps(true);
        let swapped = Swapped::enter(event_loop, &task)?;
        let mut moment = ruler.now();
        for (index, handler) in handlers.iter().enumerate() {
            let handler = handler.get();
            let context = step::copied_context(py)?;
            let mut iterator = None;
            let stepped = step::within(&context, || {
                let _entered = frame.enter();
                let value = match handler.call(py, given) {
                    Ok(value) => value,
                    Err(failure) => return Step::Raised(failure),
                };
                match step::iterator_of(&value) {
                    Ok(None) => Step::Returned(value),
                    Ok(Some(found)) => {
                        let stepped = step::send(&found, py.None().as_ptr());
                        iterator = Some(found);
                        stepped
                    }
                    Err(failure) => Step::Raised(failure),
                }
            });
            let stepped = stepped.unwrap_or_else(Step::Raised);
            let mut is_cancelled = false;
            if !matches!(stepped, Step::Yielded(_)) && Carrier::was_asked(&carrier)? {
                is_cancelled = true;
                carrier.get().use_for_first_steps(false);
                (carrier, task) = emitter.get().carrier(event_loop)?;
                carrier.get().use_for_first_steps(true);
                swapped.change(&task)?;
            }
            let began = moment;
            moment = ruler.now();
            let mut ticks = moment.wrapping_sub(began);
            let settled = match stepped {
                Step::Returned(_) if is_cancelled => {
                    handler.tally().count_cancelled();
                    Settled::Cancelled
                }
                Step::Returned(value) => {
                    handler.tally().count_handled();
                    Settled::Returned(value.unbind())
                }
                Step::Yielded(yielded) => {
                    ticks = began;
                    begun.carriers.resize_with(handlers.len(), || None);
                    begun.carriers[index] = Some(carrier.clone().unbind());
                    begun.pending += 1;
                    let iterator = iterator.take().map(Bound::unbind);
                    let load = Load {
                        iterator: iterator.unwrap_or_else(|| py.None()),
                        context: context.unbind(),
                        yielded: Some(yielded)
                            .filter(|each| !each.is_none())
                            .map(Bound::unbind),
                        emission: slf.clone().unbind(),
                        index,
                    };
                    Carrier::take_over(&carrier, &task, load, handler.label.bind(py))?;
                    (carrier, task) = emitter.get().carrier(event_loop)?;
                    carrier.get().use_for_first_steps(true);
                    swapped.change(&task)?;
                    Settled::Pending
                }
                Step::Raised(failure) if is_cancellation(py, &failure) => {
                    handler.tally().count_cancelled();
                    Settled::Cancelled
                }
                Step::Raised(failure) => {
                    handler.tally().count_failed();
                    if is_fatal(py, &failure) {
                        begun.fatal = Some(failure.clone_ref(py));
                    }
                    Settled::Raised(failure.into_value(py).into_any())
                }
            };
            begun.records.push(Record { settled, ticks });
            if begun.fatal.is_some() {
                break;
            }
        }
        swapped.leave()?;
        carrier.get().use_for_first_steps(false);
        emitter.get().keep(carrier, task);
        Ok(begun)
    }

    /// A handler that was carried on has ended.
    pub(super) fn settle(slf: &Bound<'_, Self>, index: usize, settled: Settled) {
        let (py, this) = (slf.py(), slf.get());
        let (handler, places, carrier) = {
            let mut inner = lock(&this.inner);
            let handler = inner
                .route
                .as_ref()
                .map(|route| route.get().handlers[index].clone_ref(py));
            let ruler = inner.ruler.unwrap_or_else(Ruler::pick);
            if let Some(record) = inner.records.get_mut(index) {
                record.ticks = ruler.now().wrapping_sub(record.ticks);
            }
            match (&settled, &handler) {
                (Settled::Returned(_), Some(handler)) => handler.get().tally().count_handled(),
                (Settled::Raised(_), Some(handler)) => handler.get().tally().count_failed(),
                (_, Some(handler)) => handler.get().tally().count_cancelled(),
                _ => {}
            }
            if let Some(record) = inner.records.get_mut(index) {
                record.settled = settled;
            }
            inner.pending -= 1;
            let carrier = inner.carriers[index].take();
            let places = if inner.pending == 0 {
                std::mem::take(&mut inner.places)
            } else {
                Vec::new()
            };
            (handler, places, carrier)
        };
        drop((handler, carrier));
        wake_all(py, places);
        if this.state.load(Relaxed) == BEGUN && lock(&this.inner).pending == 0 {
            Emitter::settled(this.emitter.bind(py), slf);
        }
    }

    fn cancel(&self, py: Python<'_>) -> PyResult<()> {
        let carriers: Vec<_> = lock(&self.inner)
            .carriers
            .iter()
            .flatten()
            .map(|carrier| carrier.clone_ref(py))
            .collect();
        for carrier in carriers {
            if let Ok(task) = carrier.get().task(py) {
                task.call_method0(intern!(py, "cancel"))?;
            }
        }
        Ok(())
    }

    /// What came of it, once all of it has settled.
    fn gathered<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, Outcomes>>> {
        let gathered = {
            let mut inner = lock(&self.inner);
            if let Some(outcomes) = &inner.outcomes {
                return Ok(Some(outcomes.bind(py).clone()));
            }
            if let Some(failure) = &inner.failure {
                return Err(PyErr::from_value(failure.bind(py).clone()));
            }
            if inner.pending > 0 {
                return Ok(None);
            }
            let Some(route) = inner.route.take() else {
                return Ok(None);
            };
            let records = std::mem::take(&mut inner.records);
            let ruler = inner.ruler.unwrap_or_else(Ruler::pick);
            Outcomes::new(route, records, ruler)
        };
        let outcomes = Bound::new(py, gathered)?;
        lock(&self.inner).outcomes = Some(outcomes.clone().unbind());
        Ok(Some(outcomes))
    }

    /// `emit_nowait` on the bus's own loop.
    pub(super) fn start_now<'py>(
        slf: &Bound<'py, Self>,
        emitter: &Bound<'py, Emitter>,
        event_loop: &Bound<'py, PyAny>,
    ) -> PyResult<()> {
        slf.get().state.store(BEGUN, Relaxed);
        let outcomes = Self::start(slf, emitter, event_loop, false)?;
        match outcomes {
            Some(outcomes) => slf.get().resolve(slf.py(), outcomes.unbind()),
            None => emitter.get().goes_on(slf)?,
        }
        Ok(())
    }

    // -- steps ------------------------------------------------------------------------------------

    #[inline]
    fn step<'py>(slf: &Bound<'py, Self>, value: *mut ffi::PyObject) -> PyResult<Step<'py>> {
        let (py, this) = (slf.py(), slf.get());
        match this.state.load(Relaxed) {
            FRESH => {
                this.state.store(DONE, Relaxed);
                this.is_heard.store(true, Relaxed);
                let emitter = this.emitter.bind(py);
                let waiting = match emitter.get().home(py) {
                    Some(event_loop) => {
                        if let Some(outcomes) = Self::start(slf, emitter, &event_loop, true)? {
                            return Ok(Step::Returned(outcomes.into_any()));
                        }
                        settled_function(py)?.call1((slf, true))?
                    }
                    None => emitter.call_method1(intern!(py, "_emit_elsewhere"), (slf,))?,
                };
                lock(&this.inner).waiting = Some(waiting.clone().unbind());
                this.state.store(WAITING, Relaxed);
                this.forward(&waiting, value)
            }
            WAITING => {
                let waiting = lock(&this.inner)
                    .waiting
                    .as_ref()
                    .map(|waiting| waiting.bind(py).clone());
                match waiting {
                    Some(waiting) => this.forward(&waiting, value),
                    None => Err(used_up()),
                }
            }
            _ => Err(used_up()),
        }
    }

    fn forward<'py>(
        &self,
        waiting: &Bound<'py, PyAny>,
        value: *mut ffi::PyObject,
    ) -> PyResult<Step<'py>> {
        let stepped = step::send(waiting, value);
        if !matches!(stepped, Step::Yielded(_)) {
            self.finish();
        }
        Ok(stepped)
    }

    fn finish(&self) {
        self.state.store(DONE, Relaxed);
        let waiting = lock(&self.inner).waiting.take();
        drop(waiting); // Outside the lock: it may run foreign code.
    }
}

fn wake_all(py: Python<'_>, places: Vec<Py<PyAny>>) {
    for place in places {
        if let Ok(place) = place.bind(py).cast::<Place>() {
            place.get().slot().wake();
        } else if let Err(failure) = place.bind(py).call_method0(intern!(py, "wake")) {
            failure.write_unraisable(py, None);
        }
    }
}

impl Inner {
    fn is_done(&self) -> bool {
        self.outcomes.is_some()
            || self.failure.is_some()
            || (self.route.is_some() && self.pending == 0)
    }
}

fn settled_function(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static FUNCTION: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    FUNCTION.import(py, "penstock.events.waiting", "settled")
}

#[cold]
fn used_up() -> PyErr {
    PyRuntimeError::new_err("cannot reuse already awaited emission")
}

fn into_yielded(step: Step<'_>) -> PyResult<Bound<'_, PyAny>> {
    match step {
        Step::Yielded(value) => Ok(value),
        Step::Returned(value) => Err(PyStopIteration::new_err((value.unbind(),))),
        Step::Raised(failure) => Err(failure),
    }
}

#[pymethods]
impl Emission {
    fn __await__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let (py, this) = (slf.py(), slf.get());
        match this.state.load(Relaxed) {
            FRESH => Ok(slf.clone().into_any()),
            BEGUN => {
                this.is_heard.store(true, Relaxed);
                let waiting = settled_function(py)?.call1((slf, false))?;
                waiting.call_method0(intern!(py, "__await__"))
            }
            WAITING => Err(PyRuntimeError::new_err(
                "the emission is being awaited already",
            )),
            _ => Err(used_up()),
        }
    }

    fn __iter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Self::__await__(slf)
    }

    fn __next__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        into_yielded(Self::step(slf, slf.py().None().as_ptr())?)
    }

    #[pyo3(signature = (value, /))]
    fn send<'py>(slf: &Bound<'py, Self>, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        into_yielded(Self::step(slf, value.as_ptr())?)
    }

    #[pyo3(signature = (*exception))]
    fn throw<'py>(
        slf: &Bound<'py, Self>,
        exception: &Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (py, this) = (slf.py(), slf.get());
        let waiting = lock(&this.inner)
            .waiting
            .as_ref()
            .map(|waiting| waiting.bind(py).clone());
        let Some(waiting) = waiting else {
            // It had not begun: nobody was told of the event.
            this.state.store(DONE, Relaxed);
            this.is_heard.store(true, Relaxed);
            let given = exception.get_item(1).ok().filter(|value| !value.is_none());
            let value = given.map_or_else(|| exception.get_item(0), Ok)?;
            return Err(PyErr::from_value(value));
        };
        let outcome = waiting.getattr(intern!(py, "throw"))?.call1(exception);
        if outcome.is_err() {
            this.finish();
        }
        outcome
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let waiting = lock(&self.inner).waiting.take();
        self.is_heard.store(true, Relaxed);
        if self.state.load(Relaxed) != BEGUN {
            self.state.store(DONE, Relaxed);
        }
        match waiting {
            Some(waiting) => waiting
                .bind(py)
                .call_method0(intern!(py, "close"))
                .map(drop),
            None => Ok(()),
        }
    }

    // -- for penstock.events ------------------------------------------------------------------------

    /// Whether all handlers have ended.
    fn done(&self) -> bool {
        let inner = lock(&self.inner);
        inner.is_done()
    }

    /// What came of it; None as long as it goes on.
    fn outcomes<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, Outcomes>>> {
        self.is_heard.store(true, Relaxed);
        self.gathered(py)
    }

    /// The bus it was emitted on.
    #[getter]
    fn bus(&self, py: Python<'_>) -> Py<Emitter> {
        self.emitter.clone_ref(py)
    }

    /// What was emitted: a name or a class.
    #[getter(key)]
    fn get_key(&self, py: Python<'_>) -> Py<PyAny> {
        self.key.clone_ref(py)
    }

    /// Its handlers, once they are known.
    #[getter]
    fn route(&self, py: Python<'_>) -> Option<Py<Route>> {
        lock(&self.inner)
            .route
            .as_ref()
            .map(|route| route.clone_ref(py))
    }

    /// The data, until it is begun.
    #[getter]
    fn data(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        lock(&self.data).as_ref().map(|data| data.clone_ref(py))
    }

    /// Takes the data out: it is emitted in another way.
    fn take(&self) -> Option<Py<PyAny>> {
        lock(&self.data).take()
    }

    /// Wakes the place when all handlers have ended; false if they have.
    fn enlist(&self, place: Py<PyAny>) -> bool {
        let mut inner = lock(&self.inner);
        let is_pending = !inner.is_done();
        if is_pending {
            inner.places.push(place);
        }
        is_pending
    }

    /// Asks every handler to end that goes on.
    #[pyo3(name = "cancel")]
    fn cancel_handlers(&self, py: Python<'_>) -> PyResult<()> {
        self.cancel(py)
    }

    /// Says that it is begun elsewhere, and that `resolve` will tell what came of it.
    pub(super) fn expect_outcomes(&self) {
        self.state.store(BEGUN, Relaxed);
    }

    /// What came of it elsewhere.
    fn resolve(&self, py: Python<'_>, outcomes: Py<Outcomes>) {
        let places = {
            let mut inner = lock(&self.inner);
            inner.outcomes = Some(outcomes);
            std::mem::take(&mut inner.places)
        };
        wake_all(py, places);
    }

    /// Why it was not begun; raised to whoever awaits it.
    fn fail(&self, py: Python<'_>, failure: Py<PyAny>) {
        let places = {
            let mut inner = lock(&self.inner);
            inner.failure = Some(failure);
            std::mem::take(&mut inner.places)
        };
        let data = lock(&self.data).take();
        drop(data); // Outside the lock: it may run foreign code.
        wake_all(py, places);
    }

    #[getter]
    fn __name__(&self) -> &'static str {
        "emit"
    }

    #[getter]
    fn __qualname__(&self) -> &'static str {
        "EventBus.emit"
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let name = frame::described(self.key.bind(py));
        let pending = lock(&self.inner).pending;
        match self.state.load(Relaxed) {
            FRESH => format!("<Emission of {name}: not begun>"),
            _ if pending > 0 => format!("<Emission of {name}: {pending} handlers go on>"),
            _ => format!("<Emission of {name}: done>"),
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.emitter)?;
        visit.call(&self.key)?;
        let Ok(inner) = self.inner.try_lock() else {
            return Ok(());
        };
        if let Ok(data) = self.data.try_lock() {
            visit.call(&*data)?;
        }
        visit.call(&inner.route)?;
        visit.call(&inner.waiting)?;
        visit.call(&inner.outcomes)?;
        visit.call(&inner.failure)?;
        for place in &inner.places {
            visit.call(place)?;
        }
        for carrier in inner.carriers.iter().flatten() {
            visit.call(carrier)?;
        }
        for record in inner.records.iter() {
            match &record.settled {
                Settled::Returned(value) | Settled::Raised(value) => visit.call(value)?,
                Settled::Pending | Settled::Cancelled => {}
            }
        }
        Ok(())
    }

    fn __clear__(&self) {
        let inner = self.inner.try_lock().map(|mut inner| inner.0.take());
        let data = self.data.try_lock().map(|mut data| data.take());
        drop((inner, data));
    }
}

impl Drop for Emission {
    fn drop(&mut self) {
        let is_fresh = *self.state.get_mut() == FRESH;
        if *self.is_heard.get_mut() {
            return;
        }
        Python::attach(|py| {
            // What is being raised while the last reference goes stays so.
            let raised = PyErr::take(py);
            if is_fresh {
                let name = frame::described(self.key.bind(py));
                let text = format!("emission of {name} was never awaited");
                let text = std::ffi::CString::new(text).unwrap_or_default();
                let category = py.get_type::<PyRuntimeWarning>();
                if let Err(failure) = PyErr::warn(py, &category, &text, 1) {
                    failure.write_unraisable(py, None);
                }
            } else {
                let emitter = self.emitter.bind(py);
                let told = match self.gathered(py) {
                    Ok(Some(outcomes)) if outcomes.get().has_failed() => {
                        emitter.call_method1(intern!(py, "_unheard"), (outcomes,))
                    }
                    Ok(_) => Ok(py.None().into_bound(py)),
                    Err(failure) => emitter.call_method1(
                        intern!(py, "_not_begun"),
                        (self.key.bind(py), failure.value(py)),
                    ),
                };
                if let Err(failure) = told {
                    failure.write_unraisable(py, None);
                }
            }
            if let Some(raised) = raised {
                raised.restore(py);
            }
        });
    }
}

// -- the slot of an await -----------------------------------------------------------------------------

/// Gives the types their `am_send` slots; called once, before they are handed out.
pub(crate) fn install_send(py: Python<'_>) {
    install(Emission::type_object_raw(py), emission_send);
    install(Carrier::type_object_raw(py), carrier_send);
}

type Send = unsafe extern "C" fn(
    *mut ffi::PyObject,
    *mut ffi::PyObject,
    *mut *mut ffi::PyObject,
) -> ffi::PySendResult;

fn install(kind: *mut ffi::PyTypeObject, send: Send) {
    // SAFETY: attached, and no instance exists yet. PyO3 makes heap types, which own the
    // `tp_as_async` table that `__await__` made it fill; flag and slot together are
    // what `Py_am_send` among a type's slots would have set.
    unsafe {
        let methods = (*kind).tp_as_async;
        if !methods.is_null() {
            (*methods).am_send = Some(send);
            // A plain word here, an atomic of the same layout on free-threaded builds.
            *(&raw mut (*kind).tp_flags).cast::<core::ffi::c_ulong>() |= HAVE_AM_SEND;
            ffi::PyType_Modified(kind);
        }
    }
}

/// `Py_TPFLAGS_HAVE_AM_SEND`, which the bindings leave out.
const HAVE_AM_SEND: core::ffi::c_ulong = 1 << 21;

unsafe extern "C" fn emission_send(
    this: *mut ffi::PyObject,
    argument: *mut ffi::PyObject,
    result: *mut *mut ffi::PyObject,
) -> ffi::PySendResult {
    // SAFETY: a slot of the type is called with an instance of it, attached.
    unsafe {
        let py = Python::assume_attached();
        let this = Borrowed::from_ptr(py, this).cast_unchecked::<Emission>();
        if this.get().state.load(Relaxed) == FRESH {
            // The way of most emissions: nothing is dropped on it but through a `Bound`.
            return answered(py, Emission::step(&this, argument), result);
        }
        Python::attach(|py| answered(py, Emission::step(&this, argument), result))
    }
}

unsafe extern "C" fn carrier_send(
    this: *mut ffi::PyObject,
    _argument: *mut ffi::PyObject,
    result: *mut *mut ffi::PyObject,
) -> ffi::PySendResult {
    // SAFETY: as above.
    Python::attach(|py| unsafe {
        let this = Borrowed::from_ptr(py, this);
        let this = this.cast_unchecked::<Carrier>();
        answered(py, Carrier::go_on(&this, None), result)
    })
}

/// # Safety
/// `result` may be written.
unsafe fn answered(
    py: Python<'_>,
    step: PyResult<Step<'_>>,
    result: *mut *mut ffi::PyObject,
) -> ffi::PySendResult {
    let (answer, value) = match step {
        Ok(Step::Yielded(value)) => (ffi::PySendResult::PYGEN_NEXT, value.into_ptr()),
        Ok(Step::Returned(value)) => (ffi::PySendResult::PYGEN_RETURN, value.into_ptr()),
        Ok(Step::Raised(failure)) | Err(failure) => {
            failure.restore(py);
            (ffi::PySendResult::PYGEN_ERROR, ptr::null_mut())
        }
    };
    // SAFETY: the caller's.
    unsafe { *result = value };
    answer
}

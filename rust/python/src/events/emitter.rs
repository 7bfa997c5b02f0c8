//! `Emitter`: what an `EventBus` is below: who hears what, and on which loop.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use penstock_core::{
    clock::ticks::{self, Ruler},
    sync::lock,
};
use pyo3::{
    PyTraverseError, PyVisit,
    exceptions::PyRuntimeError,
    ffi, intern,
    prelude::*,
    types::{PyDict, PySet, PyTuple},
};

use super::{
    carrier::Carrier,
    emission::Emission,
    frame::{self, Frame},
    handler::{Given, Handler},
    outcomes::{Outcomes, Record, Settled},
    records::Records,
    route::Route,
    step::{self, is_fatal},
};
use crate::{
    errors::{Family, error},
    queue::HAS_GLOBAL_LOCK,
    running_loop,
};

/// The base of `penstock.events.EventBus`, which gives the methods that are called here.
#[pyclass(frozen, subclass, weakref, module = "penstock._native")]
pub(crate) struct Emitter {
    /// What has been asked for so far: name or type to `Route`.
    #[pyo3(get)]
    _routes: Py<PyDict>,
    /// The asyncio loop whose thread starts handlers by itself.
    home: Mutex<Option<Py<PyAny>>>,
    /// Whether somebody owns it; a bus that nobody owns serves plain threads.
    is_owned: AtomicBool,
    /// Whether earlier events wait: none may overtake them.
    is_congested: AtomicBool,
    stock: Mutex<Vec<(Py<Carrier>, Py<PyAny>)>>,
    emitted: AtomicU64,
    /// Whether somebody keeps what is emitted.
    is_watched: AtomicBool,
    /// Emissions that nobody need await, and that go on.
    #[pyo3(get)]
    _under_way: Py<PySet>,
    most_under_way: AtomicU64,
    /// How many emissions may be within each other.
    #[pyo3(get)]
    pub(super) max_depth: u32,
}

/// Idle carriers that are kept: one for each emission that may be nested in another's first steps.
const STOCK: usize = 8;

impl Emitter {
    /// The loop that runs here, if it is the bus's, and the event need not wait.
    #[inline]
    pub(super) fn home<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        if self.is_congested.load(Relaxed) || self.is_watched.load(Relaxed) {
            return None;
        }
        // Not held while asyncio is asked, which may let another thread run.
        let home = lock(&self.home).as_ref()?.bind(py).clone();
        running_loop::is_running(&home).then_some(home)
    }

    /// Everybody who hears of a name or a class.
    #[inline]
    fn found<'py>(slf: &Bound<'py, Self>, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Route>> {
        let py = slf.py();
        // SAFETY: attached; a dict and a live object, and what is found is a new reference. A key that
        // cannot be hashed fails here, and again where the route is looked for.
        let found = unsafe {
            let mut found = std::ptr::null_mut();
            let routes = slf.get()._routes.as_ptr();
            ffi::compat::PyDict_GetItemRef(routes, key.as_ptr(), &raw mut found);
            Bound::from_owned_ptr_or_opt(py, found)
        };
        match found {
            // SAFETY: only `_find_route` adds to it.
            Some(route) => Ok(unsafe { route.cast_into_unchecked::<Route>() }),
            None => {
                drop(PyErr::take(py));
                Ok(slf
                    .call_method1(intern!(py, "_find_route"), (key,))?
                    .cast_into::<Route>()?)
            }
        }
    }

    #[inline]
    pub(super) fn route<'py>(
        slf: &Bound<'py, Self>,
        key: &Bound<'py, PyAny>,
        is_awaited: bool,
    ) -> PyResult<Bound<'py, Route>> {
        let py = slf.py();
        let route = Self::found(slf, key)?;
        if route.get().is_special {
            return Ok(slf
                .call_method1(intern!(py, "_select"), (&route, is_awaited))?
                .cast_into::<Route>()?);
        }
        Ok(route)
    }

    #[inline]
    pub(super) fn count(&self) {
        if HAS_GLOBAL_LOCK {
            self.emitted.store(self.emitted.load(Relaxed) + 1, Relaxed);
        } else {
            self.emitted.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn goes_on(&self, emission: &Bound<'_, Emission>) -> PyResult<()> {
        self._under_way.bind(emission.py()).add(emission)
    }

    fn is_full(&self, py: Python<'_>) -> bool {
        self._under_way.bind(py).len() as u64 >= self.most_under_way.load(Relaxed)
    }

    /// An emission that nobody need await has ended.
    pub(super) fn settled(slf: &Bound<'_, Self>, emission: &Bound<'_, Emission>) {
        let told = slf
            .get()
            ._under_way
            .bind(slf.py())
            .discard(emission)
            .and_then(|_| slf.call_method0(intern!(slf.py(), "_has_room")));
        if let Err(failure) = told {
            failure.write_unraisable(slf.py(), Some(slf));
        }
    }

    /// A carrier that nobody uses.
    #[inline]
    pub(super) fn carrier<'py>(
        &self,
        event_loop: &Bound<'py, PyAny>,
    ) -> PyResult<(Bound<'py, Carrier>, Bound<'py, PyAny>)> {
        let py = event_loop.py();
        loop {
            let kept = lock(&self.stock).pop();
            match kept {
                None => return Carrier::make(event_loop),
                Some((carrier, task)) => {
                    let carrier = carrier.into_bound(py);
                    if carrier.get().is_free() && carrier.get().is_of(event_loop) {
                        return Ok((carrier, task.into_bound(py)));
                    }
                }
            }
        }
    }

    #[inline]
    pub(super) fn keep(&self, carrier: Bound<'_, Carrier>, task: Bound<'_, PyAny>) {
        let mut stock = lock(&self.stock);
        if stock.len() < STOCK {
            stock.push((carrier.unbind(), task.unbind()));
        }
    }

    /// Name or class, and data, of what was given to `emit`.
    #[inline]
    fn parted<'a, 'py>(
        slf: &Bound<'py, Self>,
        event: &'a Bound<'py, PyAny>,
        data: Option<&'a Bound<'py, PyAny>>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let py = slf.py();
        // SAFETY: plain looks at a live object.
        let (is_name, is_class) = unsafe {
            (
                ffi::PyUnicode_Check(event.as_ptr()) != 0,
                ffi::PyType_Check(event.as_ptr()) != 0,
            )
        };
        if is_name {
            let data = data.map_or_else(|| py.None().into_bound(py), Clone::clone);
            return Ok((event.clone(), data));
        }
        if is_class || data.is_some() {
            return Err(Self::refuse(slf, event, is_class));
        }
        Ok((event.get_type().into_any(), event.clone()))
    }

    #[cold]
    fn refuse(slf: &Bound<'_, Self>, event: &Bound<'_, PyAny>, is_class: bool) -> PyErr {
        let shown = event
            .repr()
            .map(|text| text.to_string())
            .unwrap_or_default();
        let bus = slf.repr().map(|text| text.to_string()).unwrap_or_default();
        let (message, hint) = if is_class {
            (
                format!("{bus}: {shown} is a class"),
                "emit an instance of it, which is what its handlers are given",
            )
        } else {
            (
                format!("{bus}: emit with data, and {shown} is no name"),
                "emit(\"user.created\", data), or emit(event) with an object",
            )
        };
        error(slf.py(), Family::Misuse, &message, Some(hint))
    }

    #[inline]
    pub(super) fn emission<'py>(
        slf: &Bound<'py, Self>,
        event: &Bound<'py, PyAny>,
        data: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Emission>> {
        let (key, data) = Self::parted(slf, event, data)?;
        ticks::calibrate();
        let emission = Emission::new(slf.clone().unbind(), key.unbind(), data.unbind());
        Bound::new(slf.py(), emission)
    }

    #[inline]
    pub(super) fn blocking<'py>(
        slf: &Bound<'py, Self>,
        event: &Bound<'py, PyAny>,
        data: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (py, this) = (slf.py(), slf.get());
        let (key, data) = Self::parted(slf, event, data)?;
        let is_nobodys = !this.is_owned.load(Relaxed) && !this.is_watched.load(Relaxed);
        if is_nobodys && !running_loop::may_be_running(py) {
            let route = Self::found(slf, &key)?;
            if route.get().is_plain && !route.get().is_special {
                return Ok(Self::call_all(slf, &key, &data, route)?.into_any());
            }
        }
        slf.call_method1(intern!(py, "_emit_blocking_elsewhere"), (key, data))
    }

    /// All handlers, one after the other, in this thread.
    #[inline]
    pub(super) fn call_all<'py>(
        slf: &Bound<'py, Self>,
        key: &Bound<'py, PyAny>,
        data: &Bound<'py, PyAny>,
        route: Bound<'py, Route>,
    ) -> PyResult<Bound<'py, Outcomes>> {
        let (py, this) = (slf.py(), slf.get());
        let depth = frame::depth() + 1;
        if depth > this.max_depth {
            return Err(frame::too_deep(
                py,
                &slf.repr()?.to_string(),
                this.max_depth,
                key,
            ));
        }
        this.count();
        let frame = Frame::new(key, depth);
        // Threads that never emit on a loop learn the counter's rate here: it halves the clock's part.
        ticks::calibrate();
        let ruler = Ruler::pick();
        let handlers = &route.get().handlers;
        let mut records = Records::with_capacity(handlers.len());
        let given = Given { data, key };
        let _entered = frame.enter();
        let mut moment = ruler.now();
        for handler in handlers {
            let handler = handler.get();
            let settled = match handler.call_direct(py, given) {
                Ok(value) if !is_awaitable(&value) => {
                    handler.tally().count_handled();
                    Settled::Returned(value.unbind())
                }
                called => Self::settle_direct(slf, handler, called)?,
            };
            let began = moment;
            moment = ruler.now();
            records.push(Record {
                settled,
                ticks: moment.wrapping_sub(began),
            });
        }
        Bound::new(py, Outcomes::new(route.unbind(), records, ruler))
    }

    #[cold]
    fn settle_direct<'py>(
        slf: &Bound<'py, Self>,
        handler: &Handler,
        called: PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<Settled> {
        Python::attach(|_| {
            let py = slf.py();
            Ok(match called.and_then(|value| finished(slf, value)) {
                Ok(value) => {
                    handler.tally().count_handled();
                    Settled::Returned(value.unbind())
                }
                Err(failure) if is_fatal(py, &failure) => {
                    if !step::is_cancellation(py, &failure) {
                        return Err(failure);
                    }
                    handler.tally().count_cancelled();
                    Settled::Cancelled
                }
                Err(failure) => {
                    handler.tally().count_failed();
                    Settled::Raised(failure.into_value(py).into_any())
                }
            })
        })
    }
}

#[inline]
fn is_awaitable(value: &Bound<'_, PyAny>) -> bool {
    // SAFETY: a plain look at a live object's type.
    unsafe {
        let methods = (*ffi::Py_TYPE(value.as_ptr())).tp_as_async;
        !methods.is_null() && (*methods).am_await.is_some()
    }
}

/// A value; what would have to be awaited is refused.
fn finished<'py>(
    slf: &Bound<'py, Emitter>,
    value: Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    if is_awaitable(&value) {
        if let Ok(close) = value.getattr("close") {
            close.call0()?;
        }
        let message = format!("{}: a handler returned {}", slf.repr()?, value.repr()?);
        let hint = "what has to be awaited needs a loop: open the bus there, `async with bus:`";
        return Err(error(slf.py(), Family::Misuse, &message, Some(hint)));
    }
    Ok(value)
}

#[pymethods]
impl Emitter {
    #[new]
    #[pyo3(signature = (*_arguments, max_depth = 100, **_keywords))]
    fn new(
        py: Python<'_>,
        _arguments: &Bound<'_, PyTuple>,
        max_depth: u32,
        _keywords: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        ticks::calibrate();
        Ok(Self {
            _routes: PyDict::new(py).unbind(),
            home: Mutex::new(None),
            is_owned: AtomicBool::new(false),
            is_congested: AtomicBool::new(false),
            stock: Mutex::new(Vec::new()),
            emitted: AtomicU64::new(0),
            is_watched: AtomicBool::new(false),
            _under_way: PySet::empty(py)?.unbind(),
            most_under_way: AtomicU64::new(u64::MAX),
            max_depth,
        })
    }

    /// Emits an event: await it for what came of every handler.
    #[pyo3(signature = (event, data = None, /))]
    fn emit<'py>(
        slf: &Bound<'py, Self>,
        event: &Bound<'py, PyAny>,
        data: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Emission>> {
        Self::emission(slf, event, data)
    }

    /// Emits an event without waiting; the answer may be awaited, or left.
    #[pyo3(signature = (event, data = None, /))]
    fn emit_nowait<'py>(
        slf: &Bound<'py, Self>,
        event: &Bound<'py, PyAny>,
        data: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Emission>> {
        let (py, this) = (slf.py(), slf.get());
        let (key, data) = Self::parted(slf, event, data)?;
        let home = this.home(py);
        let emission = Emission::new(slf.clone().unbind(), key.unbind(), data.unbind());
        let emission = Bound::new(py, emission)?;
        match home {
            Some(event_loop) if this.is_owned.load(Relaxed) && !this.is_full(py) => {
                Emission::start_now(&emission, slf, &event_loop)?;
            }
            _ => {
                emission.get().expect_outcomes();
                slf.call_method1(intern!(py, "_emit_nowait_elsewhere"), (&emission,))?;
            }
        }
        Ok(emission)
    }

    /// For a thread: emits an event, and returns what came of every handler.
    #[pyo3(signature = (event, data = None, /))]
    fn _emit_blocking<'py>(
        slf: &Bound<'py, Self>,
        event: &Bound<'py, PyAny>,
        data: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Self::blocking(slf, event, data)
    }

    /// Calls all handlers in this thread, which runs no loop.
    fn _call_all<'py>(
        slf: &Bound<'py, Self>,
        key: &Bound<'py, PyAny>,
        data: &Bound<'py, PyAny>,
        route: Bound<'py, Route>,
    ) -> PyResult<Bound<'py, Outcomes>> {
        Self::call_all(slf, key, data, route)
    }

    /// Says on which asyncio loop handlers are started by native code; None for none.
    fn _set_home(&self, event_loop: Option<Py<PyAny>>) {
        let before = {
            let mut home = lock(&self.home);
            (
                std::mem::replace(&mut *home, event_loop),
                std::mem::take(&mut *lock(&self.stock)),
            )
        };
        drop(before); // Outside the lock: it may run foreign code.
    }

    fn _set_owned(&self, is_owned: bool, most_under_way: u64) {
        self.is_owned.store(is_owned, Relaxed);
        self.most_under_way.store(most_under_way, Relaxed);
    }

    fn _set_congested(&self, is_congested: bool) {
        self.is_congested.store(is_congested, Relaxed);
    }

    fn _set_watched(&self, is_watched: bool) {
        self.is_watched.store(is_watched, Relaxed);
    }

    /// Starts an emission on the loop that runs here, whatever else waits. One that is awaited answers
    /// with its outcomes; None while handlers go on.
    fn _start<'py>(
        slf: &Bound<'py, Self>,
        emission: &Bound<'py, Emission>,
        is_awaited: bool,
    ) -> PyResult<Option<Bound<'py, Outcomes>>> {
        let home = lock(&slf.get().home)
            .as_ref()
            .map(|home| home.bind(slf.py()).clone());
        let Some(event_loop) = home else {
            return Err(PyRuntimeError::new_err("the bus has no loop"));
        };
        if is_awaited {
            return Emission::start(emission, slf, &event_loop, true);
        }
        Emission::start_now(emission, slf, &event_loop).map(|()| None)
    }

    /// Counts an emission whose handlers are started in Python.
    fn _count(&self) {
        self.count();
    }

    /// An emission that is begun later.
    fn _emission<'py>(
        slf: &Bound<'py, Self>,
        key: Py<PyAny>,
        data: Py<PyAny>,
    ) -> PyResult<Bound<'py, Emission>> {
        let emission = Emission::new(slf.clone().unbind(), key, data);
        emission.expect_outcomes();
        Bound::new(slf.py(), emission)
    }

    #[getter]
    fn _is_congested(&self) -> bool {
        self.is_congested.load(Relaxed)
    }

    #[getter]
    fn _emitted(&self) -> u64 {
        self.emitted.load(Relaxed)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self._routes)?;
        visit.call(&self._under_way)?;
        if let Ok(home) = self.home.try_lock() {
            visit.call(&*home)?;
        }
        if let Ok(stock) = self.stock.try_lock() {
            for (carrier, task) in &*stock {
                visit.call(carrier)?;
                visit.call(task)?;
            }
        }
        Ok(())
    }

    fn __clear__(&self) {
        let home = self.home.try_lock().map(|mut home| home.take());
        let stock = self
            .stock
            .try_lock()
            .map(|mut stock| std::mem::take(&mut *stock));
        drop((home, stock));
    }
}

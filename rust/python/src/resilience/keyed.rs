//! A state of one key, with what all kinds of states have: name, key, whether it is closed, refusals.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use penstock_core::{
    clock,
    resilience::{
        courier::Courier,
        definition::Definition,
        home::{Handle, Here, Home},
        table::{State, TableError},
    },
};
use pyo3::{prelude::*, types::PyDict};

use super::moment::is_virtual;
use crate::errors::{Family, error, named};

/// A state of one key.
pub(super) struct Keyed<T: State> {
    handle: Handle<T>,
    /// For all keys of one `new`.
    is_closed: Arc<AtomicBool>,
}

impl<T: State> Keyed<T> {
    pub(super) fn new(
        py: Python<'_>,
        name: Option<String>,
        key: &str,
        definition: Definition,
        initialise: impl Fn(&T) + Send + Sync + 'static,
    ) -> PyResult<Self> {
        let home = Home::new(name, definition, initialise);
        // Another process may keep the table's file locked for a while.
        let handle = py.detach(|| home.handle(key));
        Ok(Self {
            handle: handle.map_err(|failure| failed(py, failure))?,
            is_closed: Arc::default(),
        })
    }

    pub(super) fn for_key(&self, py: Python<'_>, key: &str) -> PyResult<Self> {
        self.refuse_closed(py)?;
        let handle = py.detach(|| self.handle.home().handle(key));
        Ok(Self {
            handle: handle.map_err(|failure| failed(py, failure))?,
            is_closed: Arc::clone(&self.is_closed),
        })
    }

    /// What this process has of it, unless it is closed.
    #[inline(always)]
    pub(super) fn here(&self, py: Python<'_>) -> PyResult<&Here<T>> {
        if self.is_closed.load(Ordering::Relaxed) {
            self.refuse_closed(py)?;
        }
        self.handle.here().map_err(|failure| failed(py, failure))
    }

    #[cold]
    fn refuse_closed(&self, py: Python<'_>) -> PyResult<()> {
        if !self.is_closed.load(Ordering::Relaxed) {
            return Ok(());
        }
        let message = format!("the {} of {:?} is closed", T::KIND, self.handle.key());
        Err(error(py, Family::Closed, &message, None))
    }

    /// As [`here`](Self::here), where nothing has gone wrong and the machine's clock is in force.
    #[inline(always)]
    pub(super) fn quickly(&self) -> Option<&Here<T>> {
        if self.is_closed.load(Ordering::Relaxed) || is_virtual() {
            return None;
        }
        self.handle.here_already()
    }

    pub(super) fn close(&self, py: Python<'_>) {
        if !self.is_closed.swap(true, Ordering::AcqRel) {
            py.detach(|| self.handle.home().leave());
        }
    }

    pub(super) fn key(&self) -> &str {
        self.handle.key()
    }

    pub(super) fn definition(&self) -> &str {
        self.handle.home().definition().text()
    }

    /// What every snapshot tells.
    pub(super) fn snapshot<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let snapshot = PyDict::new(py);
        snapshot.set_item("name", self.handle.home().name())?;
        snapshot.set_item("key", self.key())?;
        let pids = py.detach(|| self.handle.home().members());
        snapshot.set_item("pids", pids)?;
        Ok(snapshot)
    }

    pub(super) fn shown(&self, class: &str) -> String {
        match self.handle.home().name() {
            Some(name) => format!("<{class} {name:?} {:?}>", self.key()),
            None => format!("<{class} {:?}>", self.key()),
        }
    }
}

/// Who speaks for the machine expires so soon, in nanoseconds, if it is stopped; a dead one is seen at once.
const COURIER_EXPIRES: u64 = 2_000_000_000;

impl<T: State> Keyed<T> {
    pub(super) fn machine(&self, py: Python<'_>, of: fn(&T) -> &Courier) -> PyResult<u64> {
        // Of one table, every address and moment is another.
        let drawn = RandomState::new().hash_one((self as *const Self as usize, clock::monotonic()));
        Ok(of(self.here(py)?.state()).machine(drawn))
    }

    pub(super) fn is_courier(&self, py: Python<'_>, of: fn(&T) -> &Courier) -> PyResult<bool> {
        let here = self.here(py)?;
        Ok(of(here.state()).is_me(here.me(), clock::monotonic(), COURIER_EXPIRES, here))
    }
}

/// A definition's word for what machines exchange it over; none for a state of one machine.
pub(super) fn over(exchange: Option<&str>) -> Option<(&'static str, String)> {
    exchange.map(|exchange| ("exchange", exchange.to_owned()))
}

pub(super) fn refuse(py: Python<'_>, message: &str, hint: &str) -> PyErr {
    error(py, Family::Misuse, message, Some(hint))
}

/// Refuses a number that is out of its range.
pub(super) fn within<N: PartialOrd + std::fmt::Display>(
    py: Python<'_>,
    class: &str,
    name: &str,
    value: N,
    least: N,
    most: N,
) -> PyResult<N> {
    if value >= least && value <= most {
        return Ok(value);
    }
    let message = format!("{class}: {name}={value} is out of range");
    Err(refuse(py, &message, &format!("from {least} to {most}")))
}

fn failed(py: Python<'_>, failure: TableError) -> PyErr {
    let message = failure.to_string();
    let (class, hint) = match failure {
        TableError::Io(error) => return error.into(),
        TableError::Name { .. } | TableError::Key { .. } => {
            ("Misuse", "shorten it, or take a hash of it")
        }
        TableError::Conflict { .. } => (
            "Conflict",
            "give it the definition of the others, another name, or end them first",
        ),
        TableError::Full { .. } => ("Full", "use fewer keys, or one for all the rest"),
        TableError::Crowded { .. } => ("Full", "use more names for fewer processes each"),
        TableError::Version { .. } => ("Conflict", "end the processes of the other version first"),
        TableError::Damaged { .. } => (
            "Conflict",
            "end the processes that use it, and remove the file",
        ),
    };
    named(py, class, &message, Some(hint))
}

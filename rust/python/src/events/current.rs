//! The current task of a loop, as `asyncio.current_task()` answers.
//!
//! What runs in a handler's first step binds to the current task: timeouts, task groups, cancel scopes. So
//! during that step the current task is the one that will carry the handler on. asyncio has functions for
//! those who step tasks themselves (`_enter_task`, `_leave_task`, from 3.12 `_swap_current_task`);
//! up to 3.13 they are a dict that it exports, and where that was seen to be so it is written to.

use pyo3::{ffi, prelude::*, sync::PyOnceLock, types::PyDict};

use super::carrier::Carrier;

struct Hooks {
    /// `make(carrier, loop) -> task`
    make: Py<PyAny>,
    /// `adopt(task, label)`: it carries something from now on.
    adopt: Py<PyAny>,
    /// `swap(loop, task) -> task`, either of them None for none.
    swap: Py<PyAny>,
    /// The dict itself, loop to task.
    tasks: Option<Py<PyDict>>,
}

static HOOKS: PyOnceLock<Hooks> = PyOnceLock::new();

/// Says how tasks are made and made current; called once, by `penstock.events`.
#[pyfunction]
#[pyo3(signature = (*, make, adopt, swap, tasks))]
pub(crate) fn set_task_hooks(
    py: Python<'_>,
    make: Py<PyAny>,
    adopt: Py<PyAny>,
    swap: Py<PyAny>,
    tasks: Option<Py<PyDict>>,
) {
    let hooks = Hooks {
        make,
        adopt,
        swap,
        tasks,
    };
    let _ = HOOKS.set(py, hooks);
}

fn hooks(py: Python<'_>) -> &'static Hooks {
    let Some(hooks) = HOOKS.get(py) else {
        unreachable!("penstock.events sets them before it makes a bus");
    };
    // SAFETY: what a `PyOnceLock` in a static holds is there for ever.
    unsafe { &*std::ptr::from_ref(hooks) }
}

pub(super) fn make<'py>(
    carrier: &Bound<'py, Carrier>,
    event_loop: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = carrier.py();
    hooks(py).make.bind(py).call1((carrier, event_loop))
}

pub(super) fn adopt(task: &Bound<'_, PyAny>, label: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = task.py();
    hooks(py).adopt.bind(py).call1((task, label)).map(drop)
}

/// Another task is current than the one that really runs.
pub(super) struct Swapped<'a, 'py> {
    event_loop: &'a Bound<'py, PyAny>,
    before: Option<Bound<'py, PyAny>>,
}

impl<'a, 'py> Swapped<'a, 'py> {
    #[inline]
    pub(super) fn enter(
        event_loop: &'a Bound<'py, PyAny>,
        task: &Bound<'py, PyAny>,
    ) -> PyResult<Self> {
        let before = put(event_loop, Some(task))?;
        Ok(Self { event_loop, before })
    }

    /// Makes yet another one current.
    pub(super) fn change(&self, task: &Bound<'py, PyAny>) -> PyResult<()> {
        put(self.event_loop, Some(task)).map(drop)
    }

    /// Makes the one before current again.
    #[inline]
    pub(super) fn leave(self) -> PyResult<()> {
        put(self.event_loop, self.before.as_ref()).map(drop)
    }
}

#[inline]
fn put<'py>(
    event_loop: &Bound<'py, PyAny>,
    task: Option<&Bound<'py, PyAny>>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = event_loop.py();
    let hooks = hooks(py);
    let Some(tasks) = &hooks.tasks else {
        let before = hooks.swap.bind(py).call1((event_loop, task))?;
        return Ok(Some(before).filter(|before| !before.is_none()));
    };
    // SAFETY: attached; a dict and live objects, and what is found is a new reference.
    unsafe {
        let mut before = std::ptr::null_mut();
        let found =
            ffi::compat::PyDict_GetItemRef(tasks.as_ptr(), event_loop.as_ptr(), &raw mut before);
        if found < 0 {
            return Err(PyErr::fetch(py));
        }
        let before = Bound::from_owned_ptr_or_opt(py, before);
        let failed = match task {
            Some(task) => ffi::PyDict_SetItem(tasks.as_ptr(), event_loop.as_ptr(), task.as_ptr()),
            None if before.is_some() => ffi::PyDict_DelItem(tasks.as_ptr(), event_loop.as_ptr()),
            None => 0,
        };
        if failed != 0 {
            return Err(PyErr::fetch(py));
        }
        Ok(before)
    }
}

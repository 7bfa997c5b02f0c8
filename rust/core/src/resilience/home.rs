//! Where a state lies: in this process's own memory, or in a table of the machine. A handle hides the difference,
//! and forks.
//!
//! A forked child begins anew: with a row of its own in the table, or with fresh memory. Permits that were taken before
//! the fork are the parent's.

use std::{collections::HashMap, ptr::NonNull, sync::Arc};

use super::{
    definition::Definition,
    lease::{Holder, Lives},
    table::{State, Table, TableError},
};
use crate::{fork::PerProcess, fork_gate::Guarded};

/// The states of one name and definition, by key.
pub struct Home<T: State> {
    name: Option<String>,
    definition: Definition,
    initialise: Box<dyn Fn(&T) + Send + Sync>,
    here: PerProcess<Room<T>>,
}

/// What a process has of it.
enum Room<T> {
    Shared(Table<T>),
    Private(Guarded<HashMap<String, Arc<T>>>),
}

impl<T: State> Home<T> {
    /// Without a name it is this process's own. Every state begins as zeros and goes through `initialise` before
    /// anybody sees it.
    #[must_use]
    pub fn new(
        name: Option<String>,
        definition: Definition,
        initialise: impl Fn(&T) + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            name,
            definition,
            initialise: Box::new(initialise),
            here: PerProcess::new(),
        })
    }

    /// What its states are for.
    #[must_use]
    pub fn definition(&self) -> &Definition {
        &self.definition
    }

    /// Of the table, if there is one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The state of a key.
    pub fn handle(self: &Arc<Self>, key: &str) -> Result<Handle<T>, TableError> {
        let handle = Handle {
            home: Arc::clone(self),
            key: key.to_owned(),
            here: PerProcess::new(),
        };
        handle.here()?;
        Ok(handle)
    }

    /// The processes that share it, by number; none if it is this process's own.
    #[must_use]
    pub fn members(&self) -> Vec<u32> {
        match self.here.get().map(Arc::as_ref) {
            Some(Room::Shared(table)) => table.members(),
            _ => Vec::new(),
        }
    }

    /// Takes this process out of the table. Handles still work, on what nobody else may see.
    pub fn leave(&self) {
        if let Some(Room::Shared(table)) = self.here.get().map(Arc::as_ref) {
            table.leave();
        }
    }

    fn room(&self) -> Result<&Arc<Room<T>>, TableError> {
        if let Some(room) = self.here.get() {
            return Ok(room);
        }
        let room = match &self.name {
            Some(name) => Room::Shared(Table::join(name, &self.definition)?),
            None => Room::Private(Guarded::new(HashMap::new())),
        };
        Ok(self.here.get_or_make(|| Arc::new(room)))
    }

    fn join(&self, key: &str) -> Result<Here<T>, TableError> {
        let room = Arc::clone(self.room()?);
        let (state, me, own) = match &*room {
            Room::Shared(table) => (table.state(key, &self.initialise)?, table.me(), None),
            Room::Private(states) => {
                let mut states = states.lock();
                let state = states.entry(key.to_owned()).or_insert_with(|| {
                    let state = T::default();
                    (self.initialise)(&state);
                    Arc::new(state)
                });
                let own = Arc::clone(state);
                let me = Holder::new(0, 0);
                (NonNull::from(&*own), me, Some(own))
            }
        };
        Ok(Here {
            state,
            me,
            room,
            _own: own,
        })
    }
}

/// The state of one key, wherever it lies.
pub struct Handle<T: State> {
    home: Arc<Home<T>>,
    key: String,
    here: PerProcess<Here<T>>,
}

/// What this process has of a handle.
pub struct Here<T> {
    state: NonNull<T>,
    me: Holder,
    room: Arc<Room<T>>,
    /// Keeps private memory; a table's is kept by `room`.
    _own: Option<Arc<T>>,
}

// SAFETY: the pointer leads to a `T`, which is Sync, in memory that the other fields keep.
unsafe impl<T: State> Send for Here<T> {}
// SAFETY: as above.
unsafe impl<T: State> Sync for Here<T> {}

impl<T: State> Handle<T> {
    /// What this process has of it. After the first time in a process, two loads.
    #[inline]
    pub fn here(&self) -> Result<&Here<T>, TableError> {
        if let Some(here) = self.here.get() {
            return Ok(here);
        }
        self.join()
    }

    /// The same, if it is not the first time in this process.
    #[inline(always)]
    pub fn here_already(&self) -> Option<&Here<T>> {
        self.here.get().map(Arc::as_ref)
    }

    #[cold]
    fn join(&self) -> Result<&Here<T>, TableError> {
        let here = self.home.join(&self.key)?;
        Ok(self.here.get_or_make(|| Arc::new(here)))
    }

    /// The states it belongs to.
    #[must_use]
    pub fn home(&self) -> &Arc<Home<T>> {
        &self.home
    }

    /// Which of them.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl<T: State> Here<T> {
    /// The words themselves.
    #[inline(always)]
    pub fn state(&self) -> &T {
        // SAFETY: kept by the other fields; atomics only, so that others may change them.
        unsafe { self.state.as_ref() }
    }

    /// Who this process is in it.
    #[inline(always)]
    pub fn me(&self) -> Holder {
        self.me
    }
}

impl<T: State> Lives for Here<T> {
    fn look(&self) {
        if let Room::Shared(table) = &*self.room {
            table.look();
        }
    }

    fn is_dead(&self, holder: Holder) -> bool {
        match &*self.room {
            Room::Shared(table) => table.is_dead(holder),
            Room::Private(_) => false,
        }
    }
}

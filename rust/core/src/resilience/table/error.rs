//! Why a table cannot be had, in sentences.

use std::{fmt, io, path::PathBuf};

use super::{super::members::MEMBERS, KEY_MAX, KEYS, NAME_MAX, VERSION};

/// Why a table cannot be had.
#[derive(Debug)]
pub enum TableError {
    /// The file cannot be opened, locked or mapped.
    Io(io::Error),
    /// No name that a table can have.
    Name {
        /// As it was given.
        name: String,
    },
    /// A key that is too long.
    Key {
        /// So long.
        bytes: usize,
    },
    /// Somebody takes part in it, under another definition.
    Conflict {
        /// Of the table.
        name: String,
        /// What it holds.
        kind: &'static str,
        /// Who takes part.
        pids: Vec<u32>,
        /// What is not the same.
        differences: String,
    },
    /// All slots are taken.
    Full {
        /// Of the table.
        name: String,
        /// What it holds.
        kind: &'static str,
    },
    /// All rows are taken.
    Crowded {
        /// Of the table.
        name: String,
    },
    /// Another version of penstock made it.
    Version {
        /// The file.
        path: PathBuf,
        /// The layout it says it has.
        found: u32,
    },
    /// Its own description does not add up.
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "the table cannot be had: {error}"),
            Self::Name { name } => write!(
                f,
                "{name:?} is no name for a table: letters, digits, '.', '_' and '-', at most {NAME_MAX}"
            ),
            Self::Key { bytes } => {
                write!(f, "a key of {bytes} bytes is too long: at most {KEY_MAX}")
            }
            Self::Conflict {
                name,
                kind,
                pids,
                differences,
            } => write!(
                f,
                "the {kind} {name:?} of this machine has another definition in the processes {pids:?}: {differences}"
            ),
            Self::Full { name, kind } => {
                write!(f, "the {kind} {name:?} has {KEYS} keys already")
            }
            Self::Crowded { name } => {
                write!(f, "{name:?} is shared by {MEMBERS} processes already")
            }
            Self::Version { path, found } => write!(
                f,
                "{} has layout {found}, this build knows layout {VERSION}",
                path.display()
            ),
            Self::Damaged { path } => write!(f, "{} is no sound table", path.display()),
        }
    }
}

impl std::error::Error for TableError {}

impl From<io::Error> for TableError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

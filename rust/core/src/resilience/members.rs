//! Who takes part in a table: one row a process.
//!
//! A row says which process sits there, by number and start time in one word, and how often it has changed hands. A
//! lease names row and generation, so emptying a row makes all leases of its process void at once; they need not be
//! found. Rows are taken under the file's lock; of a dead process they are emptied by whoever sees it.

use crate::{
    shm::queue::{process, seats::Process},
    sync::{
        AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
};

use super::lease::Holder;

/// Processes that one table can have.
pub(super) const MEMBERS: usize = 256;

const PID_BITS: u32 = 22;

/// One process.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub(super) struct Row {
    /// Number and start time, or 0. Written under the lock (Release); swapped to 0 by the process itself and
    /// by who sees it dead (AcqRel); read by all (Acquire).
    who: AtomicU64,
    /// Written under the lock, before `who` (Release); read by all (Acquire).
    generation: AtomicU64,
}

const fn word(process: Process) -> u64 {
    process.started << PID_BITS | process.pid as u64 & ((1 << PID_BITS) - 1)
}

pub(super) const fn pid(who: u64) -> u32 {
    (who & ((1 << PID_BITS) - 1)) as u32
}

fn is_gone(who: u64) -> bool {
    let started = who >> PID_BITS;
    // A process that did not see its own start time wrote 0.
    process::is_gone_by_looks(pid(who), |seen| {
        started == 0 || seen << PID_BITS >> PID_BITS == started
    })
}

/// All rows of a table.
#[derive(Debug)]
#[repr(transparent)]
pub(super) struct Members(pub(super) [Row; MEMBERS]);

impl Members {
    /// Takes a row for the calling process, with the table's lock held.
    pub(super) fn join(&self, me: Process) -> Option<Holder> {
        let number = self.0.iter().position(|row| row.who.load(Acquire) == 0)?;
        let row = &self.0[number];
        let generation = row.generation.load(Relaxed).wrapping_add(1);
        row.generation.store(generation, Release);
        row.who.store(word(me), Release);
        Some(Holder::new(number as u8, generation))
    }

    /// Leaves the row of `me`, if it has it still.
    pub(super) fn leave(&self, me: Holder) {
        let row = &self.0[me.row()];
        if !self.is_dead(me) {
            row.who.store(0, Release);
        }
    }

    /// Empties the rows of processes that are gone; those that are left.
    pub(super) fn bury(&self) -> Vec<u32> {
        let mut living = Vec::new();
        for row in &self.0 {
            let who = row.who.load(Acquire);
            if who == 0 {
                continue;
            }
            if !is_gone(who) {
                living.push(pid(who));
            } else {
                // In vain if another has done it, and somebody sits there by now.
                let _ = row.who.compare_exchange(who, 0, AcqRel, Relaxed);
            }
        }
        living
    }

    /// Whether a holder has left, or is known to be dead.
    pub(super) fn is_dead(&self, holder: Holder) -> bool {
        let row = &self.0[holder.row()];
        let generation = row.generation.load(Acquire);
        Holder::new(0, generation).generation() != holder.generation() || row.who.load(Acquire) == 0
    }
}

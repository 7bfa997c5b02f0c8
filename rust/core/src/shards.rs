//! One single-writer shard per thread, summed when somebody reads.
//!
//! A number that many threads write is kept once per thread; each thread writes its own shard with
//! plain relaxed loads and stores, and no cache line is contended. [`Home`] owns the shards: a
//! reader sums the live ones onto a base, and the shard of a thread that ends is folded into that
//! base. [`Sharded`] adds the way from a thread to its shard.
//!
//! Guarantee: recording is wait-free once a thread has its shard (its first record, a snapshot
//! and a thread's end take a mutex). A total counts every record made before it exactly once:
//! moving a shard from `live` to `folded` and reading both happen below one mutex, and the mutex
//! also orders an ended thread's last writes before the reads of whoever comes after.
//! What a live shard holds is read while its thread writes on; what that may mix is the shard
//! type's own affair. `tests/loom_shards.rs` explores the protocol.

use crate::{
    fork::Owner,
    fork_gate::{Guarded, survivor},
    sync::Arc,
};

#[cfg(not(penstock_loom))]
mod local;
#[cfg(not(penstock_loom))]
pub use local::Sharded;

/// What one thread writes and anybody may read meanwhile: atomics, written by one thread.
pub trait Shard: Send + Sync + 'static {
    /// What all shards of one instrument have in common.
    type Shape: Copy + Send + Sync + 'static;
    /// The sum of shards.
    type Total: Clone + Send + 'static;

    /// A fresh shard, for one thread.
    fn new(shape: Self::Shape) -> Self;
    /// The sum of no shards.
    fn zero(shape: Self::Shape) -> Self::Total;
    /// Adds what is visible of this shard to `total`.
    fn add_to(&self, total: &mut Self::Total);
}

struct Live<S> {
    owner: u64,
    shard: Arc<S>,
}

struct State<S: Shard> {
    folded: S::Total,
    live: Vec<Live<S>>,
    /// The process in which `live` was last known to hold living threads only.
    process: Owner,
}

/// Where the shards of one instrument live.
pub struct Home<S: Shard> {
    shape: S::Shape,
    state: Guarded<State<S>>,
}

impl<S: Shard> Home<S> {
    /// A home without shards.
    pub fn new(shape: S::Shape) -> Self {
        let state = State {
            folded: S::zero(shape),
            live: Vec::new(),
            process: Owner::current(),
        };
        Self {
            shape,
            state: Guarded::new(state),
        }
    }

    /// A fresh shard that the thread `owner` alone will write, until it calls [`Home::retire`].
    pub fn attach(&self, owner: u64) -> Arc<S> {
        let shard = Arc::new(S::new(self.shape));
        let mut state = self.state.lock();
        state.settle();
        state.live.push(Live {
            owner,
            shard: Arc::clone(&shard),
        });
        shard
    }

    /// Folds `shard` into the base. Its owner calls this, after its last write.
    pub fn retire(&self, shard: *const S) {
        let mut state = self.state.lock();
        let found = state
            .live
            .iter()
            .position(|live| Arc::as_ptr(&live.shard) == shard);
        if let Some(at) = found {
            let live = state.live.swap_remove(at);
            live.shard.add_to(&mut state.folded);
        }
    }

    /// The sum over all shards, dead and alive.
    pub fn total(&self) -> S::Total {
        let mut state = self.state.lock();
        state.settle();
        let mut total = state.folded.clone();
        for live in &state.live {
            live.shard.add_to(&mut total);
        }
        total
    }

    /// How many threads hold a shard now.
    pub fn live(&self) -> usize {
        self.state.lock().live.len()
    }
}

impl<S: Shard> State<S> {
    /// Folds the shards of threads that did not come through a fork: nobody else ever will.
    ///
    /// All of `live` is older than the last fork, as [`Home::attach`] settles first; so of its
    /// owners only the thread that forked exists here.
    fn settle(&mut self) {
        if self.process.is_here() {
            return;
        }
        self.process = Owner::current();
        let alive = survivor();
        let folded = &mut self.folded;
        self.live.retain(|live| {
            let keep = live.owner == alive;
            if !keep {
                live.shard.add_to(folded);
            }
            keep
        });
    }
}

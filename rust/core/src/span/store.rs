//! Finished spans in memory: the newest so many, older ones dropped and counted.
//!
//! Guarantee: blocking, for the length of a push or of a copy of references; spans are freed
//! outside the lock. A forked child finds the store empty: what its parent recorded is the
//! parent's to tell.

use super::Span;
use crate::{fork::Owner, fork_gate::Guarded};
use std::{collections::VecDeque, sync::Arc};

/// See the module.
pub struct SpanStore {
    capacity: usize,
    state: Guarded<State>,
}

struct State {
    ring: VecDeque<Arc<Span>>,
    finished: u64,
    dropped: u64,
    process: Owner,
}

impl State {
    fn settle(&mut self) -> VecDeque<Arc<Span>> {
        if self.process.is_here() {
            return VecDeque::new();
        }
        self.process = Owner::current();
        (self.finished, self.dropped) = (0, 0);
        std::mem::take(&mut self.ring)
    }
}

impl SpanStore {
    /// An empty store for `capacity` spans, at least one.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            state: Guarded::new(State {
                ring: VecDeque::new(),
                finished: 0,
                dropped: 0,
                process: Owner::current(),
            }),
        }
    }

    /// How many spans it keeps.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.capacity
    }

    /// Keeps `span`, in place of the oldest one if it is full.
    pub fn push(&self, span: Arc<Span>) {
        let mut state = self.state.lock();
        let inherited = state.settle();
        let mut oldest = None;
        if state.ring.len() >= self.capacity {
            oldest = state.ring.pop_front();
            state.dropped += 1;
        }
        state.ring.push_back(span);
        state.finished += 1;
        drop(state);
        drop((oldest, inherited));
    }

    /// What is kept, in the order in which it ended.
    #[must_use]
    pub fn spans(&self) -> Vec<Arc<Span>> {
        let mut state = self.state.lock();
        let inherited = state.settle();
        let spans = state.ring.iter().map(Arc::clone).collect();
        drop(state);
        drop(inherited);
        spans
    }

    /// What is kept of one trace.
    #[must_use]
    pub fn trace(&self, trace_id: u128) -> Vec<Arc<Span>> {
        let mut spans = self.spans();
        spans.retain(|span| span.trace_id == trace_id);
        spans
    }

    /// What is kept, which is kept no longer; it does not count as dropped.
    #[must_use]
    pub fn take(&self) -> Vec<Arc<Span>> {
        let mut state = self.state.lock();
        let inherited = state.settle();
        let taken = std::mem::take(&mut state.ring);
        drop(state);
        drop(inherited);
        taken.into()
    }

    /// (kept now, finished ever, dropped ever).
    #[must_use]
    pub fn figures(&self) -> (usize, u64, u64) {
        let mut state = self.state.lock();
        let inherited = state.settle();
        let figures = (state.ring.len(), state.finished, state.dropped);
        drop(state);
        drop(inherited);
        figures
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::{Attributes, Kind, Status};

    fn span(trace_id: u128, span_id: u64) -> Arc<Span> {
        Arc::new(Span {
            trace_id,
            span_id,
            parent_id: 0,
            flags: 1,
            kind: Kind::Internal,
            name: "work".into(),
            tracer: "tests".into(),
            start: 1,
            end: 2,
            attributes: Attributes::default(),
            events: Vec::new(),
            links: Vec::new(),
            status: Status::Unset,
            dropped: 0,
        })
    }

    #[test]
    fn the_newest_are_kept_and_the_others_counted() {
        let store = SpanStore::new(3);
        for n in 1..=5 {
            store.push(span(u128::from(n % 2), n));
        }
        let ids = |spans: Vec<Arc<Span>>| spans.iter().map(|span| span.span_id).collect::<Vec<_>>();
        assert_eq!(ids(store.spans()), [3, 4, 5]);
        assert_eq!(ids(store.trace(1)), [3, 5]);
        assert_eq!(store.figures(), (3, 5, 2));
        assert_eq!(ids(store.take()), [3, 4, 5]);
        assert_eq!(store.figures(), (0, 5, 2));
    }

    #[test]
    fn a_forked_child_begins_with_none() {
        let store = SpanStore::new(3);
        store.push(span(1, 1));
        // SAFETY: the child calls what is under test, which is made for this, and ends at once.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let empty = store.spans().is_empty();
            store.push(span(2, 2));
            let fine = empty && store.figures() == (1, 1, 0);
            // SAFETY: ends the child without running the parent's destructors.
            unsafe { libc::_exit(i32::from(!fine)) };
        }
        let mut status = 0;
        // SAFETY: `child` is ours and `status` may be written.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!(status, 0);
        assert_eq!(store.figures(), (1, 1, 0));
    }
}

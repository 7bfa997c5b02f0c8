//! Taking and giving while something is set aside: with the lock of the waiters' list held, so that
//! what is left for others can neither change nor be taken by two at once.
//!
//! Foreign code never runs under that lock: where items are compared, a place is reserved under it
//! and filled afterwards.

use std::vec;

use super::Handoff;
use crate::{
    ring::{Refusal, wait::Wake},
    sync::Arc,
};

impl<T, W: Wake> Handoff<T, W> {
    /// Calls `take` with the rank of the item that `me` may take, and how many are left to it.
    #[cold]
    pub(super) fn getting_behind<R>(
        &self,
        me: Option<&Arc<W>>,
        take: impl FnOnce(usize, usize) -> Result<R, Refusal>,
    ) -> Result<R, Refusal> {
        self.getters.behind(me, |ahead| {
            if self.is_closed() {
                return take(0, usize::MAX);
            }
            match self.len().saturating_sub(ahead) {
                0 => Err(Refusal::NotNow),
                left => take(if self.is_fair { ahead } else { 0 }, left),
            }
        })
    }

    /// Calls `give` with how many places are left to `me`.
    #[cold]
    pub(super) fn putting_behind<R>(
        &self,
        me: Option<&Arc<W>>,
        give: impl FnOnce(usize) -> Result<R, Refusal>,
    ) -> Result<R, Refusal> {
        self.putters.behind(me, |ahead| {
            if self.is_closed() {
                return Err(Refusal::Closed);
            }
            match self.room().saturating_sub(ahead) {
                0 => Err(Refusal::NotNow),
                left => give(left),
            }
        })
    }

    #[cold]
    pub(super) fn pop_behind(&self, me: Option<&Arc<W>>) -> Result<T, Refusal> {
        self.getting_behind(me, |nth, _| self.store.pop_nth(nth))
    }

    #[cold]
    pub(super) fn pop_many_behind(
        &self,
        min: usize,
        max: usize,
        out: &mut Vec<T>,
        me: Option<&Arc<W>>,
    ) -> Result<usize, Refusal> {
        self.getting_behind(me, |nth, left| {
            if left < min {
                return Err(Refusal::NotNow);
            }
            self.store.pop_many_from(nth, min, max.min(left), out)
        })
    }

    #[cold]
    pub(super) fn push_behind(&self, item: T, me: Option<&Arc<W>>) -> Result<(), (Refusal, T)> {
        if self.store.compares() {
            let list = self.store.list();
            if let Err(refusal) = self.putting_behind(me, |_| list.reserve()) {
                return Err((refusal, item));
            }
            return list.push_reserved(item).inspect_err(|_| self.release());
        }
        let mut item = Some(item);
        let outcome = self.putting_behind(me, |_| {
            let Some(given) = item.take() else {
                return Ok(());
            };
            self.store.push(given).map_err(|(refusal, back)| {
                item = Some(back);
                refusal
            })
        });
        match (outcome, item) {
            (Err(refusal), Some(item)) => Err((refusal, item)),
            _ => Ok(()),
        }
    }

    /// As many as are left to `me`; where items are compared, one: the caller comes again.
    #[cold]
    pub(super) fn push_many_behind(
        &self,
        items: &mut vec::IntoIter<T>,
        me: Option<&Arc<W>>,
    ) -> Result<usize, Refusal> {
        if items.len() == 0 {
            return self.store.push_many(items);
        }
        if self.store.compares() {
            let list = self.store.list();
            self.putting_behind(me, |_| list.reserve())?;
            let pushed = list.push_first_reserved(items);
            return pushed.inspect_err(|_| self.release());
        }
        self.putting_behind(me, |left| {
            let mut few = items.take(left).collect::<Vec<_>>().into_iter();
            let outcome = self.store.push_many(&mut few);
            if few.len() > 0 {
                // Back in front of the rest.
                *items = few.chain(items.by_ref()).collect::<Vec<_>>().into_iter();
            }
            outcome
        })
    }
}

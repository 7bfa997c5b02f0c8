//! From a thread to its shard of an instrument: a slot in a thread-local table.
//!
//! Every instrument has a slot while it lives and an id for ever; slots are used again, ids never.
//! A thread's table maps slot → (id, shard). The shard is followed only when the id is that of the
//! instrument in hand, whose home owns the shard: so an entry may outlive its instrument without
//! harm. A table is as long as the most instruments that were ever alive at once, in pages of 64
//! that exist where the thread has recorded.

use super::{Home, Shard};
use crate::fork_gate::{Guarded, thread_token};
use std::{
    cell::UnsafeCell,
    ptr,
    sync::{
        Arc, LazyLock, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

/// A number kept once per thread; see the module above.
pub struct Sharded<S: Shard> {
    slot: usize,
    id: u64,
    home: Arc<Home<S>>,
}

impl<S: Shard> Sharded<S> {
    /// A number that nobody has written yet.
    pub fn new(shape: S::Shape) -> Self {
        Self {
            slot: SLOTS.lock().take(),
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            home: Arc::new(Home::new(shape)),
        }
    }

    /// Calls `f` with the calling thread's shard. `f` must not come back to any `Sharded`.
    #[inline(always)]
    pub fn with<R>(&self, f: impl FnOnce(&S) -> R) -> R {
        match TABLE.try_with(|table| table.find(self.slot, self.id)) {
            // SAFETY: the entry carries this instrument's id, so `adopt` wrote it for this home and
            // type, and the home, which `self` keeps, owns the shard until this thread retires it.
            Ok(Some(shard)) => f(unsafe { &*shard.cast::<S>() }),
            _ => self.first(f),
        }
    }

    #[cold]
    fn first<R>(&self, f: impl FnOnce(&S) -> R) -> R {
        let shard = self.home.attach(thread_token());
        let address = Arc::as_ptr(&shard);
        let home: Weak<dyn Retire> = Arc::downgrade(&(Arc::clone(&self.home) as Arc<dyn Retire>));
        let adopted = TABLE.try_with(|table| {
            table.adopt(
                self.slot,
                Entry {
                    id: self.id,
                    shard: address.cast(),
                    home: Some(home),
                },
            );
        });
        let result = f(&shard);
        if adopted.is_err() {
            // The thread is ending and its table is gone: this record is its own shard.
            self.home.retire(address);
        }
        result
    }

    /// The sum over all threads, dead and alive.
    pub fn total(&self) -> S::Total {
        self.home.total()
    }

    /// How many threads hold a shard now.
    pub fn live(&self) -> usize {
        self.home.live()
    }
}

impl<S: Shard> Drop for Sharded<S> {
    fn drop(&mut self) {
        SLOTS.lock().free.push(self.slot);
    }
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);
static SLOTS: LazyLock<Guarded<Slots>> = LazyLock::new(|| {
    Guarded::new(Slots {
        free: Vec::new(),
        next: 0,
    })
});

struct Slots {
    free: Vec<usize>,
    next: usize,
}

impl Slots {
    fn take(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        })
    }
}

/// A home without its type, for the end of a thread.
trait Retire: Send + Sync {
    fn retire(&self, shard: *const ());
}

impl<S: Shard> Retire for Home<S> {
    fn retire(&self, shard: *const ()) {
        Home::retire(self, shard.cast());
    }
}

const PAGE: usize = 64;

struct Entry {
    /// 0 while empty; the ids of instruments start at 1.
    id: u64,
    shard: *const (),
    home: Option<Weak<dyn Retire>>,
}

impl Entry {
    const EMPTY: Self = Self {
        id: 0,
        shard: ptr::null(),
        home: None,
    };

    fn retire(&mut self) {
        if let Some(home) = self.home.take().and_then(|home| home.upgrade()) {
            home.retire(self.shard);
        }
    }
}

type Page = Box<[Entry; PAGE]>;

thread_local! {
    static TABLE: Table = const { Table(UnsafeCell::new(Vec::new())) };
}

/// Read and written by its own thread only; no reference into it leaves a method.
struct Table(UnsafeCell<Vec<Option<Page>>>);

impl Table {
    #[inline(always)]
    fn find(&self, slot: usize, id: u64) -> Option<*const ()> {
        // SAFETY: one thread, and neither `find` nor `adopt` calls anything that comes back here.
        let pages = unsafe { &*self.0.get() };
        let entry = &pages.get(slot / PAGE)?.as_ref()?[slot % PAGE];
        (entry.id == id).then_some(entry.shard)
    }

    fn adopt(&self, slot: usize, entry: Entry) {
        // SAFETY: as in `find`. Dropping the old entry drops a `Weak` of a dead instrument: memory
        // goes back, nothing of ours runs.
        let pages = unsafe { &mut *self.0.get() };
        if pages.len() <= slot / PAGE {
            pages.resize_with(slot / PAGE + 1, || None);
        }
        let page = pages[slot / PAGE].get_or_insert_with(|| Box::new([Entry::EMPTY; PAGE]));
        page[slot % PAGE] = entry;
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        for entry in self
            .0
            .get_mut()
            .iter_mut()
            .flatten()
            .flat_map(|page| page.iter_mut())
        {
            entry.retire();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::AtomicU64 as Cell64;

    struct Tally(Cell64);

    impl Shard for Tally {
        type Shape = ();
        type Total = u64;
        fn new((): ()) -> Self {
            Self(Cell64::new(0))
        }
        fn zero((): ()) -> u64 {
            0
        }
        fn add_to(&self, total: &mut u64) {
            *total += self.0.load(Ordering::Relaxed);
        }
    }

    fn add(tally: &Sharded<Tally>, n: u64) {
        tally.with(|shard| {
            shard
                .0
                .store(shard.0.load(Ordering::Relaxed) + n, Ordering::Relaxed)
        });
    }

    fn pages() -> usize {
        // SAFETY: the table of this thread, between two calls of its methods.
        TABLE.with(|table| unsafe { &*table.0.get() }.len())
    }

    #[test]
    fn a_thread_s_shard_is_folded_when_it_ends() {
        let tally = Sharded::<Tally>::new(());
        add(&tally, 1);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        add(&tally, 1);
                    }
                });
            }
        });
        // `scope` waits for the closures, not for the destructors of thread-locals.
        while tally.live() > 1 {
            std::thread::yield_now();
        }
        assert_eq!(tally.total(), 8001);
    }

    #[test]
    fn a_slot_used_again_starts_from_nothing_and_the_table_does_not_grow() {
        std::thread::spawn(|| {
            let keep = Sharded::<Tally>::new(());
            add(&keep, 7);
            let before = pages();
            for n in 1..10_000 {
                let tally = Sharded::<Tally>::new(());
                assert_eq!(tally.total(), 0);
                add(&tally, n);
                assert_eq!(tally.total(), n);
            }
            // Other tests of this process hold slots too, so the table may not be exactly one page.
            assert!(pages() <= before + 1, "{} pages, {before} before", pages());
            assert_eq!(keep.total(), 7);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn an_instrument_may_die_before_the_threads_that_wrote_it() {
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let (told, tell) = std::sync::mpsc::channel();
        let tally = Arc::new(Sharded::<Tally>::new(()));
        let writer = {
            let tally = Arc::clone(&tally);
            std::thread::spawn(move || {
                add(&tally, 1);
                drop(tally);
                told.send(()).unwrap();
                wait.recv().unwrap();
            })
        };
        tell.recv().unwrap();
        assert_eq!(Arc::strong_count(&tally), 1);
        let home = Arc::downgrade(&tally.home);
        drop(tally);
        assert!(
            home.upgrade().is_none(),
            "the home goes with its instrument"
        );
        go.send(()).unwrap();
        writer.join().unwrap();
    }

    #[test]
    fn a_forked_child_folds_the_shards_of_threads_it_does_not_have() {
        let tally = Arc::new(Sharded::<Tally>::new(()));
        add(&tally, 1);
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let (told, tell) = std::sync::mpsc::channel();
        let other = {
            let tally = Arc::clone(&tally);
            std::thread::spawn(move || {
                add(&tally, 10);
                told.send(()).unwrap();
                wait.recv().unwrap();
            })
        };
        tell.recv().unwrap();
        assert_eq!((tally.total(), tally.live()), (11, 2));
        // SAFETY: the child calls what is under test, which is made for this, and ends at once.
        let child = unsafe { libc::fork() };
        if child == 0 {
            add(&tally, 100);
            let fine = tally.total() == 111 && tally.live() == 1;
            // SAFETY: ends the child without running the parent's destructors.
            unsafe { libc::_exit(i32::from(!fine)) };
        }
        let mut status = 0;
        // SAFETY: `child` is ours and `status` may be written.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!(status, 0);
        assert_eq!((tally.total(), tally.live()), (11, 2));
        go.send(()).unwrap();
        other.join().unwrap();
    }

    #[test]
    fn a_record_made_by_a_destructor_at_the_thread_s_end_counts() {
        struct Late(Arc<Sharded<Tally>>);
        impl Drop for Late {
            fn drop(&mut self) {
                add(&self.0, 1);
            }
        }
        thread_local! {
            static LATE: UnsafeCell<Option<Late>> = const { UnsafeCell::new(None) };
        }
        let tally = Arc::new(Sharded::<Tally>::new(()));
        for order in [true, false] {
            let inside = Arc::clone(&tally);
            std::thread::spawn(move || {
                if order {
                    add(&inside, 1);
                }
                // SAFETY: a fresh thread-local of this thread.
                LATE.with(|late| unsafe { *late.get() = Some(Late(Arc::clone(&inside))) });
                if !order {
                    add(&inside, 1);
                }
            })
            .join()
            .unwrap();
        }
        assert_eq!(tally.total(), 4);
    }
}

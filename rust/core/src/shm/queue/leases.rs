//! Items that were taken and have to be acknowledged: a table in the segment, one entry an item.
//!
//! ```text
//! FREE → FILLING → LEASED → FREE            taken, acknowledged
//!                  LEASED → RETURNED        handed back, or its holder is dead
//!                  RETURNED → LEASED        claimed
//!                  RETURNED → FREE          the queue was shut down at once: nobody will claim it
//!                  LEASED → LEASED          its time was over, and somebody else wants it
//! ```
//! Every change is one compare-and-swap of a word that says state, seat and generation; the generation
//! goes up whenever an entry changes hands, so an acknowledgement that comes late is refused. An
//! entry is filled before the lane's head is moved and freed if another taker was first: the item is in the lane
//! or in the table at any moment, and in both at worst, when its taker dies in between.
//!
//! How long an entry is leased for is written after it was claimed; the deadline says for which generation it
//! counts, and whoever finds an old one writes the new. So one that is stopped in between keeps no item for
//! longer than a lease lasts.
//!
//! Whoever an entry names holds the slabs of its item. Who takes one over holds them first and swaps
//! second; an undertaker that brings a dead one's items back is named by them until somebody claims them.

use std::collections::HashMap;

use super::{ending, handle::Shutdown, shared::Shared};
use crate::{
    clock,
    shm::{arena::Pinned, feed::Record, lane::Corrupt},
    sync::{AtomicU64, Mutex, Ordering, lock},
};

/// Bytes that an entry has for its item.
pub(super) const CONTENT: usize = 8 * WORDS;
const WORDS: usize = 60;

const FREE: u64 = 0;
const FILLING: u64 = 1;
const LEASED: u64 = 2;
const RETURNED: u64 = 3;

const STATE_SHIFT: u32 = 61;
const SEAT_SHIFT: u32 = 55;
const GENERATION: u64 = (1 << SEAT_SHIFT) - 1;

/// State, seat and generation of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Word(u64);

impl Word {
    const fn of(state: u64, seat: usize, generation: u64) -> Self {
        Self(state << STATE_SHIFT | (seat as u64) << SEAT_SHIFT | generation & GENERATION)
    }

    const fn state(self) -> u64 {
        self.0 >> STATE_SHIFT
    }

    const fn seat(self) -> usize {
        (self.0 >> SEAT_SHIFT & 63) as usize
    }

    const fn generation(self) -> u64 {
        self.0 & GENERATION
    }
}

/// One entry, as all see it.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Entry {
    /// Swapped by all (AcqRel), read by all (Acquire). What lies behind the deadline is written (Relaxed) by whoever
    /// it names while it is filling, and counts only for who then moves the word on.
    word: AtomicU64,
    /// In microseconds of the monotonic clock, and the end of the generation. Swapped by who finds it old
    /// (AcqRel), read by all (Acquire).
    deadline: AtomicU64,
    /// Where in its lane the record began.
    position: AtomicU64,
    /// Lane, kind and length.
    shape: AtomicU64,
    content: [AtomicU64; WORDS],
}

/// An item that its taker answers for until it acknowledges it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    pub(super) entry: u32,
    pub(super) generation: u64,
}

impl Lease {
    /// Two numbers that say it all, to be carried by programs in other languages.
    #[must_use]
    pub const fn parts(self) -> (u32, u64) {
        (self.entry, self.generation)
    }

    /// The one of those numbers. One that was never given out is refused where it is settled.
    #[must_use]
    pub const fn from_parts(entry: u32, generation: u64) -> Self {
        Self { entry, generation }
    }
}

/// An item as an entry has it.
pub(super) struct Leased {
    pub(super) kind: u16,
    pub(super) content: Vec<u8>,
}

impl Entry {
    fn word(&self) -> Word {
        Word(self.word.load(Ordering::Acquire))
    }

    fn swap(&self, from: Word, to: Word) -> bool {
        self.word
            .compare_exchange(from.0, to.0, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    /// When the lease is over; an old answer is made new first.
    fn deadline(&self, word: Word, shared: &Shared) -> u64 {
        let seen = self.deadline.load(Ordering::Acquire);
        if seen & TAG == word.generation() & TAG {
            return seen >> TAG_BITS;
        }
        let new = deadline(shared);
        let tagged = new << TAG_BITS | word.generation() & TAG;
        let _ = self
            .deadline
            .compare_exchange(seen, tagged, Ordering::AcqRel, Ordering::Relaxed);
        new
    }

    fn lane(&self) -> usize {
        (self.shape.load(Ordering::Relaxed) >> 48) as usize
    }

    /// What is there, which counts only if the word has not changed afterwards.
    fn read(&self) -> Leased {
        let shape = self.shape.load(Ordering::Relaxed);
        let length = (shape as u32 as usize).min(CONTENT);
        let words = self.content[..length.div_ceil(8)].iter();
        let mut content: Vec<u8> = words
            .flat_map(|word| word.load(Ordering::Relaxed).to_ne_bytes())
            .collect();
        content.truncate(length);
        Leased {
            kind: (shape >> 32) as u16,
            content,
        }
    }

    /// Whether the record is in its lane still, so that nobody has taken it.
    fn is_in_lane(&self, shared: &Shared) -> bool {
        let position = self.position.load(Ordering::Relaxed);
        let feed = shared.feeds.get(self.lane());
        feed.is_some_and(|feed| feed.taken_bytes() <= position)
    }
}

/// What this process holds for entries that name it.
struct Held {
    word: Word,
    pins: Vec<Pinned>,
}

/// One process's part in the table.
pub(super) struct Leases {
    seat: usize,
    held: Mutex<HashMap<u32, Held>>,
    /// The returns that were looked for, and when to look again in any case.
    seen: AtomicU64,
    look_at: AtomicU64,
}

/// Holds the slabs that a record names; `None` if it names any that are gone.
pub(super) type Pin<'a> = dyn Fn(u16, &[u8]) -> Option<Vec<Pinned>> + 'a;

impl Leases {
    pub(super) fn new(seat: usize) -> Self {
        Self {
            seat,
            held: Mutex::default(),
            seen: AtomicU64::new(0),
            look_at: AtomicU64::new(0),
        }
    }

    /// Up to `wanted` entries that nobody else fills.
    pub(super) fn reserve(&self, shared: &Shared, wanted: usize) -> Vec<Lease> {
        let entries = shared.leases();
        let first = self.seat * entries.len() / 64;
        let order = (first..entries.len()).chain(0..first);
        order
            .filter_map(|number| {
                let entry = &entries[number];
                let word = entry.word();
                let generation = word.generation() + 1;
                let filling = Word::of(FILLING, self.seat, generation);
                (word.state() == FREE && entry.swap(word, filling)).then_some(Lease {
                    entry: number as u32,
                    generation: filling.generation(),
                })
            })
            .take(wanted)
            .collect()
    }

    /// Fills a reserved entry with a record that is still in its lane. False: it was taken from this process.
    pub(super) fn fill(
        &self,
        shared: &Shared,
        lease: Lease,
        lane: usize,
        record: Record,
        content: &[u8],
    ) -> Result<bool, Corrupt> {
        if content.len() > CONTENT {
            return Err(Corrupt);
        }
        let entry = &shared.leases()[lease.entry as usize];
        let shape = (lane as u64) << 48 | u64::from(record.kind) << 32 | content.len() as u64;
        entry.shape.store(shape, Ordering::Relaxed);
        entry.position.store(record.position, Ordering::Relaxed);
        let tagged = deadline(shared) << TAG_BITS | lease.generation & TAG;
        entry.deadline.store(tagged, Ordering::Relaxed);
        for (word, bytes) in entry.content.iter().zip(content.chunks(8)) {
            let mut whole = [0; 8];
            whole[..bytes.len()].copy_from_slice(bytes);
            word.store(u64::from_ne_bytes(whole), Ordering::Relaxed);
        }
        Ok(self.move_on(entry, lease, FILLING, LEASED))
    }

    /// Makes an entry ready for another record; false if it went to somebody else.
    pub(super) fn refill(&self, shared: &Shared, lease: Lease) -> bool {
        let entry = &shared.leases()[lease.entry as usize];
        let filling = Word::of(FILLING, self.seat, lease.generation);
        entry.word() == filling || self.move_on(entry, lease, LEASED, FILLING)
    }

    /// Gives entries back that were reserved, or filled, in vain.
    pub(super) fn release(&self, shared: &Shared, leases: impl IntoIterator<Item = Lease>) {
        for lease in leases {
            let entry = &shared.leases()[lease.entry as usize];
            let _ = self.move_on(entry, lease, FILLING, FREE)
                || self.move_on(entry, lease, LEASED, FREE);
        }
    }

    fn move_on(&self, entry: &Entry, lease: Lease, from: u64, to: u64) -> bool {
        let word = |state| Word::of(state, self.seat, lease.generation);
        entry.swap(word(from), word(to))
    }

    /// The item is this process's, and what it names is held for it, beside what the taker holds.
    pub(super) fn keep(&self, lease: Lease, pins: Vec<Pinned>) {
        let word = Word::of(LEASED, self.seat, lease.generation);
        lock(&self.held).insert(lease.entry, Held { word, pins });
    }

    /// The item was dealt with. False: it is somebody else's by now.
    pub(super) fn acknowledge(&self, shared: &Shared, lease: Lease) -> bool {
        self.finish(shared, lease, FREE)
    }

    /// The item is for anybody to take. False: it is somebody else's by now.
    pub(super) fn give_back(&self, shared: &Shared, lease: Lease) -> bool {
        self.finish(shared, lease, RETURNED)
    }

    fn finish(&self, shared: &Shared, lease: Lease, to: u64) -> bool {
        let Some(entry) = shared.leases().get(lease.entry as usize) else {
            return false;
        };
        if to == RETURNED {
            let mut moved = false;
            let give = || {
                moved = self.settle_one(entry, lease, to);
                if moved {
                    shared.returns().fetch_add(1, Ordering::AcqRel);
                }
            };
            ending::come_back(give, || is_over(shared), || self.drop_returned(shared));
            return moved;
        }
        self.settle_one(entry, lease, to)
    }

    fn settle_one(&self, entry: &Entry, lease: Lease, to: u64) -> bool {
        let word = Word::of(to, self.seat, lease.generation);
        let mut held = lock(&self.held);
        let moved = self.move_on(entry, lease, LEASED, to);
        let gone = match held.get_mut(&lease.entry) {
            Some(mine) if mine.word.generation() == lease.generation => {
                // Whoever an entry names holds its slabs; where there are none, nothing is held.
                if moved && to == RETURNED && !mine.pins.is_empty() {
                    mine.word = word;
                    None
                } else {
                    held.remove(&lease.entry)
                }
            }
            _ => None,
        };
        drop(held);
        drop(gone);
        moved
    }

    /// Whether it is time to look for items that came back, or whose time is over.
    pub(super) fn is_due(&self, shared: &Shared) -> bool {
        let returns = shared.returns().load(Ordering::Acquire);
        returns != self.seen.load(Ordering::Relaxed)
            || now() >= self.look_at.load(Ordering::Relaxed)
    }

    /// Claims up to `max` items that came back, or whose time is over.
    pub(super) fn claim(
        &self,
        shared: &Shared,
        max: usize,
        pin: &Pin<'_>,
        mut take: impl FnMut(Lease, Leased, Vec<Pinned>),
    ) -> usize {
        let now = now();
        let returns = shared.returns().load(Ordering::Acquire);
        let (mut count, mut next) = (0, now + LOOK);
        for (number, entry) in shared.leases().iter().enumerate() {
            let word = entry.word();
            let is_over = match word.state() {
                RETURNED => true,
                LEASED => {
                    let deadline = entry.deadline(word, shared);
                    next = next.min(deadline.max(now));
                    deadline <= now && !entry.is_in_lane(shared)
                }
                _ => false,
            };
            if !is_over {
                continue;
            }
            if count == max {
                next = now; // there is more
                break;
            }
            let item = entry.read();
            let Some(pins) = pin(item.kind, &item.content) else {
                // Changed meanwhile; or its slabs are gone, which only nonsense can bring about.
                continue;
            };
            let leased = Word::of(LEASED, self.seat, word.generation() + 1);
            if !entry.swap(word, leased) {
                continue;
            }
            entry.deadline(leased, shared);
            let lease = Lease {
                entry: number as u32,
                generation: leased.generation(),
            };
            take(lease, item, pins);
            count += 1;
        }
        self.seen.store(returns, Ordering::Relaxed);
        self.look_at.store(next, Ordering::Relaxed);
        count
    }

    fn drop_returned(&self, shared: &Shared) {
        drop_returned(shared);
        self.settle(shared);
    }

    /// Whether slabs are held for nobody yet.
    pub(super) fn holds_returned(&self) -> bool {
        let held = lock(&self.held);
        held.values().any(|held| held.word.state() == RETURNED)
    }

    /// Lets go of what was held for entries that name somebody else by now.
    pub(super) fn settle(&self, shared: &Shared) {
        let entries = shared.leases();
        let mut gone = Vec::new();
        lock(&self.held).retain(|number, held| {
            let is_mine = entries[*number as usize].word() == held.word;
            if !is_mine {
                gone.append(&mut held.pins);
            }
            is_mine
        });
    }

    /// Brings the items of a dead process back: named by this one from now on, which holds their slabs.
    /// False if something has to stay as it is.
    pub(super) fn inherit(&self, shared: &Shared, dead: usize, pin: &Pin<'_>) -> bool {
        let mut any = false;
        let inherit = || any = self.bring_back(shared, dead, pin);
        ending::come_back(inherit, || is_over(shared), || self.drop_returned(shared));
        any
    }

    fn bring_back(&self, shared: &Shared, dead: usize, pin: &Pin<'_>) -> bool {
        let mut any = false;
        for (number, entry) in shared.leases().iter().enumerate() {
            let word = entry.word();
            if word.seat() != dead || word.state() == FREE {
                continue;
            }
            let generation = word.generation() + 1;
            let is_nobodys =
                word.state() == FILLING || (word.state() == LEASED && entry.is_in_lane(shared));
            if is_nobodys {
                entry.swap(word, Word::of(FREE, dead, generation));
                continue;
            }
            let item = entry.read();
            let Some(pins) = pin(item.kind, &item.content) else {
                entry.swap(word, Word::of(FREE, dead, generation));
                continue;
            };
            let returned = Word::of(RETURNED, self.seat, generation);
            if entry.swap(word, returned) {
                let held = Held {
                    word: returned,
                    pins,
                };
                let mut all = lock(&self.held);
                let before = if held.pins.is_empty() {
                    all.remove(&(number as u32))
                } else {
                    all.insert(number as u32, held)
                };
                drop(all);
                drop(before);
                any = true;
            }
        }
        if any {
            shared.returns().fetch_add(1, Ordering::AcqRel);
        }
        any
    }

    /// The process leaves: what it has not acknowledged is for the others, who will hold its slabs before
    /// its own hold on them ends.
    pub(super) fn leave(&self, shared: &Shared) {
        let held: Vec<_> = lock(&self.held).drain().collect();
        if is_over(shared) {
            // For nobody.
            for (entry, held) in &held {
                let lease = Lease {
                    entry: *entry,
                    generation: held.word.generation(),
                };
                self.release(shared, [lease]);
            }
            self.drop_returned(shared);
            return;
        }
        let give = || {
            for (number, held) in held {
                if held.word.state() == LEASED {
                    let lease = Lease {
                        entry: number,
                        generation: held.word.generation(),
                    };
                    let entry = &shared.leases()[number as usize];
                    self.move_on(entry, lease, LEASED, RETURNED);
                }
                held.pins.into_iter().for_each(Pinned::leave_set);
            }
            shared.returns().fetch_add(1, Ordering::AcqRel);
        };
        ending::come_back(give, || is_over(shared), || self.drop_returned(shared));
    }
}

/// Drops what came back to a queue that is over. Those whom the entries named let go of the slabs when they settle.
pub(super) fn drop_returned(shared: &Shared) {
    for entry in shared.leases() {
        let word = entry.word();
        if word.state() == RETURNED {
            entry.swap(word, Word::of(FREE, word.seat(), word.generation()));
        }
    }
}

fn is_over(shared: &Shared) -> bool {
    shared.rare().shutdown() == Shutdown::Immediate
}

/// The longest time between two looks, in microseconds.
const LOOK: u64 = 1_000_000;

const TAG_BITS: u32 = 12;
const TAG: u64 = (1 << TAG_BITS) - 1;

/// Microseconds of the monotonic clock.
fn now() -> u64 {
    clock::monotonic() / 1000
}

fn deadline(shared: &Shared) -> u64 {
    let lease = shared.settings.ack.map_or(0, |ack| ack.lease.as_micros());
    let lease = u64::try_from(lease).unwrap_or(u64::MAX);
    now().saturating_add(lease).min(u64::MAX >> TAG_BITS)
}

/// Items that anybody may take: those that came back, and those whose time is over.
pub(super) fn claimable(shared: &Shared) -> usize {
    let now = now();
    let is_anybodys = |entry: &&Entry| match entry.word() {
        word if word.state() == RETURNED => true,
        word if word.state() == LEASED => {
            entry.deadline(word, shared) <= now && !entry.is_in_lane(shared)
        }
        _ => false,
    };
    shared.leases().iter().filter(is_anybodys).count()
}

/// Entries that somebody has, or that wait for somebody.
pub(super) fn out(shared: &Shared) -> usize {
    let taken = shared
        .leases()
        .iter()
        .filter(|entry| match entry.word().state() {
            FREE | FILLING => false,
            // A take that is not over yet, or was too late.
            LEASED => !entry.is_in_lane(shared),
            _ => true,
        });
    taken.count()
}

/// Whether any entry names a process.
pub(super) fn names(shared: &Shared, seat: usize) -> bool {
    shared.leases().iter().any(|entry| {
        let word = entry.word();
        word.seat() == seat && word.state() != FREE
    })
}

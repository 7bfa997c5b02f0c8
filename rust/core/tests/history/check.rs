//! The check of a history; what it looks for is told in the module above.

use std::collections::HashMap;

use super::{Answer, Call, Item, Order, Side};

/// What cannot have been.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Lost(Item),
    Doubled(Item),
    NeverPut(Item),
    /// The second came out although the first was to come before it.
    Overtaken(Item, Item),
    /// The pop called at that stamp said "not now" beside enough items.
    NotEmpty(u64),
    /// The push called at that stamp said "not now" beside room.
    NotFull(u64),
    /// More was inside than fits, at that stamp.
    Overfull(u64),
    /// The call at that stamp said "closed", and nobody had closed.
    NotClosed(u64),
    /// The pop called at that stamp said "closed", and that item was still to come.
    NotDrained(u64, Item),
    /// Accepted after a close.
    AcceptedLate(Item),
    /// Seen where it could not be.
    SeenOutside(Item),
    /// Counted so many at that stamp, which never were inside.
    Miscounted(u64, usize),
}

/// The life of one accepted item.
struct Life<'a> {
    item: Item,
    put: &'a Call,
    /// Its place in a batch of puts.
    put_as: usize,
    got: &'a Call,
    got_as: usize,
}

impl Life<'_> {
    /// From then on, and until then, it surely is inside.
    const fn surely(&self) -> (u64, u64) {
        (self.put.to, self.got.from)
    }

    const fn perhaps(&self) -> (u64, u64) {
        (self.put.from, self.got.to)
    }

    fn put_before(&self, other: &Self) -> bool {
        self.put.to < other.put.from
            || (self.put.from == other.put.from && self.put_as < other.put_as)
    }

    fn got_before(&self, other: &Self) -> bool {
        self.got.to < other.got.from
            || (self.got.from == other.got.from && self.got_as < other.got_as)
    }

    /// Whether it was to come out before `other`, whatever the moments of the calls.
    fn goes_before(&self, other: &Self, order: Order) -> bool {
        let is_there = self.put.to < other.got.from;
        match order {
            Order::OldestFirst => self.put_before(other),
            Order::NewestFirst => other.put_before(self) && is_there,
            Order::LeastFirst if self.item.rank == other.item.rank => self.put_before(other),
            Order::LeastFirst => self.item.rank < other.item.rank && is_there,
            Order::AsGranted => false,
        }
    }
}

fn count(spans: &[(u64, u64)], at: u64) -> usize {
    spans
        .iter()
        .filter(|(from, to)| *from <= at && at < *to)
        .count()
}

fn sum(spans: &[(u64, u64, usize)], at: u64) -> usize {
    let then = spans.iter().filter(|(from, to, _)| *from <= at && at < *to);
    then.map(|(_, _, number)| number).sum()
}

/// Whether `holds` at some moment of `call`. Counts change at stamps only, so looking behind each
/// stamp is enough.
fn at_some_moment(call: &Call, holds: impl Fn(u64) -> bool) -> bool {
    (call.from..call.to).any(holds)
}

pub(super) fn check(order: Order, bound: Option<usize>, calls: &[Call]) -> Result<(), Fault> {
    let lives = lives(calls)?;
    for second in &lives {
        for first in &lives {
            if first.goes_before(second, order) && second.got_before(first) {
                return Err(Fault::Overtaken(first.item, second.item));
            }
        }
    }
    let surely: Vec<_> = lives.iter().map(Life::surely).collect();
    let perhaps: Vec<_> = lives.iter().map(Life::perhaps).collect();
    let places = places(calls);
    let items_aside = set_aside(calls, Side::Getting);
    let places_aside = set_aside(calls, Side::Putting);
    let bounds = Bounds::of(bound, calls);
    for call in calls {
        let holds = match &call.answer {
            Answer::Empty(min) => at_some_moment(call, |at| {
                count(&surely, at) < (*min).max(1) + sum(&items_aside, at)
            }),
            Answer::Full => at_some_moment(call, |at| {
                let taken = count(&perhaps, at) + count(&places, at);
                taken + sum(&places_aside, at) >= bounds.least(at)
            }),
            Answer::Counted(number) => at_some_moment(call, |at| {
                (count(&surely, at)..=count(&perhaps, at)).contains(number)
            }),
            _ => true,
        };
        if !holds {
            return Err(match call.answer {
                Answer::Empty(_) => Fault::NotEmpty(call.from),
                Answer::Full => Fault::NotFull(call.from),
                Answer::Counted(number) => Fault::Miscounted(call.from, number),
                _ => unreachable!("the other answers hold"),
            });
        }
        if matches!(call.answer, Answer::Put(_) | Answer::PutReserved(..))
            && count(&surely, call.to) > bounds.most
        {
            return Err(Fault::Overfull(call.to));
        }
        if let Answer::Seen(item) = call.answer {
            let was_there = lives.iter().any(|life| {
                let (from, to) = life.perhaps();
                life.item == item && from < call.to && call.from < to
            });
            if !was_there {
                return Err(Fault::SeenOutside(item));
            }
        }
    }
    check_closes(calls, &lives, &items_aside)
}

fn check_closes(
    calls: &[Call],
    lives: &[Life<'_>],
    items_aside: &[(u64, u64, usize)],
) -> Result<(), Fault> {
    let closes = || calls.iter().filter(|call| call.answer == Answer::Close);
    let first_began = closes().map(|call| call.from).min().unwrap_or(u64::MAX);
    let first_ended = closes().map(|call| call.to).min().unwrap_or(u64::MAX);
    if let Some(late) = lives.iter().find(|life| life.put.from > first_ended) {
        return Err(Fault::AcceptedLate(late.item));
    }
    for call in calls {
        let says_closed = match call.answer {
            Answer::GotClosed | Answer::GotLast(_) | Answer::PutClosed | Answer::IsClosed(true) => {
                true
            }
            // An open queue was seen: nobody has closed it before.
            Answer::IsClosed(false) if first_ended < call.from => {
                return Err(Fault::NotClosed(call.from));
            }
            _ => false,
        };
        if says_closed && call.to < first_began {
            return Err(Fault::NotClosed(call.from));
        }
        let left = || lives.iter().filter(|life| life.got.from > call.to);
        // What is set aside for others when the queue is closed is theirs, and nothing more will come.
        if call.answer == Answer::GotClosed
            && let Some(first) = left().next()
            && !at_some_moment(call, |at| left().count() <= sum(items_aside, at))
        {
            return Err(Fault::NotDrained(call.from, first.item));
        }
    }
    Ok(())
}

/// Joins each put with its get.
fn lives(calls: &[Call]) -> Result<Vec<Life<'_>>, Fault> {
    let mut got: HashMap<Item, (&Call, usize)> = HashMap::new();
    for call in calls {
        if let Answer::Got(items) | Answer::GotLast(items) = &call.answer {
            for (index, item) in items.iter().enumerate() {
                if got.insert(*item, (call, index)).is_some() {
                    return Err(Fault::Doubled(*item));
                }
            }
        }
    }
    let mut lives = Vec::new();
    for put in calls {
        let items: &[Item] = match &put.answer {
            Answer::Put(items) => items,
            Answer::PutReserved(_, item) => std::slice::from_ref(item),
            _ => &[],
        };
        for (put_as, item) in items.iter().enumerate() {
            let (got, got_as) = got.remove(item).ok_or(Fault::Lost(*item))?;
            lives.push(Life {
                item: *item,
                put,
                put_as,
                got,
                got_as,
            });
        }
    }
    match got.into_keys().min() {
        Some(item) => Err(Fault::NeverPut(item)),
        None => Ok(lives),
    }
}

/// From when until when each reserved place is perhaps set aside: the item that is put into it is
/// perhaps inside from there on.
fn places(calls: &[Call]) -> Vec<(u64, u64)> {
    let mut ends = HashMap::new();
    for call in calls {
        match call.answer {
            Answer::Released(place) => ends.insert(place, call.to),
            Answer::PutReserved(place, _) => ends.insert(place, call.from),
            _ => None,
        };
    }
    calls
        .iter()
        .filter_map(|call| match call.answer {
            Answer::Reserved(place) => {
                Some((call.from, ends.get(&place).copied().unwrap_or(u64::MAX)))
            }
            _ => None,
        })
        .collect()
}

/// From when until when how much is perhaps set aside for those who wait.
fn set_aside(calls: &[Call], side: Side) -> Vec<(u64, u64, usize)> {
    calls
        .iter()
        .filter_map(|call| match call.answer {
            Answer::SetAside(whose, need) if whose == side => Some((call.from, call.to, need)),
            _ => None,
        })
        .collect()
}

/// What the bound may have been.
struct Bounds {
    /// From the invocation of its setting to the response of the next one.
    spans: Vec<(u64, u64, usize)>,
    most: usize,
}

impl Bounds {
    fn of(first: Option<usize>, calls: &[Call]) -> Self {
        let number = |bound: Option<usize>| bound.unwrap_or(usize::MAX);
        let mut set = vec![(0, 0, number(first))];
        set.extend(calls.iter().filter_map(|call| match call.answer {
            Answer::Bound(bound) => Some((call.from, call.to, number(bound))),
            _ => None,
        }));
        let replaced = |to: u64| {
            let later = set.iter().filter(|(from, _, _)| *from > to);
            later.map(|(_, to, _)| *to).min().unwrap_or(u64::MAX)
        };
        Self {
            spans: set
                .iter()
                .map(|(from, to, bound)| (*from, replaced(*to), *bound))
                .collect(),
            most: set.iter().map(|(_, _, bound)| *bound).max().unwrap_or(0),
        }
    }

    fn least(&self, at: u64) -> usize {
        let possible = self
            .spans
            .iter()
            .filter(|(from, to, _)| *from <= at && at < *to);
        possible
            .map(|(_, _, bound)| *bound)
            .min()
            .unwrap_or(usize::MAX)
    }
}

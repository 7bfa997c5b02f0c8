//! Any bytes in any field of a queue's segment: an answer to every operation, no crash and no hang.
//!
//! | field | who believes it, and how far | spoilt by |
//! |---|---|---|
//! | header: magic, version, content, length, parameters, checksum | `Header::check` on attach | [`Field::Header`] and [`Step::Reopen`]; each by itself in `layout`; any file in `segment` |
//! | charter: id, namespace, sizes, lease, name | `Shared::attach`: the digest; and, with a digest forged to match, bounds and length | [`Field::Charter`]; `a_changed_charter_is_refused`, `a_charter_out_of_bounds_is_refused`, `a_forged_charter_gives_an_answer` |
//! | control: shutdown, roster, lanes in use, sleepers, returns | nobody is hurt by any value | [`Field::Control`] |
//! | seats: word, start time, burying, slots in use, bells | `seats`, `burial`: swaps of what was read; `ArenaMap::used` | [`Field::Seat`] |
//! | lanes' indices: tail, head, tally | `Feed::end_behind`, `FeedSender::has_room` | [`Field::Head`]; `feed::nonsense_gives_an_answer` |
//! | lanes' records: mark, kind, length, tally, content | `Feed::prefix_at`, `copy`, `tally_at` | [`Field::Lane`]; as above |
//! | entries of leases: word, deadline, position, shape, content | `Entry::read`, swaps of what was read | [`Field::Lease`] |
//! | references in records and entries: count, arena, slot, generation, offset, length | `references::decode`, `Seated::pin`, `Holder::pin` | [`Field::Lane`], [`Field::Lease`]; `any_reference_gives_an_answer` |
//! | slab tables: generation, holders | `SlabEntry::pin` | [`Field::Slab`] |

use std::time::Instant;

use proptest::prelude::*;

use super::{
    Acknowledged, Batch, Item, Queue, QueueError, Settings, Side,
    leases::Entry,
    plan::{CHARTER, Charter, Plan},
    process,
    references::{self, Reference, SLABS},
    seated::Seated,
    seats::Seat,
    shared::Shared,
    sleepers::SEATS,
};
use crate::{
    ring::{Wake, Woken},
    shm::{
        arena::{SlabRef, TABLE_BYTES, UNIT},
        feed::FeedHead,
        layout::{AttachError, Content},
        segment::Segment,
        slab::SlabEntry,
    },
    sync::{Arc, AtomicU64, Ordering},
};

struct Nobody;

impl Wake for Nobody {
    fn wake(&self) -> Woken {
        Woken::Gone
    }
}

type TestQueue = Arc<Queue<Nobody>>;

#[derive(Debug, Clone, Copy)]
enum Field {
    Header(usize),
    Charter(usize),
    Control(usize),
    Seat(usize, usize),
    Head(usize, usize),
    Lease(usize, usize),
    Slab(usize, usize, usize),
    Lane(usize, usize),
}

#[derive(Debug, Clone, Copy)]
enum Value {
    Any(u64),
    Small(u64),
    Flipped(u32),
    Changed(u64),
    More(u64),
    Less(u64),
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Spoil(Field, Value),
    Send(usize),
    SendLarge(usize),
    SendMany(usize),
    Take(usize),
    Acknowledge,
    GiveBack,
    Forget,
    Sleep(bool),
    Task(bool),
    Spin(bool),
    Look,
    Shutdown(bool),
    Reopen,
    Another,
}

const LEASES: usize = 4;

fn field() -> impl Strategy<Value = Field> {
    // Those in use count more than those that are not; so do the words that mean something.
    let seat = || prop_oneof![4 => 0..3_usize, 1 => 0..SEATS];
    let lines =
        |words: usize| prop_oneof![3 => (0..3_usize).prop_map(|line| line * 16), 1 => 0..words];
    let first = |few: usize, words: usize| prop_oneof![3 => 0..few, 1 => 0..words];
    prop_oneof![
        1 => (0..8_usize).prop_map(Field::Header),
        1 => (0..16_usize).prop_map(Field::Charter),
        2 => lines(512).prop_map(Field::Control),
        1 => (0..4_usize).prop_map(Field::Control),
        2 => (seat(), lines(size_of::<Seat>() / 8)).prop_map(|(seat, word)| Field::Seat(seat, word)),
        2 => (seat(), 0..4_usize).prop_map(|(seat, word)| Field::Seat(seat, word)),
        4 => (seat(), lines(size_of::<FeedHead>() / 8)).prop_map(|(seat, word)| Field::Head(seat, word)),
        4 => (0..LEASES, first(12, 64)).prop_map(|(entry, word)| Field::Lease(entry, word)),
        3 => (seat(), 0..4_usize, 0..8_usize).prop_map(|(seat, slot, word)| Field::Slab(seat, slot, word)),
        6 => (seat(), first(12, 400)).prop_map(|(seat, word)| Field::Lane(seat, word)),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<u64>().prop_map(Value::Any),
        (0..70_u64).prop_map(Value::Small),
        (0..64_u32).prop_map(Value::Flipped),
        (1..200_u64).prop_map(Value::More),
        (1..200_u64).prop_map(Value::Less),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (field(), value()).prop_map(|(field, value)| Step::Spoil(field, value)),
        3 => (0..300_usize).prop_map(Step::Send),
        2 => (17_000..60_000_usize).prop_map(Step::SendLarge),
        1 => (1..9_usize).prop_map(Step::SendMany),
        4 => (1..5_usize).prop_map(Step::Take),
        1 => Just(Step::Acknowledge),
        1 => Just(Step::GiveBack),
        1 => Just(Step::Forget),
        1 => any::<bool>().prop_map(Step::Sleep),
        1 => any::<bool>().prop_map(Step::Task),
        1 => any::<bool>().prop_map(Step::Spin),
        2 => Just(Step::Look),
        1 => any::<bool>().prop_map(Step::Shutdown),
        2 => Just(Step::Reopen),
        1 => Just(Step::Another),
    ]
}

fn offset(plan: &Plan, field: Field) -> usize {
    match field {
        Field::Header(word) => word * 8,
        Field::Charter(word) => CHARTER + word * 8,
        Field::Control(word) => plan.control + word * 8,
        Field::Seat(seat, word) => plan.seats + seat * size_of::<Seat>() + word * 8,
        Field::Head(seat, word) => plan.heads + seat * size_of::<FeedHead>() + word * 8,
        Field::Lease(entry, word) => plan.leases + entry * size_of::<Entry>() + word * 8,
        Field::Slab(seat, slot, word) => {
            plan.tables + seat * TABLE_BYTES + slot * size_of::<SlabEntry>() + word * 8
        }
        Field::Lane(seat, word) => plan.lanes + seat * plan.lane_bytes + word * 8,
    }
}

fn spoil(queue: &TestQueue, field: Field, value: Value) {
    let shared = queue.shared();
    let at = shared.segment.at(offset(&shared.plan, field), 8).unwrap();
    // SAFETY: inside the mapping and aligned to eight bytes.
    let word = unsafe { at.cast::<AtomicU64>().as_ref() };
    let before = word.load(Ordering::Relaxed);
    let after = match value {
        Value::Any(value) | Value::Small(value) => value,
        Value::Flipped(bit) => before ^ 1 << bit,
        Value::Changed(bits) => before ^ bits,
        Value::More(more) => before.wrapping_add(more * 8),
        Value::Less(less) => before.wrapping_sub(less * 8),
    };
    word.store(after, Ordering::Relaxed);
}

fn item(bytes: &[u8]) -> Item<'_> {
    Item {
        code: 1,
        stream: bytes.into(),
        buffers: &[],
    }
}

fn side(is_room: bool) -> Side {
    if is_room { Side::Room } else { Side::Items }
}

fn run(ack: bool, steps: &[Step]) {
    let settings = Settings {
        max_items: Some(20),
        ack: ack.then_some(Acknowledged {
            lease: std::time::Duration::from_millis(1),
            leases: LEASES as u32,
        }),
        ..Settings::new(256 << 10)
    };
    let first: TestQueue = Queue::create(settings).unwrap();
    let attach = || Queue::<Nobody>::attach(first.fd().try_clone_to_owned().unwrap());
    let second = attach().unwrap();
    let _ = first.send(&item(b"first"));
    let _ = second.send(&item(&[2; 20_000]));
    let (mut batch, mut leases, mut seen) = (Batch::new(), Vec::new(), 0_usize);
    for step in steps {
        match *step {
            Step::Spoil(field, value) => spoil(&first, field, value),
            Step::Send(length) | Step::SendLarge(length) => {
                let _ = first.send(&item(&vec![3; length]));
            }
            Step::SendMany(count) => {
                let _ = second.send_many(&vec![item(b"many"); count]);
            }
            Step::Take(max) => {
                let _ = second.take(max, 100_000, &mut batch);
                while let Some(taken) = batch.pop() {
                    seen += taken.inline.len() + taken.buffers.len();
                    leases.extend(taken.lease);
                }
            }
            Step::Acknowledge => {
                for lease in leases.drain(..) {
                    let _ = second.acknowledge(lease);
                }
            }
            Step::GiveBack => {
                for lease in leases.drain(..) {
                    let _ = second.give_back(lease);
                }
            }
            Step::Forget => batch.clear(),
            Step::Sleep(is_room) => {
                if let Ok(mut sleeper) = second.sleeper(side(is_room)) {
                    sleeper.arm();
                    sleeper.park(Some(Instant::now()));
                }
            }
            Step::Task(is_room) => {
                let task = Arc::new(Nobody);
                let _ = first.enlist(side(is_room), Arc::clone(&task), None);
                first.leave(side(is_room), &task);
            }
            Step::Spin(is_room) => {
                second.spin(side(is_room), std::time::Duration::ZERO);
            }
            Step::Look => {
                let _ = (
                    first.statistics().is_ok(),
                    first.len().is_ok(),
                    first.is_empty(),
                );
                let _ = first.look_around();
            }
            Step::Shutdown(immediate) => {
                let _ = second.shutdown(immediate);
            }
            Step::Reopen => {
                if let Ok(other) = attach() {
                    let _ = other.send(&item(b"other"));
                    let _ = other.take(2, 100, &mut batch);
                }
            }
            Step::Another => {
                // In its own right, so that its seat is left while others still spoil it.
                if let Ok(other) = attach() {
                    let _ = other.take(1, 1, &mut Batch::new());
                    let _ = other.look_around();
                    other.close();
                }
            }
        }
    }
    assert!(seen < usize::MAX);
}

#[test]
fn what_no_sender_writes_is_refused_and_stays_in_its_lane() {
    // Word and change, of the lane in seat 0, which has one record; whether nobody can tell any more how much is
    // inside, so that senders are refused, too.
    let (tail, head) = (Field::Head(0, 0), Field::Head(0, 16));
    let record = Field::Lane(0, 0);
    let spoilt = [
        ("mark", record, 1 << 50, true),
        ("length", record, 1 << 20, false),
        ("kind: the ring turns round", record, 0xfffe << 32, true),
        ("tail between words", tail, 4, true),
        ("tail beyond the ring", tail, 1 << 30, true),
        ("tail beyond all", tail, 1 << 63, true),
        ("head between words", head, 4, true),
        ("head beyond the tail", head, 1 << 10, true),
    ];
    for (what, field, change, stops_senders) in spoilt {
        let queue: TestQueue = Queue::create(Settings::new(256 << 10)).unwrap();
        queue.send(&item(b"one")).unwrap();
        let other = Queue::<Nobody>::attach(queue.fd().try_clone_to_owned().unwrap()).unwrap();
        other.send(&item(b"another's")).unwrap();
        let take = || other.take(1, 100, &mut Batch::new());
        spoil(&queue, field, Value::Changed(change));
        assert_eq!(take().unwrap(), 1, "{what}: the other lane has an item");
        let answer = take();
        assert!(
            matches!(answer, Err(QueueError::Corrupt)),
            "{what}: {answer:?}"
        );
        let refusal = other.send(&item(b"another's"));
        let is_refused = matches!(refusal, Err(QueueError::Corrupt));
        assert_eq!(is_refused, stops_senders, "{what}: {refusal:?}");
        // As it was, it goes on.
        spoil(&queue, field, Value::Changed(change));
        let inside = queue.len().unwrap();
        assert_eq!(inside, 1 + usize::from(!is_refused), "{what}");
        assert_eq!(other.take(9, 100, &mut Batch::new()).unwrap(), inside);
    }
}

fn with_leases() -> Settings {
    Settings {
        ack: Some(Acknowledged {
            lease: std::time::Duration::from_secs(1),
            leases: LEASES as u32,
        }),
        ..Settings::new(256 << 10)
    }
}

#[test]
fn a_changed_charter_is_refused() {
    for word in 0..size_of::<Charter>() / 8 {
        for bit in [0, 1, 40] {
            let queue: TestQueue = Queue::create(with_leases()).unwrap();
            let attach =
                || Queue::<Nobody>::attach(queue.fd().try_clone_to_owned().unwrap()).map(drop);
            spoil(&queue, Field::Charter(word), Value::Flipped(bit));
            let answer = attach();
            assert!(
                matches!(answer, Err(QueueError::Attach(AttachError::Damaged))),
                "word {word}, bit {bit}: {answer:?}"
            );
            spoil(&queue, Field::Charter(word), Value::Flipped(bit));
            attach().unwrap();
        }
    }
}

/// One that changes a sound charter.
type Change = fn(&mut Charter);

#[test]
fn a_charter_out_of_bounds_is_refused() {
    let changes: [(&str, Change); 7] = [
        ("no bytes", |it| it.max_bytes = 0),
        ("too many bytes", |it| {
            it.max_bytes = Settings::MOST_BYTES as u64 + 1;
        }),
        ("too many bytes of arenas", |it| {
            it.arena_bytes = Settings::MOST_ARENA_BYTES as u64 + 1;
        }),
        ("too many items", |it| {
            it.max_items = u64::from(Settings::MOST_ITEMS) + 1;
        }),
        ("too many leases", |it| it.leases = (1 << 20) + 1),
        ("a lease of no time", |it| it.lease = 0),
        ("a lease of no time, and all the leases", |it| {
            (it.leases, it.lease) = (1 << 20, 0);
        }),
    ];
    for (what, change) in changes {
        let mut charter =
            Charter::new(&with_leases(), 1, process::namespace(), Some("name")).unwrap();
        charter.settings().unwrap();
        change(&mut charter);
        assert!(charter.settings().is_err(), "{what}");
    }
}

#[test]
fn anything_in_an_entry_of_the_leases_gives_an_answer() {
    let values = [
        0,
        u64::MAX,
        1 << 63,
        1 << 48,
        u64::MAX >> 1,
        u64::MAX << 48,
        u32::MAX.into(),
    ];
    for (word, value) in (0..12).flat_map(|word| values.map(|value| (word, value))) {
        let settings = Settings {
            ack: Some(Acknowledged {
                lease: std::time::Duration::from_nanos(1),
                leases: LEASES as u32,
            }),
            ..Settings::new(256 << 10)
        };
        let queue: TestQueue = Queue::create(settings).unwrap();
        queue.send(&item(b"short")).unwrap();
        queue.send(&item(&[7; 20_000])).unwrap();
        let mut batch = Batch::new();
        let mut leases = Vec::new();
        let mut take = |leases: &mut Vec<_>| {
            if queue.take(9, 100_000, &mut batch).is_ok() {
                while let Some(taken) = batch.pop() {
                    leases.extend(taken.lease);
                }
            }
        };
        take(&mut leases);
        assert_eq!(leases.len(), 2);
        for entry in 0..LEASES {
            spoil(&queue, Field::Lease(entry, word), Value::Any(value));
        }
        // Their time is over, so they are looked at, and taken.
        let _ = queue.statistics();
        take(&mut leases);
        for lease in leases {
            let _ = queue.acknowledge(lease);
        }
        let _ = queue.look_around();
        let _ = queue.shutdown(true);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_give_an_answer(ack: bool, steps in prop::collection::vec(step(), 1..60)) {
        run(ack, &steps);
    }
    #[test]
    fn a_forged_charter_gives_an_answer(
        words in prop::collection::vec(charter_word(), 16),
        length in prop_oneof![4 => Just(None), 1 => (1..4000_usize).prop_map(Some)],
        is_of_this_namespace in prop::bool::weighted(0.9),
        seats in prop_oneof![8 => Just(SEATS as u64), 1 => any::<u64>()],
    ) {
        let mut words: [u64; 16] = words.try_into().unwrap();
        if is_of_this_namespace {
            words[2] = process::namespace();
        }
        // SAFETY: words and bytes, for which any bits are valid.
        let charter: Charter = unsafe { std::mem::transmute(words) };
        let settings = charter.settings();
        let plan = settings.as_ref().ok().and_then(Plan::of);
        let wanted = plan.map_or(1 << 20, |plan| plan.length);
        // In pages; none is touched.
        let length = length.map_or(wanted, |pages| pages * 4096);
        let parameters = [seats, charter.digest(), 0];
        let Ok(segment) = Segment::create(c"forged", Content::Queue, length, parameters) else {
            return Ok(()); // more than this system can map
        };
        let at = segment.at(CHARTER, size_of::<Charter>()).unwrap();
        // SAFETY: inside the mapping and aligned, and nobody else has it.
        unsafe { at.cast::<Charter>().write(charter) };
        let fd = segment.fd().try_clone_to_owned().unwrap();
        let is_sound = plan.is_some_and(|plan| plan.length == length) && seats == SEATS as u64;
        match Queue::<Nobody>::attach(fd) {
            Ok(queue) => {
                prop_assert!(is_sound && is_of_this_namespace);
                prop_assert_eq!(queue.settings(), &settings.unwrap());
                let _ = queue.name();
                let _ = queue.send(&item(b"item"));
                let _ = queue.take(1, 100, &mut Batch::new());
                let _ = queue.statistics();
            }
            Err(QueueError::Attach(AttachError::Damaged)) => prop_assert!(!is_sound),
            Err(QueueError::Namespace) => prop_assert!(!is_of_this_namespace),
            Err(QueueError::Attach(AttachError::Io(_)) | QueueError::Io(_)) => {}
            Err(other) => prop_assert!(false, "{other:?}"),
        }
    }

    #[test]
    fn any_reference_gives_an_answer(
        arena in prop::option::of(any::<u16>()),
        slot in prop::option::of(prop_oneof![word_near(4096), word_near(1 << 48)]),
        generation in prop::option::of(word_near(2)),
        offset in word_near(1 << 20),
        length in word_near(1 << 20),
        slots in prop::option::of(any::<u32>()),
    ) {
        let settings = Settings {
            arena_bytes: 1 << 20,
            ..Settings::new(1 << 16)
        };
        let shared = Arc::new(Shared::create(settings, None).unwrap());
        let seated = Seated::join(&shared, Side::Items).unwrap();
        let slab = seated.bear(3 * UNIT).unwrap();
        if let Some(slots) = slots {
            // What is said to be in use is no more to be believed.
            shared.seats()[seated.seat()].slots().store(slots, Ordering::Relaxed);
        }
        // Mostly right, so that what is left is believed.
        let right = slab.reference();
        let arena = arena.unwrap_or(seated.seat() as u16);
        let slot = slot.unwrap_or(right.slot) & ((1 << 48) - 1);
        let generation = generation.unwrap_or(right.generation);
        let reference = Reference {
            arena,
            slab: SlabRef { slot, generation, offset, length },
        };
        let mut words = Vec::new();
        references::encode(&[reference], false, &mut words);
        let record: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        prop_assert_eq!(references::decode(&record).unwrap(), (vec![reference], false));
        if let Some(pins) = seated.pin_all(SLABS, &record) {
            // It was given out, so it can be read, all of it.
            let (at, length) = pins[0].content();
            // SAFETY: pinned.
            let seen = unsafe { std::slice::from_raw_parts(at.as_ptr(), length) };
            prop_assert!(seen.iter().all(|byte| *byte == 0));
            if slots.is_none() {
                let seen = (usize::from(arena), slot, generation);
                prop_assert_eq!(seen, (seated.seat(), right.slot, right.generation));
            }
            prop_assert!(offset + length as u64 <= 1 << 20);
        }
        for cut in 0..record.len() {
            prop_assert!(seated.pin_all(SLABS, &record[..cut]).is_none());
        }
    }

    #[test]
    fn any_bytes_for_references_give_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..200), count in word_near(7), first in 0..3_u64) {
        let mut bytes = bytes;
        if let Some(head) = bytes.get_mut(..8) {
            head.copy_from_slice(&(count as u32 as u64 | first << 32).to_ne_bytes());
        }
        if let Ok((found, is_stream_first)) = references::decode(&bytes) {
            prop_assert!(references::stream_at(found.len()) <= bytes.len());
            prop_assert!(!is_stream_first || !found.is_empty());
        }
    }
}

/// Numbers of all sizes, those around `bound` above all.
fn word_near(bound: u64) -> impl Strategy<Value = u64> {
    prop_oneof![
        3 => 0..=bound + 1,
        1 => Just(bound),
        1 => Just(0),
        1 => any::<u64>(),
        1 => (0..9_u64).prop_map(|less| u64::MAX - less),
        1 => (0..64_u32).prop_map(|bit| 1 << bit),
    ]
}

/// What a field of the charter may be forged to: small sizes mostly, so that many make a queue.
fn charter_word() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 1..1_u64 << 22,
        1 => Just(0),
        1 => (0..64_u32).prop_map(|bit| 1 << bit),
        1 => any::<u64>(),
    ]
}

//! Any bytes in any field of a queue's segment: an answer to every operation, no crash and no hang.

use std::time::Instant;

use proptest::prelude::*;

use super::{
    Acknowledged, Batch, Item, Queue, Settings, Side,
    leases::Entry,
    plan::{CHARTER, Plan},
    seats::Seat,
    sleepers::SEATS,
};
use crate::{
    ring::{Wake, Woken},
    shm::{arena::TABLE_BYTES, feed::FeedHead, slab::SlabEntry},
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
        1 => (0..8_usize).prop_map(Field::Charter),
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

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_give_an_answer(ack: bool, steps in prop::collection::vec(step(), 1..60)) {
        run(ack, &steps);
    }
}

//! The checker of histories sees what is wrong, and only that.

mod history;

use history::{Answer, Call, Fault, History, Item, Order, Side};

const A: Item = Item::new(1, 1);
const B: Item = Item::new(1, 2);

const fn ranked(rank: u32, number: u32) -> Item {
    Item {
        rank,
        giver: 1,
        number,
    }
}

fn at(from: u64, to: u64, answer: Answer) -> Call {
    Call { from, to, answer }
}

fn put(from: u64, to: u64, items: &[Item]) -> Call {
    at(from, to, Answer::Put(items.to_vec()))
}

fn got(from: u64, to: u64, items: &[Item]) -> Call {
    at(from, to, Answer::Got(items.to_vec()))
}

fn check(order: Order, bound: Option<usize>, calls: &[Call]) -> Result<(), Fault> {
    History::of(order, bound, calls.to_vec()).check()
}

fn queue(calls: &[Call]) -> Result<(), Fault> {
    check(Order::OldestFirst, Some(2), calls)
}

#[test]
fn a_queue_at_work_is_believed() {
    let calls = [
        at(1, 2, Answer::Empty(1)),
        put(3, 4, &[A, B]),
        at(5, 6, Answer::Full),
        at(7, 8, Answer::Counted(2)),
        at(9, 10, Answer::Seen(A)),
        got(11, 12, &[A]),
        at(13, 14, Answer::Empty(2)),
        at(15, 16, Answer::Close),
        at(17, 18, Answer::PutClosed),
        got(19, 20, &[B]),
        at(21, 22, Answer::GotClosed),
        at(23, 24, Answer::IsClosed(true)),
    ];
    assert_eq!(queue(&calls), Ok(()));
}

#[test]
fn a_lost_item() {
    assert_eq!(queue(&[put(1, 2, &[A])]), Err(Fault::Lost(A)));
    assert_eq!(
        queue(&[
            at(1, 2, Answer::Reserved(1)),
            at(3, 4, Answer::PutReserved(1, A))
        ]),
        Err(Fault::Lost(A))
    );
}

#[test]
fn an_item_that_came_twice_or_from_nowhere() {
    let twice = [put(1, 2, &[A]), got(3, 4, &[A]), got(5, 6, &[A])];
    assert_eq!(queue(&twice), Err(Fault::Doubled(A)));
    assert_eq!(queue(&[got(1, 2, &[A])]), Err(Fault::NeverPut(A)));
}

#[test]
fn an_item_that_overtook_another() {
    let puts = [put(1, 2, &[A]), put(3, 4, &[B])];
    let with = |gets: &[Call]| queue(&[&puts[..], gets].concat());
    assert_eq!(with(&[got(5, 6, &[A]), got(7, 8, &[B])]), Ok(()));
    let overtaken = Err(Fault::Overtaken(A, B));
    assert_eq!(with(&[got(5, 6, &[B]), got(7, 8, &[A])]), overtaken);
    assert_eq!(with(&[got(5, 6, &[B, A])]), overtaken, "in one batch");
    assert_eq!(
        with(&[got(5, 8, &[B]), got(6, 7, &[A])]),
        Ok(()),
        "gets at the same time come in either order"
    );
    let batch = [put(1, 2, &[A, B]), got(3, 4, &[B]), got(5, 6, &[A])];
    assert_eq!(queue(&batch), overtaken, "put in one batch");
    let together = [
        put(1, 4, &[A]),
        put(2, 3, &[B]),
        got(5, 6, &[B]),
        got(7, 8, &[A]),
    ];
    assert_eq!(queue(&together), Ok(()), "puts at the same time, too");
}

#[test]
fn a_stack_gives_the_newest() {
    let stack = |calls: &[Call]| check(Order::NewestFirst, None, calls);
    let puts = [put(1, 2, &[A]), put(3, 4, &[B])];
    let with = |gets: &[Call]| stack(&[&puts[..], gets].concat());
    assert_eq!(with(&[got(5, 6, &[B]), got(7, 8, &[A])]), Ok(()));
    assert_eq!(
        with(&[got(5, 6, &[A]), got(7, 8, &[B])]),
        Err(Fault::Overtaken(B, A))
    );
    let gone_before = [
        put(1, 2, &[A]),
        got(3, 4, &[A]),
        put(5, 6, &[B]),
        got(7, 8, &[B]),
    ];
    assert_eq!(stack(&gone_before), Ok(()));
}

#[test]
fn the_least_goes_first_and_among_equals_the_oldest() {
    let least = |calls: &[Call]| check(Order::LeastFirst, None, calls);
    let (low, high, equal) = (ranked(1, 1), ranked(2, 2), ranked(2, 3));
    let puts = [put(1, 2, &[high]), put(3, 4, &[low]), put(5, 6, &[equal])];
    let with = |items: [Item; 3]| {
        let gets = [
            got(7, 8, &items[..1]),
            got(9, 10, &items[1..2]),
            got(11, 12, &items[2..]),
        ];
        least(&[puts.to_vec(), gets.to_vec()].concat())
    };
    assert_eq!(with([low, high, equal]), Ok(()));
    assert_eq!(with([high, low, equal]), Err(Fault::Overtaken(low, high)));
    assert_eq!(with([low, equal, high]), Err(Fault::Overtaken(high, equal)));
}

#[test]
fn an_empty_answer_beside_an_item() {
    let dishonest = [put(1, 2, &[A]), at(3, 4, Answer::Empty(1)), got(5, 6, &[A])];
    assert_eq!(queue(&dishonest), Err(Fault::NotEmpty(3)));
    let handed_over = [
        put(1, 2, &[A]),
        put(4, 5, &[B]),
        at(3, 8, Answer::Empty(1)),
        got(6, 7, &[A]),
        got(9, 10, &[B]),
    ];
    assert_eq!(
        queue(&handed_over),
        Err(Fault::NotEmpty(3)),
        "never empty, though no single item was there all the time"
    );
    for honest in [
        [put(1, 4, &[A]), at(2, 3, Answer::Empty(1)), got(5, 6, &[A])],
        [put(1, 2, &[A]), at(3, 6, Answer::Empty(1)), got(4, 5, &[A])],
        [put(1, 2, &[A]), at(3, 4, Answer::Empty(2)), got(5, 6, &[A])],
    ] {
        assert_eq!(queue(&honest), Ok(()));
    }
}

#[test]
fn a_full_answer_beside_room() {
    let one = |answer: Call| [put(1, 2, &[A]), answer, got(8, 9, &[A])];
    let refused = at(3, 4, Answer::Full);
    assert_eq!(queue(&one(refused.clone())), Err(Fault::NotFull(3)));
    assert_eq!(check(Order::OldestFirst, Some(1), &one(refused)), Ok(()));
    let places = [at(1, 2, Answer::Reserved(1)), at(3, 4, Answer::Reserved(2))];
    let released = at(5, 6, Answer::Released(1));
    let with = |calls: &[Call]| queue(&[&places[..], calls].concat());
    assert_eq!(with(&[at(7, 8, Answer::Full)]), Ok(()));
    assert_eq!(
        with(&[released, at(7, 8, Answer::Full)]),
        Err(Fault::NotFull(7))
    );
    let widened = [at(1, 2, Answer::Bound(None)), at(3, 4, Answer::Full)];
    assert_eq!(queue(&widened), Err(Fault::NotFull(3)));
    let meanwhile = [at(1, 4, Answer::Bound(Some(3))), at(2, 3, Answer::Full)];
    assert_eq!(queue(&meanwhile), Err(Fault::NotFull(2)));
}

#[test]
fn what_is_set_aside_for_one_is_refused_to_others() {
    let aside = |from, to, side| at(from, to, Answer::SetAside(side, 1));
    let empty = |aside: Call| {
        queue(&[
            put(1, 2, &[A]),
            at(4, 5, Answer::Empty(1)),
            got(7, 8, &[A]),
            aside,
        ])
    };
    assert_eq!(empty(aside(3, 9, Side::Getting)), Ok(()));
    assert_eq!(empty(aside(6, 9, Side::Getting)), Err(Fault::NotEmpty(4)));
    assert_eq!(empty(aside(3, 9, Side::Putting)), Err(Fault::NotEmpty(4)));
    let full = |side| {
        let calls = [put(1, 2, &[A]), at(4, 5, Answer::Full), got(7, 8, &[A])];
        queue(&[calls.to_vec(), vec![aside(3, 9, side)]].concat())
    };
    assert_eq!(full(Side::Putting), Ok(()));
    assert_eq!(full(Side::Getting), Err(Fault::NotFull(4)));
}

#[test]
fn more_than_fits() {
    let calls = [put(1, 2, &[A]), put(3, 4, &[B]), got(5, 6, &[A, B])];
    assert_eq!(queue(&calls), Ok(()));
    assert_eq!(
        check(Order::OldestFirst, Some(1), &calls),
        Err(Fault::Overfull(4))
    );
}

#[test]
fn a_closed_answer_before_its_time() {
    for closed in [Answer::GotClosed, Answer::PutClosed, Answer::IsClosed(true)] {
        let early = [at(1, 2, closed), at(3, 4, Answer::Close)];
        assert_eq!(queue(&early), Err(Fault::NotClosed(1)));
    }
    let few = [
        put(1, 2, &[A]),
        at(3, 4, Answer::GotLast(vec![A])),
        at(5, 6, Answer::Close),
    ];
    assert_eq!(queue(&few), Err(Fault::NotClosed(3)));
    let still_open = [at(1, 2, Answer::Close), at(3, 4, Answer::IsClosed(false))];
    assert_eq!(queue(&still_open), Err(Fault::NotClosed(3)));
    let undrained = [
        put(1, 2, &[A]),
        at(3, 4, Answer::Close),
        at(5, 6, Answer::GotClosed),
        got(7, 8, &[A]),
    ];
    assert_eq!(queue(&undrained), Err(Fault::NotDrained(5, A)));
    let anothers = [
        put(1, 2, &[A]),
        at(3, 9, Answer::SetAside(Side::Getting, 1)),
        at(4, 6, Answer::Close),
        at(5, 7, Answer::GotClosed),
        got(8, 10, &[A]),
    ];
    assert_eq!(queue(&anothers), Ok(()));
    let late = [at(1, 2, Answer::Close), put(3, 4, &[A]), got(5, 6, &[A])];
    assert_eq!(queue(&late), Err(Fault::AcceptedLate(A)));
}

#[test]
fn a_look_or_a_count_of_what_was_not_there() {
    let with = |call: Call| queue(&[put(3, 4, &[A]), got(5, 6, &[A]), call]);
    for early_or_late in [at(1, 2, Answer::Seen(A)), at(7, 8, Answer::Seen(A))] {
        assert_eq!(with(early_or_late), Err(Fault::SeenOutside(A)));
    }
    assert_eq!(with(at(1, 4, Answer::Counted(1))), Ok(()));
    assert_eq!(
        with(at(7, 8, Answer::Counted(1))),
        Err(Fault::Miscounted(7, 1))
    );
}

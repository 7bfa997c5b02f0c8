//! Items of the queue between processes: their order, their bounds, and where their bytes lie.
#![cfg(not(any(penstock_loom, penstock_shuttle)))]

use penstock_core::shm::queue::{Batch, Item, Queue, QueueError, Settings};

mod participants;

use participants::{
    Task, all_of, another, bounded, is_full, item, put, small, take, without_leases,
};

#[test]
fn items_go_from_one_to_the_other_in_order() {
    let here = small();
    let there = another(&here);
    put(&here, b"one");
    put(&here, b"");
    put(&here, &[3; 5000]);
    assert_eq!(there.len().unwrap(), 3);
    assert_eq!(take(&there, 2).unwrap(), [b"one".to_vec(), vec![]]);
    assert_eq!(take(&there, 2).unwrap(), [vec![3; 5000]]);
    assert!(take(&there, 2).unwrap().is_empty());
    put(&there, b"back");
    assert_eq!(take(&here, 9).unwrap(), [b"back"]);
    let figures = there.statistics().unwrap();
    assert_eq!((figures.participants, figures.items), (2, 0));
    assert_eq!((figures.sent, figures.taken), (1, 3));
}

#[test]
fn a_batch_goes_in_and_out_at_once() {
    let here = small();
    let there = another(&here);
    let contents: Vec<Vec<u8>> = (0..1000_u32).map(|n| n.to_le_bytes().to_vec()).collect();
    let items: Vec<Item> = contents.iter().map(|content| item(content)).collect();
    assert_eq!(here.send_many(&items).unwrap(), 1000);
    let mut batch = Batch::new();
    assert_eq!(there.take(600, 100, &mut batch).unwrap(), 25);
    assert_eq!(there.take(600, usize::MAX, &mut batch).unwrap(), 600);
    assert_eq!(there.take(600, usize::MAX, &mut batch).unwrap(), 375);
    assert_eq!(batch.len(), 1000);
    assert_eq!(without_leases(all_of(&mut batch)), contents);
}

#[test]
fn senders_are_served_in_turn() {
    let queue = small();
    let (one, two) = (another(&queue), another(&queue));
    for number in 0..100_u8 {
        put(&one, &[1, number]);
        put(&two, &[2, number]);
    }
    let seen = take(&queue, 50).unwrap();
    let firsts = seen.iter().filter(|content| content[0] == 1).count();
    assert_eq!(firsts, 25);
    let ones: Vec<_> = (0..4).map(|_| take(&queue, 1).unwrap()[0][0]).collect();
    assert!(ones == [1, 2, 1, 2] || ones == [2, 1, 2, 1], "{ones:?}");
}

#[test]
fn bounds_hold_in_items_and_in_bytes() {
    let queue = bounded(3);
    for _ in 0..3 {
        put(&queue, b"x");
    }
    assert!(is_full(queue.send(&item(b"x"))));
    let other = another(&queue);
    assert!(is_full(other.send(&item(b"x"))));
    take(&queue, 1).unwrap();
    put(&other, b"x");
    assert!(is_full(queue.send(&item(b"x"))));
    let contents = [item(b"a"), item(b"b"), item(b"c"), item(b"d")];
    take(&queue, 9).unwrap();
    assert_eq!(queue.send_many(&contents).unwrap(), 3);

    let queue = Queue::<Task>::create(Settings::new(64 << 10)).unwrap();
    let mut count = 0;
    while !is_full(queue.send(&item(&[0; 1000]))) {
        count += 1;
    }
    assert_eq!(count, (64 << 10) / 1016);
}

#[test]
fn an_item_of_all_the_bytes_fits_and_one_more_does_not() {
    let queue = small();
    let there = another(&queue);
    for _ in 0..3 {
        put(&queue, &vec![5; 1 << 20]);
        assert!(is_full(queue.send(&item(&[1]))) || queue.len().unwrap() == 2);
        let seen = take(&there, 9).unwrap();
        assert_eq!(seen[0], vec![5; 1 << 20]);
    }
    let too_large = vec![0; (1 << 20) + 1];
    assert!(matches!(
        queue.send(&item(&too_large)),
        Err(QueueError::TooLarge { largest, .. }) if largest == 1 << 20
    ));
    put(&queue, b"usable");
}

#[test]
fn large_buffers_are_views_that_hold_their_slab() {
    let queue = Queue::<Task>::create(Settings::new(4 << 20)).unwrap();
    let there = another(&queue);
    let large = vec![9_u8; 300_000];
    let buffers = [large[..].into(), large[..10].into()];
    let sent = Item {
        code: 3,
        stream: b"head"[..].into(),
        buffers: &buffers,
    };
    queue.send(&sent).unwrap();
    let mut batch = Batch::new();
    assert_eq!(there.take(1, usize::MAX, &mut batch).unwrap(), 1);
    let taken = batch.pop().unwrap();
    assert_eq!((taken.code, taken.inline), (3, &b"head"[..]));
    let [one, two] = &taken.buffers[..] else {
        panic!("two buffers")
    };
    assert_eq!((one.content().1, two.content().1), (300_000, 10));
    // SAFETY: pinned.
    let seen = unsafe { std::slice::from_raw_parts(one.content().0.as_ptr(), 300_000) };
    assert_eq!(seen, large);
    assert_eq!(queue.statistics().unwrap().slabs, 2);
    drop(taken);
    assert_eq!(queue.statistics().unwrap().slabs, 0);
}

#[test]
fn what_was_born_in_the_arena_is_not_copied() {
    let queue = Queue::<Task>::create(Settings::new(4 << 20)).unwrap();
    let there = another(&queue);
    let born = queue.allocate(1 << 20).unwrap();
    let (at, length) = born.content();
    // SAFETY: the memory is this test's own.
    unsafe { at.write_bytes(4, length) };
    // SAFETY: as above; it lives on.
    let buffers = [unsafe {
        penstock_core::shm::queue::Buffer::new(at.as_ptr().add(1000).cast_const(), 5000)
    }];
    let sent = Item {
        code: 1,
        stream: b""[..].into(),
        buffers: &buffers,
    };
    queue.send(&sent).unwrap();
    assert_eq!(queue.statistics().unwrap().slabs, 1);
    let mut batch = Batch::new();
    there.take(1, usize::MAX, &mut batch).unwrap();
    let taken = batch.pop().unwrap();
    let (seen, length) = taken.buffers[0].content();
    assert_eq!(length, 5000);
    // SAFETY: the memory is this test's own, and pinned there.
    unsafe {
        at.add(1000).write(77);
        assert_eq!(seen.read(), 77);
    }
    drop(born);
    assert_eq!(queue.statistics().unwrap().slabs, 1, "it is looked at");
    drop(taken);
    assert_eq!(queue.statistics().unwrap().slabs, 0);
}

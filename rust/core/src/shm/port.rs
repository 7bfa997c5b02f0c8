//! One end of the link between a pool and one worker: two lanes, the states of the tasks that lie
//! with the worker, a bell, and the arenas that the lanes' records refer to.
//!
//! The pool's arena is shared by all its workers, each a participant of its own; a worker's results
//! lie in an arena of which it is the owner and the pool the only reader. So a worker can spoil its
//! own link and its own arena, nothing else. When it dies the pool drains what it published, buries
//! its participant number, and drops the link; a new worker gets a new one. Views of the dead
//! worker's results keep its arena mapped until the last of them goes.

use std::{
    collections::VecDeque,
    io,
    os::fd::{BorrowedFd, OwnedFd},
    time::Duration,
};

use super::{
    arena::{Arena, ArenaMap, Holder, Pinned},
    lane::{Corrupt, LaneHead, Memory, Receiver, Sender, Sent},
    layout::{AttachError, Content, HEADER_BYTES},
    message::{Head, Kind, encode_reference},
    parcel::Parcel,
    segment::Segment,
    task::{TASKS, TaskSlot},
};
use crate::sync::{Arc, Mutex, lock};

mod bell;

use bell::Bell;
pub use bell::Waited;

/// Bytes of each lane.
const LANE: usize = 128 << 10;

/// The pool's participant number in a worker's arena.
const POOL: u32 = 1;

const TASK_OFFSET: usize = HEADER_BYTES;
const DOWN_HEAD: usize = TASK_OFFSET + 4096;
const UP_HEAD: usize = DOWN_HEAD + 4096;
const DOWN_DATA: usize = UP_HEAD + 4096;
const UP_DATA: usize = DOWN_DATA + LANE;
const LENGTH: usize = UP_DATA + LANE;

/// What a worker needs to attach its end.
#[derive(Debug)]
pub struct WorkerEnd {
    /// Lanes and states.
    pub link: OwnedFd,
    /// The worker's own arena, still empty.
    pub own: OwnedFd,
    /// The pool's arena.
    pub pool: OwnedFd,
    /// The worker's end of the bell.
    pub bell: OwnedFd,
}

/// A port that can no longer be used.
#[derive(Debug)]
pub enum PortError {
    /// What the other side wrote does not add up.
    Corrupt,
    /// The bell failed.
    Io(io::Error),
}

impl From<Corrupt> for PortError {
    fn from(_: Corrupt) -> Self {
        Self::Corrupt
    }
}

/// A message that came in.
pub struct Arrival {
    /// What it says.
    pub kind: Kind,
    /// Where the task's state is kept.
    pub slot: usize,
    /// The task's number.
    pub number: u64,
    /// When it began, in nanoseconds of the monotonic clock (results only).
    pub started: u64,
    /// How long it ran, in nanoseconds (results only).
    pub elapsed: u64,
    /// The stream, if it was inline; otherwise it is the first of the slabs.
    pub inline: Option<Vec<u8>>,
    /// What the message refers to, held.
    pub slabs: Vec<Pinned>,
}

struct Outgoing {
    lane: Sender,
    /// Parcels whose records the other side may not have read yet, each with its end.
    under_way: VecDeque<(u64, Arc<Parcel>)>,
}

/// See the module's head.
pub struct Port {
    link: Arc<Segment>,
    outgoing: Mutex<Outgoing>,
    incoming: Mutex<Receiver>,
    /// This end's hold on the other side's arena.
    reads: Arc<Holder>,
    bell: Bell,
}

impl Port {
    /// The pool's end for a new worker, and what that worker needs. `max_bytes` bounds the
    /// worker's own arena.
    pub fn create(arena: &Arc<Arena>, max_bytes: usize) -> io::Result<(Self, WorkerEnd)> {
        let link = Segment::create(c"penstock-link", Content::Link, LENGTH, [LANE as u64, 0, 0])?;
        link.reserve(0, LENGTH)?;
        let link = Arc::new(link);
        let theirs = ArenaMap::create(max_bytes)?;
        let (bell, their_bell) = Bell::pair()?;
        let end = WorkerEnd {
            link: link.fd().try_clone_to_owned()?,
            own: theirs.fd().try_clone_to_owned()?,
            pool: arena.map().fd().try_clone_to_owned()?,
            bell: their_bell,
        };
        let reads = Holder::new(Arc::new(theirs), POOL);
        let outgoing = Sender::new(lane(&link, DOWN_HEAD, DOWN_DATA));
        let incoming = Receiver::new(lane(&link, UP_HEAD, UP_DATA));
        Ok((Self::new(link, outgoing, incoming, reads, bell), end))
    }

    /// The worker's end, and its own arena.
    pub fn attach(end: WorkerEnd, participant: u32) -> Result<(Self, Arc<Arena>), AttachError> {
        let (link, [lane_bytes, ..]) = Segment::attach(end.link, Content::Link)?;
        if link.length() != LENGTH || lane_bytes != LANE as u64 {
            return Err(AttachError::Damaged);
        }
        let link = Arc::new(link);
        let own = Arena::new(Arc::new(ArenaMap::attach(end.own)?));
        let reads = Holder::new(Arc::new(ArenaMap::attach_to_read(end.pool)?), participant);
        let outgoing = Sender::new(lane(&link, UP_HEAD, UP_DATA));
        let incoming = Receiver::new(lane(&link, DOWN_HEAD, DOWN_DATA));
        Ok((
            Self::new(link, outgoing, incoming, reads, Bell::new(end.bell)),
            own,
        ))
    }

    fn new(
        link: Arc<Segment>,
        outgoing: Sender,
        incoming: Receiver,
        reads: Arc<Holder>,
        bell: Bell,
    ) -> Self {
        let outgoing = Mutex::new(Outgoing {
            lane: outgoing,
            under_way: VecDeque::new(),
        });
        Self {
            link,
            outgoing,
            incoming: Mutex::new(incoming),
            reads,
            bell,
        }
    }

    /// The bell, to be polled for reading after [`Port::doze`] said true.
    pub fn bell(&self) -> BorrowedFd<'_> {
        self.bell.fd()
    }

    /// The state of a task that lies with the worker.
    pub fn task(&self, slot: usize) -> Option<&TaskSlot> {
        if slot >= TASKS {
            return None;
        }
        let at = self.link.at(
            TASK_OFFSET + slot * size_of::<TaskSlot>(),
            size_of::<TaskSlot>(),
        )?;
        // SAFETY: inside the mapping and aligned; one atomic word, for which any bits are valid.
        Some(unsafe { at.cast::<TaskSlot>().as_ref() })
    }

    /// Sends a message. False: there is no room in the lane now.
    pub fn send(
        &self,
        kind: Kind,
        slot: usize,
        number: u64,
        times: (u64, u64),
        parcel: &Arc<Parcel>,
    ) -> Result<bool, PortError> {
        let head = Head {
            kind,
            slot: slot as u32,
            number,
            started: times.0,
            elapsed: times.1,
            slabs: parcel.slabs.len() as u32,
            inline: parcel.inline.is_some(),
        };
        let mut references = Vec::new();
        for slab in &parcel.slabs {
            encode_reference(&slab.reference(), &mut references);
        }
        let stream = parcel.inline.as_deref().unwrap_or_default();
        let mut outgoing = lock(&self.outgoing);
        let sent = outgoing.lane.send(&[&head.encode(), &references, stream])?;
        let Sent::Published { end, wake } = sent else {
            return Ok(false);
        };
        if !parcel.slabs.is_empty() {
            outgoing.under_way.push_back((end, Arc::clone(parcel)));
        }
        outgoing.settle()?;
        drop(outgoing);
        if wake {
            self.bell.ring();
        }
        Ok(true)
    }

    /// How many slabs a message may name.
    #[must_use]
    pub const fn most_slabs() -> usize {
        1024
    }

    /// Lets go of every parcel that the other side has read by now.
    pub fn settle(&self) -> Result<(), PortError> {
        Ok(lock(&self.outgoing).settle()?)
    }

    /// Asks to be rung when the other side has read on. False: it has done so since the last look.
    pub fn want_room(&self) -> Result<bool, PortError> {
        Ok(lock(&self.outgoing).lane.doze()?)
    }

    /// Whether the other side has ever looked for a message.
    pub fn met(&self) -> bool {
        lock(&self.outgoing).lane.met()
    }

    /// The next message, its slabs held.
    pub fn receive(&self) -> Result<Option<Arrival>, PortError> {
        let received = lock(&self.incoming).receive(|record| self.decode(record))?;
        let Some((arrival, wake)) = received else {
            return Ok(None);
        };
        if wake {
            self.bell.ring();
        }
        Ok(Some(arrival?))
    }

    fn decode(&self, record: &[u8]) -> Result<Arrival, Corrupt> {
        let (head, references, stream) = Head::decode(record)?;
        if head.slot as usize >= TASKS {
            return Err(Corrupt);
        }
        let pin = |reference| self.reads.pin(reference).map_err(|_| Corrupt);
        Ok(Arrival {
            kind: head.kind,
            slot: head.slot as usize,
            number: head.number,
            started: head.started,
            elapsed: head.elapsed,
            inline: head.inline.then(|| stream.to_vec()),
            slabs: references.into_iter().map(pin).collect::<Result<_, _>>()?,
        })
    }

    /// Forgets the rings so far. False: the other side has closed its end.
    pub fn answer(&self) -> bool {
        self.bell.answer()
    }

    /// Asks to be rung for the next message. False: one is there. Ended by [`Port::awake`].
    pub fn doze(&self) -> Result<bool, PortError> {
        Ok(lock(&self.incoming).doze()?)
    }

    /// Ends [`Port::doze`].
    pub fn awake(&self) {
        lock(&self.incoming).awake();
    }

    /// Sleeps until a message is there.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<Waited, PortError> {
        if !self.doze()? {
            self.awake();
            return Ok(Waited::Ready);
        }
        let waited = self.bell.wait(timeout);
        self.awake();
        waited.map_err(PortError::Io)
    }

    /// Sleeps until there may be room for a message that [`Port::send`] could not take.
    pub fn wait_for_room(&self, timeout: Option<Duration>) -> Result<Waited, PortError> {
        if !lock(&self.outgoing).lane.doze()? {
            lock(&self.outgoing).lane.awake();
            return Ok(Waited::Ready);
        }
        let waited = self.bell.wait(timeout);
        lock(&self.outgoing).lane.awake();
        waited.map_err(PortError::Io)
    }
}

impl Outgoing {
    fn settle(&mut self) -> Result<(), Corrupt> {
        if self.under_way.is_empty() {
            return Ok(());
        }
        let read = self.lane.consumed()?;
        while self.under_way.front().is_some_and(|(end, _)| *end <= read) {
            self.under_way.pop_front();
        }
        Ok(())
    }
}

fn lane(link: &Arc<Segment>, head: usize, data: usize) -> Memory {
    let head = link
        .at(head, size_of::<LaneHead>())
        .expect("the link has its full length");
    let data = link.at(data, LANE).expect("the link has its full length");
    let keep: Arc<dyn Send + Sync> = Arc::<Segment>::clone(link);
    // SAFETY: both ranges lie in the mapping on page boundaries and are kept by `keep`; the pool
    // makes one sender and one receiver on its end, the worker the opposite ones, and no two
    // processes attach the same end (the descriptors go to one worker).
    unsafe { Memory::new(head.cast(), data, LANE, keep) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ptr::NonNull;

    fn linked() -> (Arc<Arena>, Port, Port, Arc<Arena>) {
        let arena = Arena::new(Arc::new(ArenaMap::create(1 << 24).unwrap()));
        let (pool, end) = Port::create(&arena, 1 << 24).unwrap();
        let (worker, own) = Port::attach(end, 2).unwrap();
        (arena, pool, worker, own)
    }

    fn parcel(arena: &Arc<Arena>, stream: &[u8], buffers: &[&[u8]]) -> Arc<Parcel> {
        let buffers: Vec<_> = buffers
            .iter()
            .map(|bytes| (bytes.as_ptr(), bytes.len()))
            .collect();
        // SAFETY: the slices are borrowed for the call.
        Arc::new(unsafe { Parcel::pack(arena, stream, &buffers) }.unwrap())
    }

    fn bytes(pinned: &Pinned) -> Vec<u8> {
        let (at, length) = pinned.content();
        // SAFETY: pinned, so mapped and unchanged.
        unsafe { std::slice::from_raw_parts(at.as_ptr(), length) }.to_vec()
    }

    #[test]
    fn a_task_and_its_result_cross() {
        let (arena, pool, worker, own) = linked();
        let large = vec![7_u8; 300_000];
        let task = parcel(&arena, b"do it", &[&large]);
        pool.task(3).unwrap().offer(11);
        assert!(pool.send(Kind::Task, 3, 11, (0, 0), &task).unwrap());
        let got = worker.receive().unwrap().unwrap();
        assert_eq!((got.kind, got.slot, got.number), (Kind::Task, 3, 11));
        assert_eq!(got.inline.as_deref(), Some(&b"do it"[..]));
        assert_eq!(bytes(&got.slabs[0]), large);
        assert!(worker.task(3).unwrap().start(11));
        drop(task);
        pool.settle().unwrap();
        assert_eq!(arena.usage().slabs, 1, "the worker holds its input");
        drop(got);
        assert_eq!(arena.usage().slabs, 0);

        let result = parcel(&own, &vec![9; 50_000], &[&large]);
        assert!(worker.send(Kind::Value, 3, 11, (5, 6), &result).unwrap());
        drop(result);
        assert_eq!(own.usage().slabs, 2, "held for the record under way");
        let got = pool.receive().unwrap().unwrap();
        assert!(got.inline.is_none(), "a long stream travels as a slab");
        assert_eq!(bytes(&got.slabs[0]), vec![9; 50_000]);
        worker.settle().unwrap();
        drop(got);
        assert_eq!(own.usage().slabs, 0);
        assert!(pool.receive().unwrap().is_none());
    }

    #[test]
    fn a_full_lane_is_waited_for_and_a_burst_rings_once() {
        let (arena, pool, worker, _own) = linked();
        let small = parcel(&arena, &[1; 10_000], &[]);
        let mut sent = 0;
        while pool.send(Kind::Task, 0, sent, (0, 0), &small).unwrap() {
            sent += 1;
        }
        assert!(sent > 5);
        assert_eq!(
            pool.wait_for_room(Some(Duration::ZERO)).unwrap(),
            Waited::Expired
        );
        assert!(worker.doze().unwrap() || worker.receive().unwrap().is_some());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut expected = 1;
                while expected <= sent {
                    match worker.receive().unwrap() {
                        Some(got) => {
                            assert_eq!(got.number, expected);
                            expected += 1;
                        }
                        None => {
                            worker.wait(Some(Duration::from_secs(10))).unwrap();
                        }
                    }
                }
            });
            while !pool.send(Kind::Task, 0, sent, (0, 0), &small).unwrap() {
                let waited = pool.wait_for_room(Some(Duration::from_secs(10))).unwrap();
                assert_eq!(waited, Waited::Ready);
            }
        });
    }

    #[test]
    fn a_closed_end_is_noticed() {
        let (_arena, pool, worker, _own) = linked();
        drop(pool);
        assert_eq!(worker.wait(None).unwrap(), Waited::HungUp);
    }

    #[test]
    fn a_view_outlives_everything_else() {
        let (_arena, pool, worker, own) = linked();
        let result = parcel(&own, b"", &[&[5; 40_000]]);
        assert!(worker.send(Kind::Value, 0, 0, (0, 0), &result).unwrap());
        let got = pool.receive().unwrap().unwrap();
        drop((pool, worker, own, result));
        assert_eq!(bytes(&got.slabs[0]), [5; 40_000]);
    }

    #[test]
    fn garbage_in_the_lane_is_an_error() {
        let (arena, pool, worker, _own) = linked();
        let small = parcel(&arena, b"x", &[]);
        assert!(pool.send(Kind::Task, 0, 1, (0, 0), &small).unwrap());
        let raw = pool.link.at(DOWN_DATA, 8).unwrap();
        // SAFETY: inside the mapping; both ends are this thread's.
        unsafe { raw.cast::<u64>().write(u64::MAX) };
        assert!(matches!(worker.receive(), Err(PortError::Corrupt)));
        let tail = pool.link.at(UP_HEAD, 8).unwrap();
        for wrong in [1, 8 + LANE as u64, u64::MAX] {
            // SAFETY: as above.
            unsafe { tail.cast::<u64>().write(wrong) };
            assert!(matches!(pool.receive(), Err(PortError::Corrupt)), "{wrong}");
        }
    }

    #[test]
    fn pointers_are_as_the_layout_says() {
        let (_arena, pool, ..) = linked();
        assert!(pool.task(TASKS).is_none());
        let first = NonNull::from(pool.task(0).unwrap()).cast::<u8>();
        assert_eq!(Some(first), pool.link.at(TASK_OFFSET, 8));
    }
}

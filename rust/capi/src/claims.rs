//! Room for a record before it is one.
//!
//! A record in the lane itself would have to be written between two steps of the lane's only sender: the
//! process's other threads could send nothing until it is committed, and one that is forgotten would
//! stop them for good. So a short one is written in memory of its thread, and copied once, by the commit;
//! that costs what the copy of any send does. A long one is born in the process's arena, where the record
//! only names it: it is never copied.
//!
//! Guarantee: no lock, and nobody else's memory, but for the allocation of a long one.

use std::{
    alloc::{self, Layout},
    cell::RefCell,
    ffi::c_void,
    ptr::NonNull,
    slice,
};

use penstock_core::shm::{
    INLINE_MAX,
    queue::{Born, QueueError},
};

use crate::{
    border::{Out, border},
    clock::Timeout,
    code::Code,
    failure::Failure,
    handles::{self, Opaque},
    send::{self, Bytes},
};

/// What records are aligned to.
const ALIGNMENT: usize = 16;

/// Bytes of the block that a thread's short claims come from.
const BLOCK: usize = 64 << 10;

/// Room for one record.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Claimed {
    pub bytes: *mut c_void,
    pub length: usize,
    pub token: u64,
}

impl Claimed {
    const ENDED: Self = Self {
        bytes: std::ptr::null_mut(),
        length: 0,
        token: 0,
    };
}

/// Memory of this process alone.
struct Heap {
    at: NonNull<u8>,
    layout: Layout,
}

impl Heap {
    fn new(length: usize) -> Option<Self> {
        let layout = Layout::from_size_align(length.max(1), ALIGNMENT).ok()?;
        // SAFETY: the layout is not empty. Zeroed, so that a caller who commits more than was written
        // sends nothing that was not there.
        let at = NonNull::new(unsafe { alloc::alloc_zeroed(layout) })?;
        Some(Self { at, layout })
    }
}

impl Drop for Heap {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout.
        unsafe { alloc::dealloc(self.at.as_ptr(), self.layout) };
    }
}

enum Memory {
    /// The claim has ended.
    None,
    /// A part of the thread's block.
    Block,
    Own {
        _heap: Heap,
    },
    Arena {
        _born: Born,
    },
}

struct Claim {
    memory: Memory,
    at: NonNull<u8>,
    /// As it was claimed.
    length: usize,
    handle: usize,
    generation: u32,
    /// The last commit that was handed it.
    commit: u64,
}

/// The claims of one thread.
struct Stage {
    block: Option<Heap>,
    used: usize,
    /// Claims that lie in the block.
    in_block: usize,
    claims: Vec<Claim>,
    free: Vec<u32>,
    commits: u64,
}

thread_local! {
    static STAGE: RefCell<Stage> = const { RefCell::new(Stage::new()) };
}

fn no_memory(length: usize) -> Failure {
    let text = format!("no memory for a claim of {length} bytes; claim less, or commit sooner");
    Failure::new(Code::NoMemory, text)
}

impl Stage {
    const fn new() -> Self {
        Self {
            block: None,
            used: 0,
            in_block: 0,
            claims: Vec::new(),
            free: Vec::new(),
            commits: 0,
        }
    }

    /// A stretch of the block, if there is one.
    fn stretch(&mut self, length: usize) -> Option<NonNull<u8>> {
        if length > BLOCK {
            return None;
        }
        let block = match &self.block {
            Some(block) => block,
            None => self.block.insert(Heap::new(BLOCK)?),
        };
        if self.in_block == 0 {
            self.used = 0;
        }
        let end = self.used + length.next_multiple_of(ALIGNMENT);
        if end > BLOCK {
            return None;
        }
        // SAFETY: inside the block, as was just seen.
        let at = unsafe { block.at.add(self.used) };
        self.used = end;
        Some(at)
    }

    /// Room that the commit copies from.
    #[inline]
    fn claim(&mut self, handle: usize, length: usize) -> Result<Claimed, Failure> {
        if let Some(at) = self.stretch(length) {
            self.in_block += 1;
            return Ok(self.add(handle, Memory::Block, at, length));
        }
        let heap = Heap::new(length).ok_or_else(|| no_memory(length))?;
        let at = heap.at;
        Ok(self.add(handle, Memory::Own { _heap: heap }, at, length))
    }

    #[inline(always)]
    fn add(&mut self, handle: usize, memory: Memory, at: NonNull<u8>, length: usize) -> Claimed {
        let index = self.free.pop().unwrap_or_else(|| {
            self.claims.push(Claim {
                memory: Memory::None,
                at,
                length,
                handle,
                generation: 0,
                commit: 0,
            });
            self.claims.len() as u32 - 1
        });
        let claim = &mut self.claims[index as usize];
        claim.generation = claim.generation.wrapping_add(1);
        let token = (u64::from(claim.generation) << 32) | (u64::from(index) + 1);
        claim.memory = memory;
        claim.at = at;
        claim.length = length;
        claim.handle = handle;
        Claimed {
            bytes: at.as_ptr().cast(),
            length,
            token,
        }
    }

    /// Where a claim is that has not ended.
    fn find(&self, handle: usize, claimed: &Claimed) -> Result<usize, Failure> {
        let index = (claimed.token as u32 as usize).wrapping_sub(1);
        let found = self.claims.get(index).filter(|claim| {
            !matches!(claim.memory, Memory::None)
                && u64::from(claim.generation) == claimed.token >> 32
                // Other threads count alike, and have memory of their own.
                && claim.at.as_ptr().cast() == claimed.bytes
                && claim.handle == handle
        });
        let claim = found.ok_or(Code::BadClaim)?;
        if claimed.length > claim.length {
            let text = format!(
                "{} bytes were claimed and {} are to be committed; the length can only be lowered",
                claim.length, claimed.length
            );
            return Err(Failure::new(Code::BadArgument, text));
        }
        Ok(index)
    }

    /// Looks at all that are to be committed, before any is.
    fn check(&mut self, handle: usize, claims: &[Claimed]) -> Result<(), Failure> {
        self.commits += 1;
        for claimed in claims {
            let index = self.find(handle, claimed)?;
            let commit = &mut self.claims[index].commit;
            if *commit == self.commits {
                let text = "one claim stands twice among those to be committed";
                return Err(Failure::new(Code::BadClaim, text.to_owned()));
            }
            *commit = self.commits;
        }
        Ok(())
    }

    fn end(&mut self, claimed: &mut Claimed) {
        let index = claimed.token as u32 - 1;
        let memory = std::mem::replace(&mut self.claims[index as usize].memory, Memory::None);
        if matches!(memory, Memory::Block) {
            self.in_block -= 1;
        }
        self.free.push(index);
        *claimed = Claimed::ENDED;
    }
}

/// Something with this thread's claims.
fn with<T>(work: impl FnOnce(&mut Stage) -> Result<T, Failure>) -> Result<T, Failure> {
    STAGE
        .try_with(|stage| work(&mut stage.borrow_mut()))
        .unwrap_or_else(|_| {
            Err(Failure::argument(
                "this thread ends, and its claims have ended",
            ))
        })
}

/// Room that the record only names, or if there is none, such that the commit copies from.
#[cold]
fn claim_long(queue: *const Opaque, length: usize, largest: usize) -> Result<Claimed, Failure> {
    let handle = handles::enter(queue)?;
    if length > largest {
        let wanted = length;
        return Err(handle.failure(&QueueError::TooLarge { wanted, largest }));
    }
    match handle.queue.allocate(length) {
        Ok(born) => with(|stage| {
            let (at, _) = born.content();
            Ok(stage.add(queue.addr(), Memory::Arena { _born: born }, at, length))
        }),
        Err(QueueError::Full | QueueError::TooLarge { .. }) => {
            with(|stage| stage.claim(queue.addr(), length))
        }
        Err(error) => Err(handle.failure(&error)),
    }
}

/// Room for one record.
///
/// # Safety
/// `claim` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn penstock_claim(
    queue: *const Opaque,
    length: usize,
    claim: *mut Claimed,
) -> Code {
    border(|| {
        // SAFETY: the caller's promise.
        let mut claim = unsafe { Out::new(claim, "claim is NULL; hand in where it goes") }?;
        claim.set(Claimed::ENDED);
        let largest = handles::largest(queue)?;
        let claimed = if length <= INLINE_MAX.min(largest) {
            with(|stage| stage.claim(queue.addr(), length))?
        } else {
            claim_long(queue, length, largest)?
        };
        claim.set(claimed);
        Ok(())
    })
}

/// The claims that an argument points to, as this call's own.
///
/// # Safety
/// Null, or `count` that are readable and writable.
unsafe fn claims<'a>(claims: *mut Claimed, count: usize) -> Result<&'a mut [Claimed], Failure> {
    if count == 0 {
        return Ok(&mut []);
    }
    let fits = count <= isize::MAX as usize / size_of::<Claimed>();
    if claims.is_null() || !claims.is_aligned() || !fits {
        return Err(Failure::argument(
            "claims is NULL; hand in what was claimed",
        ));
    }
    // SAFETY: just looked at, and by the caller's promise.
    Ok(unsafe { slice::from_raw_parts_mut(claims, count) })
}

const fn bytes(claimed: &Claimed) -> Bytes {
    Bytes {
        bytes: claimed.bytes,
        length: claimed.length,
    }
}

/// Sends one claimed record.
///
/// # Safety
/// `claim` is readable and writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn penstock_commit(
    queue: *const Opaque,
    claim: *mut Claimed,
    timeout: i64,
) -> Code {
    border(|| {
        // SAFETY: the caller's promise.
        let claim = &mut unsafe { claims(claim, 1) }?[0];
        let handle = handles::enter(queue)?;
        with(|stage| {
            stage.find(queue.addr(), claim)?;
            // SAFETY: there until the claim ends, and written by this thread only.
            let item = unsafe { bytes(claim).item() };
            send::give_one(&handle, Timeout(timeout), &item)?;
            stage.end(claim);
            Ok(())
        })
    })
}

/// Sends many claimed records.
///
/// # Safety
/// `count` claims are readable and writable, `committed` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn penstock_commit_many(
    queue: *const Opaque,
    claims: *mut Claimed,
    count: usize,
    timeout: i64,
    committed: *mut usize,
) -> Code {
    border(|| {
        // SAFETY: the caller's promise.
        let mut committed =
            unsafe { Out::new(committed, "committed is NULL; hand in where to count") }?;
        committed.set(0);
        // SAFETY: as above.
        let claims = unsafe { self::claims(claims, count) }?;
        let handle = handles::enter(queue)?;
        with(|stage| {
            stage.check(queue.addr(), claims)?;
            let mut done = 0;
            // SAFETY: there until the claim ends, and written by this thread only.
            let item = |index: usize| unsafe { bytes(&claims[index]).item() };
            let outcome = send::give(&handle, Timeout(timeout), count, item, &mut done);
            claims[..done].iter_mut().for_each(|claim| stage.end(claim));
            committed.set(done);
            outcome
        })
    })
}

/// Ends a claim.
///
/// # Safety
/// `claim` is readable and writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn penstock_abandon(queue: *const Opaque, claim: *mut Claimed) -> Code {
    border(|| {
        // SAFETY: the caller's promise.
        let claim = &mut unsafe { claims(claim, 1) }?[0];
        with(|stage| {
            // The length plays no part.
            let whole = Claimed {
                length: 0,
                ..*claim
            };
            stage.find(queue.addr(), &whole)?;
            stage.end(claim);
            Ok(())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(stage: &mut Stage, length: usize) -> Claimed {
        stage.claim(7, length).unwrap()
    }

    fn code<T>(result: Result<T, Failure>) -> Code {
        result.map_or_else(|failure| failure.code(), |_| Code::Ok)
    }

    #[test]
    fn claims_lie_apart_and_aligned() {
        let mut stage = Stage::new();
        let mut taken: Vec<(usize, usize)> = Vec::new();
        for length in [
            0,
            1,
            15,
            16,
            17,
            64,
            INLINE_MAX,
            INLINE_MAX,
            BLOCK,
            BLOCK + 1,
            3 * BLOCK,
        ] {
            let claimed = claim(&mut stage, length);
            let (start, end) = (claimed.bytes.addr(), claimed.bytes.addr() + length);
            assert_eq!(start % ALIGNMENT, 0);
            assert!(taken.iter().all(|&(from, to)| end <= from || to <= start));
            taken.push((start, end));
            // SAFETY: claimed just now.
            unsafe { claimed.bytes.cast::<u8>().write_bytes(0xa5, length) };
        }
    }

    #[test]
    fn a_block_is_used_again_once_all_in_it_have_ended() {
        let mut stage = Stage::new();
        let first = claim(&mut stage, 64).bytes;
        let mut others: Vec<_> = (0..2 * BLOCK / 64).map(|_| claim(&mut stage, 64)).collect();
        let in_block = |it: &Claimed| it.bytes.addr().wrapping_sub(first.addr()) < BLOCK;
        assert_eq!(
            others.iter().filter(|it| in_block(it)).count(),
            BLOCK / 64 - 1
        );
        others.iter_mut().for_each(|it| stage.end(it));
        assert!(others.iter().all(|it| it.bytes.is_null() && it.token == 0));
        let mut last = claim(&mut stage, 64);
        assert!(!in_block(&last), "the first still holds the block");
        stage.end(&mut last);
        let token = 1 << 32 | 1;
        let mut held = Claimed {
            bytes: first,
            length: 64,
            token,
        };
        assert_eq!(code(stage.find(7, &held)), Code::Ok);
        stage.end(&mut held);
        assert_eq!(claim(&mut stage, 64).bytes, first);
    }

    #[test]
    fn what_is_no_claim_is_seen() {
        let mut stage = Stage::new();
        let mut sound = claim(&mut stage, 64);
        let other = claim(&mut stage, 64);
        let bad = [
            Claimed { token: 0, ..sound },
            Claimed {
                token: u64::MAX,
                ..sound
            },
            Claimed {
                token: sound.token + (1 << 32),
                ..sound
            },
            Claimed {
                token: other.token,
                ..sound
            },
            Claimed {
                bytes: other.bytes,
                ..sound
            },
            Claimed::ENDED,
        ];
        for claimed in &bad {
            assert_eq!(code(stage.find(7, claimed)), Code::BadClaim, "{claimed:?}");
        }
        assert_eq!(
            code(stage.find(8, &sound)),
            Code::BadClaim,
            "another handle's"
        );
        let longer = Claimed {
            length: 65,
            ..sound
        };
        assert_eq!(code(stage.find(7, &longer)), Code::BadArgument);
        assert_eq!(code(stage.check(7, &[sound, other])), Code::Ok);
        assert_eq!(
            code(stage.check(7, &[sound, sound])),
            Code::BadClaim,
            "twice"
        );
        assert_eq!(code(stage.check(7, &[sound, other])), Code::Ok);
        let copy = sound;
        stage.end(&mut sound);
        assert_eq!(code(stage.find(7, &copy)), Code::BadClaim, "ended");
        let again = claim(&mut stage, 64);
        assert_eq!(again.token as u32, copy.token as u32, "the same place");
        assert_eq!(code(stage.find(7, &copy)), Code::BadClaim, "still");
    }
}

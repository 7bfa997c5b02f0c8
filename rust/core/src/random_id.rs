//! Trace and span ids: random, from a generator per thread.
//!
//! xoshiro256++ (Blackman and Vigna, public domain), 256 bits of state seeded by the operating
//! system. Unique, not secret: whoever has seen some ids can foretell the next.
//!
//! Guarantee: wait-free; one system call per thread, and one more after a fork, so that parent and
//! child never draw the same numbers.

use crate::fork::Owner;
use std::cell::Cell;

#[derive(Clone, Copy)]
struct Generator {
    state: [u64; 4],
    process: Owner,
}

thread_local! {
    static GENERATOR: Cell<Option<Generator>> = const { Cell::new(None) };
}

/// 64 random bits.
#[inline]
fn next() -> u64 {
    GENERATOR.with(|cell| {
        let mut generator = match cell.get() {
            Some(generator) if generator.process.is_here() => generator,
            _ => seeded(),
        };
        let [a, b, c, d] = &mut generator.state;
        let drawn = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        cell.set(Some(generator));
        drawn
    })
}

#[cold]
fn seeded() -> Generator {
    let mut bytes = [0_u8; 32];
    // SAFETY: the buffer is ours and as long as is said.
    let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    if got != bytes.len() as isize {
        // No system without the call is supported; a kernel that refuses it still has clocks.
        // SAFETY: no arguments, cannot fail.
        let process = unsafe { libc::getpid() } as u64;
        let here = &raw const bytes as u64;
        for (chunk, salt) in bytes.chunks_exact_mut(8).zip(1..) {
            let mixed =
                mix(crate::clock::monotonic() ^ here.rotate_left(salt * 7) ^ (process << salt));
            chunk.copy_from_slice(&mixed.to_le_bytes());
        }
    }
    let mut state = [0; 4];
    for (word, chunk) in state.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = u64::from_le_bytes(chunk.try_into().expect("chunks of eight"));
    }
    state[0] |= u64::from(state == [0; 4]);
    Generator {
        state,
        process: Owner::current(),
    }
}

/// The finaliser of SplitMix64.
fn mix(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// A new trace id, never zero.
#[inline]
#[must_use]
pub fn trace_id() -> u128 {
    let id = (u128::from(next()) << 64) | u128::from(next());
    if id == 0 { 1 } else { id }
}

/// A new span id, never zero.
#[inline]
#[must_use]
pub fn span_id() -> u64 {
    next().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_differ_within_and_between_threads() {
        let draw = || (0..10_000).map(|_| span_id()).collect::<Vec<_>>();
        let mut seen: HashSet<u64> = draw().into_iter().collect();
        for drawn in (0..4).map(|_| std::thread::spawn(draw)).collect::<Vec<_>>() {
            seen.extend(drawn.join().unwrap());
        }
        assert_eq!(seen.len(), 50_000);
    }

    #[test]
    fn every_bit_is_drawn() {
        let (mut all, mut any) = (u128::MAX, 0);
        for _ in 0..200 {
            let id = trace_id();
            all &= id;
            any |= id;
        }
        assert_eq!((all, any), (0, u128::MAX));
    }

    #[test]
    fn a_forked_child_draws_other_ids() {
        let _ = span_id();
        let mut pipe = [0; 2];
        // SAFETY: room for two descriptors.
        assert_eq!(unsafe { libc::pipe(pipe.as_mut_ptr()) }, 0);
        // SAFETY: the child draws, writes and ends at once.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let id = span_id();
            // SAFETY: `id` is eight bytes of ours.
            unsafe {
                libc::write(pipe[1], (&raw const id).cast(), 8);
                libc::_exit(0);
            }
        }
        let mut drawn = 0_u64;
        let mut status = 0;
        // SAFETY: as above, for the other end; `child` is ours.
        unsafe {
            assert_eq!(libc::read(pipe[0], (&raw mut drawn).cast(), 8), 8);
            assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
            libc::close(pipe[0]);
            libc::close(pipe[1]);
        }
        assert_ne!(drawn, span_id());
    }
}

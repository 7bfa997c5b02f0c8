//! Moving bytes into and out of words that another process may be at.
//!
//! Guarantee: what [`load`] brings is what stood there if nobody wrote meanwhile, and some bytes otherwise; the
//! caller finds out which, and uses the bytes only in the first case. Both are relaxed: what orders them
//! is the caller's swap.
//!
//! A word at a time is what relaxed atomics of Rust can do, and compilers join none of them. Between two
//! processors that is slow: a copy goes as fast as the lines of one's cache come to the other, of which as many are
//! under way as the stores behind them find a place in the processor's store queue. So on x86-64 long ones are moved sixteen
//! bytes at a time, by instructions that the compiler does not look into: each may be torn into words, never
//! within one, and is as ordered as any load and store there.

use crate::sync::{AtomicU64, Ordering};

/// Words of a line of the cache.
const LINE: usize = 8;

/// Copies `words` to `to`, eight bytes each.
///
/// # Safety
/// There is room for them; nobody else is there.
#[inline]
pub(super) unsafe fn load(words: &[AtomicU64], to: *mut u8) {
    // SAFETY: the caller's promise, and the words are there.
    let done = unsafe { copy_lines(words.as_ptr().cast(), to, words.len() / LINE) };
    for (index, word) in words.iter().enumerate().skip(done) {
        // SAFETY: the caller's promise; bytes need not be aligned.
        unsafe {
            let to = to.cast::<u64>().add(index);
            to.write_unaligned(word.load(Ordering::Relaxed));
        }
    }
}

/// Copies as many bytes to `words` as these have, from `from`.
///
/// # Safety
/// So many bytes are readable there; who writes to them meanwhile spoils the copy, nothing else.
#[inline]
pub(super) unsafe fn store(words: &[AtomicU64], from: *const u8) {
    let to = words.as_ptr().cast_mut().cast();
    // SAFETY: the caller's promise; whoever has an atomic may write to it.
    let done = unsafe { copy_lines(from, to, words.len() / LINE) };
    for (index, word) in words.iter().enumerate().skip(done) {
        // SAFETY: the caller's promise; bytes need not be aligned.
        let value = unsafe { from.cast::<u64>().add(index).read_unaligned() };
        word.store(value, Ordering::Relaxed);
    }
}

/// Copies so many lines, and says how many words that were; none where it cannot.
///
/// # Safety
/// So much is readable at `from` and writable at `to`, and the two do not overlap. At one of them others may read
/// and write meanwhile, by atomics or by this.
#[cfg(all(
    target_arch = "x86_64",
    not(any(penstock_loom, penstock_shuttle, penstock_failpoints))
))]
#[inline(always)]
unsafe fn copy_lines(from: *const u8, to: *mut u8, lines: usize) -> usize {
    if lines == 0 {
        return 0;
    }
    // SAFETY: the caller's promise. To the compiler this does what relaxed atomic accesses would: it reads and
    // writes memory, and says no more.
    unsafe {
        std::arch::asm!(
            "2:",
            "movups {a}, [{from}]",
            "movups {b}, [{from} + 16]",
            "movups {c}, [{from} + 32]",
            "movups {d}, [{from} + 48]",
            "movups [{to}], {a}",
            "movups [{to} + 16], {b}",
            "movups [{to} + 32], {c}",
            "movups [{to} + 48], {d}",
            "add {from}, 64",
            "add {to}, 64",
            "dec {lines}",
            "jnz 2b",
            from = inout(reg) from => _,
            to = inout(reg) to => _,
            lines = inout(reg) lines => _,
            a = out(xmm_reg) _,
            b = out(xmm_reg) _,
            c = out(xmm_reg) _,
            d = out(xmm_reg) _,
            options(nostack),
        );
    }
    lines * LINE
}

/// As above, where all is moved word by word: in models, and where the instructions are others.
///
/// # Safety
/// None is needed.
#[cfg(not(all(
    target_arch = "x86_64",
    not(any(penstock_loom, penstock_shuttle, penstock_failpoints))
)))]
unsafe fn copy_lines(_from: *const u8, _to: *mut u8, _lines: usize) -> usize {
    0
}

#[cfg(all(test, not(any(penstock_loom, penstock_shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn every_length_at_every_place_arrives_as_it_was() {
        let bytes: Vec<u8> = (0..400_u16).map(|n| (n % 251) as u8 + 1).collect();
        for count in 0..40 {
            for shift in 0..8 {
                let words: Vec<AtomicU64> = (0..count + 2).map(|_| AtomicU64::new(0)).collect();
                // SAFETY: there are more bytes than that behind the shift.
                unsafe { store(&words[1..=count], bytes[shift..].as_ptr()) };
                let mut back = vec![0; count * 8 + shift + 8];
                // SAFETY: there is room for so many behind the shift.
                unsafe { load(&words[1..=count], back[shift..].as_mut_ptr()) };
                assert_eq!(back[shift..][..count * 8], bytes[shift..][..count * 8]);
                assert_eq!(back[..shift], [0; 8][..shift], "before it");
                assert_eq!(back[shift + count * 8..], [0; 8], "behind it");
                let edges = [0, count + 1].map(|at| words[at].load(Ordering::Relaxed));
                assert_eq!(edges, [0, 0]);
            }
        }
    }
}

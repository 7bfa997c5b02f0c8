//! The code that a C library calls: one entry for each slot, of the same few instructions.
//!
//! An entry leaves its own address in a register that no argument is passed in, and all of them go on to
//! one place, which stores the arguments' registers on the stack and calls [`super::slots::arrive`] with the entry's
//! number. So nothing is written at run time: no memory is both writable and executable, hardened
//! systems have nothing to forbid, and an entry can be called for ever.
//!
//! The answer is put into the registers of an integer's and of a number's result at once; a caller looks
//! at the one that its declaration says.

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use super::{shape::Arguments, slots};

/// Whether there are stubs for this processor.
pub const IS_NATIVE: bool = cfg!(all(
    any(target_arch = "x86_64", target_arch = "aarch64"),
    target_pointer_width = "64"
));

/// How far apart entries are.
const SIZE: usize = 16;

#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
unsafe extern "C" fn entries() {
    core::arch::naked_asm!(
        ".p2align 4",
        ".rept {count}",
        "endbr64",
        "lea r11, [rip]", // the address of the next instruction: 11 bytes into the entry
        ".byte 0xe9",     // a jump of five bytes, however near: entries are 16 bytes apart
        ".long {common} - (. + 4)",
        ".endr",
        count = const slots::STUBS,
        common = sym common,
    )
}

#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
unsafe extern "C" fn common() {
    core::arch::naked_asm!(
        "push rbp",
        "mov rbp, rsp",
        "sub rsp, 128", // 15 words of arguments, and one for the alignment
        "mov [rsp], rdi",
        "mov [rsp + 8], rsi",
        "mov [rsp + 16], rdx",
        "mov [rsp + 24], rcx",
        "mov [rsp + 32], r8",
        "mov [rsp + 40], r9",
        "movsd [rsp + 48], xmm0",
        "movsd [rsp + 56], xmm1",
        "movsd [rsp + 64], xmm2",
        "movsd [rsp + 72], xmm3",
        "movsd [rsp + 80], xmm4",
        "movsd [rsp + 88], xmm5",
        "movsd [rsp + 96], xmm6",
        "movsd [rsp + 104], xmm7",
        "lea rax, [rbp + 16]", // above the saved register and the way back
        "mov [rsp + 112], rax",
        "mov rdi, r11",
        "mov rsi, rsp",
        "call {arrive}",
        "movq xmm0, rax",
        "leave",
        "ret",
        arrive = sym arrive,
    )
}

#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
unsafe extern "C" fn entries() {
    core::arch::naked_asm!(
        ".p2align 4",
        ".rept {count}",
        "hint #34", // bti c
        "adr x16, .",
        "b {common}",
        "nop",
        ".endr",
        count = const slots::STUBS,
        common = sym common,
    )
}

#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
unsafe extern "C" fn common() {
    core::arch::naked_asm!(
        "stp x29, x30, [sp, #-16]!",
        "mov x29, sp",
        "sub sp, sp, #144", // 17 words of arguments, and one for the alignment
        "stp x0, x1, [sp]",
        "stp x2, x3, [sp, #16]",
        "stp x4, x5, [sp, #32]",
        "stp x6, x7, [sp, #48]",
        "stp d0, d1, [sp, #64]",
        "stp d2, d3, [sp, #80]",
        "stp d4, d5, [sp, #96]",
        "stp d6, d7, [sp, #112]",
        "add x9, x29, #16", // above what was saved
        "str x9, [sp, #128]",
        "mov x0, x16",
        "mov x1, sp",
        "bl {arrive}",
        "fmov d0, x0",
        "mov sp, x29",
        "ldp x29, x30, [sp], #16",
        "ret",
        arrive = sym arrive,
    )
}

/// # Safety
/// Called by `common` only: `arguments` are on its stack.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
unsafe extern "C" fn arrive(inside: usize, arguments: *const Arguments) -> u64 {
    let nth = inside.wrapping_sub(first()) / SIZE;
    // SAFETY: the caller's.
    unsafe { slots::arrive(nth, &*arguments) }
}

/// Where the first entry is: the function begins with its alignment.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn first() -> usize {
    (entries as *const () as usize).next_multiple_of(SIZE)
}

/// The address of the n-th entry; zero where there are none.
pub(super) fn address(nth: usize) -> usize {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    return first() + nth * SIZE;
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return nth * 0;
}

//! Which bucket a value belongs to, by two look-ups and one comparison; no logarithm.
//!
//! A double is 2^e · (1 + m/2⁵²). Within its octave the boundaries are 2^(j/32); `FLOOR[j]` is the
//! greatest 52-bit mantissa that is not above boundary `j`, so a value lies above it exactly when
//! `m > FLOOR[j]`. (Only boundary 0 is a double itself; the others are irrational.) The mantissa's
//! upper six bits select a cell; neighbouring boundaries are at least 0.0219 apart and a cell is
//! 0.0156 wide, so a cell holds at most one boundary: `BELOW[cell]` counts those before it, one
//! comparison decides about the next. A value on an octave's lower edge (`m = 0`) is above none of
//! its boundaries and falls into the bucket before, as bounds are inclusive above.
//!
//! Coarser scales are a shift of this index. `tests/prop_histogram.rs` checks it in exact integer
//! arithmetic.

use super::Scale;

const MANTISSA_BITS: u32 = 52;
const CELL_BITS: u32 = 6;
const STEPS: usize = 1 << Scale::FINEST.get();

/// ⌊2⁵² · 2^(j/32)⌋ − 2⁵² for j = 0…31, then a value that no mantissa exceeds.
const FLOOR: [u64; STEPS + 1] = [
    0x0_0000_0000_0000,
    0x0_59b0_d315_8574,
    0x0_b558_6cf9_890f,
    0x1_1301_d012_5b50,
    0x1_72b8_3c7d_517a,
    0x1_d487_3168_b9aa,
    0x2_387a_6e75_6238,
    0x2_9e9d_f51f_dee1,
    0x3_06fe_0a31_b715,
    0x3_71a7_373a_a9ca,
    0x3_dea6_4c12_3422,
    0x4_4e08_6061_892d,
    0x4_bfda_d536_2a27,
    0x5_342b_569d_4f81,
    0x5_ab07_dd48_5429,
    0x6_247e_b03a_5584,
    0x6_a09e_667f_3bcc,
    0x7_1f75_e8ec_5f73,
    0x7_a114_73eb_0186,
    0x8_2589_994c_ce12,
    0x8_ace5_422a_a0db,
    0x9_3737_b0cd_c5e4,
    0x9_c491_82a3_f090,
    0xa_5503_b23e_255c,
    0xa_e89f_995a_d3ad,
    0xb_7f76_f2fb_5e46,
    0xc_199b_dd85_529c,
    0xc_b720_dcef_9069,
    0xd_5818_dcfb_a487,
    0xd_fc97_337b_9b5e,
    0xe_a4af_a2a4_90d9,
    0xf_5076_5b6e_4540,
    u64::MAX,
];

const BELOW: [u8; 1 << CELL_BITS] = {
    let mut below = [0_u8; 1 << CELL_BITS];
    let mut cell = 0;
    while cell < below.len() {
        let start = (cell as u64) << (MANTISSA_BITS - CELL_BITS);
        let mut boundary = 0;
        while FLOOR[boundary] < start {
            boundary += 1;
        }
        below[cell] = boundary as u8;
        cell += 1;
    }
    below
};

/// The bucket of a finite `value` > 0 at the finest scale. Subnormal values count as 2⁻¹⁰²³.
#[inline(always)]
pub(super) fn finest(value: f64) -> i32 {
    let bits = value.to_bits();
    let exponent = (bits >> MANTISSA_BITS) as i32 - 1023;
    let mantissa = bits & ((1 << MANTISSA_BITS) - 1);
    let below = BELOW[(mantissa >> (MANTISSA_BITS - CELL_BITS)) as usize] as usize;
    let above = (mantissa > FLOOR[below]) as i32;
    exponent * STEPS as i32 + below as i32 + above - 1
}

/// The bucket of a finite, normal `value` > 0: the `i` with baseⁱ < value ≤ baseⁱ⁺¹.
#[inline(always)]
pub fn index(value: f64, scale: Scale) -> i32 {
    finest(value) >> (Scale::FINEST.get() - scale.get())
}

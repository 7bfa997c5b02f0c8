//! Lower-case hexadecimal, as the headers have it.

const INVALID: u8 = 0xff;

/// Value of each byte as a digit; capitals are invalid, as the recommendation asks.
static DIGITS: [u8; 256] = {
    let mut table = [INVALID; 256];
    let mut value = 0;
    while value < 16 {
        table[b"0123456789abcdef"[value as usize] as usize] = value;
        value += 1;
    }
    table
};

/// The number that `text`, at most 32 digits, spells.
#[inline]
pub(super) fn parse(text: &[u8]) -> Option<u128> {
    let mut number = 0_u128;
    let mut seen = 0;
    for half in text.chunks(16) {
        let mut word = 0_u64;
        for &byte in half {
            let digit = DIGITS[byte as usize];
            seen |= digit;
            word = (word << 4) | u64::from(digit & 0x0f);
        }
        number = (number << (4 * half.len())) | u128::from(word);
    }
    // Only the mark of an invalid byte has a high half.
    (seen < 16).then_some(number)
}

/// Writes `number` into the whole of `out`, with leading zeros.
#[inline]
pub(super) fn write(mut number: u128, out: &mut [u8]) {
    for byte in out.iter_mut().rev() {
        *byte = b"0123456789abcdef"[(number & 0xf) as usize];
        number >>= 4;
    }
}

/// The 32 digits of a trace id.
#[must_use]
pub fn trace_id_text(id: u128) -> [u8; 32] {
    let mut text = [0; 32];
    write(id, &mut text);
    text
}

/// The 16 digits of a span id.
#[must_use]
pub fn span_id_text(id: u64) -> [u8; 16] {
    let mut text = [0; 16];
    write(id.into(), &mut text);
    text
}

//! DECIMAL(precision, scale): an unscaled i128, its text, and its big-endian two's complement bytes.

/// Most digits of a DECIMAL column. 10^38 is below 2^127, so an i128 holds every value.
pub const MAX_PRECISION: u8 = 38;

const POWERS_OF_TEN: [u128; MAX_PRECISION as usize + 1] = {
    let mut powers = [1; MAX_PRECISION as usize + 1];
    let mut i = 1;
    while i < powers.len() {
        powers[i] = powers[i - 1] * 10;
        i += 1;
    }
    powers
};

/// Whether the unscaled value has at most `precision` digits, which are at most 38.
pub fn fits(unscaled: i128, precision: u8) -> bool {
    unscaled.unsigned_abs() < POWERS_OF_TEN[usize::from(precision)]
}

/// The text with exactly `scale` digits after the point.
pub fn to_text(unscaled: i128, scale: u8) -> String {
    let scale = usize::from(scale);
    let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let sign = if unscaled < 0 { "-" } else { "" };
    if scale == 0 {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{fraction}")
    }
}

/// Reads a plain decimal number (no exponent) into an unscaled value, exactly.
///
/// Errors say what is wrong: not a number, more digits than the type has.
pub fn from_text(text: &str, precision: u8, scale: u8) -> Result<i128, String> {
    let not_a_number = || format!("{text:?} is not a decimal number");
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) || whole.len() + fraction.len() == 0 {
        return Err(not_a_number());
    }
    let too_long = || format!("{text:?} does not fit DECIMAL({precision},{scale})");
    let (kept, rest) = fraction.split_at(fraction.len().min(usize::from(scale)));
    if rest.bytes().any(|b| b != b'0') {
        return Err(too_long());
    }
    let padding = usize::from(scale) - kept.len();
    let mut magnitude: i128 = 0;
    let digits = whole
        .bytes()
        .chain(kept.bytes())
        .chain(std::iter::repeat_n(b'0', padding));
    for digit in digits {
        magnitude = magnitude
            .checked_mul(10)
            .and_then(|m| m.checked_add(i128::from(digit - b'0')))
            .ok_or_else(too_long)?;
    }
    if !fits(magnitude, precision) {
        return Err(too_long());
    }
    Ok(if negative { -magnitude } else { magnitude })
}

/// Reads big-endian two's complement; `None` where it is empty or needs more than 128 bits.
pub fn from_be_bytes(bytes: &[u8]) -> Option<i128> {
    let significant = if bytes.len() > 16 {
        minimal(bytes)
    } else {
        bytes
    };
    let first = *significant.first()?;
    if significant.len() > 16 {
        return None;
    }
    let mut wide = [if first & 0x80 == 0 { 0 } else { 0xff }; 16];
    wide[16 - significant.len()..].copy_from_slice(significant);
    Some(i128::from_be_bytes(wide))
}

/// The shortest big-endian two's complement, at least one byte.
pub fn to_be_bytes(unscaled: i128) -> Vec<u8> {
    minimal(&unscaled.to_be_bytes()).to_vec()
}

/// The value in exactly `size` bytes; `None` where it needs more.
pub fn to_fixed_be_bytes(unscaled: i128, size: usize) -> Option<Vec<u8>> {
    let shortest = to_be_bytes(unscaled);
    let padding = size.checked_sub(shortest.len())?;
    let mut bytes = vec![if unscaled < 0 { 0xff } else { 0 }; padding];
    bytes.extend_from_slice(&shortest);
    Some(bytes)
}

/// The bytes without leading ones that only repeat the sign.
pub fn minimal(bytes: &[u8]) -> &[u8] {
    let redundant = bytes
        .windows(2)
        .take_while(|w| (w[0] == 0 && w[1] & 0x80 == 0) || (w[0] == 0xff && w[1] & 0x80 != 0))
        .count();
    &bytes[redundant..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_keeps_the_scale() {
        assert_eq!(to_text(-5, 2), "-0.05");
        assert_eq!(to_text(12345, 2), "123.45");
        assert_eq!(to_text(7, 0), "7");
        assert_eq!(from_text("123.4", 10, 2), Ok(12340));
        assert_eq!(from_text(".5", 10, 2), Ok(50));
        assert_eq!(from_text("1.500", 10, 2), Ok(150));
    }

    #[test]
    fn text_that_does_not_fit_is_refused() {
        for text in ["1.005", "100000000.00", "1e5", "", ".", "--1", "1.2.3", "٣"] {
            assert!(from_text(text, 10, 2).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn text_and_bytes_round_trip(v in -(10i128.pow(38) - 1)..10i128.pow(38), scale in 0u8..=38) {
            prop_assert_eq!(from_text(&to_text(v, scale), 38, scale), Ok(v));
            prop_assert_eq!(from_be_bytes(&to_be_bytes(v)), Some(v));
            prop_assert_eq!(from_be_bytes(&to_fixed_be_bytes(v, 20).unwrap()), Some(v));
        }
    }
}

//! CRC-32C of bytes that were summed in parts.
//!
//! Appending zeros to a message multiplies its remainder by a power of x, so the sum of a whole follows from
//! the sums of its parts without looking at the bytes again (Mark Adler's `crc32_combine`, for Castagnoli's
//! polynomial).

/// Castagnoli's polynomial, lowest power in the highest bit, as all remainders here.
const POLYNOMIAL: u32 = 0x82F6_3B78;
/// x^0.
const ONE: u32 = 1 << 31;
/// Lengths are in bytes, powers in bits.
const BITS_LOG2: usize = 3;

/// x to the power of 2^n.
const POWERS: [u32; 32 + BITS_LOG2] = powers();

/// The sum of a message with sum `first` that is followed by `len` bytes with sum `second`.
pub fn combine(first: u32, second: u32, len: u32) -> u32 {
    let set = (0..32).filter(|bit| len >> bit & 1 == 1);
    let shift = set.fold(ONE, |power, bit| multiply(POWERS[bit + BITS_LOG2], power));
    multiply(shift, first) ^ second
}

const fn powers() -> [u32; 32 + BITS_LOG2] {
    let mut powers = [ONE >> 1; 32 + BITS_LOG2];
    let mut n = 1;
    while n < powers.len() {
        powers[n] = multiply(powers[n - 1], powers[n - 1]);
        n += 1;
    }
    powers
}

/// The product of two remainders, as a remainder.
const fn multiply(a: u32, mut b: u32) -> u32 {
    let mut product = 0;
    let mut bit = 32;
    while bit > 0 {
        bit -= 1;
        if a >> bit & 1 == 1 {
            product ^= b;
        }
        b = if b & 1 == 1 {
            b >> 1 ^ POLYNOMIAL
        } else {
            b >> 1
        };
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn combined_equals_summed_at_once(
            first in proptest::collection::vec(any::<u8>(), 0..100),
            second in proptest::collection::vec(any::<u8>(), 0..5000),
        ) {
            let sums = (crc32c::crc32c(&first), crc32c::crc32c(&second));
            let whole = crc32c::crc32c(&[first, second.clone()].concat());
            prop_assert_eq!(combine(sums.0, sums.1, second.len() as u32), whole);
        }
    }

    #[test]
    fn long_parts_combine_too() {
        let first = crc32c::crc32c(b"first");
        let zeros = vec![0; 70_000_001];
        let whole = crc32c::crc32c_append(first, &zeros);
        assert_eq!(
            combine(first, crc32c::crc32c(&zeros), zeros.len() as u32),
            whole
        );
    }
}

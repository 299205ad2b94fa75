//! CRC-32C (Castagnoli), the checksum of Kafka's batches and of every file and frame of this project.
//!
//! `crc-fast` does the work; this crate puts it into three words, so that nobody else chooses a library, an order of
//! bits or a start value.

use crc_fast::{CrcAlgorithm, Digest};

/// Castagnoli's polynomial, lowest power in the highest bit, as all remainders here.
const POLYNOMIAL: u32 = 0x82F6_3B78;
/// x^0.
const ONE: u32 = 1 << 31;
/// Lengths are in bytes, powers in bits.
const BITS_LOG2: usize = 3;

/// x to the power of 2^n.
const POWERS: [u32; 32 + BITS_LOG2] = powers();

/// The sum of `bytes`.
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

/// The sum of a message with sum `crc` that is followed by `bytes`.
pub fn append(crc: u32, bytes: &[u8]) -> u32 {
    // A digest's state is the sum before its last step, which inverts it.
    let mut digest = Digest::new_with_init_state(CrcAlgorithm::Crc32Iscsi, u64::from(!crc));
    digest.update(bytes);
    digest.finalize() as u32
}

/// The sum of a message with sum `first` that is followed by `len` bytes with sum `second`, without a look at
/// the bytes.
///
/// Appending zeros to a message multiplies its remainder by a power of x, so the sum of a whole follows from the sums of
/// its parts (Mark Adler's `crc32_combine`, for Castagnoli's polynomial).
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
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// RFC 3720, B.4.
    #[test]
    fn known_messages_have_their_known_sums() {
        assert_eq!(crc32c(&[0; 32]), 0x8A91_36AA);
        assert_eq!(crc32c(&[0xFF; 32]), 0x62A8_AB43);
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
        assert_eq!(crc32c(b""), 0);
    }

    proptest! {
        /// Another library's, written apart from the one used here.
        #[test]
        fn sums_are_those_of_another_library(bytes in vec(any::<u8>(), 0..5000), from in 0usize..70) {
            let bytes = &bytes[from.min(bytes.len())..];
            prop_assert_eq!(crc32c(bytes), ::crc32c::crc32c(bytes));
        }

        #[test]
        fn appended_and_combined_equal_summed_at_once(
            first in vec(any::<u8>(), 0..300),
            second in vec(any::<u8>(), 0..5000),
        ) {
            let whole = crc32c(&[first.clone(), second.clone()].concat());
            prop_assert_eq!(append(crc32c(&first), &second), whole);
            prop_assert_eq!(combine(crc32c(&first), crc32c(&second), second.len() as u32), whole);
        }
    }

    #[test]
    fn long_parts_too() {
        let first = crc32c(b"first");
        let zeros = vec![0; 70_000_001];
        let whole = ::crc32c::crc32c_append(first, &zeros);
        assert_eq!(append(first, &zeros), whole);
        assert_eq!(combine(first, crc32c(&zeros), zeros.len() as u32), whole);
    }
}

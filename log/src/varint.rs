//! Zigzag variable-length integers, as in a record: 7 bits a byte, least significant first.

/// Longest encodings of an i32 and an i64.
const MAX_I32_BYTES: usize = 5;
const MAX_I64_BYTES: usize = 10;

/// Takes one i32 off the front; `None` when the bytes end early or the number is too long.
pub fn take_i32(bytes: &mut &[u8]) -> Option<i32> {
    // Nearly all lengths and deltas fit one or two bytes.
    if let [first, rest @ ..] = *bytes
        && *first < 0x80
    {
        *bytes = rest;
        let raw = u32::from(*first);
        return Some((raw >> 1) as i32 ^ -((raw & 1) as i32));
    }
    let raw = take_raw(bytes, MAX_I32_BYTES)?;
    let raw = u32::try_from(raw).ok()?;
    Some((raw >> 1) as i32 ^ -((raw & 1) as i32))
}

/// Takes one i64 off the front; `None` when the bytes end early or the number is too long.
pub fn take_i64(bytes: &mut &[u8]) -> Option<i64> {
    let raw = take_raw(bytes, MAX_I64_BYTES)?;
    Some((raw >> 1) as i64 ^ -((raw & 1) as i64))
}

fn take_raw(bytes: &mut &[u8], max_bytes: usize) -> Option<u64> {
    let mut raw = 0u64;
    for (at, byte) in bytes.iter().take(max_bytes).enumerate() {
        let bits = u64::from(byte & 0x7f);
        let shift = 7 * at as u32;
        if shift == 63 && bits > 1 {
            return None;
        }
        raw |= bits << shift;
        if byte & 0x80 == 0 {
            *bytes = &bytes[at + 1..];
            return Some(raw);
        }
    }
    None
}

/// Appends `value` in its shortest form.
pub fn put_i32(out: &mut Vec<u8>, value: i32) {
    put_i64(out, i64::from(value));
}

/// Appends `value` in its shortest form.
pub fn put_i64(out: &mut Vec<u8>, value: i64) {
    let mut raw = ((value << 1) ^ (value >> 63)) as u64;
    while raw >= 0x80 {
        out.push(raw as u8 | 0x80);
        raw >>= 7;
    }
    out.push(raw as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_encodings() {
        for (value, bytes) in [
            (0, vec![0x00]),
            (-1, vec![0x01]),
            (1, vec![0x02]),
            (-64, vec![0x7f]),
            (64, vec![0x80, 0x01]),
            (i32::MAX, vec![0xfe, 0xff, 0xff, 0xff, 0x0f]),
            (i32::MIN, vec![0xff, 0xff, 0xff, 0xff, 0x0f]),
        ] {
            let mut out = Vec::new();
            put_i32(&mut out, value);
            assert_eq!(out, bytes, "{value}");
            assert_eq!(take_i32(&mut out.as_slice()), Some(value));
        }
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused() {
        assert_eq!(
            take_i32(&mut [0xff, 0xff, 0xff, 0xff, 0x1f].as_slice()),
            None
        );
        assert_eq!(take_i32(&mut [0x80; 6].as_slice()), None);
        assert_eq!(take_i64(&mut [0xff; 10].as_slice()), None);
        assert_eq!(take_i64(&mut [0x80; 11].as_slice()), None);
        assert_eq!(take_i64(&mut [0x80].as_slice()), None);
    }

    proptest! {
        #[test]
        fn round_trip(value: i64, rest: Vec<u8>) {
            let mut out = Vec::new();
            put_i64(&mut out, value);
            out.extend_from_slice(&rest);
            let mut bytes = out.as_slice();
            prop_assert_eq!(take_i64(&mut bytes), Some(value));
            prop_assert_eq!(bytes, rest.as_slice());
        }

        #[test]
        fn round_trip_i32(value: i32) {
            let mut out = Vec::new();
            put_i32(&mut out, value);
            prop_assert_eq!(take_i32(&mut out.as_slice()), Some(value));
        }
    }
}

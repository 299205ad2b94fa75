//! Bucket key: how far a bucket has been folded and how many rows it has. It is written in the same batch
//! and column family as the rows that it speaks of, so that the two never disagree after a crash.
//!
//! ```text
//! offset  size  field     encoding
//! 0       1     kind      u8 = 0x02
//! 1       8     table_id  u64, big-endian
//! 9       4     bucket    u32, big-endian
//! ```
//!
//! Its value:
//!
//! ```text
//! offset  size  field      encoding
//! 0       1     version    u8 = 0x02
//! 1       8     applied    i64, little-endian: the next offset to fold
//! 9       8     row_count  u64, little-endian
//! 17      8     stay       u64, little-endian: which stay of the partition in this shard the rows are of
//! ```
//! Version 0x01 has no stay, and means the first one, which is 0.

use crate::def::TableId;

pub const KIND: u8 = 0x02;
const KEY_LEN: usize = 13;
const VERSION: u8 = 0x02;
const VALUE_LEN: usize = 25;
/// Without a stay.
const FIRST_VERSION: u8 = 0x01;
const FIRST_VALUE_LEN: usize = 17;

/// How far a bucket has been folded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BucketState {
    /// The next offset to fold: every record below it is in the rows.
    pub applied: i64,
    pub row_count: u64,
    /// Which stay of the bucket in this store this is: one that has left and comes again is another log to fold.
    pub stay: u64,
}

pub fn encode(table: TableId, bucket: u32) -> [u8; KEY_LEN] {
    let mut key = [0; KEY_LEN];
    key[..9].copy_from_slice(&super::table_prefix(KIND, table));
    key[9..].copy_from_slice(&bucket.to_be_bytes());
    key
}

/// Table and bucket of a bucket key, or `None` for another kind of key.
pub fn decode(key: &[u8]) -> Option<(TableId, u32)> {
    let key: &[u8; KEY_LEN] = key.try_into().ok()?;
    let [KIND, table @ .., b0, b1, b2, b3] = key else {
        return None;
    };
    Some((
        TableId(u64::from_be_bytes(*table)),
        u32::from_be_bytes([*b0, *b1, *b2, *b3]),
    ))
}

impl BucketState {
    /// Nothing is folded yet.
    pub fn new(stay: u64) -> Self {
        Self {
            stay,
            ..Self::default()
        }
    }

    pub fn encode(self) -> [u8; VALUE_LEN] {
        let mut value = [0; VALUE_LEN];
        value[0] = VERSION;
        value[1..9].copy_from_slice(&self.applied.to_le_bytes());
        value[9..17].copy_from_slice(&self.row_count.to_le_bytes());
        value[17..].copy_from_slice(&self.stay.to_le_bytes());
        value
    }

    /// `None` where the bytes are not what `encode` writes.
    pub fn decode(value: &[u8]) -> Option<Self> {
        let (&[version], rest) = value.split_first_chunk::<1>()?;
        match (version, value.len()) {
            (FIRST_VERSION, FIRST_VALUE_LEN) | (VERSION, VALUE_LEN) => {}
            _ => return None,
        }
        let (applied, rest) = rest.split_first_chunk::<8>()?;
        let (row_count, rest) = rest.split_first_chunk::<8>()?;
        let stay = rest.first_chunk::<8>().copied().unwrap_or_default();
        let state = Self {
            applied: i64::from_le_bytes(*applied),
            row_count: u64::from_le_bytes(*row_count),
            stay: u64::from_le_bytes(stay),
        };
        (state.applied >= 0).then_some(state)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn golden_bytes() {
        assert_eq!(encode(TableId(1), 2), *b"\x02\0\0\0\0\0\0\0\x01\0\0\0\x02");
        let state = BucketState {
            applied: 0x0102,
            row_count: 3,
            stay: 4,
        };
        assert_eq!(
            state.encode(),
            *b"\x02\x02\x01\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\0"
        );
    }

    #[test]
    fn a_state_without_a_stay_is_of_the_first() {
        let stored = *b"\x01\x02\x01\0\0\0\0\0\0\x03\0\0\0\0\0\0\0";
        let state = BucketState {
            applied: 0x0102,
            row_count: 3,
            stay: 0,
        };
        assert_eq!(BucketState::decode(&stored), Some(state));
    }

    #[test]
    fn damaged_state_is_not_read() {
        let mut value = BucketState::default().encode();
        for version in [0, 1, 3] {
            value[0] = version;
            assert_eq!(BucketState::decode(&value), None);
        }
        for len in 0..VALUE_LEN {
            value[0] = VERSION;
            assert_eq!(BucketState::decode(&value[..len]), None);
        }
    }

    proptest! {
        #[test]
        fn round_trip(table: u64, bucket: u32, applied in 0i64.., row_count: u64, stay: u64) {
            prop_assert_eq!(decode(&encode(TableId(table), bucket)), Some((TableId(table), bucket)));
            let state = BucketState { applied, row_count, stay };
            prop_assert_eq!(BucketState::decode(&state.encode()), Some(state));
        }

        #[test]
        fn bucket_key_order_matches_table_and_bucket_order(a: (u64, u32), b: (u64, u32)) {
            let encoded = |k: (u64, u32)| encode(TableId(k.0), k.1);
            prop_assert_eq!(encoded(a).cmp(&encoded(b)), a.cmp(&b));
        }
    }
}

//! Row key: one row of a table's bucket. Sorts by table, bucket, then primary-key order.
//!
//! ```text
//! offset  size  field        encoding
//! 0       1     kind         u8 = 0x01
//! 1       8     table_id     u64, big-endian
//! 9       4     bucket       u32, big-endian
//! 13      n     primary_key  order-preserving, see `ordered`
//! ```

use crate::def::TableId;

pub const KIND: u8 = 0x01;
/// Bytes before the primary key.
pub const PREFIX_LEN: usize = 13;

/// What the keys of all rows of a bucket start with.
pub fn prefix(table: TableId, bucket: u32) -> [u8; PREFIX_LEN] {
    let mut prefix = [0; PREFIX_LEN];
    prefix[..9].copy_from_slice(&super::table_prefix(KIND, table));
    prefix[9..].copy_from_slice(&bucket.to_be_bytes());
    prefix
}

/// A row's key.
pub fn encode(table: TableId, bucket: u32, primary_key: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(PREFIX_LEN + primary_key.len());
    key.extend_from_slice(&prefix(table, bucket));
    key.extend_from_slice(primary_key);
    key
}

/// Table, bucket and primary key of a row's key, or `None` for another kind of key.
pub fn decode(key: &[u8]) -> Option<(TableId, u32, &[u8])> {
    let (head, primary_key) = key.split_first_chunk::<PREFIX_LEN>()?;
    let [KIND, table @ .., b0, b1, b2, b3] = head else {
        return None;
    };
    Some((
        TableId(u64::from_be_bytes(*table)),
        u32::from_be_bytes([*b0, *b1, *b2, *b3]),
        primary_key,
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn golden_bytes() {
        let key = encode(TableId(0x0102_0304_0506_0708), 9, b"N14228");
        assert_eq!(
            key,
            b"\x01\x01\x02\x03\x04\x05\x06\x07\x08\x00\x00\x00\x09N14228"
        );
        assert_eq!(decode(b"\x02\0\0\0\0\0\0\0\x01\0\0\0\0"), None);
        assert_eq!(decode(b"\x01\0"), None);
    }

    proptest! {
        #[test]
        fn round_trip(table: u64, bucket: u32, key: Vec<u8>) {
            let encoded = encode(TableId(table), bucket, &key);
            prop_assert_eq!(decode(&encoded), Some((TableId(table), bucket, key.as_slice())));
        }

        #[test]
        fn row_key_order_matches_table_bucket_and_primary_key_order(a: (u64, u32, Vec<u8>), b: (u64, u32, Vec<u8>)) {
            let encoded = |k: &(u64, u32, Vec<u8>)| encode(TableId(k.0), k.1, &k.2);
            prop_assert_eq!(encoded(&a).cmp(&encoded(&b)), a.cmp(&b));
        }
    }
}

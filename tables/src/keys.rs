//! The keys of the one column family: what every stored byte of a table is found under.
//! Each kind of key has a file of its own and a number that is never reused; 0 stays reserved.
//!
//! | kind | what |
//! |---|---|
//! | 0x01 | a row, see [`row`] |
//! | 0x02 | a bucket's applied offset and row count, see [`bucket`] |

pub mod bucket;
pub mod ordered;
pub mod row;

use crate::def::TableId;

/// The kinds of key that a table owns.
pub const TABLE_KINDS: [u8; 2] = [row::KIND, bucket::KIND];

/// The range that holds everything of one kind of a table, upper bound exclusive.
pub fn table_range(kind: u8, table: TableId) -> ([u8; 9], [u8; 9]) {
    let next = match table.0.checked_add(1) {
        Some(next) => table_prefix(kind, TableId(next)),
        None => table_prefix(kind + 1, TableId(0)),
    };
    (table_prefix(kind, table), next)
}

/// The same of one bucket of a table.
pub fn bucket_range(kind: u8, table: TableId, bucket: u32) -> (Vec<u8>, Vec<u8>) {
    let key = |bucket: u32| [&table_prefix(kind, table)[..], &bucket.to_be_bytes()].concat();
    let next = match bucket.checked_add(1) {
        Some(next) => key(next),
        None => table_range(kind, table).1.to_vec(),
    };
    (key(bucket), next)
}

pub(crate) fn table_prefix(kind: u8, table: TableId) -> [u8; 9] {
    let mut prefix = [0; 9];
    prefix[0] = kind;
    prefix[1..].copy_from_slice(&table.0.to_be_bytes());
    prefix
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buckets_range_holds_its_keys_and_no_others() {
        let table = TableId(7);
        for bucket in [0, 255, u32::MAX] {
            let (from, to) = bucket_range(row::KIND, table, bucket);
            let of = |table: TableId, bucket: u32| row::prefix(table, bucket).to_vec();
            let key = |prefix: Vec<u8>| [&prefix[..], b"key"].concat();
            assert!(from <= of(table, bucket) && key(of(table, bucket)) < to);
            assert!(bucket == 0 || key(of(table, bucket - 1)) < from);
            assert!(bucket == u32::MAX || of(table, bucket + 1) >= to);
            assert!(of(TableId(8), 0) >= to);
        }
    }

    #[test]
    fn a_tables_range_holds_its_keys_and_no_others() {
        for kind in TABLE_KINDS {
            for id in [1, u64::MAX - 1, u64::MAX] {
                let (from, to) = table_range(kind, TableId(id));
                let key = |id: u64| [&table_prefix(kind, TableId(id))[..], &[0xFF; 4]].concat();
                assert!(
                    from.as_slice() <= key(id).as_slice() && key(id).as_slice() < to.as_slice()
                );
                assert!(key(id - 1).as_slice() < from.as_slice());
            }
        }
    }
}

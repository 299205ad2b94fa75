//! A stored row: where it came from, and its value's bytes as the producer wrote them.
//!
//! ```text
//! offset  size  field          encoding
//! 0       1     version        u8 = 0x01 (0x00 reserved)
//! 1       8     source_offset  i64, little-endian: the record that wrote the row
//! 9       8     timestamp      i64, little-endian: that record's, in ms since 1970
//! 17      2     schema_len     u16, little-endian
//! 19      s     schema         the record's `__value_schema_id` header; empty where it had none, and a
//!                              schema then stands as the prefix of the value
//! 19+s    n     value          as produced
//! ```
//!
//! A row carries no checksum of its own: RocksDB checks each block that it reads from disk, a lookup pays
//! for that once a block instead of once a row, and damaged rows can be folded again from the log.

const VERSION: u8 = 0x01;
const HEAD_LEN: usize = 19;

/// The longest schema header that a row can carry.
pub const MAX_SCHEMA_HEADER_LEN: usize = u16::MAX as usize;

/// A row's parts, borrowed from what was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Row<'a> {
    /// Offset of the record that wrote the row.
    pub source_offset: i64,
    pub timestamp_ms: i64,
    /// The `__value_schema_id` header, empty where there was none.
    pub schema_header: &'a [u8],
    pub value: &'a [u8],
}

/// Stored bytes are not a row.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a stored row of {len} bytes does not start as rows do")]
pub struct BadRow {
    len: usize,
}

impl<'a> Row<'a> {
    /// Appends the stored form.
    pub fn encode(&self, out: &mut Vec<u8>) {
        assert!(
            self.schema_header.len() <= MAX_SCHEMA_HEADER_LEN,
            "checked before a row is built"
        );
        out.push(VERSION);
        out.extend_from_slice(&self.source_offset.to_le_bytes());
        out.extend_from_slice(&self.timestamp_ms.to_le_bytes());
        out.extend_from_slice(&(self.schema_header.len() as u16).to_le_bytes());
        out.extend_from_slice(self.schema_header);
        out.extend_from_slice(self.value);
    }

    pub fn decode(stored: &'a [u8]) -> Result<Row<'a>, BadRow> {
        Self::parse(stored).ok_or(BadRow { len: stored.len() })
    }

    fn parse(stored: &'a [u8]) -> Option<Row<'a>> {
        let (head, rest) = stored.split_first_chunk::<HEAD_LEN>()?;
        let (&[version], head) = head.split_first_chunk::<1>()?;
        let (offset, head) = head.split_first_chunk::<8>()?;
        let (timestamp, schema_len) = head.split_first_chunk::<8>()?;
        let schema_len = u16::from_le_bytes(schema_len.try_into().ok()?);
        let (schema_header, value) = rest.split_at_checked(usize::from(schema_len))?;
        (version == VERSION).then_some(Row {
            source_offset: i64::from_le_bytes(*offset),
            timestamp_ms: i64::from_le_bytes(*timestamp),
            schema_header,
            value,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn golden_bytes() {
        let row = Row {
            source_offset: 0x0201,
            timestamp_ms: 3,
            schema_header: b"\x01g",
            value: b"v",
        };
        let mut stored = Vec::new();
        row.encode(&mut stored);
        assert_eq!(
            stored,
            b"\x01\x01\x02\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\x02\0\x01gv"
        );
    }

    #[test]
    fn cut_rows_and_other_versions_are_refused() {
        let mut stored = Vec::new();
        Row {
            source_offset: 1,
            timestamp_ms: 1,
            schema_header: b"gg",
            value: b"",
        }
        .encode(&mut stored);
        assert!(Row::decode(&stored[..20]).is_err());
        assert!(Row::decode(&[]).is_err());
        stored[0] = 0;
        assert!(Row::decode(&stored).is_err());
    }

    proptest! {
        #[test]
        fn round_trip(source_offset: i64, timestamp_ms: i64, schema_header: Vec<u8>, value: Vec<u8>) {
            let row = Row { source_offset, timestamp_ms, schema_header: &schema_header, value: &value };
            let mut stored = Vec::new();
            row.encode(&mut stored);
            prop_assert_eq!(Row::decode(&stored), Ok(row));
        }
    }
}

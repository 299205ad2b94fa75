//! The bytes of a WAL file. All integers are little-endian.
//!
//! A file starts with a header, written and synced before the file gets its name:
//!
//! offset  size  field      encoding
//! 0       8     magic      "WEIRWAL" and 0x0a
//! 8       2     version    u16 = 1 (0 reserved)
//! 10      6     zero
//! 16      8     file       u64, sequence number of this use of the file, from 1
//! 24      4     capacity   u32, bytes that records may fill, header included
//! 28      4     zero
//! 32      8     salt       u64, random per use; every checksum of a record starts from it
//! 40      8     node       u64, the incarnation that wrote it
//! 48      8     len        u64, bytes that the file had when it got its name; it never has fewer
//! 56      4     zero
//! 60      4     crc        CRC32C of bytes 0..60
//!
//! Records follow, each at a multiple of 8, the gap filled with zeros. A record is a header and a
//! body; the body of an entry is its payload and nothing else:
//!
//! offset  size  field      encoding
//! 0       4     crc        CRC32C of the file's salt and bytes 4..64
//! 4       1     version    u8 = 1 (0 reserved)
//! 5       1     kind       u8, see `Kind` (0 reserved)
//! 6       1     form       u8, see below (0 reserved)
//! 7       1     zero
//! 8       8     file       u64, sequence number of the file written to
//! 16      4     offset     u32, of this header in the file
//! 20      4     body_len   u32
//! 24      8     durable    u64, file of the position up to which all was durable at this write
//! 32      4     durable    u32, offset of it
//! 36      4     body_crc   CRC32C of the body
//! 40      8     shard      u64; 0 for watermark and start
//! 48      8     first      u64, see below
//! 56      8     second     u64, see below
//! 64      n     body
//!
//! kind          form                                first          second
//! 1 entry       1 payload, 2 blank, 3 membership    term           index
//! 2 vote        1 asked for, 2 won                  term           node
//! 3 truncate    1 all, 2 entries after:             term           index
//! 4 purge       2 entries up to and including:      term           index
//! 5 committed   1 nothing, 2 entries up to:         term           index
//! 6 watermark   1 idle, 2 clean stop                oldest file    0
//! 7 start       1                                   previous file  end of its records
//!
//! A start is the first record of each file. What lies in the previous file at or past the named
//! end was cut and never existed.

use crate::ids::{Index, ShardId, Term, WalPos};

pub const FILE_HEADER_LEN: u32 = 64;
pub const RECORD_HEADER_LEN: u32 = 64;
/// Records start at multiples of this.
pub const ALIGN: u32 = 8;
/// The longest body: the index keeps two bits of a length for other things.
pub const MAX_BODY_LEN: u32 = (1 << 30) - 1;

const MAGIC: [u8; 8] = *b"WEIRWAL\n";
const FILE_VERSION: u16 = 1;
const RECORD_VERSION: u8 = 1;

const _: () = assert!(FILE_HEADER_LEN.is_multiple_of(ALIGN));
const _: () = assert!(RECORD_HEADER_LEN.is_multiple_of(ALIGN));

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileHeader {
    pub file: u64,
    pub capacity: u32,
    pub salt: u64,
    pub node: u64,
    pub len: u64,
}

/// What a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Entry {
        form: EntryForm,
        term: Term,
        index: Index,
    },
    Vote {
        term: Term,
        node: u64,
        won: bool,
    },
    /// Entries after this one are gone; all of them when `None`.
    Truncate {
        after: Option<(Term, Index)>,
    },
    Purge {
        upto: (Term, Index),
    },
    Committed {
        upto: Option<(Term, Index)>,
    },
    Watermark {
        oldest_file: u64,
        clean: bool,
    },
    Start {
        previous_file: u64,
        previous_end: u32,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryForm {
    Payload = 1,
    Blank = 2,
    Membership = 3,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordHeader {
    pub kind: Kind,
    pub shard: ShardId,
    /// Where this header lies.
    pub at: WalPos,
    pub body_len: u32,
    pub body_crc: u32,
    pub durable: WalPos,
}

impl RecordHeader {
    /// Where the next record may start.
    pub fn end(&self) -> u32 {
        self.at.offset + record_len(self.body_len)
    }
}

/// Bytes that a record takes in its file, the gap to the next one included.
pub fn record_len(body_len: u32) -> u32 {
    (RECORD_HEADER_LEN + body_len).next_multiple_of(ALIGN)
}

impl FileHeader {
    pub fn encode(&self) -> [u8; FILE_HEADER_LEN as usize] {
        let mut bytes = [0; FILE_HEADER_LEN as usize];
        bytes[0..8].copy_from_slice(&MAGIC);
        bytes[8..10].copy_from_slice(&FILE_VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.file.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.capacity.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.salt.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.node.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.len.to_le_bytes());
        let crc = weir_crc::crc32c(&bytes[..60]);
        bytes[60..64].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// `Err` says what is wrong with the bytes.
    pub fn decode(bytes: &[u8; FILE_HEADER_LEN as usize]) -> Result<FileHeader, &'static str> {
        if bytes[0..8] != MAGIC {
            return Err("it does not start with the magic bytes of a WAL file");
        }
        if weir_crc::crc32c(&bytes[..60]) != u32_at(bytes, 60) {
            return Err("the checksum of its header does not match");
        }
        if bytes[8..10] != FILE_VERSION.to_le_bytes() {
            return Err("its format version is not known to this release");
        }
        Ok(FileHeader {
            file: u64_at(bytes, 16),
            capacity: u32_at(bytes, 24),
            salt: u64_at(bytes, 32),
            node: u64_at(bytes, 40),
            len: u64_at(bytes, 48),
        })
    }
}

impl RecordHeader {
    pub fn encode(&self, salt: u64) -> [u8; RECORD_HEADER_LEN as usize] {
        let (kind, form, first, second) = self.kind.encode();
        let mut bytes = [0; RECORD_HEADER_LEN as usize];
        bytes[4] = RECORD_VERSION;
        bytes[5] = kind;
        bytes[6] = form;
        bytes[8..16].copy_from_slice(&self.at.file.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.at.offset.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.body_len.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.durable.file.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.durable.offset.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.body_crc.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.shard.0.to_le_bytes());
        bytes[48..56].copy_from_slice(&first.to_le_bytes());
        bytes[56..64].copy_from_slice(&second.to_le_bytes());
        let crc = header_crc(salt, &bytes);
        bytes[0..4].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The header at `at`, or `None` when these bytes are not one that was written there in this
    /// use of the file. The body is not looked at.
    pub fn decode(
        bytes: &[u8; RECORD_HEADER_LEN as usize],
        salt: u64,
        at: WalPos,
    ) -> Option<RecordHeader> {
        // The cheap comparisons come first: recovery tries this at every aligned offset.
        if u64_at(bytes, 8) != at.file || u32_at(bytes, 16) != at.offset {
            return None;
        }
        if bytes[4] != RECORD_VERSION || header_crc(salt, bytes) != u32_at(bytes, 0) {
            return None;
        }
        let kind = Kind::decode(bytes[5], bytes[6], u64_at(bytes, 48), u64_at(bytes, 56))?;
        Some(RecordHeader {
            kind,
            shard: ShardId(u64_at(bytes, 40)),
            at,
            body_len: u32_at(bytes, 20),
            body_crc: u32_at(bytes, 36),
            durable: WalPos {
                file: u64_at(bytes, 24),
                offset: u32_at(bytes, 32),
            },
        })
    }
}

impl Kind {
    fn encode(&self) -> (u8, u8, u64, u64) {
        match *self {
            Kind::Entry { form, term, index } => (1, form as u8, term, index),
            Kind::Vote { term, node, won } => (2, 1 + u8::from(won), term, node),
            Kind::Truncate { after: None } => (3, 1, 0, 0),
            Kind::Truncate {
                after: Some((term, index)),
            } => (3, 2, term, index),
            Kind::Purge {
                upto: (term, index),
            } => (4, 2, term, index),
            Kind::Committed { upto: None } => (5, 1, 0, 0),
            Kind::Committed {
                upto: Some((term, index)),
            } => (5, 2, term, index),
            Kind::Watermark { oldest_file, clean } => (6, 1 + u8::from(clean), oldest_file, 0),
            Kind::Start {
                previous_file,
                previous_end,
            } => (7, 1, previous_file, u64::from(previous_end)),
        }
    }

    fn decode(kind: u8, form: u8, first: u64, second: u64) -> Option<Kind> {
        // Behind each entry there is room for one more.
        if matches!(kind, 1 | 3 | 4 | 5) && second == Index::MAX {
            return None;
        }
        Some(match (kind, form) {
            (1, 1..=3) => Kind::Entry {
                form: EntryForm::decode(form)?,
                term: first,
                index: second,
            },
            (2, 1 | 2) => Kind::Vote {
                term: first,
                node: second,
                won: form == 2,
            },
            (3, 1) => Kind::Truncate { after: None },
            (3, 2) => Kind::Truncate {
                after: Some((first, second)),
            },
            (4, 2) => Kind::Purge {
                upto: (first, second),
            },
            (5, 1) => Kind::Committed { upto: None },
            (5, 2) => Kind::Committed {
                upto: Some((first, second)),
            },
            (6, 1 | 2) => Kind::Watermark {
                oldest_file: first,
                clean: form == 2,
            },
            (7, 1) => Kind::Start {
                previous_file: first,
                previous_end: u32::try_from(second).ok()?,
            },
            _ => return None,
        })
    }
}

impl EntryForm {
    pub fn decode(form: u8) -> Option<EntryForm> {
        [EntryForm::Payload, EntryForm::Blank, EntryForm::Membership]
            .into_iter()
            .find(|known| *known as u8 == form)
    }
}

fn header_crc(salt: u64, bytes: &[u8; RECORD_HEADER_LEN as usize]) -> u32 {
    weir_crc::append(weir_crc::crc32c(&salt.to_le_bytes()), &bytes[4..])
}

fn u32_at(bytes: &[u8; 64], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8; 64], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn golden_record() -> RecordHeader {
        RecordHeader {
            kind: Kind::Entry {
                form: EntryForm::Payload,
                term: 3,
                index: 0x0102,
            },
            shard: ShardId(7),
            at: WalPos {
                file: 9,
                offset: 128,
            },
            body_len: 5,
            body_crc: weir_crc::crc32c(b"hello"),
            durable: WalPos {
                file: 8,
                offset: 4096,
            },
        }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn golden_bytes() {
        let header = FileHeader {
            file: 9,
            capacity: 1 << 20,
            salt: 0x1122_3344_5566_7788,
            node: 42,
            len: 1 << 16,
        };
        assert_eq!(
            hex(&header.encode()),
            "5745495257414c0a01000000000000000900000000000000000010000000000088776655443322112a00000000000000000001000000000000000000187c48a1"
        );
        assert_eq!(
            hex(&golden_record().encode(header.salt)),
            "7bf8fc4901010100090000000000000080000000050000000800000000000000001000004cbb719a070000000000000003000000000000000201000000000000"
        );
    }

    #[test]
    fn a_header_of_another_use_of_the_file_or_another_place_is_none() {
        let header = golden_record();
        let bytes = header.encode(1);
        assert_eq!(RecordHeader::decode(&bytes, 1, header.at), Some(header));
        assert_eq!(RecordHeader::decode(&bytes, 2, header.at), None);
        let elsewhere = WalPos {
            file: 9,
            offset: 136,
        };
        assert_eq!(RecordHeader::decode(&bytes, 1, elsewhere), None);
    }

    #[test]
    fn an_index_that_none_can_follow_is_none() {
        let last = (3, Index::MAX);
        for kind in [
            Kind::Truncate { after: Some(last) },
            Kind::Purge { upto: last },
            Kind::Committed { upto: Some(last) },
            Kind::Entry {
                form: EntryForm::Payload,
                term: 3,
                index: Index::MAX,
            },
        ] {
            let record = RecordHeader {
                kind,
                ..golden_record()
            };
            let decoded = RecordHeader::decode(&record.encode(1), 1, record.at);
            assert_eq!(decoded, None);
        }
    }

    fn kind() -> impl Strategy<Value = Kind> {
        let id = || (any::<u64>(), 0..Index::MAX);
        prop_oneof![
            (1u8..=3, any::<u64>(), 0..Index::MAX).prop_map(|(form, term, index)| Kind::Entry {
                form: EntryForm::decode(form).expect("form is known"),
                term,
                index
            }),
            (any::<u64>(), any::<u64>(), any::<bool>()).prop_map(|(term, node, won)| Kind::Vote {
                term,
                node,
                won
            }),
            proptest::option::of(id()).prop_map(|after| Kind::Truncate { after }),
            id().prop_map(|upto| Kind::Purge { upto }),
            proptest::option::of(id()).prop_map(|upto| Kind::Committed { upto }),
            (any::<u64>(), any::<bool>())
                .prop_map(|(oldest_file, clean)| Kind::Watermark { oldest_file, clean }),
            (any::<u64>(), any::<u32>()).prop_map(|(previous_file, previous_end)| Kind::Start {
                previous_file,
                previous_end
            }),
        ]
    }

    prop_compose! {
        fn record()(
            kind in kind(),
            shard in any::<u64>(),
            at in (any::<u64>(), any::<u32>()),
            body_len in any::<u32>(),
            body_crc in any::<u32>(),
            durable in (any::<u64>(), any::<u32>()),
        ) -> RecordHeader {
            let pos = |(file, offset)| WalPos { file, offset };
            RecordHeader { kind, shard: ShardId(shard), at: pos(at), body_len, body_crc, durable: pos(durable) }
        }
    }

    proptest! {
        #[test]
        fn record_header_round_trips(record in record(), salt in any::<u64>()) {
            let decoded = RecordHeader::decode(&record.encode(salt), salt, record.at);
            prop_assert_eq!(decoded, Some(record));
        }

        #[test]
        fn a_flipped_bit_is_noticed(record in record(), bit in 0usize..512) {
            let mut bytes = record.encode(5);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(RecordHeader::decode(&bytes, 5, record.at), None);
        }

        #[test]
        fn file_header_round_trips(file in any::<u64>(), capacity in any::<u32>(), rest in any::<[u64; 3]>()) {
            let [salt, node, len] = rest;
            let header = FileHeader { file, capacity, salt, node, len };
            prop_assert_eq!(FileHeader::decode(&header.encode()), Ok(header));
        }
    }
}

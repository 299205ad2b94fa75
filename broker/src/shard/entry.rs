//! One Raft entry of a shard: the records of many partitions, or a change of what the shard carries.
//!
//! The bytes that go into the log are final: base offsets and leader epochs are already in the
//! batches, so every replica stores what consumers will read.
//!
//! ```text
//! offset  size  field
//! 0       1     version       u8 = 1 (0 reserved)
//! 1       1     kind          u8: 1 append, 2 attach, 3 detach, 4 trim, 5 metadata, 6 arrive, 7 carry, 8 seal,
//!                             9 open (0 reserved); kinds are only ever added
//! 2       2     reserved      u16 = 0
//! 4       8     time_ms       i64, the leader's clock; never smaller than in the entry before
//! 12      4     count         u32, items that follow (1 for metadata and open)
//! 16      n     items         fixed-size items by kind, see below; integers are little-endian
//! 16+n    m     batches       append and carry: the items' record batches, in the items' order
//!                             metadata: one opaque command up to the end of the entry
//!                             open: what is known of the log, up to the end (`weir_log::format`)
//! ```
//! Items: append and carry 40 bytes `topic_id 16 | partition i32 | base_offset i64 | leader_epoch i32 | len u32 | reserved u32`;
//! attach 32 bytes `topic_id 16 | partition i32 | epoch_base i32 | role u8 | reserved 7`;
//! detach and seal 20 bytes `topic_id 16 | partition i32`; trim 28 bytes `topic_id 16 | partition i32 | start i64`;
//! arrive 36 bytes `topic_id 16 | partition i32 | start i64 | role u8 | reserved 7`;
//! open 24 bytes `topic_id 16 | partition i32 | epoch_base i32`.
//!
//! The checksum is the WAL record's.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use uuid::Uuid;

pub const VERSION: u8 = 1;
pub const HEADER_LEN: usize = 16;
pub const APPEND_ITEM_LEN: usize = 40;
const ATTACH_ITEM_LEN: usize = 32;
const DETACH_ITEM_LEN: usize = 20;
const TRIM_ITEM_LEN: usize = 28;
const ARRIVE_ITEM_LEN: usize = 36;
const OPEN_ITEM_LEN: usize = 24;

/// A partition, named by its topic's id, so that a late write cannot revive a deleted topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartitionId {
    pub topic: Uuid,
    pub index: i32,
}

/// What else is folded from a partition's records when they are applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Role {
    /// Records only.
    Data = 1,
    /// `__consumer_offsets`: committed offsets and group metadata.
    Offsets = 2,
    /// `_schemas`: the registry.
    Schemas = 3,
}

impl Role {
    pub fn from_number(number: u8) -> Option<Role> {
        [Role::Data, Role::Offsets, Role::Schemas]
            .into_iter()
            .find(|role| *role as u8 == number)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendItem {
    pub partition: PartitionId,
    pub base_offset: i64,
    pub leader_epoch: i32,
    /// Bytes of this item's record batches.
    pub len: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachItem {
    pub partition: PartitionId,
    /// Kafka's leader epoch = `epoch_base` + Raft term.
    pub epoch_base: i32,
    pub role: Role,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrimItem {
    pub partition: PartitionId,
    /// New log start offset; a smaller one than today's changes nothing.
    pub start: i64,
}

/// A partition that comes from another shard, and is not served yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArriveItem {
    pub partition: PartitionId,
    /// Where the first batch begins that is carried here.
    pub start: i64,
    pub role: Role,
}

/// A partition of which everything has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenItem {
    pub partition: PartitionId,
    /// Above every leader epoch that it had in other shards.
    pub epoch_base: i32,
}

/// What an entry says; batches stay where they are, in the entry's payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    Append(Vec<AppendItem>),
    Attach(Vec<AttachItem>),
    Detach(Vec<PartitionId>),
    Trim(Vec<TrimItem>),
    Metadata,
    Arrive(Vec<ArriveItem>),
    /// Batches of partitions that arrive, as they are in the shard that they come from.
    Carry(Vec<AppendItem>),
    /// Nothing is appended to them or trimmed any more.
    Seal(Vec<PartitionId>),
    Open(OpenItem),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub time_ms: i64,
    pub body: Body,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EntryError {
    #[error("an entry of {have} bytes is shorter than its {need} bytes of header and items")]
    Short { have: usize, need: usize },
    #[error("unknown entry version {0}")]
    Version(u8),
    #[error("unknown entry kind {0}")]
    Kind(u8),
    #[error("unknown partition role {0}")]
    Role(u8),
}

impl Entry {
    /// Bytes of the header and the items; what follows are batches or the metadata command.
    pub fn head_len(&self) -> usize {
        HEADER_LEN
            + match &self.body {
                Body::Append(items) | Body::Carry(items) => items.len() * APPEND_ITEM_LEN,
                Body::Attach(items) => items.len() * ATTACH_ITEM_LEN,
                Body::Detach(items) | Body::Seal(items) => items.len() * DETACH_ITEM_LEN,
                Body::Trim(items) => items.len() * TRIM_ITEM_LEN,
                Body::Metadata => 0,
                Body::Arrive(items) => items.len() * ARRIVE_ITEM_LEN,
                Body::Open(_) => OPEN_ITEM_LEN,
            }
    }

    /// The header and the items as one piece of the entry's payload.
    pub fn encode_head(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.head_len());
        let (kind, count) = match &self.body {
            Body::Append(items) => (1, items.len()),
            Body::Attach(items) => (2, items.len()),
            Body::Detach(items) => (3, items.len()),
            Body::Trim(items) => (4, items.len()),
            Body::Metadata => (5, 1),
            Body::Arrive(items) => (6, items.len()),
            Body::Carry(items) => (7, items.len()),
            Body::Seal(items) => (8, items.len()),
            Body::Open(_) => (9, 1),
        };
        out.put_u8(VERSION);
        out.put_u8(kind);
        out.put_u16_le(0);
        out.put_i64_le(self.time_ms);
        out.put_u32_le(u32::try_from(count).expect("an entry's items are bounded by its bytes"));
        match &self.body {
            Body::Append(items) | Body::Carry(items) => {
                items.iter().for_each(|item| item.encode(&mut out));
            }
            Body::Attach(items) => items.iter().for_each(|item| item.encode(&mut out)),
            Body::Detach(items) | Body::Seal(items) => {
                items.iter().for_each(|id| id.encode(&mut out));
            }
            Body::Trim(items) => items.iter().for_each(|item| item.encode(&mut out)),
            Body::Metadata => {}
            Body::Arrive(items) => items.iter().for_each(|item| item.encode(&mut out)),
            Body::Open(item) => item.encode(&mut out),
        }
        out.freeze()
    }

    /// Reads the header and the items from an entry's payload.
    pub fn decode(payload: &[u8]) -> Result<Entry, EntryError> {
        let mut buf = payload;
        need(buf, HEADER_LEN)?;
        let version = buf.get_u8();
        if version != VERSION {
            return Err(EntryError::Version(version));
        }
        let kind = buf.get_u8();
        buf.advance(2);
        let time_ms = buf.get_i64_le();
        let count = buf.get_u32_le() as usize;
        let body = match kind {
            1 => Body::Append(appends(&mut buf, count)?),
            2 => Body::Attach(items(&mut buf, count, ATTACH_ITEM_LEN, AttachItem::decode)?),
            3 => Body::Detach(ids(&mut buf, count)?),
            4 => Body::Trim(items(&mut buf, count, TRIM_ITEM_LEN, |b| {
                Ok(TrimItem::decode(b))
            })?),
            5 => Body::Metadata,
            6 => Body::Arrive(items(&mut buf, count, ARRIVE_ITEM_LEN, ArriveItem::decode)?),
            7 => Body::Carry(appends(&mut buf, count)?),
            8 => Body::Seal(ids(&mut buf, count)?),
            9 => {
                need(buf, OPEN_ITEM_LEN)?;
                Body::Open(OpenItem::decode(&mut buf))
            }
            other => return Err(EntryError::Kind(other)),
        };
        Ok(Entry { time_ms, body })
    }
}

fn need(buf: &[u8], bytes: usize) -> Result<(), EntryError> {
    if buf.len() < bytes {
        Err(EntryError::Short {
            have: buf.len(),
            need: bytes,
        })
    } else {
        Ok(())
    }
}

fn items<T>(
    buf: &mut &[u8],
    count: usize,
    item_len: usize,
    decode: impl Fn(&mut &[u8]) -> Result<T, EntryError>,
) -> Result<Vec<T>, EntryError> {
    need(buf, count.saturating_mul(item_len))?;
    (0..count).map(|_| decode(buf)).collect()
}

fn appends(buf: &mut &[u8], count: usize) -> Result<Vec<AppendItem>, EntryError> {
    items(buf, count, APPEND_ITEM_LEN, |buf| {
        Ok(AppendItem::decode(buf))
    })
}

fn ids(buf: &mut &[u8], count: usize) -> Result<Vec<PartitionId>, EntryError> {
    items(buf, count, DETACH_ITEM_LEN, |buf| {
        Ok(PartitionId::decode(buf))
    })
}

impl PartitionId {
    fn encode(&self, out: &mut BytesMut) {
        out.put_slice(self.topic.as_bytes());
        out.put_i32_le(self.index);
    }

    fn decode(buf: &mut &[u8]) -> PartitionId {
        let mut topic = [0; 16];
        buf.copy_to_slice(&mut topic);
        PartitionId {
            topic: Uuid::from_bytes(topic),
            index: buf.get_i32_le(),
        }
    }
}

impl AppendItem {
    fn encode(&self, out: &mut BytesMut) {
        self.partition.encode(out);
        out.put_i64_le(self.base_offset);
        out.put_i32_le(self.leader_epoch);
        out.put_u32_le(self.len);
        out.put_u32_le(0);
    }

    fn decode(buf: &mut &[u8]) -> AppendItem {
        let item = AppendItem {
            partition: PartitionId::decode(buf),
            base_offset: buf.get_i64_le(),
            leader_epoch: buf.get_i32_le(),
            len: buf.get_u32_le(),
        };
        buf.advance(4);
        item
    }
}

impl AttachItem {
    fn encode(&self, out: &mut BytesMut) {
        self.partition.encode(out);
        out.put_i32_le(self.epoch_base);
        out.put_u8(self.role as u8);
        out.put_bytes(0, 7);
    }

    fn decode(buf: &mut &[u8]) -> Result<AttachItem, EntryError> {
        let partition = PartitionId::decode(buf);
        let epoch_base = buf.get_i32_le();
        let role = buf.get_u8();
        let role = Role::from_number(role).ok_or(EntryError::Role(role))?;
        buf.advance(7);
        Ok(AttachItem {
            partition,
            epoch_base,
            role,
        })
    }
}

impl ArriveItem {
    fn encode(&self, out: &mut BytesMut) {
        self.partition.encode(out);
        out.put_i64_le(self.start);
        out.put_u8(self.role as u8);
        out.put_bytes(0, 7);
    }

    fn decode(buf: &mut &[u8]) -> Result<ArriveItem, EntryError> {
        let partition = PartitionId::decode(buf);
        let start = buf.get_i64_le();
        let role = buf.get_u8();
        let role = Role::from_number(role).ok_or(EntryError::Role(role))?;
        buf.advance(7);
        Ok(ArriveItem {
            partition,
            start,
            role,
        })
    }
}

impl OpenItem {
    fn encode(&self, out: &mut BytesMut) {
        self.partition.encode(out);
        out.put_i32_le(self.epoch_base);
    }

    fn decode(buf: &mut &[u8]) -> OpenItem {
        OpenItem {
            partition: PartitionId::decode(buf),
            epoch_base: buf.get_i32_le(),
        }
    }
}

impl TrimItem {
    fn encode(&self, out: &mut BytesMut) {
        self.partition.encode(out);
        out.put_i64_le(self.start);
    }

    fn decode(buf: &mut &[u8]) -> TrimItem {
        TrimItem {
            partition: PartitionId::decode(buf),
            start: buf.get_i64_le(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(index: i32) -> PartitionId {
        PartitionId {
            topic: Uuid::from_u128(0x0102),
            index,
        }
    }

    fn samples() -> Vec<Entry> {
        let append = AppendItem {
            partition: partition(3),
            base_offset: 77,
            leader_epoch: 5,
            len: 100,
        };
        let attach = AttachItem {
            partition: partition(1),
            epoch_base: 9,
            role: Role::Offsets,
        };
        let trim = TrimItem {
            partition: partition(0),
            start: 12,
        };
        let arrive = ArriveItem {
            partition: partition(6),
            start: 40,
            role: Role::Data,
        };
        let open = OpenItem {
            partition: partition(6),
            epoch_base: 2000,
        };
        [
            Body::Append(vec![append.clone(), append.clone()]),
            Body::Carry(vec![append]),
            Body::Attach(vec![attach]),
            Body::Detach(vec![partition(2), partition(4)]),
            Body::Trim(vec![trim]),
            Body::Metadata,
            Body::Arrive(vec![arrive]),
            Body::Seal(vec![partition(5)]),
            Body::Open(open),
        ]
        .map(|body| Entry {
            time_ms: 1_700_000_000_123,
            body,
        })
        .to_vec()
    }

    #[test]
    fn every_kind_round_trips() {
        for entry in samples() {
            let head = entry.encode_head();
            assert_eq!(head.len(), entry.head_len());
            assert_eq!(Entry::decode(&head), Ok(entry));
        }
    }

    #[test]
    fn every_truncation_is_an_error() {
        for entry in samples() {
            let head = entry.encode_head();
            for len in 0..head.len() {
                assert!(
                    Entry::decode(&head[..len]).is_err(),
                    "{entry:?} cut to {len}"
                );
            }
        }
    }

    #[test]
    fn append_bytes_are_golden() {
        let item = AppendItem {
            partition: partition(3),
            base_offset: 77,
            leader_epoch: 5,
            len: 100,
        };
        let head = Entry {
            time_ms: 1,
            body: Body::Append(vec![item]),
        }
        .encode_head();
        let golden: &[u8] = &[
            1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, // header
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 0, 0, 0, // partition
            77, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 100, 0, 0, 0, 0, 0, 0, 0,
        ];
        assert_eq!(&head[..], golden);
    }
}

//! A shard's state as bytes; the checksum and the file are `raft`'s.
//!
//! ```text
//! offset  size  field
//! 0       1     version      u8 = 3 (0 reserved; 1 had no stages: all were open; 1 and 2 had no stays: all were the
//!                            first)
//! 1       8     time_ms      i64, little-endian like all integers here
//! 9       4     count        u32, partitions that follow
//! 13      n     partitions   topic_id 16 | index i32 | epoch_base i32 | role u8 | stage u8: 0 open, 1 sealed, 2 arriving
//!                            | stay u64 | log (`weir_log::format`)
//! 13+n    m     metadata     the metadata shard's state, up to the end; else empty
//! ```

use std::sync::Arc;

use bytes::{Buf, BufMut};
use uuid::Uuid;
use weir_log::PartitionLog;
use weir_raft::Index;

use super::entry::{PartitionId, Role};
use crate::meta::MetaFold;
use crate::partition::{Partition, Stage};

const VERSION: u8 = 3;
/// Without stages.
const FIRST_VERSION: u8 = 1;
/// Without stays.
const SECOND_VERSION: u8 = 2;
const HEADER_LEN: usize = 13;
const PARTITION_HEADER_LEN: usize = 25;

pub struct Restored {
    pub time_ms: i64,
    pub partitions: Vec<RestoredPartition>,
    pub metadata: Vec<u8>,
}

pub struct RestoredPartition {
    pub id: PartitionId,
    pub epoch_base: i32,
    pub role: Role,
    pub stage: Stage,
    pub stay: Index,
    pub log: PartitionLog,
}

pub fn encode(time_ms: i64, partitions: &[Arc<Partition>], metadata: Option<&MetaFold>) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_LEN + partitions.len() * 128);
    out.put_u8(VERSION);
    out.put_i64_le(time_ms);
    out.put_u32_le(u32::try_from(partitions.len()).expect("a node has fewer than 2^32 partitions"));
    for partition in partitions {
        out.put_slice(partition.id.topic.as_bytes());
        out.put_i32_le(partition.id.index);
        out.put_i32_le(partition.epoch_base());
        out.put_u8(partition.role as u8);
        out.put_u8(partition.stage() as u8);
        out.put_u64_le(partition.stay);
        weir_log::format::encode(&partition.log.read(), &mut out);
    }
    if let Some(metadata) = metadata {
        out.put_slice(&metadata.snapshot());
    }
    out
}

pub fn decode(mut bytes: &[u8]) -> Result<Restored, String> {
    if bytes.len() < HEADER_LEN {
        return Err(format!(
            "a shard snapshot of {} bytes is too short",
            bytes.len()
        ));
    }
    let version = bytes.get_u8();
    if ![FIRST_VERSION, SECOND_VERSION, VERSION].contains(&version) {
        return Err(format!("unknown shard snapshot version {version}"));
    }
    let time_ms = bytes.get_i64_le();
    let count = bytes.get_u32_le();
    let mut partitions = Vec::new();
    for _ in 0..count {
        partitions.push(decode_partition(&mut bytes, version)?);
    }
    Ok(Restored {
        time_ms,
        partitions,
        metadata: bytes.to_vec(),
    })
}

fn decode_partition(bytes: &mut &[u8], version: u8) -> Result<RestoredPartition, String> {
    let has_stage = version != FIRST_VERSION;
    let has_stay = has_stage && version != SECOND_VERSION;
    let more = usize::from(has_stage) + if has_stay { size_of::<Index>() } else { 0 };
    if bytes.len() < PARTITION_HEADER_LEN + more {
        return Err("a shard snapshot ends within a partition".into());
    }
    let mut topic = [0; 16];
    bytes.copy_to_slice(&mut topic);
    let id = PartitionId {
        topic: Uuid::from_bytes(topic),
        index: bytes.get_i32_le(),
    };
    let epoch_base = bytes.get_i32_le();
    let role = bytes.get_u8();
    let role = Role::from_number(role).ok_or_else(|| format!("unknown partition role {role}"))?;
    let stage = if has_stage { bytes.get_u8() } else { 0 };
    let stage = Stage::from_number(stage).ok_or_else(|| format!("unknown stage {stage}"))?;
    let stay = if has_stay { bytes.get_u64_le() } else { 0 };
    let log = weir_log::format::decode(bytes).map_err(|error| error.to_string())?;
    Ok(RestoredPartition {
        id,
        epoch_base,
        role,
        stage,
        stay,
        log,
    })
}

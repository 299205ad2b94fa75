//! The bytes of the metadata: entries of its log, and snapshots.
//!
//! offset  size  field    encoding
//! 0       1     version  u8: 1 (0 reserved)
//! 1       n     body     JSON: `MetaEntry` or `SnapshotBody`; unknown fields are ignored, fields are only ever added

use super::command::MetaCommand;
use super::epochs::EpochMarks;
use super::state::{Configs, MetaState, NodeInfo, ShardInfo};
use super::topics::{Topic, Topics};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const VERSION: u8 = 1;

/// What one decision changes, and the revision of the state that it saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetaEntry {
    pub revision: u64,
    pub commands: Vec<MetaCommand>,
}

#[derive(Serialize, Deserialize)]
struct SnapshotBody {
    revision: u64,
    cluster_id: Option<String>,
    nodes: BTreeMap<i32, NodeInfo>,
    #[serde(default)]
    former: BTreeSet<u64>,
    shards: BTreeMap<u64, ShardInfo>,
    #[serde(default)]
    retired_shard: u64,
    #[serde(default)]
    closed: BTreeSet<u64>,
    #[serde(default)]
    draining: BTreeSet<i32>,
    #[serde(default)]
    shards_per_node: u64,
    topics: Vec<Arc<Topic>>,
    cluster_configs: Configs,
    broker_configs: BTreeMap<i32, Configs>,
    next_producer_id: i64,
    epochs: EpochMarks,
}

pub fn encode_entry(entry: &MetaEntry) -> Bytes {
    encode(entry).into()
}

pub fn decode_entry(bytes: &[u8]) -> Result<MetaEntry, String> {
    decode(bytes)
}

pub fn encode_snapshot(state: &MetaState) -> Vec<u8> {
    encode(&SnapshotBody {
        revision: state.revision,
        cluster_id: state.cluster_id.clone(),
        nodes: state.nodes.clone(),
        former: state.former.clone(),
        shards: state.shards.clone(),
        retired_shard: state.retired_shard,
        closed: state.closed.clone(),
        draining: state.draining.clone(),
        shards_per_node: state.shards_per_node,
        topics: state.topics.iter().cloned().collect(),
        cluster_configs: state.cluster_configs.clone(),
        broker_configs: state.broker_configs.clone(),
        next_producer_id: state.next_producer_id,
        epochs: state.epochs.clone(),
    })
}

pub fn decode_snapshot(bytes: &[u8]) -> Result<MetaState, String> {
    let body: SnapshotBody = decode(bytes)?;
    let mut topics = Topics::default();
    for topic in body.topics {
        topics.insert(Arc::unwrap_or_clone(topic))?;
    }
    Ok(MetaState {
        revision: body.revision,
        cluster_id: body.cluster_id,
        nodes: body.nodes,
        former: body.former,
        shards: body.shards,
        retired_shard: body.retired_shard,
        closed: body.closed,
        draining: body.draining,
        shards_per_node: body.shards_per_node,
        topics,
        cluster_configs: body.cluster_configs,
        broker_configs: body.broker_configs,
        next_producer_id: body.next_producer_id,
        epochs: body.epochs,
    })
}

fn encode<T: Serialize>(body: &T) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    serde_json::to_writer(&mut bytes, body)
        .expect("metadata has string keys only and a Vec takes every write");
    bytes
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    match bytes.split_first() {
        Some((&VERSION, body)) => {
            serde_json::from_slice(body).map_err(|e| format!("metadata does not parse: {e}"))
        }
        Some((version, _)) => Err(format!(
            "metadata has format version {version}, this release reads {VERSION}"
        )),
        None => Err("metadata is empty".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn entry_bytes_are_golden() {
        let entry = MetaEntry {
            revision: 7,
            commands: vec![
                MetaCommand::TakeProducerIds {
                    first: 1000,
                    count: 1000,
                },
                MetaCommand::DeleteTopic {
                    id: Uuid::from_u128(1),
                    highest_epoch: 3,
                },
            ],
        };
        let golden = concat!(
            "\u{1}{\"revision\":7,\"commands\":[{\"take_producer_ids\":{\"first\":1000,\"count\":1000}},",
            "{\"delete_topic\":{\"id\":\"00000000-0000-0000-0000-000000000001\",\"highest_epoch\":3}}]}"
        );
        assert_eq!(std::str::from_utf8(&encode_entry(&entry)).unwrap(), golden);
        assert_eq!(decode_entry(golden.as_bytes()).unwrap(), entry);
    }

    #[test]
    fn other_versions_and_damage_are_refused() {
        assert!(decode_entry(&[]).is_err());
        assert!(decode_entry(b"\x02{}").unwrap_err().contains("version 2"));
        assert!(decode_entry(b"\x01{\"revision\":").is_err());
    }
}

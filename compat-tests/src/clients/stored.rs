//! Whether a client did what its settings say: the batches in the broker have the codec and the producer id.
//!
//! A consumer hides both, so the batches are fetched as they are.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use bytes::Bytes;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::{FetchRequest, TopicName};
use kafka_protocol::protocol::StrBytes;

use crate::calls;
use crate::clients::matrix::{Outcome, Played};
use crate::cluster::Cluster;
use crate::differential::batches::CODECS;
use crate::differential::wire::ANSWER_LIMIT;
use crate::weir::Weir;

/// The last version before sessions; it names topics.
const FETCH_VERSION: i16 = 6;
const HEADER_BYTES: usize = 61;
const CODEC_BITS: i16 = 0b111;

/// What a batch's header says.
struct Header {
    codec: i16,
    producer_id: i64,
}

/// Turns into failures what passed although the broker's batches say otherwise.
pub fn check(nodes: &[Weir], client: &str, played: &mut Played) {
    for (scenario, outcome) in &mut played.outcomes {
        if *outcome == Outcome::Passed
            && let Err(error) = check_scenario(nodes, client, scenario)
        {
            *outcome = Outcome::Failed(format!("{error:#}"));
        }
    }
}

fn check_scenario(nodes: &[Weir], client: &str, scenario: &str) -> Result<()> {
    let codec = CODECS.into_iter().find(|codec| {
        scenario
            .strip_prefix("produce-")
            .is_some_and(|name| format!("{codec:?}").eq_ignore_ascii_case(name))
    });
    if codec.is_none() && scenario != "idempotent-produce" {
        return Ok(());
    }
    let stored = headers(nodes, &format!("{client}-{scenario}"))?;
    ensure!(!stored.is_empty(), "no batch is stored");
    for header in stored {
        match codec {
            Some(codec) => ensure!(
                header.codec == codec as i16,
                "a batch is stored with codec {} instead of {codec:?}",
                header.codec
            ),
            None => ensure!(header.producer_id >= 0, "a batch has no producer id"),
        }
    }
    Ok(())
}

/// Those of all partitions, each from its leader.
fn headers(nodes: &[Weir], topic: &str) -> Result<Vec<Header>> {
    let mut headers = Vec::new();
    for one in calls::describe(nodes[0].kafka, topic)? {
        ensure!(one.leader >= 0, "partition {} has no leader", one.partition);
        let leader = match nodes {
            [alone] => alone,
            _ => &nodes[Cluster::place_of(one.leader)],
        };
        fetch(leader.kafka, topic, one.partition, &mut headers)?;
    }
    Ok(headers)
}

fn fetch(leader: SocketAddr, topic: &str, partition: i32, headers: &mut Vec<Header>) -> Result<()> {
    let partition = FetchPartition::default()
        .with_partition(partition)
        .with_partition_max_bytes(1 << 24);
    let asked = FetchTopic::default()
        .with_topic(TopicName(StrBytes::from_string(topic.to_string())))
        .with_partitions(vec![partition]);
    let request = FetchRequest::default()
        .with_max_bytes(1 << 24)
        .with_topics(vec![asked]);
    let answer = calls::ask_within(ANSWER_LIMIT, leader, FETCH_VERSION, &request)?;
    for partition in answer.responses.iter().flat_map(|topic| &topic.partitions) {
        ensure!(partition.error_code == 0, "error {}", partition.error_code);
        walk(partition.records.clone().unwrap_or_default(), headers)?;
    }
    Ok(())
}

fn walk(mut records: Bytes, headers: &mut Vec<Header>) -> Result<()> {
    while records.len() >= HEADER_BYTES {
        let length = u32::from_be_bytes(records[8..12].try_into()?) as usize + 12;
        ensure!(length >= HEADER_BYTES, "a batch of {length} bytes");
        headers.push(Header {
            codec: i16::from_be_bytes(records[21..23].try_into()?) & CODEC_BITS,
            producer_id: i64::from_be_bytes(records[43..51].try_into()?),
        });
        records = records.split_off(length.min(records.len()));
    }
    Ok(())
}

//! ElectLeaders and DescribeQuorum, as far as a cluster shows them in which nothing moves.

use anyhow::Result;
use kafka_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use kafka_protocol::messages::describe_quorum_response::ReplicaState;
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::{DescribeQuorumRequest, ElectLeadersRequest};
use serde_json::json;

use super::Cases;
use super::common::nowhere;
use crate::differential::build;
use crate::differential::trial::Trial;

const METADATA: &str = "__cluster_metadata";

pub fn election_cases(c: &mut Cases) {
    for kind in [0, 1, 2, -1] {
        c.each(format!("election type {kind}"), 0..=2, move |t, v| {
            // Version 0 has no types.
            let kind = if v == 0 { 0 } else { kind };
            let (left, right) = (t.topic("left", 2)?, t.topic("right", 1)?);
            elect(t, v, kind, &[(&left.name, &[0, 1]), (&right.name, &[0])])
        });
    }
    c.each("unknown topic and partition", 0..=2, |t, v| {
        let (topic, nowhere) = (t.topic("t", 1)?, nowhere(t));
        elect(
            t,
            v,
            0,
            &[(&nowhere.name, &[0]), (&topic.name, &[0, 7, -1])],
        )
    });
    c.each("no partitions", 0..=2, |t, v| {
        let topic = t.topic("t", 1)?;
        elect(t, v, 0, &[(&topic.name, &[])])
    });
    c.each("no topics", 0..=2, |t, v| elect(t, v, 0, &[]));
    c.each("all topics", 0..=2, |t, v| {
        t.topic("t", 2)?;
        let request = ElectLeadersRequest::default()
            .with_topic_partitions(None)
            .with_timeout_ms(10_000);
        let answer = t.quietly(v, &request)?;
        let topics = answer.replica_election_results.iter();
        let results: usize = topics.map(|topic| topic.partition_result.len()).sum();
        let said = json!({ "code": answer.error_code, "results": results });
        t.note("all topics", said);
        Ok(())
    });
}

fn elect(t: &mut Trial, v: i16, kind: i8, topics: &[(&str, &[i32])]) -> Result<()> {
    let topic = |(name, partitions): &(&str, &[i32])| {
        TopicPartitions::default()
            .with_topic(build::topic(name))
            .with_partitions(partitions.to_vec())
    };
    let topics = topics.iter().map(topic).collect();
    let mut request = ElectLeadersRequest::default()
        .with_topic_partitions(Some(topics))
        .with_timeout_ms(10_000);
    request.election_type = kind;
    t.ask(v, request)?;
    Ok(())
}

pub fn cases(c: &mut Cases) {
    c.each("the metadata", 0..=2, |t, v| {
        let answer = t.quietly(v, &asking(&[(METADATA, &[0])]))?;
        let partition = &answer.topics[0].partitions[0];
        let replicas = partition.current_voters.iter();
        let replicas = replicas.chain(&partition.observers);
        let (voters, nodes) = (partition.current_voters.len(), t.nodes().len());
        let has_all = |one: &&ReplicaState| one.log_end_offset >= partition.high_watermark;
        // Offsets and times are each cluster's own, and so is who leads of its nodes.
        let said = json!({
            "code": answer.error_code,
            "partition_code": partition.error_code,
            "leads": t.nodes().contains(&partition.leader_id.0),
            "voters": voters == nodes,
            "observers": partition.observers.len(),
            "nodes": if v < 2 { answer.nodes.is_empty() } else { answer.nodes.len() == nodes },
            "committed": partition.high_watermark > 0,
            "whole": replicas.clone().filter(has_all).count() > voters / 2,
            "directories": replicas.clone().all(|one| one.replica_directory_id.is_nil() == (v < 2)),
            "times": replicas.clone().all(|one| (one.last_fetch_timestamp > 0) == (v >= 1)),
        });
        t.note("the metadata", said);
        Ok(())
    });
    for (name, topics) in [
        ("another partition", vec![(METADATA, &[1][..])]),
        ("two partitions", vec![(METADATA, &[0, 1][..])]),
        ("no partition", vec![(METADATA, &[][..])]),
        ("another topic", vec![("t", &[0][..])]),
        ("two topics", vec![(METADATA, &[0][..]), ("t", &[0][..])]),
        ("no topic", vec![]),
    ] {
        c.each(name, 0..=2, move |t, v| {
            t.ask(v, asking(&topics))?;
            Ok(())
        });
    }
}

fn asking(topics: &[(&str, &[i32])]) -> DescribeQuorumRequest {
    let topic = |(name, partitions): &(&str, &[i32])| {
        let partition = |index: &i32| PartitionData::default().with_partition_index(*index);
        TopicData::default()
            .with_topic_name(build::topic(name))
            .with_partitions(partitions.iter().map(partition).collect())
    };
    DescribeQuorumRequest::default().with_topics(topics.iter().map(topic).collect())
}

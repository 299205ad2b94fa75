//! DescribeCluster, DescribeTopicPartitions and DescribeLogDirs: the cluster as tools see it.

use std::ops::RangeInclusive;

use anyhow::Result;
use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use kafka_protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use kafka_protocol::messages::{
    DescribeClusterRequest, DescribeLogDirsRequest, DescribeTopicPartitionsRequest,
};

use super::Cases;
use super::common::{BAD_NAMES, append, nowhere};
use crate::differential::batches::one;
use crate::differential::build;
use crate::differential::tree;
use crate::differential::trial::Trial;

const ALL: RangeInclusive<i16> = 0..=2;
const HAS_ENDPOINTS: RangeInclusive<i16> = 1..=2;
const HAS_FENCED: RangeInclusive<i16> = 2..=2;
const LOG_DIRS: RangeInclusive<i16> = 1..=4;

pub fn cases(c: &mut Cases) {
    c.each("the cluster", ALL, |t, v| {
        t.ask(v, DescribeClusterRequest::default())?;
        Ok(())
    });
    c.each("authorized operations", ALL, |t, v| {
        t.ask(
            v,
            DescribeClusterRequest::default().with_include_cluster_authorized_operations(true),
        )?;
        Ok(())
    });
    for endpoints in [0, 2, 3, -1] {
        c.each(
            format!("endpoint type {endpoints}"),
            HAS_ENDPOINTS,
            move |t, v| {
                t.ask(
                    v,
                    DescribeClusterRequest::default().with_endpoint_type(endpoints),
                )?;
                Ok(())
            },
        );
    }
    c.each("fenced brokers too", HAS_FENCED, |t, v| {
        t.ask(
            v,
            DescribeClusterRequest::default().with_include_fenced_brokers(true),
        )?;
        Ok(())
    });
}

pub fn partition_cases(c: &mut Cases) {
    c.each("two topics", 0..=0, |t, v| {
        let (left, right) = (t.topic("left", 2)?, t.topic("right", 1)?);
        partitions(t, v, &[&right.name, &left.name], 2000, None)
    });
    c.each("known, unknown and invalid topics", 0..=0, |t, v| {
        let (topic, nowhere) = (t.topic("t", 1)?, nowhere(t));
        partitions(t, v, &[&nowhere.name, &topic.name, "a b"], 2000, None)
    });
    c.each("a topic twice", 0..=0, |t, v| {
        let topic = t.topic("t", 1)?;
        partitions(t, v, &[&topic.name, &topic.name], 2000, None)
    });
    for limit in [1, 2, 3, 0, -1] {
        c.each(format!("limit {limit}"), 0..=0, move |t, v| {
            let (left, right) = (t.topic("left", 2)?, t.topic("right", 2)?);
            partitions(t, v, &[&left.name, &right.name], limit, None)
        });
    }
    for partition in [0, 1, 5, -1] {
        c.each(
            format!("from partition {partition} of the second topic"),
            0..=0,
            move |t, v| {
                let (left, right) = (t.topic("left", 2)?, t.topic("right", 2)?);
                partitions(
                    t,
                    v,
                    &[&left.name, &right.name],
                    2000,
                    Some((&right.name, partition)),
                )
            },
        );
    }
    c.each("from a topic that was not asked for", 0..=0, |t, v| {
        let (left, other) = (t.topic("left", 1)?, t.topic("other", 1)?);
        partitions(t, v, &[&left.name], 2000, Some((&other.name, 0)))
    });
    c.each("all topics", 0..=0, |t, v| {
        let own = t.name("");
        t.topic("left", 1)?;
        let mut answer = t.quietly(v, &DescribeTopicPartitionsRequest::default())?;
        answer.topics.retain(|topic| {
            topic
                .name
                .as_ref()
                .is_some_and(|name| name.starts_with(&own))
        });
        answer.next_cursor = None;
        t.note("all topics, those of the case", tree::of(&answer)?);
        Ok(())
    });
    for (label, name) in BAD_NAMES {
        c.each(format!("invalid name, {label}"), 0..=0, move |t, v| {
            partitions(t, v, &[name], 2000, None)
        });
    }
}

fn partitions(
    t: &mut Trial,
    v: i16,
    names: &[&str],
    limit: i32,
    cursor: Option<(&str, i32)>,
) -> Result<()> {
    let topic = |name: &&str| TopicRequest::default().with_name(build::topic(name));
    let cursor = cursor.map(|(name, partition)| {
        Cursor::default()
            .with_topic_name(build::topic(name))
            .with_partition_index(partition)
    });
    let request = DescribeTopicPartitionsRequest::default()
        .with_topics(names.iter().map(topic).collect())
        .with_response_partition_limit(limit)
        .with_cursor(cursor);
    t.ask(v, request)?;
    Ok(())
}

pub fn log_dir_cases(c: &mut Cases) {
    c.each("a topic", LOG_DIRS, |t, v| {
        let topic = t.topic("t", 2)?;
        append(t, &topic, 1, &one())?;
        log_dirs(t, v, &[(&topic.name, &[0, 1])])
    });
    c.each("a partition of a topic", LOG_DIRS, |t, v| {
        let topic = t.topic("t", 2)?;
        log_dirs(t, v, &[(&topic.name, &[1])])
    });
    c.each("unknown topic and partition", LOG_DIRS, |t, v| {
        let (topic, nowhere) = (t.topic("t", 1)?, nowhere(t));
        log_dirs(t, v, &[(&nowhere.name, &[0]), (&topic.name, &[7, -1])])
    });
    c.each("no partitions", LOG_DIRS, |t, v| {
        let topic = t.topic("t", 1)?;
        log_dirs(t, v, &[(&topic.name, &[])])
    });
    c.each("no topics", LOG_DIRS, |t, v| log_dirs(t, v, &[]));
    c.each("all topics", LOG_DIRS, |t, v| {
        let own = t.name("");
        let topic = t.topic("t", 2)?;
        append(t, &topic, 1, &one())?;
        let mut answer = t.quietly(v, &DescribeLogDirsRequest::default().with_topics(None))?;
        for dir in &mut answer.results {
            dir.topics.retain(|topic| topic.name.starts_with(&own));
        }
        t.note("all topics, those of the case", tree::of(&answer)?);
        Ok(())
    });
}

fn log_dirs(t: &mut Trial, v: i16, topics: &[(&str, &[i32])]) -> Result<()> {
    let topic = |(name, partitions): &(&str, &[i32])| {
        DescribableLogDirTopic::default()
            .with_topic(build::topic(name))
            .with_partitions(partitions.to_vec())
    };
    t.ask(
        v,
        DescribeLogDirsRequest::default().with_topics(Some(topics.iter().map(topic).collect())),
    )?;
    Ok(())
}

//! kafka_exporter's gauges of consumer groups: each group's from the node that coordinates it.

use std::collections::HashMap;
use std::sync::Arc;

use prometheus::IntGaugeVec;
use prometheus::core::Collector;
use prometheus::proto::MetricFamily;

use super::exporter::{PARTITION_LIMIT, gauge, vector};
use crate::broker::Broker;
use crate::groups::coordinator::GroupFigures;
use crate::kafka::produce::request::TopicRef;

/// A group's topic: committed offsets and lags, summed over its partitions.
#[derive(Default)]
struct Sums {
    offset: i64,
    /// `None` while no partition's end is known.
    lag: Option<i64>,
}

pub fn gather(broker: &Broker) -> Vec<MetricFamily> {
    let coordinators = broker.groups.all();
    let groups: Vec<GroupFigures> = coordinators
        .iter()
        .flat_map(|coordinator| coordinator.figures())
        .collect();
    let members = vector(
        "kafka_consumergroup_members",
        "Members of a consumer group.",
        &["consumergroup"],
    );
    for group in &groups {
        members
            .with_label_values(&[&*group.id])
            .set(i64::try_from(group.members).unwrap_or(i64::MAX));
    }
    let limited = gauge(
        "weir_group_series_limited",
        "1 when series of committed offsets are left out for their number.",
    );
    let count: usize = groups.iter().map(|group| group.offsets.len()).sum();
    let mut families = members.collect();
    if count > PARTITION_LIMIT {
        limited.set(1);
    } else {
        families.extend(offsets(broker, &groups));
    }
    families.extend(limited.collect());
    families
}

fn offsets(broker: &Broker, groups: &[GroupFigures]) -> Vec<MetricFamily> {
    let by_partition = |name, help| vector(name, help, &["consumergroup", "topic", "partition"]);
    let by_topic = |name, help| vector(name, help, &["consumergroup", "topic"]);
    let current = by_partition(
        "kafka_consumergroup_current_offset",
        "Committed offset of a consumer group in a partition.",
    );
    let lag = by_partition(
        "kafka_consumergroup_lag",
        "Records of a partition that a consumer group has not committed yet.",
    );
    let current_sum = by_topic(
        "kafka_consumergroup_current_offset_sum",
        "Committed offsets of a consumer group, summed over a topic's partitions.",
    );
    let lag_sum = by_topic(
        "kafka_consumergroup_lag_sum",
        "Records of a topic that a consumer group has not committed yet.",
    );
    for group in groups {
        let mut sums: HashMap<&Arc<str>, Sums> = HashMap::new();
        for (topic, partition, committed) in &group.offsets {
            let sum = sums.entry(topic).or_default();
            let index = partition.to_string();
            let labels = [&*group.id, topic, &index];
            current.with_label_values(&labels).set(*committed);
            sum.offset += committed;
            if let Some(end) = end_of(broker, topic, *partition) {
                let behind = (end - committed).max(0);
                lag.with_label_values(&labels).set(behind);
                *sum.lag.get_or_insert(0) += behind;
            }
        }
        for (topic, sum) in sums {
            let set = |vector: &IntGaugeVec, value| {
                vector.with_label_values(&[&*group.id, topic]).set(value);
            };
            set(&current_sum, sum.offset);
            if let Some(behind) = sum.lag {
                set(&lag_sum, behind);
            }
        }
    }
    let vectors = [current, current_sum, lag, lag_sum];
    vectors.iter().flat_map(|vector| vector.collect()).collect()
}

/// One past the last committed record, where this node has the partition.
fn end_of(broker: &Broker, topic: &str, partition: i32) -> Option<i64> {
    let topic = TopicRef::Name(topic.to_owned());
    Some(broker.find_partition(&topic, partition)?.high_watermark())
}

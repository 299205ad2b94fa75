//! kafka_exporter's gauges, so that dashboards made for it show data without an exporter.
//!
//! Each series comes from one node only, so that `sum()` over nodes is right: the cluster's from
//! the metadata leader, a partition's from its leader.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, IntGauge, IntGaugeVec, Opts};

use super::groups;
use crate::broker::Broker;
use crate::partition::Partition;

/// Above so many partitions their own series stop.
pub const PARTITION_LIMIT: usize = 10_000;

pub fn gather(broker: &Broker) -> Vec<MetricFamily> {
    let mut families = Vec::new();
    if broker.shards.metadata().leadership().open {
        families.extend(cluster(broker));
    }
    families.extend(super::cluster::gather(broker));
    families.extend(partitions(broker));
    families.extend(groups::gather(broker));
    families.extend(tables(broker));
    families.extend(space(broker));
    // A family without a series is not there yet; the text format has no place for it.
    families.retain(|family| !family.get_metric().is_empty());
    families
}

fn space(broker: &Broker) -> Vec<MetricFamily> {
    let usage = broker.space.usage();
    let bytes = |name: &str, help: &str, bytes: u64| {
        let gauge = gauge(name, help);
        gauge.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        gauge.collect()
    };
    let mut families = vec![
        bytes(
            "weir_wal_bytes",
            "Bytes that the write-ahead log takes.",
            usage.wal_bytes,
        ),
        bytes(
            "weir_wal_budget_bytes",
            "Bytes that the write-ahead log may take.",
            usage.wal_budget_bytes,
        ),
    ];
    if let Some(free) = usage.disk_free_bytes {
        families.push(bytes(
            "weir_disk_free_bytes",
            "Free bytes of the data directory's file system.",
            free,
        ));
    }
    families.concat()
}

fn cluster(broker: &Broker) -> Vec<MetricFamily> {
    let brokers = gauge("kafka_brokers", "Number of brokers in the cluster.");
    let partitions = vector(
        "kafka_topic_partitions",
        "Number of partitions of a topic.",
        &["topic"],
    );
    let state = broker.meta.read();
    brokers.set(state.nodes().len() as i64);
    for topic in state.topics().iter() {
        partitions
            .with_label_values(&[&*topic.name])
            .set(i64::from(topic.partition_count()));
    }
    [brokers.collect(), partitions.collect()].concat()
}

/// How far each table's rows are behind its log: records of all partitions, seconds of the slowest.
fn tables(broker: &Broker) -> Vec<MetricFamily> {
    let mut lags: BTreeMap<Arc<str>, (i64, Duration)> = BTreeMap::new();
    for lag in broker.tables.lags() {
        let (records, time) = lags.entry(lag.table).or_default();
        *records += lag.records;
        *time = lag.time.max(*time);
    }
    let records = vector(
        "weir_table_lag_records",
        "Committed records that the table's rows do not hold yet.",
        &["table"],
    );
    let opts = Opts::new(
        "weir_table_lag_seconds",
        "How long the oldest record that the table's rows do not hold yet has been there.",
    );
    let seconds = GaugeVec::new(opts, &["table"]).expect("a legal metric");
    for (table, (behind, time)) in &lags {
        records.with_label_values(&[table]).set(*behind);
        seconds.with_label_values(&[table]).set(time.as_secs_f64());
    }
    [records.collect(), seconds.collect()].concat()
}

/// The gauges of one partition, by kafka_exporter's names.
struct Gauges {
    current_offset: IntGaugeVec,
    oldest_offset: IntGaugeVec,
    leader: IntGaugeVec,
    leader_is_preferred: IntGaugeVec,
    replicas: IntGaugeVec,
    in_sync_replica: IntGaugeVec,
    under_replicated: IntGaugeVec,
}

fn partitions(broker: &Broker) -> Vec<MetricFamily> {
    let led: Vec<_> = led_partitions(broker);
    let limited = gauge(
        "weir_partition_series_limited",
        "1 when per-partition series are left out for their number.",
    );
    if led.len() > PARTITION_LIMIT {
        limited.set(1);
        return limited.collect();
    }
    let name = |suffix: &str| format!("kafka_topic_partition_{suffix}");
    let vector = |suffix: &str, help: &str| vector(&name(suffix), help, &["topic", "partition"]);
    let gauges = Gauges {
        current_offset: vector("current_offset", "One past the last committed record."),
        oldest_offset: vector("oldest_offset", "The log start offset."),
        leader: vector("leader", "The leader's broker id."),
        leader_is_preferred: vector("leader_is_preferred", "1 when the preferred broker leads."),
        replicas: vector("replicas", "Number of replicas."),
        in_sync_replica: vector("in_sync_replica", "Number of in-sync replicas."),
        under_replicated: vector(
            "under_replicated_partition",
            "1 when a replica is not in sync.",
        ),
    };
    for (topic, partition, replicas) in &led {
        gauges.set(broker, topic, partition, replicas);
    }
    let Gauges {
        current_offset,
        oldest_offset,
        leader,
        leader_is_preferred,
        replicas,
        ..
    } = &gauges;
    let vectors = [
        current_offset,
        oldest_offset,
        leader,
        leader_is_preferred,
        replicas,
    ];
    let mut families: Vec<_> = vectors.iter().flat_map(|vector| vector.collect()).collect();
    families.extend(gauges.in_sync_replica.collect());
    families.extend(gauges.under_replicated.collect());
    families.extend(limited.collect());
    families
}

type Led = (String, std::sync::Arc<Partition>, Vec<i32>);

fn led_partitions(broker: &Broker) -> Vec<Led> {
    let state = broker.meta.read();
    let mut led = Vec::new();
    for topic in state.topics().iter() {
        for (index, place) in (0..).zip(&topic.partitions) {
            let id = crate::shard::entry::PartitionId {
                topic: topic.id,
                index,
            };
            let Some(partition) = broker.partitions.get(id) else {
                continue;
            };
            if led.len() > PARTITION_LIMIT {
                // Their series are left out.
                return led;
            }
            if partition.leadership().open {
                led.push((
                    topic.name.to_string(),
                    partition,
                    broker.admin.partitions.replicas(&state, place.shard),
                ));
            }
        }
    }
    led
}

impl Gauges {
    fn set(&self, broker: &Broker, topic: &str, partition: &Partition, replicas: &[i32]) {
        let index = partition.id.index.to_string();
        let labels = &[topic, index.as_str()];
        let in_sync = i64::from(broker.in_sync_replicas(partition));
        let preferred = replicas.first() == Some(&broker.broker_id);
        let (start, end) = {
            let log = partition.log.read();
            (log.log_start_offset(), log.next_offset())
        };
        self.current_offset.with_label_values(labels).set(end);
        self.oldest_offset.with_label_values(labels).set(start);
        self.leader
            .with_label_values(labels)
            .set(i64::from(broker.broker_id));
        self.leader_is_preferred
            .with_label_values(labels)
            .set(i64::from(preferred));
        self.replicas
            .with_label_values(labels)
            .set(replicas.len() as i64);
        self.in_sync_replica.with_label_values(labels).set(in_sync);
        self.under_replicated
            .with_label_values(labels)
            .set(i64::from(in_sync < replicas.len() as i64));
    }
}

pub fn gauge(name: &str, help: &str) -> IntGauge {
    IntGauge::new(name, help).expect("a legal metric")
}

pub fn vector(name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    IntGaugeVec::new(Opts::new(name, help), labels).expect("a legal metric")
}

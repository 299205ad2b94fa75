//! What the data path keeps in memory beside its budgets, and where records lie on the disk.

use std::sync::Arc;

use prometheus::IntGauge;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use super::exporter::gauge;
use crate::broker::Broker;
use crate::kafka::budget::ByteBudget;

pub fn gather(broker: &Broker) -> Vec<MetricFamily> {
    let (mut tail, mut tail_budget, mut index) = (0, 0, 0);
    let (mut segments, mut segment_bytes) = (0, 0);
    for shard in broker.shards.all().iter() {
        shard.with_tail(|kept| {
            tail += kept.used_bytes();
            tail_budget += kept.budget_bytes();
        });
        index += shard.index_bytes();
        for partition in broker.partitions.of_shard(shard) {
            let log = partition.log.read();
            segments += log.segments().len();
            segment_bytes += log.segments().bytes();
        }
    }
    let families = [
        value(
            "weir_tail_bytes",
            "Memory that recent records take, with the requests that brought them.",
            tail,
        ),
        value(
            "weir_tail_budget_bytes",
            "Memory that recent records may take.",
            tail_budget,
        ),
        value(
            "weir_wal_index_bytes",
            "Memory that it takes to know where records lie in the write-ahead log.",
            index,
        ),
        value(
            "weir_segments",
            "Segments: stretches of a partition's records in segment files.",
            segments,
        ),
        value(
            "weir_segment_bytes",
            "Bytes of the records in segments.",
            usize::try_from(segment_bytes).unwrap_or(usize::MAX),
        ),
    ];
    families.concat()
}

fn value(name: &str, help: &str, value: usize) -> Vec<MetricFamily> {
    let gauge = gauge(name, help);
    set(&gauge, value);
    gauge.collect()
}

fn set(gauge: &IntGauge, value: usize) {
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
}

/// Reads the budget of a listener's requests at each scrape.
pub struct RequestMemory {
    budget: Arc<ByteBudget>,
    used_bytes: IntGauge,
    limit_bytes: IntGauge,
}

impl RequestMemory {
    pub fn of(budget: Arc<ByteBudget>) -> RequestMemory {
        RequestMemory {
            budget,
            used_bytes: gauge(
                "weir_request_bytes",
                "Memory that requests hold, from their first byte to their answer.",
            ),
            limit_bytes: gauge(
                "weir_request_budget_bytes",
                "Memory that requests may hold; at it connections are left unread.",
            ),
        }
    }
}

impl Collector for RequestMemory {
    fn desc(&self) -> Vec<&Desc> {
        [self.used_bytes.desc(), self.limit_bytes.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        set(&self.used_bytes, self.budget.used_bytes());
        set(&self.limit_bytes, self.budget.limit_bytes());
        [self.used_bytes.collect(), self.limit_bytes.collect()].concat()
    }
}

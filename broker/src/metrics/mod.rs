//! What Prometheus scrapes: Weir's own histograms and counters, and kafka_exporter's gauges.
//!
//! Hot paths hold their metric and pay one atomic; gauges are read off the state at each scrape.

mod cluster;
mod compaction;
mod exporter;
mod fetched;
mod groups;
mod memory;
mod requests;
mod segments;

use std::sync::Arc;
use std::time::Duration;

use prometheus::{
    Counter, CounterVec, Encoder, Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts,
    Registry, TextEncoder,
};
use weir_raft::{Damage, WalObserver};

pub use self::compaction::Compaction;
pub use self::fetched::FetchedBytes;
pub use self::segments::Segments;
use crate::broker::Broker;
use crate::kafka::budget::ByteBudget;
use crate::kafka::request_metrics::RequestMetrics;

/// Seconds; from an fsync on a fast disk to a stalled one.
const BUCKETS: [f64; 16] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5, 10.0,
];

/// The process's metrics. One per node.
pub struct Metrics {
    registry: Registry,
    /// From a produce request's start to its answer.
    pub produce: Histogram,
    /// Work of a fetch request, without its wait for records.
    pub fetch: Histogram,
    pub fetched_bytes: FetchedBytes,
    /// From a proposal to its outcome.
    pub commit: Histogram,
    pub fsync: Histogram,
    /// A table lookup, of one key or of a batch.
    pub lookup: Histogram,
    /// By reason.
    pub throttled_seconds: CounterVec,
    /// By topic, part (key or value) and reason.
    pub schema_rejected: IntCounterVec,
    /// Bytes cut from the end of the WAL after a crash: never acked ones.
    pub wal_torn_bytes: Counter,
    /// Moves of partitions that began so that nodes have their share.
    pub balance_moves: IntCounter,
    pub compaction: Compaction,
    pub segments: Segments,
}

impl Default for Metrics {
    fn default() -> Metrics {
        let registry = Registry::new();
        let metrics = Metrics {
            produce: histogram(
                "weir_produce_duration_seconds",
                "From a produce request's start to its answer.",
            ),
            fetch: histogram(
                "weir_fetch_duration_seconds",
                "Reading for a fetch request, without its wait.",
            ),
            commit: histogram(
                "weir_commit_duration_seconds",
                "From a proposal to its outcome.",
            ),
            fsync: histogram(
                "weir_fsync_duration_seconds",
                "One write and fdatasync of the write-ahead log.",
            ),
            lookup: histogram(
                "weir_lookup_duration_seconds",
                "A table lookup, of one key or of a batch.",
            ),
            throttled_seconds: CounterVec::new(
                Opts::new(
                    "weir_throttled_seconds_total",
                    "Time for which producers were held back.",
                ),
                &["reason"],
            )
            .expect("a legal metric"),
            schema_rejected: IntCounterVec::new(
                Opts::new(
                    "weir_schema_rejected_records_total",
                    "Records refused by their topic's schema.",
                ),
                &["topic", "part", "reason"],
            )
            .expect("a legal metric"),
            wal_torn_bytes: Counter::new(
                "weir_wal_torn_bytes_total",
                "Bytes of unacked records cut after a crash.",
            )
            .expect("a legal metric"),
            balance_moves: IntCounter::new(
                "weir_balance_moves_total",
                "Moves of partitions that this node began so that nodes have their share.",
            )
            .expect("a legal metric"),
            fetched_bytes: FetchedBytes::new(&registry),
            compaction: Compaction::new(&registry),
            segments: Segments::new(&registry),
            registry,
        };
        let Metrics { registry, .. } = &metrics;
        for histogram in [
            &metrics.produce,
            &metrics.fetch,
            &metrics.commit,
            &metrics.fsync,
            &metrics.lookup,
        ] {
            registry
                .register(Box::new(histogram.clone()))
                .expect("names differ");
        }
        registry
            .register(Box::new(metrics.throttled_seconds.clone()))
            .expect("names differ");
        registry
            .register(Box::new(metrics.schema_rejected.clone()))
            .expect("names differ");
        registry
            .register(Box::new(metrics.wal_torn_bytes.clone()))
            .expect("names differ");
        registry
            .register(Box::new(metrics.balance_moves.clone()))
            .expect("names differ");
        let process = prometheus::process_collector::ProcessCollector::for_self();
        registry.register(Box::new(process)).expect("names differ");
        metrics
    }
}

fn histogram(name: &str, help: &str) -> Histogram {
    Histogram::with_opts(HistogramOpts::new(name, help).buckets(BUCKETS.to_vec()))
        .expect("a legal metric")
}

impl Metrics {
    /// Has the figures of a listener's requests scraped too. One listener per node.
    pub fn add_requests(&self, requests: &Arc<RequestMetrics>) {
        let requests = requests::Requests(requests.clone());
        if let Err(error) = self.registry.register(Box::new(requests)) {
            tracing::error!(%error, "requests are missing from the metrics");
        }
    }

    /// Has the memory of a listener's requests scraped too. One listener per node.
    pub fn add_request_memory(&self, budget: &Arc<ByteBudget>) {
        let memory = memory::RequestMemory::of(budget.clone());
        if let Err(error) = self.registry.register(Box::new(memory)) {
            tracing::error!(%error, "the memory of requests is missing from the metrics");
        }
    }

    /// Everything in Prometheus's text format.
    pub fn render(&self, broker: &Broker) -> String {
        let mut families = self.registry.gather();
        families.extend(exporter::gather(broker));
        families.extend(memory::gather(broker));
        let mut out = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&families, &mut out) {
            tracing::error!(%error, "metrics do not encode");
        }
        String::from_utf8(out).unwrap_or_default()
    }
}

/// The WAL's measurements as metrics.
pub struct WalMetrics(pub std::sync::Arc<Metrics>);

impl WalObserver for WalMetrics {
    fn fsynced(&self, took: Duration, _bytes: u64) {
        self.0.fsync.observe(took.as_secs_f64());
    }

    fn reported(&self, damage: &Damage) {
        if let Damage::TornTail { bytes, .. } = damage {
            self.0.wal_torn_bytes.inc_by(*bytes as f64);
        }
    }
}

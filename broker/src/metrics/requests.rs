//! Requests by Kafka API, as a histogram of their times and counters of their bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Histogram, LabelPair, Metric, MetricFamily, MetricType};

use crate::kafka::request_metrics::{ApiMetrics, BUCKETS_MICROS, RequestMetrics};

/// Reads the figures at each scrape. APIs that nobody has called have no series.
pub struct Requests(pub Arc<RequestMetrics>);

const SECONDS: &str = "weir_kafka_request_duration_seconds";
const RECEIVED: &str = "weir_kafka_request_bytes_total";
const SENT: &str = "weir_kafka_response_bytes_total";

impl Collector for Requests {
    /// None: the registry has no other collector that could collide.
    fn desc(&self) -> Vec<&Desc> {
        Vec::new()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let called: Vec<_> = self
            .0
            .iter()
            .filter(|(_, figures)| figures.requests.load(Ordering::Relaxed) > 0)
            .collect();
        if called.is_empty() {
            return Vec::new();
        }
        let each = |metric: fn(&ApiMetrics) -> Metric| {
            let metrics = called.iter().map(|(api, figures)| {
                let mut metric = metric(figures);
                metric.set_label(vec![label(api)]);
                metric
            });
            metrics.collect::<Vec<_>>()
        };
        vec![
            family(
                SECONDS,
                "From a request's start to its answer, the wait of a long poll included.",
                MetricType::HISTOGRAM,
                each(durations),
            ),
            family(
                RECEIVED,
                "Bytes of requests, frame headers included.",
                MetricType::COUNTER,
                each(|figures| counter(&figures.request_bytes)),
            ),
            family(
                SENT,
                "Bytes of answers, frame headers included.",
                MetricType::COUNTER,
                each(|figures| counter(&figures.response_bytes)),
            ),
        ]
    }
}

fn family(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

fn label(api: &str) -> LabelPair {
    let mut label = LabelPair::default();
    label.set_name("api".to_owned());
    label.set_value(api.to_owned());
    label
}

fn counter(figure: &AtomicU64) -> Metric {
    let mut counter = prometheus::proto::Counter::default();
    counter.set_value(figure.load(Ordering::Relaxed) as f64);
    let mut metric = Metric::default();
    metric.set_counter(counter);
    metric
}

fn durations(figures: &ApiMetrics) -> Metric {
    let mut count = 0;
    let mut buckets = Vec::with_capacity(BUCKETS_MICROS.len());
    let mut counts = figures.duration_buckets.iter();
    for (bound, here) in BUCKETS_MICROS.iter().zip(&mut counts) {
        count += here.load(Ordering::Relaxed);
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(*bound as f64 / 1e6);
        bucket.set_cumulative_count(count);
        buckets.push(bucket);
    }
    // What no bucket bounds; so the count never lies below a bucket that was read before it.
    count += counts.map(|here| here.load(Ordering::Relaxed)).sum::<u64>();
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets);
    histogram.set_sample_count(count);
    histogram.set_sample_sum(figures.duration_micros_sum.load(Ordering::Relaxed) as f64 / 1e6);
    let mut metric = Metric::default();
    metric.set_histogram(histogram);
    metric
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prometheus::{Encoder, Registry, TextEncoder};

    use super::*;

    #[test]
    fn apis_that_were_called_are_exported() {
        let requests = Arc::new(RequestMetrics::new(["Produce", "Fetch"].into_iter()));
        let registry = Registry::new();
        registry
            .register(Box::new(Requests(requests.clone())))
            .unwrap();
        let text = |registry: &Registry| {
            let mut bytes = Vec::new();
            let encoder = TextEncoder::new();
            encoder.encode(&registry.gather(), &mut bytes).unwrap();
            String::from_utf8(bytes).unwrap()
        };
        assert_eq!(text(&registry), "");
        let (_, produce) = requests.iter().next().unwrap();
        produce.observe(Duration::from_micros(60), 100, 30);
        produce.observe(Duration::from_secs(60), 1, 2);
        let text = text(&registry);
        for line in [
            r#"weir_kafka_request_duration_seconds_bucket{api="Produce",le="0.0001"} 1"#,
            r#"weir_kafka_request_duration_seconds_bucket{api="Produce",le="+Inf"} 2"#,
            r#"weir_kafka_request_duration_seconds_count{api="Produce"} 2"#,
            r#"weir_kafka_request_bytes_total{api="Produce"} 101"#,
            r#"weir_kafka_response_bytes_total{api="Produce"} 32"#,
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert!(!text.contains("Fetch"));
    }
}

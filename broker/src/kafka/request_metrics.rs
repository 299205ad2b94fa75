//! Counts, bytes and times of requests, per Kafka API. One relaxed atomic per figure, so that each request can pay.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the duration buckets, in microseconds; one more bucket has no bound.
pub const BUCKETS_MICROS: [u64; 17] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000,
];

/// The figures of one API since the start.
#[derive(Debug, Default)]
pub struct ApiMetrics {
    pub requests: AtomicU64,
    pub request_bytes: AtomicU64,
    pub response_bytes: AtomicU64,
    pub duration_micros_sum: AtomicU64,
    /// Not cumulative: each request counts in one bucket.
    pub duration_buckets: [AtomicU64; BUCKETS_MICROS.len() + 1],
}

impl ApiMetrics {
    /// Counts one answered request.
    pub fn observe(&self, took: Duration, request_bytes: usize, response_bytes: usize) {
        let micros = took.as_micros() as u64;
        let bucket = BUCKETS_MICROS.partition_point(|bound| *bound < micros);
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.request_bytes
            .fetch_add(request_bytes as u64, Ordering::Relaxed);
        self.response_bytes
            .fetch_add(response_bytes as u64, Ordering::Relaxed);
        self.duration_micros_sum
            .fetch_add(micros, Ordering::Relaxed);
        self.duration_buckets[bucket].fetch_add(1, Ordering::Relaxed);
    }
}

/// The figures of all APIs, in the order of the registration table.
#[derive(Debug)]
pub struct RequestMetrics {
    apis: Box<[(&'static str, ApiMetrics)]>,
}

impl RequestMetrics {
    pub fn new(names: impl Iterator<Item = &'static str>) -> Self {
        RequestMetrics {
            apis: names.map(|name| (name, ApiMetrics::default())).collect(),
        }
    }

    /// The API's name and figures, in the order of the registration table.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &ApiMetrics)> {
        self.apis.iter().map(|(name, metrics)| (*name, metrics))
    }

    pub(super) fn at(&self, index: usize) -> &ApiMetrics {
        &self.apis[index].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_counts_in_the_bucket_that_bounds_it() {
        let metrics = ApiMetrics::default();
        metrics.observe(Duration::from_micros(50), 10, 20);
        metrics.observe(Duration::from_micros(51), 10, 20);
        metrics.observe(Duration::from_secs(60), 1, 2);
        let count = |i: usize| metrics.duration_buckets[i].load(Ordering::Relaxed);
        assert_eq!((count(0), count(1), count(BUCKETS_MICROS.len())), (1, 1, 1));
        assert_eq!(metrics.request_bytes.load(Ordering::Relaxed), 21);
    }
}

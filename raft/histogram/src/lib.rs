//! What openraft calls of the crate `base2histogram`, whose tables for all its scales take 23 MB of every process as
//! soon as a Raft group starts. Openraft's statistics about itself are not read here, so a count for each power of
//! two will do.

use std::fmt;
use std::marker::PhantomData;

/// Counts of values by their highest bit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram<T = ()> {
    total: u64,
    /// At `n`: values of `n` bits.
    counts: [u64; 65],
    unit: PhantomData<T>,
}

/// Values below which a part of all values lies, in percent; each is the largest that its bucket may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PercentileStats {
    pub samples: u64,
    pub p0_1: u64,
    pub p1: u64,
    pub p5: u64,
    pub p10: u64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p99_9: u64,
}

/// Several histograms under names.
#[derive(Debug, Clone, Default)]
pub struct AsciiChart(Vec<(String, Histogram)>);

impl<T> Default for Histogram<T> {
    fn default() -> Self {
        Histogram {
            total: 0,
            counts: [0; 65],
            unit: PhantomData,
        }
    }
}

impl<T> Histogram<T> {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn record(&mut self, value: u64) {
        self.record_n(value, 1);
    }

    pub fn record_n(&mut self, value: u64, count: u64) {
        self.total += count;
        self.counts[bits(value)] += count;
    }

    pub fn total(&self) -> u64 {
        self.total
    }

    pub fn percentile_stats(&self) -> PercentileStats {
        PercentileStats {
            samples: self.total,
            p0_1: self.below(1),
            p1: self.below(10),
            p5: self.below(50),
            p10: self.below(100),
            p50: self.below(500),
            p90: self.below(900),
            p99: self.below(990),
            p99_9: self.below(999),
        }
    }

    fn below(&self, permille: u64) -> u64 {
        let wanted = (self.total * permille).div_ceil(1000);
        let mut seen = 0;
        for (bits, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted && seen > 0 {
                return u64::MAX.checked_shr(64 - bits as u32).unwrap_or(0);
            }
        }
        0
    }
}

fn bits(value: u64) -> usize {
    (u64::BITS - value.leading_zeros()) as usize
}

impl AsciiChart {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn add(mut self, name: impl Into<String>, histogram: Histogram) -> Self {
        self.0.push((name.into(), histogram));
        self
    }
}

impl fmt::Display for AsciiChart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, histogram) in &self.0 {
            writeln!(f, "{name}: {}", histogram.percentile_stats())?;
        }
        Ok(())
    }
}

impl fmt::Display for PercentileStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (samples, p50, p99) = (self.samples, self.p50, self.p99);
        write!(f, "{samples} values, half up to {p50}, 99 % up to {p99}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_the_ends_of_their_buckets() {
        let mut histogram = Histogram::<()>::new();
        assert_eq!(histogram.percentile_stats(), PercentileStats::default());
        for value in 0..=1000 {
            histogram.record(value);
        }
        let stats = histogram.percentile_stats();
        assert_eq!(stats.samples, 1001);
        assert_eq!(histogram.total(), 1001);
        assert_eq!(
            (stats.p0_1, stats.p10, stats.p50, stats.p99),
            (1, 127, 511, 1023)
        );
        histogram.record(u64::MAX);
        assert_eq!(histogram.below(1000), u64::MAX);
    }
}

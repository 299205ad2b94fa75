//! Step: what a Prometheus would scrape.

use super::{Demo, DemoError};

/// Series that this demo has moved.
const SHOWN: [&str; 5] = [
    "kafka_topic_partition_current_offset{",
    "weir_produce_duration_seconds_count",
    "weir_lookup_duration_seconds_count",
    "weir_table_lag_records",
    "weir_schema_rejected_records_total",
];

impl Demo {
    pub(super) async fn show_metrics(&mut self) -> Result<(), DemoError> {
        self.lines.step("Scrape the metrics");
        let metrics = self.http.metrics().await?;
        for name in SHOWN {
            let found = metrics.lines().filter(|line| line.starts_with(name));
            let of_demo = |line: &&str| {
                let of_topic = line.contains("topic=") && !line.contains("topic=\"flights\"");
                !of_topic
            };
            for line in found.filter(of_demo).take(3) {
                self.lines.say(line);
            }
        }
        self.lines
            .weir("metrics kafka_topic weir_table weir_schema");
        self.lines
            .curl("-s {http}/metrics | grep -E '^(weir|kafka)_'");
        Ok(())
    }
}

//! What a Prometheus server scrapes, by its text format's rules, and what it says after some work.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use compat_tests::weir::{Weir, find_binary};
use compat_tests::{clock, http};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};

use crate::client::Client;

const TOPIC: &str = "measured";
const RECORDS: i64 = 20;
const CONSUMED: usize = 12;

/// A scrape: the type of each family, and each series' value.
#[derive(Default)]
struct Scrape {
    types: BTreeMap<String, String>,
    series: BTreeMap<String, f64>,
}

impl Scrape {
    /// Fails where the text breaks the format's rules.
    fn read(text: &str) -> Scrape {
        let mut scrape = Scrape::default();
        let mut helped = BTreeSet::new();
        let mut current = String::new();
        assert!(text.ends_with('\n'), "the last line ends");
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, words) = help.split_once(' ').expect("a name and a text");
                assert!(!words.is_empty(), "{name} says what it is");
                assert!(helped.insert(name.to_owned()), "{name} has two HELP lines");
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').expect("a name and a type");
                assert!(helped.contains(name), "{name} has a TYPE and no HELP");
                name.clone_into(&mut current);
                let before = scrape.types.insert(name.to_owned(), kind.to_owned());
                assert!(before.is_none(), "{name} has two TYPE lines");
            } else {
                scrape.sample(line, &current);
            }
        }
        scrape.check_histograms();
        scrape
    }

    fn sample(&mut self, line: &str, family: &str) {
        let (series, value) = line.rsplit_once(' ').expect("a series and a value");
        let name = series.split('{').next().expect("a name");
        let kind = &self.types[family];
        let mut names = vec![family.to_owned()];
        if kind == "histogram" {
            names = ["_bucket", "_sum", "_count"]
                .map(|part| format!("{family}{part}"))
                .to_vec();
        }
        assert!(
            names.iter().any(|own| own == name),
            "{name} stands among the samples of {family}"
        );
        assert!(
            kind != "counter" || name.ends_with("_total") || name.starts_with("process_"),
            "{name} is a counter"
        );
        let value = value.parse().expect("a number");
        let before = self.series.insert(series.to_owned(), value);
        assert!(before.is_none(), "{series} is there twice");
    }

    fn check_histograms(&self) {
        for (family, _) in self.types.iter().filter(|(_, kind)| *kind == "histogram") {
            let prefix = format!("{family}_count");
            let counts = self.series.iter().filter_map(|(series, count)| {
                let labels = series.strip_prefix(&prefix)?;
                Some((labels.trim_matches(['{', '}']), *count))
            });
            for (labels, count) in counts {
                let buckets = self.buckets(family, labels);
                assert!(
                    buckets.values().is_sorted(),
                    "buckets of {family} {labels} are cumulative"
                );
                let all = buckets.last_key_value();
                assert_eq!(all, Some((&u64::MAX, &count)), "{family} {labels}");
            }
        }
    }

    /// Values of the buckets of the series with these labels by their bound, in thousandths of a millisecond.
    fn buckets(&self, family: &str, labels: &str) -> BTreeMap<u64, f64> {
        let comma = if labels.is_empty() { "" } else { "," };
        let prefix = format!("{family}_bucket{{{labels}{comma}le=\"");
        let bounds = self.series.iter().filter_map(|(series, value)| {
            let bound = series.strip_prefix(&prefix)?.strip_suffix("\"}")?;
            let bound: f64 = bound.replace("+Inf", "inf").parse().expect("a bound");
            Some(((bound * 1e6) as u64, *value))
        });
        bounds.collect()
    }

    fn value(&self, series: &str) -> f64 {
        let known = || self.series.keys().cloned().collect::<Vec<_>>().join("\n");
        *self
            .series
            .get(series)
            .unwrap_or_else(|| panic!("no series {series} among\n{}", known()))
    }

    fn check(&self, series: &str, expected: f64) {
        assert_eq!(self.value(series), expected, "{series}");
    }
}

fn scrape(weir: &Weir) -> Scrape {
    let answer = http::get(weir.http, "/metrics").expect("metrics");
    assert_eq!(answer.status, 200);
    Scrape::read(&answer.body)
}

fn consume_and_commit(weir: &Weir) -> BaseConsumer {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", weir.kafka.to_string())
        .set("group.id", "measuring")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .create()
        .expect("a consumer");
    consumer.subscribe(&[TOPIC]).expect("subscribed");
    for _ in 0..CONSUMED {
        // A poll may also end for an event that is no message.
        let polled = clock::wait_for(Duration::from_secs(20), Duration::ZERO, || {
            consumer.poll(Duration::from_millis(100))
        });
        let message = polled.expect("in time").expect("a message");
        consumer
            .commit_message(&message, CommitMode::Sync)
            .expect("committed");
    }
    consumer
}

#[test]
fn a_fresh_broker_has_metrics_that_obey_the_text_format() {
    let weir = Weir::start().expect("weir starts");
    let fresh = scrape(&weir);
    fresh.check("kafka_brokers", 1.0);
    fresh.check("weir_throttled_seconds_total{reason=\"wal_budget\"}", 0.0);
    assert!(fresh.value("weir_wal_budget_bytes") > fresh.value("weir_wal_bytes"));
    assert!(!weir.output().contains("metrics do not encode"));
}

#[test]
fn metrics_say_what_was_done() {
    let weir = Weir::start().expect("weir starts");
    let mut client = Client::open(weir.kafka);
    client.create_topic(TOPIC, 1, &[]);
    for n in 0..RECORDS {
        let produced = client.produce(TOPIC, "k", &n.to_string());
        assert_eq!(produced.partition.error_code, 0);
    }
    let table = [
        ("table.mode", "primary-key"),
        ("table.value.format", "string"),
    ];
    client.create_topic("rows", 3, &table);
    let row = "/v1/tables/rows/rows/k";
    let put = http::ask(weir.http, "PUT", row, r#"{"value":"v"}"#).expect("an answer");
    assert_eq!(put.status, 200, "{put:?}");
    let found = http::get(weir.http, row).expect("an answer");
    assert_eq!(found.status, 200, "{found:?}");
    let checked = [("schema.validation.value", "id")];
    client.create_topic("checked", 1, &checked);
    assert_ne!(
        client
            .produce("checked", "k", "no schema")
            .partition
            .error_code,
        0
    );
    let consumer = consume_and_commit(&weir);

    let now = scrape(&weir);
    for histogram in ["produce", "fetch", "commit", "fsync", "lookup"] {
        let name = format!("weir_{histogram}_duration_seconds");
        assert_eq!(now.types[&name], "histogram");
        assert!(now.value(&format!("{name}_count")) >= 1.0, "{name}");
    }
    assert!(now.value("weir_produce_duration_seconds_count") >= RECORDS as f64);
    now.check("weir_table_lag_records{table=\"rows\"}", 0.0);
    now.check("weir_table_lag_seconds{table=\"rows\"}", 0.0);
    now.check("kafka_topic_partitions{topic=\"rows\"}", 3.0);
    check_partition(&now);
    check_group(&now);
    let rejected = now.series.iter().find(|(series, _)| {
        series.starts_with("weir_schema_rejected_records_total{")
            && series.contains("topic=\"checked\"")
            && series.contains("part=\"value\"")
            && series.contains("reason=")
    });
    assert_eq!(rejected.map(|(_, count)| *count), Some(1.0));
    assert!(now.value("process_resident_memory_bytes") > 1e6);

    drop(consumer);
    let left = clock::wait_for(Duration::from_secs(10), Duration::from_millis(100), || {
        let members = "kafka_consumergroup_members{consumergroup=\"measuring\"}";
        (scrape(&weir).value(members) == 0.0).then_some(())
    });
    assert!(left.is_some(), "the member has left");
    assert!(!weir.output().contains("metrics do not encode"));
}

#[test]
fn budgets_of_memory_and_what_was_moved_are_shown() {
    // Files of 1 MiB, of which two are kept.
    let command = ["dev", "--wal-budget-mb", "8", "--tail-mb", "3"];
    let binary = find_binary().expect("a binary");
    let weir = Weir::start_with(&binary, &command).expect("weir starts");
    let fresh = scrape(&weir);
    fresh.check("weir_tail_bytes", 0.0);
    fresh.check("weir_tail_budget_bytes", (3 << 20) as f64);
    fresh.check("weir_wal_index_budget_bytes", (16 << 20) as f64);
    fresh.check("weir_request_budget_bytes", (256 << 20) as f64);
    fresh.check("weir_segments", 0.0);
    fresh.check("weir_retire_duration_seconds_count", 0.0);

    let mut client = Client::open(weir.kafka);
    client.create_topic(TOPIC, 1, &[]);
    let value = "x".repeat(100 << 10);
    for _ in 0..80 {
        let produced = client.produce(TOPIC, "k", &value);
        assert_eq!(produced.partition.error_code, 0);
    }
    let moved = clock::wait_for(Duration::from_secs(30), Duration::from_millis(100), || {
        let now = scrape(&weir);
        let settled = now.value("weir_segment_file_bytes") >= now.value("weir_segment_bytes");
        (settled && now.value("weir_segments") >= 1.0).then_some(now)
    });
    let now = moved.expect("records move");
    assert!(now.value("weir_segment_bytes") >= value.len() as f64);
    assert!(now.value("weir_segment_files") >= 1.0);
    assert!(now.value("weir_retire_duration_seconds_count") >= 1.0);
    assert!(now.value("weir_retire_moved_bytes_total") >= value.len() as f64);
    now.check("weir_retire_early_rounds_total", 0.0);
    let tail = now.value("weir_tail_bytes");
    assert!(
        tail > value.len() as f64 && tail <= now.value("weir_tail_budget_bytes"),
        "{tail}"
    );
    assert!(now.value("weir_wal_index_bytes") > 0.0);
    assert!(now.value("weir_wal_index_bytes") < now.value("weir_wal_index_budget_bytes"));
}

fn check_partition(now: &Scrape) {
    let series =
        |name: &str| format!("kafka_topic_partition_{name}{{partition=\"0\",topic=\"{TOPIC}\"}}");
    for (name, expected) in [
        ("current_offset", RECORDS as f64),
        ("oldest_offset", 0.0),
        ("leader", 0.0),
        ("leader_is_preferred", 1.0),
        ("replicas", 1.0),
        ("in_sync_replica", 1.0),
        ("under_replicated_partition", 0.0),
    ] {
        now.check(&series(name), expected);
    }
}

fn check_group(now: &Scrape) {
    let (committed, behind) = (CONSUMED as f64, RECORDS as f64 - CONSUMED as f64);
    let labels = "consumergroup=\"measuring\"";
    for (name, expected) in [("current_offset", committed), ("lag", behind)] {
        let partition = format!("{labels},partition=\"0\",topic=\"{TOPIC}\"");
        now.check(
            &format!("kafka_consumergroup_{name}{{{partition}}}"),
            expected,
        );
        let topic = format!("{labels},topic=\"{TOPIC}\"");
        now.check(
            &format!("kafka_consumergroup_{name}_sum{{{topic}}}"),
            expected,
        );
    }
    now.check(&format!("kafka_consumergroup_members{{{labels}}}"), 1.0);
}

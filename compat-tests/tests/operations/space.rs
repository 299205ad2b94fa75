//! A log that has used up its budget, and a disk that has only its reserve left. Invariant: D8.

use std::time::Duration;

use compat_tests::weir::{Weir, find_binary};
use compat_tests::{clock, http};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    DeleteRecordsRequest, DeleteTopicsRequest, GroupId, OffsetCommitRequest,
};

use crate::client::{Client, text, topic_name};

const TOPIC: &str = "filling";
const BUDGET_MB: usize = 16;
/// A small part of what lies between the first wait and the limit, so that some waits are in between too.
const VALUE_BYTES: usize = 128 << 10;
/// Within this time a log that could not give files back does, once it can.
const HEALED: Duration = Duration::from_secs(40);
/// A wait that is worth looking at, and short enough to wait for.
const WATCHED: std::ops::Range<Duration> = Duration::from_millis(50)..Duration::from_secs(2);

fn start(flags: &[&str]) -> Weir {
    let command = [&["dev"], flags].concat();
    Weir::start_with(&find_binary().expect("a binary"), &command).expect("weir starts")
}

/// Produces until records are refused; returns how many were taken.
fn fill(weir: &Weir) -> i64 {
    let value = "x".repeat(VALUE_BYTES);
    let mut client = Client::open(weir.kafka);
    let (mut taken, mut watched) = (0, 0);
    loop {
        let produced = client.produce(TOPIC, "k", &value);
        if produced.partition.error_code != 0 {
            assert!(watched > 0, "nobody was slowed down before the end");
            let code = ResponseError::KafkaStorageError.code();
            assert_eq!(produced.partition.error_code, code);
            let reason = produced.partition.error_message.expect("a reason");
            assert!(reason.contains("--wal-budget-mb"), "{reason}");
            assert!(produced.throttle > Duration::ZERO);
            return taken;
        }
        assert_eq!(produced.partition.base_offset, taken, "offsets are dense");
        taken += 1;
        assert!(
            taken as usize * VALUE_BYTES <= BUDGET_MB << 20,
            "the log outgrows its budget"
        );
        if WATCHED.contains(&produced.throttle) {
            watched += 1;
            let before = clock::now_ms();
            client.produce("nowhere", "k", "v");
            let held = Duration::from_millis(clock::now_ms().abs_diff(before));
            let slack = Duration::from_millis(20);
            assert!(
                held + slack >= produced.throttle,
                "held back for {held:?}, told {:?}",
                produced.throttle
            );
        }
        // Whoever is held back for long comes with another connection.
        if produced.throttle >= WATCHED.end {
            client = Client::open(weir.kafka);
        }
    }
}

fn check_deletions_go_on(client: &mut Client) {
    client.create_topic("made-when-full", 1, &[]);
    let partition = OffsetCommitRequestPartition::default().with_committed_offset(3);
    let topic = OffsetCommitRequestTopic::default()
        .with_name(topic_name(TOPIC))
        .with_partitions(vec![partition]);
    let request = OffsetCommitRequest::default()
        .with_group_id(GroupId(text("readers")))
        .with_topics(vec![topic]);
    client.find_coordinator("readers");
    let answer = client.ask(2, &request);
    assert_eq!(answer.topics[0].partitions[0].error_code, 0, "{answer:?}");
    let partition = DeleteRecordsPartition::default().with_offset(2);
    let topic = DeleteRecordsTopic::default()
        .with_name(topic_name(TOPIC))
        .with_partitions(vec![partition]);
    let request = DeleteRecordsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(10_000);
    let answer = client.ask(1, &request);
    assert_eq!(answer.topics[0].partitions[0].error_code, 0, "{answer:?}");
    assert_eq!(answer.topics[0].partitions[0].low_watermark, 2);
    let request = DeleteTopicsRequest::default()
        .with_topic_names(vec![topic_name("made-when-full")])
        .with_timeout_ms(10_000);
    let answer = client.ask(3, &request);
    assert_eq!(answer.responses[0].error_code, 0, "{answer:?}");
}

#[test]
fn a_log_near_its_budget_slows_producers_down_and_at_it_refuses_records_alone() {
    let mut weir = start(&["--wal-budget-mb", &BUDGET_MB.to_string()]);
    // Records have nowhere to move to, so the log only grows.
    let segments = weir.dir().join("data/segments");
    std::fs::remove_dir(&segments).expect("an empty folder");
    let mut admin = Client::open(weir.kafka);
    admin.create_topic(TOPIC, 1, &[]);
    let table = [
        ("table.mode", "primary-key"),
        ("table.value.format", "string"),
    ];
    admin.create_topic("rows", 3, &table);
    let put = |weir: &Weir| {
        let row = format!(r#"{{"value":"{}"}}"#, "x".repeat(VALUE_BYTES));
        http::ask(weir.http, "PUT", "/v1/tables/rows/rows/k", &row).expect("an answer")
    };
    assert_eq!(put(&weir).status, 200);

    let taken = fill(&weir);
    assert!(
        taken as usize * VALUE_BYTES > BUDGET_MB << 19,
        "{taken} fit"
    );
    check_deletions_go_on(&mut admin);
    let refused = put(&weir);
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.body.contains("\"no_space\""), "{refused:?}");
    let metrics = http::get(weir.http, "/metrics").expect("metrics").body;
    let throttled = metrics
        .lines()
        .find_map(|line| line.strip_prefix("weir_throttled_seconds_total{reason=\"wal_budget\"} "))
        .expect("the metric is there");
    let seconds: f64 = throttled.parse().expect("a number");
    assert!(seconds > 0.1, "{seconds}");
    let told = weir.output().matches("records are refused").count();
    assert!((1..=3).contains(&told), "told {told} times");

    // With a place for them again, records move, and there is room for new ones.
    std::fs::create_dir(&segments).expect("a folder");
    let step = Duration::from_millis(200);
    let healed = clock::wait_for(HEALED, step, || {
        let produced = Client::open(weir.kafka).produce(TOPIC, "k", "v");
        (produced.partition.error_code == 0).then_some(produced.partition.base_offset)
    });
    assert_eq!(healed, Some(taken), "records are taken again");

    // It stops as ever, and goes on with a larger budget.
    weir.stop().expect("a clean stop");
    weir.set_command(&["dev", "--wal-budget-mb", "64"]);
    weir.launch().expect("weir starts again");
    let produced = Client::open(weir.kafka).produce(TOPIC, "k", "v");
    assert_eq!(produced.partition.error_code, 0);
    assert_eq!(produced.partition.base_offset, taken + 1);
    assert_eq!(produced.throttle, Duration::ZERO);
    assert_eq!(put(&weir).status, 200);
}

#[test]
fn a_disk_with_only_its_reserve_left_takes_no_records_and_everything_else() {
    // More than any disk has.
    let weir = start(&["--disk-reserve-mb", "100000000000"]);
    let mut client = Client::open(weir.kafka);
    client.create_topic(TOPIC, 1, &[]);
    let produced = client.produce(TOPIC, "k", "v");
    let code = ResponseError::KafkaStorageError.code();
    assert_eq!(produced.partition.error_code, code);
    let reason = produced.partition.error_message.expect("a reason");
    assert!(reason.contains("--disk-reserve-mb"), "{reason}");
    client.create_topic("doomed", 1, &[]);
    let request = DeleteTopicsRequest::default()
        .with_topic_names(vec![topic_name("doomed")])
        .with_timeout_ms(10_000);
    assert_eq!(client.ask(3, &request).responses[0].error_code, 0);
}

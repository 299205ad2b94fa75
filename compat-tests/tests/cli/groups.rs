//! `weir group`.

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::json;

use crate::rig::{Cli, by_one_and_three};

by_one_and_three! {
    a_group_is_shown_with_its_lag_and_deleted,
}

fn a_group_is_shown_with_its_lag_and_deleted(weir: &Cli) {
    weir.good(&["topic", "create", "t"], "");
    weir.good(&["topic", "produce", "t"], "a\nb\nc\n");
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", weir.bootstrap())
        .set("group.id", "readers")
        .create()
        .expect("a consumer");
    let mut offsets = TopicPartitionList::new();
    offsets
        .add_partition_offset("t", 0, Offset::Offset(1))
        .expect("legal");
    consumer
        .commit(&offsets, CommitMode::Sync)
        .expect("a commit");
    let groups = weir.good(&["group", "list", "--format", "json"], "").json();
    assert_eq!(groups[0]["group"], "readers");
    let shown = weir
        .good(&["group", "describe", "readers", "--format", "json"], "")
        .json();
    assert_eq!(
        shown["offsets"],
        json!([{"topic": "t", "partition": 0, "committed_offset": 1, "end_offset": 3, "lag": 2}])
    );
    let people = weir.good(&["group", "describe", "readers"], "");
    assert!(people.stdout.contains("lag 2"), "{}", people.stdout);
    weir.good(&["group", "delete", "readers"], "");
    weir.bad(
        &["group", "describe", "readers"],
        "",
        &["group readers does not exist", "weir group list"],
    );
    weir.bad(
        &["group", "delete", "readers"],
        "",
        &["group readers does not exist"],
    );
}

//! `weir topic` but for its records.

use serde_json::json;

use crate::rig::{Cli, by_one_and_three};

by_one_and_three! {
    topics_are_made_shown_changed_and_deleted,
}

fn topics_are_made_shown_changed_and_deleted(weir: &Cli) {
    let none = weir.good(&["topic", "list"], "");
    assert!(none.stdout.contains("weir topic create"), "{}", none.stdout);
    weir.good(
        &[
            "topic",
            "create",
            "t",
            "-p",
            "2",
            "-r",
            "1",
            "--set",
            "retention.ms=1000",
        ],
        "",
    );
    let topics = weir.good(&["topic", "list", "--format", "json"], "").json();
    assert_eq!(
        (&topics[0]["topic"], &topics[0]["partitions"]),
        (&json!("t"), &json!(2))
    );
    weir.good(
        &[
            "topic",
            "alter",
            "t",
            "--partitions",
            "3",
            "--set",
            "max.message.bytes=2000",
        ],
        "",
    );
    weir.good(&["topic", "alter", "t", "--unset", "retention.ms"], "");
    let shown = weir
        .good(&["topic", "describe", "t", "--format", "json"], "")
        .json();
    assert_eq!(shown["partitions"].as_array().map(Vec::len), Some(3));
    assert_eq!(shown["settings"], json!({"max.message.bytes": "2000"}));
    weir.bad(&["topic", "create", "t"], "", &["TOPIC_ALREADY_EXISTS"]);
    weir.bad(
        &["topic", "create", "u", "--replication-factor", "9"],
        "",
        &["INVALID_REPLICATION_FACTOR"],
    );
    weir.bad(
        &["topic", "create", "a b"],
        "",
        &["INVALID_TOPIC_EXCEPTION", "`a b`"],
    );
    weir.bad(
        &["topic", "create", "u", "--set", "retention.mss=1"],
        "",
        &["did you mean `retention.ms`"],
    );
    weir.bad(
        &["topic", "create", "u", "--set", "retention.ms"],
        "",
        &["NAME=VALUE"],
    );
    weir.bad(
        &["topic", "alter", "t", "--partitions", "2"],
        "",
        &["INVALID_PARTITIONS"],
    );
    weir.bad(
        &["topic", "alter", "t"],
        "",
        &["nothing to change", "--set"],
    );
    weir.good(&["topic", "delete", "t"], "");
    weir.bad(&["topic", "describe", "t"], "", &["topic t does not exist"]);
    weir.bad(&["topic", "delete", "t"], "", &["topic t does not exist"]);
}

//! Records in and out: by their schema, as text and as bytes; and those that are refused.

use serde_json::json;

use crate::rig::{Cli, ORDER, by_one_and_three};

by_one_and_three! {
    json_is_encoded_by_the_subjects_schema_and_decoded_by_the_records,
    text_and_bytes_come_back_as_they_went,
    a_refused_record_is_told_with_its_line_and_found_again,
}

fn json_is_encoded_by_the_subjects_schema_and_decoded_by_the_records(weir: &Cli) {
    let avro = weir.file("order.avsc", ORDER);
    let proto = weir.file(
        "m.proto",
        "syntax = \"proto3\"; message M { string item = 1; int64 cents = 2; }",
    );
    let schema = weir.file(
        "j.json",
        r#"{"type":"object","properties":{"cents":{"type":"integer"}}}"#,
    );
    for (topic, file) in [("avro", avro), ("proto", proto), ("json", schema)] {
        weir.good(
            &["schema", "register", &format!("{topic}-value"), &file],
            "",
        );
        weir.good(&["topic", "create", topic], "");
        let lines = "{\"item\":\"apple\",\"cents\":120}\n{\"item\":\"pear\",\"cents\":80}\n";
        let wrote = weir.good(&["topic", "produce", topic, "--key-field", "item"], lines);
        assert_eq!(wrote.stdout, format!("wrote 2 records to {topic}\n"));
        let read = weir
            .good(&["topic", "consume", topic, "--format", "json"], "")
            .lines();
        assert_eq!(read.len(), 2, "{topic}");
        assert_eq!(
            read[0]["value"],
            json!({"item": "apple", "cents": 120}),
            "{topic}"
        );
        assert_eq!(
            (&read[0]["key"], &read[1]["offset"]),
            (&json!("apple"), &json!(1))
        );
        let people = weir.good(&["topic", "consume", topic, "-n", "1", "--keys"], "");
        assert!(people.stdout.starts_with("apple\t{"), "{}", people.stdout);
        let bytes = weir.good(&["topic", "consume", topic, "-n", "1", "--raw"], "");
        assert!(!bytes.stdout.starts_with('{'), "{}", bytes.stdout);
    }
    let open = "{\"cents\":1,\"note\":\"the schema says nothing about it\"}\n";
    weir.good(&["topic", "produce", "json"], open);
    let read = weir.good(&["topic", "consume", "json"], "").stdout;
    assert!(read.ends_with(open), "{read}");
    weir.bad(
        &["topic", "produce", "json"],
        "{\"cents\":\"many\"}\n",
        &["line 1", "cents"],
    );
    let wrong = "{\"item\":\"fig\",\"cents\":1}\n{\"item\":\"fig\",\"cents\":\"many\"}\n";
    weir.bad(
        &["topic", "produce", "avro"],
        wrong,
        &["line 2", "field cents", "\"many\""],
    );
    weir.bad(
        &["topic", "produce", "avro"],
        "fig\n",
        &["line 1", "not JSON"],
    );
    weir.bad(
        &["topic", "produce", "avro", "--key-field", "id"],
        "{}\n",
        &["no member \"id\""],
    );
}

fn text_and_bytes_come_back_as_they_went(weir: &Cli) {
    weir.good(&["topic", "create", "t", "--partitions", "3"], "");
    weir.good(
        &["topic", "produce", "t", "--key-separator", "\\t"],
        "en\thello\nde\thallo\n",
    );
    let mut read = weir.good(&["topic", "consume", "t", "--keys"], "").stdout;
    assert_eq!(read.lines().count(), 2);
    assert!(
        read.contains("en\thello\n") && read.contains("de\thallo\n"),
        "{read}"
    );
    weir.good(
        &["topic", "produce", "t", "--partition", "2", "--raw"],
        "a\nb\nc\n",
    );
    read = weir
        .good(
            &["topic", "consume", "t", "-p", "2", "-n", "2", "--from", "1"],
            "",
        )
        .stdout;
    assert_eq!(read.lines().count(), 2, "{read}");
    let bytes = weir.fed(&["topic", "produce", "t", "-p", "1"], b"\xff\xfe\n");
    assert!(bytes.ok, "{}", bytes.stderr);
    let read = weir.good(
        &["topic", "consume", "t", "-p", "1", "--format", "json"],
        "",
    );
    assert!(
        read.stdout.contains(r#""value":{"base64":"//4="}"#),
        "{}",
        read.stdout
    );
    let empty = weir.good(&["topic", "consume", "t", "--from", "100"], "");
    assert!(
        empty.stdout.is_empty() && empty.stderr.contains("--follow"),
        "{}",
        empty.stderr
    );
    weir.bad(
        &["topic", "produce", "t", "-p", "9"],
        "x\n",
        &["no partition 9", "it has 3"],
    );
    weir.bad(
        &["topic", "consume", "t", "-p", "9"],
        "",
        &["no partition 9", "it has 3"],
    );
    weir.bad(
        &["topic", "consume", "no"],
        "",
        &["topic no does not exist", "weir topic create no"],
    );
    weir.bad(
        &["topic", "produce", "no"],
        "x\n",
        &["topic no does not exist"],
    );
}

fn a_refused_record_is_told_with_its_line_and_found_again(weir: &Cli) {
    let order = weir.file("order.avsc", ORDER);
    weir.good(&["schema", "register", "orders-value", &order], "");
    weir.good(
        &[
            "topic",
            "create",
            "orders",
            "--set",
            "schema.validation.value=full",
        ],
        "",
    );
    let quiet = weir.good(&["topic", "rejects", "orders"], "");
    assert!(
        quiet.stdout.contains("has refused nothing"),
        "{}",
        quiet.stdout
    );
    let said = [
        "line 1",
        "INVALID_RECORD",
        "schema id",
        "0 were written, 2 not",
    ];
    weir.bad(
        &["topic", "produce", "orders", "--raw"],
        "no order\nnor this\n",
        &said,
    );
    let rejects = weir
        .good(
            &["topic", "rejects", "orders", "-n", "1", "--format", "json"],
            "",
        )
        .json();
    let newest = &rejects["rejects"][0];
    assert_eq!(
        (&newest["subject"], &newest["client_id"]),
        (&json!("orders-value"), &json!("weir-cli"))
    );
    let people = weir.good(&["topic", "rejects", "orders"], "");
    assert!(people.stdout.contains("fix: "), "{}", people.stdout);
    weir.bad(
        &["topic", "rejects", "no"],
        "",
        &["no topic no", "weir topic list"],
    );
    let metrics = weir.good(&["metrics", "weir_schema_rejected"], "");
    assert!(
        metrics.stdout.contains("topic=\"orders\""),
        "{}",
        metrics.stdout
    );
    weir.bad(&["metrics", "no_such"], "", &["no metric contains no_such"]);
}

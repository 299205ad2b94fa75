//! `weir table`.

use std::process::Command;

use serde_json::json;

use crate::rig::{Cli, Ended, ORDER, by_one_and_three};

by_one_and_three! {
    rows_are_put_looked_up_scanned_and_deleted,
    keys_are_placed_as_a_tables_other_producers_do,
}

fn rows_are_put_looked_up_scanned_and_deleted(weir: &Cli) {
    let order = weir.file("order.avsc", ORDER);
    let create = [
        "table",
        "create",
        "orders",
        "-p",
        "3",
        "--key-format",
        "int64",
        "--value-schema",
        &order,
    ];
    weir.good(&create, "");
    for key in 1..=12 {
        let row = json!({"item": "apple", "cents": key * 10}).to_string();
        weir.good(&["table", "put", "orders", &key.to_string(), &row], "");
    }
    let rows = weir.good(&["table", "get", "orders", "7", "2"], "").lines();
    assert_eq!(rows[0], json!({"key": 7, "item": "apple", "cents": 70}));
    assert_eq!(rows[1]["cents"], 20);
    weir.bad(
        &["table", "get", "orders", "99"],
        "",
        &["orders has no row 99"],
    );
    let scanned = weir
        .good(
            &["table", "scan", "orders", "-n", "5", "--format", "json"],
            "",
        )
        .lines();
    let keys: Vec<_> = scanned
        .iter()
        .filter_map(|row| row["key"].as_i64())
        .collect();
    assert_eq!(keys, [1, 2, 3, 4, 5]);
    let people = weir.good(&["table", "scan", "orders", "-n", "5"], "");
    assert!(
        people.stdout.contains("there are more"),
        "{}",
        people.stdout
    );
    weir.good(&["table", "delete", "orders", "1", "2"], "");
    let list = weir.good(&["table", "list", "--format", "json"], "").json();
    assert_eq!(
        (&list[0]["name"], &list[0]["row_count"]),
        (&json!("orders"), &json!(10))
    );
    let shown = weir.good(&["table", "describe", "orders"], "");
    assert!(
        shown.stdout.starts_with("table orders: 10 rows, key int64"),
        "{}",
        shown.stdout
    );
    let row = "{\"item\":\"fig\",\"cents\":5}\n";
    weir.good(&["topic", "produce", "orders", "--key", "7"], row);
    let rows = weir.good(&["table", "get", "orders", "7"], "").lines();
    assert_eq!(rows[0], json!({"key": 7, "item": "fig", "cents": 5}));
    let read = weir
        .good(&["topic", "consume", "orders", "--keys"], "")
        .stdout;
    assert!(read.contains(&format!("7\t{row}")), "{read}");
    let typed = ["topic", "produce", "orders", "--key", "x"];
    weir.bad(&typed, row, &["line 1", "\"x\" is not a 64-bit"]);
    weir.bad(
        &["table", "get", "orders", ""],
        "",
        &["empty key", "lookup"],
    );
    weir.bad(
        &["table", "put", "orders", "x", "{}"],
        "",
        &["`x` is not a 64-bit integer"],
    );
    weir.bad(
        &["table", "put", "orders", "1", r#"{"item":"fig"}"#],
        "",
        &["field cents"],
    );
    weir.bad(
        &[
            "table",
            "put",
            "orders",
            "1",
            r#"{"item":"fig","cents":"z"}"#,
        ],
        "",
        &["field cents"],
    );
    weir.bad(
        &["table", "put", "orders", "1", "fig"],
        "",
        &["not JSON", "for example"],
    );
    weir.bad(
        &["table", "get", "no", "1"],
        "",
        &["no table `no`", "weir table create"],
    );
    weir.good(&["topic", "create", "plain"], "");
    weir.bad(
        &["table", "get", "plain", "1"],
        "",
        &["`plain` is not a table", "table.mode"],
    );
}

fn keys_are_placed_as_a_tables_other_producers_do(weir: &Cli) {
    weir.good(
        &[
            "table",
            "create",
            "prices",
            "-p",
            "3",
            "--value-format",
            "string",
        ],
        "",
    );
    let rows: String = (0..30).map(|n| format!("k{n}:1\n")).collect();
    let mut kcat = Command::new("kcat");
    // By its own default, which is not Java's.
    kcat.args(["-b", &weir.bootstrap(), "-P", "-t", "prices", "-K:"]);
    let written = Ended::of(kcat, &rows);
    assert!(written.ok, "{}", written.stderr);
    let again = rows.replace(":1", ":2");
    weir.good(
        &["topic", "produce", "prices", "--key-separator", ":"],
        &again,
    );
    let scanned = weir
        .good(&["table", "scan", "prices", "--format", "json"], "")
        .lines();
    assert_eq!(scanned.len(), 30);
    assert!(scanned.iter().all(|row| row["value"] == "2"), "{scanned:?}");
    weir.bad(
        &["topic", "produce", "prices"],
        "no key\n",
        &["INVALID_RECORD", "key"],
    );
}

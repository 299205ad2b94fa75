//! `weir schema`.

use std::fs;

use serde_json::json;

use crate::rig::{Cli, ORDER, by_one_and_three};

by_one_and_three! {
    schemas_are_registered_checked_shown_and_deleted,
}

fn schemas_are_registered_checked_shown_and_deleted(weir: &Cli) {
    let order = weir.file("order.avsc", ORDER);
    let wider = weir.file(
        "wider.avsc",
        &ORDER.replace("]}", r#",{"name":"note","type":"string","default":""}]}"#),
    );
    let other = weir.file("other.avsc", &ORDER.replace("\"int\"", "\"string\""));
    weir.bad(
        &["schema", "check", "orders-value", &order],
        "",
        &["orders-value has no schema yet"],
    );
    let first = weir
        .good(
            &[
                "schema",
                "register",
                "orders-value",
                &order,
                "--format",
                "json",
            ],
            "",
        )
        .json();
    weir.good(&["schema", "check", "orders-value", &wider], "");
    weir.bad(
        &["schema", "check", "orders-value", &other],
        "",
        &["may not follow"],
    );
    weir.bad(
        &["schema", "register", "orders-value", &other],
        "",
        &["incompatible"],
    );
    weir.good(
        &["schema", "register", "orders-value", "-"],
        &fs::read_to_string(&wider).expect("a file"),
    );
    let id = first["id"].to_string();
    let by_id = weir
        .good(&["schema", "show", "--id", &id, "--format", "json"], "")
        .json();
    assert_eq!(by_id["type"], "AVRO");
    let latest = weir.good(&["schema", "show", "orders-value"], "").json();
    assert_eq!(latest["fields"][2]["name"], "note");
    let list = weir
        .good(&["schema", "list", "--format", "json"], "")
        .json();
    assert_eq!(list[0]["versions"], json!([1, 2]));
    weir.bad(
        &["schema", "show", "orders-value", "--version", "9"],
        "",
        &["Version 9 not found"],
    );
    weir.bad(&["schema", "show", "no"], "", &["'no' not found"]);
    weir.bad(
        &["schema", "register", "x-value", "no.avsc"],
        "",
        &["cannot read no.avsc"],
    );
    weir.bad(
        &["schema", "register", "x-value", "-"],
        "not a schema",
        &["Invalid schema"],
    );
    let deleted = weir.good(&["schema", "delete", "orders-value"], "");
    assert_eq!(deleted.stdout, "deleted orders-value, version 1, 2\n");
    weir.bad(&["schema", "show", "orders-value"], "", &["not found"]);
}

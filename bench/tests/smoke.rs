//! A run that is too small to mean anything gives tables, a page and pictures that are well formed.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Weir alone, without what only `bench/run` brings.
fn tiny_run(out: &Path, only: &str) {
    let output = Command::new(env!("CARGO_BIN_EXE_weir-bench"))
        .args(["--size", "tiny", "--pairs", "1", "--servers", "weir"])
        .args(["--only", only, "--out"])
        .arg(out)
        .output()
        .expect("weir-bench starts");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("[1 of "), "progress is shown: {text}");
}

fn table(out: &Path, name: &str) -> Value {
    let text = fs::read_to_string(out.join("results").join(format!("{name}.json")));
    serde_json::from_str(&text.expect("a table")).expect("JSON")
}

fn value(table: &Value, what: &str, unit: &str) -> f64 {
    let rows = table["rows"].as_array().expect("rows");
    let row = rows
        .iter()
        .find(|row| row["what"] == what && row["unit"] == unit);
    let row = row.unwrap_or_else(|| panic!("no row {what}, {unit}: {table}"));
    row["columns"]["Weir"][0]["value"]
        .as_f64()
        .expect("a sample")
}

#[test]
fn a_tiny_run_gives_tables_a_page_and_pictures() {
    let dir = tempfile::tempdir().expect("a directory");
    tiny_run(dir.path(), "start,tables");
    let (start, rows) = (table(dir.path(), "start"), table(dir.path(), "tables"));
    let started = value(&start, "new directory", "s");
    assert!(started > 0.0 && started < 30.0, "{started} s");
    assert!(value(&rows, "upserts of new keys", "/s") > 0.0);
    assert!(value(&rows, "lookups, batched", "us CPU each") > 0.0);
    let p50 = value(&rows, "lookups, one after the other, p50", "ms");
    let p99 = value(&rows, "lookups, one after the other, p99", "ms");
    assert!(0.0 < p50 && p50 <= p99, "{p50} ms, {p99} ms");
    let page = fs::read_to_string(dir.path().join("RESULTS.md")).expect("a page");
    for (name, title) in [("start", "Start to the first"), ("tables", "Tables")] {
        assert!(page.contains(&format!("\n## {title}")), "{page}");
        let picture = fs::read_to_string(dir.path().join(format!("results/{name}.svg")));
        let picture = picture.expect("a picture");
        assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"));
    }
    assert!(!page.contains("No figure"), "{page}");
}

#[test]
fn a_tiny_run_of_three_nodes_gives_tables_and_loses_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    tiny_run(dir.path(), "failover,idle,returning");
    let failover = table(dir.path(), "failover");
    for fault in ["kill -9", "kill -9, metadata too", "SIGSTOP"] {
        let of = |what: &str, unit| value(&failover, &format!("{fault}: {what}"), unit);
        let (p50, last) = (of("p50 of partitions", "s"), of("all partitions", "s"));
        assert!(0.0 < p50 && p50 <= last && last < 60.0, "{p50} s, {last} s");
        for what in ["given up", "lost", "doubled"] {
            assert_eq!(of(what, "records"), 0.0, "{fault}: {what}");
        }
    }
    let idle = table(dir.path(), "idle");
    let (all, most) = (
        value(&idle, "three nodes", "MB"),
        value(&idle, "the largest node", "MB"),
    );
    assert!(0.0 < most && most < all && all <= 3.0 * most);
    let returning = table(dir.path(), "returning");
    assert!(value(&returning, "ack p99, it comes back", "ms") > 0.0);
    assert!(value(&returning, "in sync again", "s") > 0.0);
    let page = fs::read_to_string(dir.path().join("RESULTS.md")).expect("a page");
    assert!(!page.contains("No figure"), "{page}");
}

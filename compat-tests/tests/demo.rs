//! The demo shows what it says, and every line that it prints does what it says when it is pasted into a shell.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use compat_tests::clock;
use compat_tests::weir::{Weir, find_binary};

const DEMO_LIMIT: Duration = Duration::from_secs(120);
/// Of the record that is to be refused.
const REFUSED: &str = "no flight at all";

/// What is in the output of the lines that contain a text: of each line the first match counts.
const SHOWN: &[(&str, &str)] = &[
    ("schema register", "airlines-value has schema id"),
    ("schema list", "planes-value"),
    ("schema show", "\"scheduled\""),
    (
        "/subjects/flights-value/versions/latest",
        "\"subject\":\"flights-value\"",
    ),
    ("topic describe", "schema.validation.value=full"),
    ("topic consume", "\"dep_delay\":"),
    ("topic produce flights --key", "wrote 1 record to flights"),
    ("kcat -b {kafka} -C -t flights", "bytes of Avro"),
    ("topic produce airlines", "wrote 1 record to airlines"),
    ("table list", "airports"),
    ("table describe", "tzone"),
    ("kcat -b {kafka} -C -t airlines", "UA in partition"),
    ("table put airports MYF", "partition"),
    ("-X PUT", "\"offset\":"),
    ("table delete", "deleted ZYP"),
    ("-X DELETE", "\"offset\":"),
    ("-P -t airports", ""),
    ("table get", "La Guardia"),
    ("/v1/tables/planes/rows/", "manufacturer"),
    ("/v1/tables/airports/lookup", "La Guardia"),
    ("/v1/tables/airports", "\"row_count\":1439"),
    ("topic produce flights --raw", "field carrier"),
    ("topic rejects", "fix: "),
    ("-P -t flights", "Delivery failed"),
    ("/v1/topics/flights/rejects", "\"reason\":"),
    ("weir metrics", "kafka_topic_partition_current_offset"),
    ("/metrics |", "kafka_topic_partition_current_offset"),
];

fn sh(line: &str) -> Output {
    Command::new("sh")
        .args(["-c", line])
        .stdin(Stdio::null())
        .output()
        .expect("a shell")
}

fn printed(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&text).into_owned()
}

/// The lines of each step, without the prompt.
fn steps(demo: &str) -> Vec<Vec<&str>> {
    let mut steps: Vec<Vec<&str>> = Vec::new();
    for line in demo.lines() {
        match line.trim_start().strip_prefix("$ ") {
            Some(command) => steps
                .last_mut()
                .expect("a step's title first")
                .push(command),
            None if line.starts_with(|first: char| first.is_ascii_digit()) => {
                steps.push(Vec::new());
            }
            None => {}
        }
    }
    steps
}

#[test]
fn every_line_that_the_demo_prints_runs_as_printed() {
    let weir = Weir::start_with(&find_binary().unwrap(), &["dev", "--demo"]).unwrap();
    let end = clock::wait_for(DEMO_LIMIT, Duration::from_millis(50), || {
        let output = weir.output();
        output.contains("That was the demo.").then_some(output)
    });
    let demo = end.unwrap_or_else(|| panic!("the demo does not end: {}", weir.output()));
    let steps = steps(&demo);
    assert_eq!(steps.len(), 8, "{demo}");
    let kafka = weir.kafka.to_string();
    for step in &steps {
        let own = step.iter().any(|line| line.contains("weir "));
        let tool = step
            .iter()
            .any(|line| line.contains("curl ") || line.contains("kcat "));
        assert!(
            own && tool,
            "a step without a weir line or without a tool's: {step:?}"
        );
        for line in step {
            let output = sh(line);
            let text = printed(&output);
            let refused = line.contains(REFUSED);
            assert_eq!(output.status.success(), !refused, "{line}\n{text}");
            let shown = SHOWN
                .iter()
                .find(|(part, _)| line.contains(&part.replace("{kafka}", &kafka)));
            let (_, expected) = shown.unwrap_or_else(|| panic!("not known here: {line}"));
            assert!(
                text.contains(expected),
                "{line}\nprints no {expected}:\n{text}"
            );
        }
    }
    let all = steps.concat();
    for (part, _) in SHOWN {
        let part = part.replace("{kafka}", &kafka);
        assert!(
            all.iter().any(|line| line.contains(&part)),
            "no line has {part}"
        );
    }
}

/// Runs the demo to its end over this directory.
fn once(data: &std::path::Path, path: Option<&str>) -> Output {
    let mut command = Command::new(find_binary().unwrap());
    command
        .args(["dev", "--demo", "--once", "--data-dir"])
        .arg(data);
    for port in ["--kafka-listen", "--registry-listen", "--http-listen"] {
        command.args([port, "localhost:0"]);
    }
    if let Some(path) = path {
        command.env("PATH", path);
    }
    command.stdin(Stdio::null()).output().expect("the binary")
}

#[test]
fn the_demo_shows_the_same_again_on_its_own_data() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let first = once(&data, None);
    let text = printed(&first);
    assert!(first.status.success(), "{text}");
    assert!(text.contains("3375 flights are in topic flights"), "{text}");
    let second = once(&data, None);
    let text = printed(&second);
    assert!(second.status.success(), "{text}");
    assert!(text.contains("3375 records from an earlier run"), "{text}");
    assert!(text.contains("airports has 1439 rows"), "{text}");
}

#[test]
fn a_tool_that_is_missing_is_marked() {
    let dir = tempfile::tempdir().unwrap();
    let empty: PathBuf = dir.path().join("bin");
    std::fs::create_dir(&empty).unwrap();
    let ended = once(&dir.path().join("data"), empty.to_str());
    let text = printed(&ended);
    assert!(ended.status.success(), "{text}");
    assert!(text.contains("# kcat is not installed here"), "{text}");
    assert!(text.contains("# curl is not installed here"), "{text}");
}

//! The README's examples do what it says when they are pasted one after the other.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use compat_tests::weir::{Weir, find_binary};

const README: &str = include_str!("../../README.md");
/// Lines that start or install something; the broker runs already.
const NOT_HERE: &[&str] = &["scripts/", "weir dev"];
/// The line that is refused, as the text around it says.
const REFUSED: &str = "echo 'no order'";
/// What the lines that begin so print.
const SHOWN: &[(&str, &str)] = &[
    ("kcat -b localhost:9092 -C -t numbers", "10"),
    ("echo 'no order'", "Delivery failed"),
    ("weir topic rejects orders", "fix: "),
    (
        "curl -s localhost:8080/v1/tables/prices/rows/",
        "\"value\":\"1.20\"",
    ),
    ("curl -s -X PUT", "\"offset\":"),
    ("weir table get prices apple", "\"value\":\"1.25\""),
    ("weir table scan prices", "apple"),
    (
        "curl -s localhost:8080/metrics",
        "kafka_topic_partition_current_offset",
    ),
    ("weir topic consume readings", "\"value\":\"hello\""),
];

/// The README's indented lines that a shell runs, in its order.
fn shell_lines() -> Vec<&'static str> {
    let indented = |block: &'static str| block.lines().filter_map(|line| line.strip_prefix("    "));
    // What stands in fences is not indented for the shell.
    let outside = README.split("```").step_by(2);
    outside
        .flat_map(indented)
        .filter(|line| !NOT_HERE.iter().any(|word| line.starts_with(word)))
        .collect()
}

fn python() -> &'static str {
    let (_, rest) = README.split_once("```python\n").expect("a program");
    rest.split_once("```").expect("its end").0
}

/// Runs a program of the README, for this broker's addresses, with `weir` on the path.
fn run(weir: &Weir, program: &str, arguments: &[&str]) -> Output {
    let binary = find_binary().unwrap();
    let folder = binary.parent().map(Path::display).unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let here = |text: &&str| {
        text.replace("localhost:9092", &weir.kafka.to_string())
            .replace("localhost:8081", &weir.registry.to_string())
            .replace("localhost:8080", &weir.http.to_string())
    };
    Command::new(program)
        .args(arguments.iter().map(here))
        .env("PATH", format!("{folder}:{path}"))
        .env("WEIR_BOOTSTRAP", weir.kafka.to_string())
        .env("WEIR_REGISTRY", format!("http://{}", weir.registry))
        .env("WEIR_HTTP", format!("http://{}", weir.http))
        .current_dir(weir.dir())
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"))
}

fn printed(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&text).into_owned()
}

/// The file that Prometheus is pointed at has the lines that the README shows.
#[test]
fn the_scrape_configuration_is_the_one_shown() {
    let file = include_str!("../../deploy/prometheus.yml");
    let (_, rest) = README.split_once("```yaml\n").expect("a configuration");
    let (shown, _) = rest.split_once("```").expect("its end");
    assert!(file.ends_with(shown), "{file}");
}

#[test]
fn the_readmes_lines_run_as_they_stand() {
    let weir = Weir::start().unwrap();
    let lines = shell_lines();
    // First, as the lines that follow it need its topic and schema.
    let output = run(
        &weir,
        concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/clients"),
        &["--start", "python", "-c", python()],
    );
    let text = printed(&output);
    assert!(
        text.contains("b'1' {'item': 'apple', 'cents': 120}"),
        "run scripts/clients first\n{text}"
    );
    for line in &lines {
        let output = run(&weir, "sh", &["-c", line]);
        let text = printed(&output);
        assert_eq!(
            output.status.success(),
            !line.starts_with(REFUSED),
            "{line}\n{text}"
        );
        for (_, expected) in SHOWN.iter().filter(|(start, _)| line.starts_with(start)) {
            assert!(
                text.contains(expected),
                "{line}\nprints no {expected}:\n{text}"
            );
        }
    }
    for (start, _) in SHOWN {
        assert!(
            lines.iter().any(|line| line.starts_with(start)),
            "no line is {start}"
        );
    }
    let gone = run(&weir, "weir", &["table", "get", "prices", "apple"]);
    assert!(!gone.status.success(), "{}", printed(&gone));
}

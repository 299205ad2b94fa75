//! Holds the structure: which crate may depend on which, and how large files and functions get.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Crate by folder -> the workspace crates that it may depend on.
const MAY_DEPEND_ON: &[(&str, &[&str])] = &[
    ("crc", &[]),
    ("raft", &["weir-crc"]),
    ("log", &["weir-crc"]),
    ("schema", &[]),
    ("tables", &["weir-log", "weir-schema"]),
    (
        "broker",
        &[
            "weir-crc",
            "weir-log",
            "weir-raft",
            "weir-schema",
            "weir-tables",
        ],
    ),
    (
        "broker/sim",
        &["weir", "weir-log", "weir-raft", "weir-sim", "weir-tables"],
    ),
    ("compat-tests", &[]),
    ("chaos", &[]),
    ("bench", &[]),
    ("sim", &["weir-raft"]),
];
/// Lines of a file that is not a table.
const MAX_FILE_LINES: usize = 1_000;
/// Lines of a function; clippy's own lint does not count tests.
const MAX_FUNCTION_LINES: usize = 130;
/// Files that are tables, and say so.
const TABLES: &[&str] = &[
    "broker/src/meta/topic_config.rs",
    "broker/src/meta/broker_config.rs",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the workspace")
        .to_owned()
}

fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = MAY_DEPEND_ON
        .iter()
        .map(|(folder, _)| root().join(folder))
        .collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir()
                && path
                    .file_name()
                    .is_none_or(|name| name != "target" && name != "node_modules")
            {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    assert!(found.len() > 100, "the sources are where this test looks");
    found
}

fn name(path: &Path) -> String {
    path.strip_prefix(root())
        .expect("below the root")
        .display()
        .to_string()
}

#[test]
fn dependencies_point_one_way() {
    for (folder, allowed) in MAY_DEPEND_ON {
        let manifest =
            fs::read_to_string(root().join(folder).join("Cargo.toml")).expect("a manifest");
        let used: BTreeSet<&str> = manifest
            .lines()
            .filter_map(|line| line.split(['.', ' ', '=']).next())
            .filter(|name| *name == "weir" || name.starts_with("weir-"))
            .collect();
        let extra: Vec<_> = used.iter().filter(|name| !allowed.contains(name)).collect();
        assert!(extra.is_empty(), "{folder}/ must not depend on {extra:?}");
    }
}

#[test]
fn only_the_broker_names_wire_types() {
    for path in sources() {
        let name = name(&path);
        if name.starts_with("broker/src/") || name.starts_with("compat-tests/") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a source");
        assert!(
            !text.contains("kafka_protocol"),
            "{name} names Kafka's wire types"
        );
    }
}

#[test]
fn files_stay_readable() {
    for path in sources() {
        let name = name(&path);
        let lines = fs::read_to_string(&path).expect("a source").lines().count();
        let limit = if TABLES.contains(&name.as_str()) {
            3_000
        } else {
            MAX_FILE_LINES
        };
        assert!(
            lines <= limit,
            "{name} has {lines} lines: look for the second noun in it"
        );
    }
}

/// By the formatter's indentation: a function ends at the brace in the column in which it starts.
#[test]
fn functions_fit_a_screen() {
    let mut long: BTreeMap<String, usize> = BTreeMap::new();
    for path in sources() {
        let text = fs::read_to_string(&path).expect("a source");
        let mut open: Vec<(usize, String, usize)> = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let code = line.trim_start();
            if code
                .split(['(', '<'])
                .next()
                // The word before its name; a type has none behind it.
                .is_some_and(|head| head.split(' ').rev().nth(1) == Some("fn"))
            {
                open.push((indent, code.to_owned(), number));
            }
            // A declaration without a body, on one line or several.
            if code.ends_with(';') {
                open.retain(|(column, _, start)| {
                    *column != indent || (*start != number && !code.starts_with([')', 'w']))
                });
            }
            if code == "}"
                && let Some(at) = open.iter().rposition(|(column, _, _)| *column == indent)
            {
                let (_, head, start) = open.swap_remove(at);
                let length = number - start + 1;
                if length > MAX_FUNCTION_LINES {
                    long.insert(format!("{}:{} {head}", name(&path), start + 1), length);
                }
            }
        }
    }
    assert!(
        long.is_empty(),
        "functions over {MAX_FUNCTION_LINES} lines: {long:#?}"
    );
}

//! Kafka's normalised answers in the repository, so that a machine without the jars can still compare.
//!
//! One file per API; in it one line per case and version. Versions that are answered alike point at the first of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use super::cases::Case;

/// Answers by the full name of their case.
pub type Answers = BTreeMap<String, Value>;

fn dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("differential/recorded")
}

/// Writes the record anew.
pub fn save(cases: &[Case], answers: &Answers) -> Result<()> {
    let dir = dir();
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    fs::create_dir_all(&dir)?;
    let mut files: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut first: BTreeMap<(&str, &str), BTreeMap<String, i16>> = BTreeMap::new();
    for case in cases {
        let answer = answers
            .get(&case.full_name())
            .with_context(|| format!("no answer for {}", case.full_name()))?;
        let seen = first.entry((case.api, &case.name)).or_default();
        let like = *seen.entry(answer.to_string()).or_insert(case.version);
        let value = if like == case.version {
            answer.clone()
        } else {
            json!(format!("v{like}"))
        };
        files
            .entry(case.api)
            .or_default()
            .push(format!("{}: {value}", json!(case.full_name())));
    }
    for (api, lines) in files {
        fs::write(
            dir.join(format!("{api}.json")),
            format!("{{\n{}\n}}\n", lines.join(",\n")),
        )?;
    }
    Ok(())
}

/// Reads the record; a case that is not in it has no answer.
pub fn load() -> Result<Answers> {
    let mut answers = Answers::new();
    for entry in fs::read_dir(dir()).context("there is no record: make one with --record")? {
        let path = entry?.path();
        let lines: Map<String, Value> = serde_json::from_str(&fs::read_to_string(&path)?)
            .with_context(|| path.display().to_string())?;
        for (name, value) in &lines {
            let value = match value.as_str() {
                Some(like) => {
                    let (case, _) = name.rsplit_once('/').context("a case without a version")?;
                    lines
                        .get(&format!("{case}/{like}"))
                        .with_context(|| format!("{name} points nowhere"))?
                }
                None => value,
            };
            answers.insert(name.clone(), value.clone());
        }
    }
    Ok(answers)
}

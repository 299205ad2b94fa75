//! The matrix as the generated part of `compat-tests/README.md`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::clients::matrix::{CLIENTS, Matrix, Outcome, SCENARIOS};

const START: &str = "<!-- what the last run found -->\n";
/// The line that names the clients and their versions.
const HEAD: &str = "| scenario |";
const END: &str = "<!-- until here -->\n";

/// The README with this run's matrix in it, and as it is now.
pub struct Readme {
    pub now: String,
    pub then: String,
}

impl Readme {
    pub fn with(matrix: &Matrix) -> Result<Readme> {
        let then = std::fs::read_to_string(path())?;
        let (head, rest) = then
            .split_once(START)
            .context("the README lacks the mark where the matrix starts")?;
        let (_, tail) = rest
            .split_once(END)
            .context("the README lacks the mark where the matrix ends")?;
        let now = format!("{head}{START}\n{}\n{END}{tail}", render(matrix));
        Ok(Readme { now, then })
    }

    /// Whether the run found what the README says; of versions, the system's kcat may have another.
    pub fn agrees(&self) -> bool {
        let without_versions = |text: &str| {
            let lines = text.lines().filter(|line| !line.starts_with(HEAD));
            lines.collect::<Vec<_>>().join("\n")
        };
        without_versions(&self.now) == without_versions(&self.then)
    }

    pub fn write(&self) -> Result<()> {
        std::fs::write(path(), &self.now).context("cannot write the README")
    }
}

/// What failed, with the end of what the client printed; empty where nothing did.
pub fn failures(matrix: &Matrix) -> String {
    let mut text = String::new();
    for (client, played) in matrix {
        let failed: Vec<_> = played.failures().collect();
        for (scenario, reason) in &failed {
            let _ = writeln!(text, "{client}: {scenario}: {reason}");
        }
        if !failed.is_empty() {
            let lines: Vec<&str> = played.errors.lines().collect();
            let last = &lines[lines.len().saturating_sub(60)..];
            let _ = writeln!(text, "--- {client} printed\n{}\n---", last.join("\n"));
        }
    }
    text
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("README.md")
}

fn render(matrix: &Matrix) -> String {
    let clients: Vec<_> = CLIENTS
        .iter()
        .filter_map(|name| Some((name, matrix.get(name)?)))
        .collect();
    let mut text = String::from(HEAD);
    for (name, played) in &clients {
        let version = played.version.as_deref().unwrap_or("?");
        let _ = write!(text, " {name} {version} |");
    }
    text.push_str("\n|---|");
    text.push_str(&"---|".repeat(clients.len()));
    for (scenario, _) in SCENARIOS {
        let _ = write!(text, "\n| {scenario} |");
        for (_, played) in &clients {
            let _ = write!(text, " {} |", played.outcomes[scenario]);
        }
    }
    text.push_str("\n\nWhat is not offered (–):\n\n");
    for (name, played) in &clients {
        for (reason, scenarios) in not_offered(&played.outcomes) {
            let _ = writeln!(text, "- {name}: {}: {reason}", scenarios.join(", "));
        }
    }
    text.push_str("\nWhat the scenarios show:\n\n");
    for (scenario, shows) in SCENARIOS {
        let _ = writeln!(text, "- {scenario}: {shows}");
    }
    text
}

/// Scenarios by the reason why they are not offered.
fn not_offered(outcomes: &BTreeMap<String, Outcome>) -> BTreeMap<&str, Vec<&str>> {
    let mut reasons = BTreeMap::<&str, Vec<&str>>::new();
    for (scenario, outcome) in outcomes {
        if let Outcome::NotOffered(reason) = outcome {
            reasons.entry(reason).or_default().push(scenario);
        }
    }
    reasons
}

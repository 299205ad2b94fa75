//! What is played, and what came of it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The clients, in the order of the report.
pub const CLIENTS: [&str; 9] = [
    "java",
    "confluent-kafka",
    "kafka-python",
    "aiokafka",
    "franz-go",
    "kafkajs",
    "platformatic",
    "rdkafka",
    "kcat",
];

/// The scenarios and what each shows, in the order of the report.
pub const SCENARIOS: [(&str, &str); 17] = [
    (
        "create-topic",
        "creates a topic with settings by its admin API; a second time is refused",
    ),
    (
        "produce-none",
        "records with keys and headers over 3 partitions, read back as sent; the broker's batches have no codec",
    ),
    ("produce-gzip", "the same; the batches have gzip"),
    ("produce-snappy", "the same; the batches have snappy"),
    ("produce-lz4", "the same; the batches have lz4"),
    ("produce-zstd", "the same; the batches have zstd"),
    (
        "idempotent-produce",
        "an idempotent producer's records, in order and once; the batches have a producer id",
    ),
    (
        "group-rebalance",
        "a member joins and leaves while records arrive: none lost, none twice",
    ),
    (
        "group-resume",
        "a group that was empty goes on from its commits",
    ),
    (
        "describe-configs",
        "reads a topic's settings, given and default",
    ),
    ("list-offsets", "earliest, latest and by time"),
    ("delete-topic", "deletes a topic, which is listed no more"),
    (
        "serializer-avro",
        "its registry serializer and back on a topic with `schema.validation.value=full`; cut short it is refused",
    ),
    ("serializer-json", "the same with JSON Schema"),
    ("serializer-protobuf", "the same with Protobuf"),
    (
        "refused-record",
        "a record that does not fit its schema is refused and found at `/v1/topics/{topic}/rejects`",
    ),
    (
        "table",
        "upserts and deletes by its default partitioner over 3 partitions are rows that HTTP finds",
    ),
];

/// How a scenario ended.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Passed,
    /// The client has nothing for this; the text says why.
    NotOffered(String),
    Failed(String),
}

/// What one client said.
#[derive(Clone, Debug, Default)]
pub struct Played {
    /// `None` where the client did not start.
    pub version: Option<String>,
    pub outcomes: BTreeMap<String, Outcome>,
    /// What it printed besides.
    pub errors: String,
    pub seconds: f64,
}

/// By client.
pub type Matrix = BTreeMap<&'static str, Played>;

/// A line that a client prints.
#[derive(Deserialize, Serialize)]
#[serde(untagged)]
pub enum Line {
    Client {
        client: String,
        version: String,
    },
    Scenario {
        scenario: String,
        result: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
    },
}

impl Line {
    pub fn of(scenario: &str, outcome: &Outcome) -> Line {
        let (result, detail) = match outcome {
            Outcome::Passed => ("passed", None),
            Outcome::NotOffered(reason) => ("not offered", Some(reason.clone())),
            Outcome::Failed(reason) => ("failed", Some(reason.clone())),
        };
        Line::Scenario {
            scenario: scenario.to_string(),
            result: result.to_string(),
            detail,
        }
    }
}

impl Played {
    /// Takes what a client printed. `silence` is what is said of scenarios that it says nothing about.
    pub fn parse(output: &str, wanted: &[&str], silence: &str) -> Played {
        let mut played = Played::default();
        for line in output.lines() {
            match serde_json::from_str(line) {
                Ok(Line::Client { version, .. }) => played.version = Some(version),
                Ok(Line::Scenario {
                    scenario,
                    result,
                    detail,
                }) => {
                    let detail = detail.unwrap_or_default();
                    let outcome = match result.as_str() {
                        "passed" => Outcome::Passed,
                        "not offered" => Outcome::NotOffered(detail),
                        _ => Outcome::Failed(detail),
                    };
                    played.outcomes.insert(scenario, outcome);
                }
                // Libraries that print to standard output.
                Err(_) => played.errors.push_str(&format!("{line}\n")),
            }
        }
        for scenario in wanted {
            let silent = || Outcome::Failed(silence.to_string());
            played
                .outcomes
                .entry(scenario.to_string())
                .or_insert_with(silent);
        }
        played
    }

    pub fn failures(&self) -> impl Iterator<Item = (&str, &str)> {
        self.outcomes
            .iter()
            .filter_map(|(scenario, outcome)| match outcome {
                Outcome::Failed(reason) => Some((scenario.as_str(), reason.as_str())),
                Outcome::Passed | Outcome::NotOffered(_) => None,
            })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Passed => f.write_str("passed"),
            Outcome::NotOffered(_) => f.write_str("–"),
            Outcome::Failed(_) => f.write_str("**failed**"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_without_a_result_has_failed() {
        let output = "{\"client\":\"c\",\"version\":\"1\"}\nnoise\n{\"scenario\":\"a\",\"result\":\"passed\"}\n";
        let played = Played::parse(output, &["a", "b"], "ended early");
        assert_eq!(played.version.as_deref(), Some("1"));
        assert_eq!(played.outcomes["a"], Outcome::Passed);
        assert_eq!(
            played.failures().collect::<Vec<_>>(),
            [("b", "ended early")]
        );
        assert_eq!(played.errors, "noise\n");
    }
}

//! Step: a record that is no flight is refused, and the reason is found.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::lines::on_path;
use super::{Demo, DemoError};
use crate::client::{ClientError, NewRecord};

/// Behind the schema's id; as a flight, it begins with a text that is longer than the rest.
const NO_FLIGHT: &str = "no flight at all";

impl Demo {
    pub(super) async fn show_refusal(&mut self) -> Result<(), DemoError> {
        self.lines
            .step("Write a record that is no flight: it is refused");
        let subject = self.schemas.registry().version("flights-value", "latest");
        let record = record(subject.await?.id);
        match on_path("kcat") {
            Some(_) => {
                let error = kcat_error(&self.kafka, &record).await.map_err(|error| {
                    DemoError::Unexpected(format!("kcat cannot be run: {error}"))
                })?;
                self.lines.say(&format!("kcat says:          {error}"));
            }
            None => self
                .lines
                .say("kcat is not installed here, or its error would stand here"),
        }
        let refusal = self.refused(&record).await?;
        self.lines.say(&format!("weir's client says: {refusal}"));
        let rejects = self.http.rejects("flights").await?;
        let Some(newest) = rejects.rejects.last() else {
            let reason = "the record was refused, and the topic's refusals do not list it";
            return Err(DemoError::Unexpected(reason.to_owned()));
        };
        let text = |name: &str| match &newest[name] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        self.lines.say(&format!(
            "the broker says:    {} of record {} in partition {}, subject {}, field {}: {}",
            text("part"),
            text("index"),
            text("partition"),
            text("subject"),
            text("field"),
            text("reason")
        ));
        self.lines
            .say(&format!("                    fix: {}", text("fix")));
        let octal: String = record
            .iter()
            .take(record.len() - NO_FLIGHT.len())
            .map(|byte| format!("\\{byte:03o}"))
            .collect();
        let write = format!("printf '{octal}{NO_FLIGHT}' | ");
        self.lines.piped(&write, "topic produce flights --raw");
        self.lines.weir("topic rejects flights -n 1");
        self.lines.kcat(&write, "-P -t flights");
        self.lines.curl("-s {http}/v1/topics/flights/rejects");
        Ok(())
    }

    /// Writes the bad record with this client and returns what it is told.
    async fn refused(&mut self, value: &[u8]) -> Result<String, DemoError> {
        let topic = self.client.topic("flights").await?;
        let record = NewRecord {
            key: Some(b"XX1".to_vec()),
            value: Some(value.to_vec()),
            partition: None,
        };
        let now_ms = self.clock.now_ms();
        match self.client.produce(&topic, &[record], now_ms).await {
            Err(ClientError::Records { refusals, .. }) => Ok(refusals
                .first()
                .map(ToString::to_string)
                .unwrap_or_default()),
            Err(error) => Err(error.into()),
            Ok(_) => {
                let reason = "a record that is no flight was taken into topic flights";
                Err(DemoError::Unexpected(reason.to_owned()))
            }
        }
    }
}

/// It names the schema of the flights and is none.
fn record(schema_id: i32) -> Vec<u8> {
    let mut record = vec![0];
    record.extend(schema_id.to_be_bytes());
    record.extend(NO_FLIGHT.bytes());
    record
}

/// What kcat prints when its record is refused.
async fn kcat_error(kafka: &str, record: &[u8]) -> std::io::Result<String> {
    let mut kcat = Command::new("kcat")
        .args(["-b", kafka, "-P", "-t", "flights"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut stdin) = kcat.stdin.take() {
        stdin.write_all(record).await?;
    }
    let output = kcat.wait_with_output().await?;
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said.lines().find(|line| line.contains("failed"));
    Ok(line.or(said.lines().next()).unwrap_or("nothing").to_owned())
}

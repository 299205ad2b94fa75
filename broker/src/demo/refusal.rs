//! Step: a record that is no flight is refused, and the reason is found.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::lines::on_path;
use super::{Demo, DemoError};
use crate::client::{ClientError, NewRecord};

const NO_FLIGHT: &str = "no flight at all";

impl Demo {
    pub(super) async fn show_refusal(&mut self) -> Result<(), DemoError> {
        self.lines
            .step("Write a record that is no flight: it is refused");
        match on_path("kcat") {
            Some(_) => {
                let error = kcat_error(&self.kafka).await.map_err(|error| {
                    DemoError::Unexpected(format!("kcat cannot be run: {error}"))
                })?;
                self.lines.say(&format!("kcat says:          {error}"));
            }
            None => self
                .lines
                .say("kcat is not installed here, or its error would stand here"),
        }
        let refusal = self.refused().await?;
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
            "the broker says:    {} of record {} in partition {}, from client {}: {}",
            text("part"),
            text("index"),
            text("partition"),
            text("client_id"),
            text("reason")
        ));
        self.lines
            .say(&format!("                    fix: {}", text("fix")));
        let write = format!("echo '{NO_FLIGHT}' | ");
        self.lines.piped(&write, "topic produce flights --raw");
        self.lines.weir("topic rejects flights -n 1");
        self.lines.kcat(&write, "-P -t flights");
        self.lines.curl("-s {http}/v1/topics/flights/rejects");
        Ok(())
    }

    /// Writes the bad record with this client and returns what it is told.
    async fn refused(&mut self) -> Result<String, DemoError> {
        let topic = self.client.topic("flights").await?;
        let record = NewRecord {
            key: Some(b"XX1".to_vec()),
            value: Some(NO_FLIGHT.as_bytes().to_vec()),
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

/// What kcat prints when its record is refused.
async fn kcat_error(kafka: &str) -> std::io::Result<String> {
    let mut kcat = Command::new("kcat")
        .args(["-b", kafka, "-P", "-t", "flights"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut stdin) = kcat.stdin.take() {
        stdin.write_all(format!("{NO_FLIGHT}\n").as_bytes()).await?;
    }
    let output = kcat.wait_with_output().await?;
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said.lines().find(|line| line.contains("failed"));
    Ok(line.or(said.lines().next()).unwrap_or("nothing").to_owned())
}

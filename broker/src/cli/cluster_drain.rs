//! `weir cluster drain` and `weir cluster decommission`: a node leaves the cluster.

use std::time::Duration;

use serde_json::Value;

use super::CliError;
use super::output::{self, Format};
use super::target::Target;
use crate::client::HttpClient;

/// How often it is asked how much is left.
const LOOK: Duration = Duration::from_secs(1);

/// Has a node drain, and waits until it is empty.
pub async fn drain(target: &Target, node: i32) -> Result<(), CliError> {
    until_empty(&target.http()?, node, target.format).await
}

/// Lets a node get something again.
pub async fn undo(target: &Target, node: i32) -> Result<(), CliError> {
    print(target.format, &target.http()?.end_drain(node).await?)
}

/// Drains a node, then makes it no member any more.
pub async fn decommission(target: &Target, node: i32) -> Result<(), CliError> {
    let http = target.http()?;
    until_empty(&http, node, target.format).await?;
    http.remove_node(node).await?;
    if target.format == Format::Text {
        output::line(&format!("node {node} is no member any more, and ends"))?;
    }
    Ok(())
}

async fn until_empty(http: &HttpClient, node: i32, format: Format) -> Result<(), CliError> {
    let mut left = http.drain(node).await?;
    print(format, &left)?;
    while left["partitions"].as_u64() != Some(0) {
        tokio::time::sleep(LOOK).await;
        let now = http.drain_status(node).await?;
        if now != left {
            print(format, &now)?;
        }
        left = now;
    }
    Ok(())
}

fn print(format: Format, status: &Value) -> Result<(), CliError> {
    match format {
        Format::Json => output::json(status)?,
        Format::Text => {
            let state = match status["draining"].as_bool() {
                Some(true) => "drains",
                _ => "does not drain",
            };
            let line = format!(
                "node {} {state}, partitions there: {}",
                status["node"], status["partitions"]
            );
            output::line(&line)?;
        }
    }
    Ok(())
}

//! `weir cluster balance --partitions`: partitions move so that nodes have their share.

use std::time::Duration;

use serde_json::Value;

use super::CliError;
use super::output::{self, Format};
use super::target::Target;

/// How often the next moves are begun.
const LOOK: Duration = Duration::from_secs(1);
const EVEN: &str = "every node has its share of the partitions";

/// Shows what would move.
pub async fn show(target: &Target) -> Result<(), CliError> {
    let shown = target.http()?.cluster_spread().await?;
    if target.format == Format::Json {
        return Ok(output::json(&shown)?);
    }
    let cells = |node: &Value| {
        let cell = |name: &str| output::cell(&node[name]);
        vec![cell("node"), cell("replicas"), cell("then")]
    };
    let nodes = list(&shown, "nodes").iter().map(cells).collect();
    output::columns(&["NODE", "REPLICAS", "THEN"], nodes, "no nodes")?;
    let moves = list(&shown, "moves");
    let cells = |one: &Value| {
        let (topic, partition) = (output::cell(&one["topic"]), output::cell(&one["partition"]));
        vec![topic, partition, ids(&one["from"]), ids(&one["to"])]
    };
    let rows = moves.iter().map(cells).collect();
    output::columns(&["TOPIC", "PARTITION", "FROM", "TO"], rows, &end(&shown))?;
    if let Some(reason) = shown["waits_for"].as_str() {
        output::line(&format!("nothing moves now: {reason}"))?;
    }
    if shown["enabled"] == false && !moves.is_empty() {
        output::line("nothing moves by itself: auto.partition.rebalance.enable is false")?;
    }
    Ok(())
}

/// Has partitions move until nodes have their share, and waits for that.
pub async fn run(target: &Target) -> Result<(), CliError> {
    let http = target.http()?;
    let mut said = Value::Null;
    let last = loop {
        let answer = http.cluster_spread_begin().await?;
        let moves = list(&answer, "moves");
        let reason = &answer["waits_for"];
        match target.format {
            Format::Json if !moves.is_empty() || *reason != said => output::json(&answer)?,
            Format::Json => {}
            Format::Text => {
                for one in &moves {
                    let cell = |name: &str| output::cell(&one[name]);
                    let (from, to) = (ids(&one["from"]), ids(&one["to"]));
                    let (topic, partition) = (cell("topic"), cell("partition"));
                    output::line(&format!("{topic} {partition}: {from} -> {to}"))?;
                }
                if let Some(reason) = reason.as_str().filter(|_| *reason != said) {
                    output::line(&format!("nothing moves now: {reason}"))?;
                }
            }
        }
        if moves.is_empty() && reason.is_null() && answer["underway"] == 0 {
            break answer;
        }
        said = reason.clone();
        tokio::time::sleep(LOOK).await;
    };
    if target.format == Format::Text {
        output::line(&end(&last))?;
    }
    Ok(())
}

/// What is said where there is nothing to move.
fn end(answer: &Value) -> String {
    match ids(&answer["full"]) {
        none if none.is_empty() => EVEN.to_owned(),
        full => format!("nothing can move: the disks of these nodes are nearly full: {full}"),
    }
}

fn list(answer: &Value, name: &str) -> Vec<Value> {
    answer[name].as_array().cloned().unwrap_or_default()
}

/// Broker ids, as one word.
fn ids(list: &Value) -> String {
    let ids = list.as_array().into_iter().flatten();
    ids.map(output::cell).collect::<Vec<_>>().join(",")
}

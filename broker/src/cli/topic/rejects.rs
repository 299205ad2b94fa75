//! `weir topic rejects`: what a topic refused lately, since most clients hide the reason.

use serde_json::{Value, json};

use crate::cli::CliError;
use crate::cli::output::{self, Format};
use crate::cli::target::Target;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  weir topic rejects orders
  weir topic rejects orders -n 1 --format json

The broker keeps the last 100 of each topic in memory, the newest last.")]
pub struct RejectsArgs {
    topic: String,
    /// Only the newest
    #[arg(short = 'n', long = "count", value_name = "COUNT")]
    count: Option<usize>,
}

pub async fn run(target: &Target, args: RejectsArgs) -> Result<(), CliError> {
    let mut found = target.http()?.rejects(&args.topic).await?;
    let skipped = args
        .count
        .map_or(0, |count| found.rejects.len().saturating_sub(count));
    found.rejects.drain(..skipped);
    if target.format == Format::Json {
        output::json(&json!({ "topic": found.topic, "rejects": found.rejects }))?;
        return Ok(());
    }
    if found.rejects.is_empty() {
        let none = format!(
            "{} has refused nothing since the broker started",
            found.topic
        );
        output::line(&none)?;
    }
    for reject in &found.rejects {
        for line in described(reject) {
            output::line(&line)?;
        }
    }
    Ok(())
}

/// A refusal in lines: which record, what was wrong with it, what to do.
pub fn described(reject: &Value) -> Vec<String> {
    let text = |name: &str| reject.get(name).map(output::cell).unwrap_or_default();
    let time = reject
        .get("time_ms")
        .and_then(Value::as_i64)
        .and_then(chrono::DateTime::from_timestamp_millis)
        .map(|time| time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true))
        .unwrap_or_default();
    let mut lines = vec![format!(
        "{time}  partition {}, record {} of its batch, key {:?}, from client {:?}",
        text("partition"),
        text("index"),
        text("key_prefix"),
        text("client_id")
    )];
    let named = |name: &str, label: &str| {
        let value = text(name);
        (!value.is_empty()).then(|| format!(", {label} {value}"))
    };
    lines.push(format!(
        "  {}{}{}{}: {}",
        text("part"),
        named("subject", "subject").unwrap_or_default(),
        named("id", "schema id").unwrap_or_default(),
        named("field", "field").unwrap_or_default(),
        text("reason")
    ));
    let fix = text("fix");
    if !fix.is_empty() {
        lines.push(format!("  fix: {fix}"));
    }
    lines
}

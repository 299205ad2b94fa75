//! `weir table get|scan|put|delete`

use std::path::Path;

use serde_json::{Value, json};

use super::{array, written};
use crate::cli::CliError;
use crate::cli::files;
use crate::cli::output::{self, Format};
use crate::cli::target::Target;
use crate::client::key_path;

/// Rows that one call asks for.
const PAGE_ROWS: usize = 1_000;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  weir table get airports JFK
  weir table get airports JFK LGA EWR --format json
  weir table get prices fruit,apple          a key of two columns")]
pub struct GetArgs {
    table: String,
    #[arg(required = true)]
    keys: Vec<String>,
}

#[derive(clap::Args)]
#[command(after_help = "Examples:
  weir table scan airports --limit 10
  weir table scan prices --prefix fruit      all rows whose first key column is fruit")]
pub struct ScanArgs {
    table: String,
    /// The leading columns of the key
    #[arg(long)]
    prefix: Option<String>,
    /// Most rows to print
    #[arg(short = 'n', long, default_value_t = 100)]
    limit: usize,
}

#[derive(clap::Args)]
#[command(after_help = "Examples:
  weir table put prices apple '{\"value\":\"1.20\"}'
  weir table put airports JFK - < jfk.json")]
pub struct PutArgs {
    table: String,
    key: String,
    /// The row as JSON; the key's columns may be left out; - is standard input
    row: String,
}

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  weir table delete prices apple pear")]
pub struct DeleteArgs {
    table: String,
    #[arg(required = true)]
    keys: Vec<String>,
}

/// A row that is not there is null, and the command's failure.
pub async fn get(target: &Target, args: GetArgs) -> Result<(), CliError> {
    let http = target.http()?;
    if args.keys.iter().any(String::is_empty) {
        let reason = "an empty key cannot be looked up here; POST it to /v1/tables/TABLE/lookup";
        return Err(CliError::Usage(reason.to_owned()));
    }
    let mut missing = Vec::new();
    for key in &args.keys {
        match http.row(&args.table, &key_path(key)).await {
            Ok(row) => output::line(&row.to_string())?,
            Err(error) if error.code() == Some("no_such_row") => {
                missing.push(key.as_str());
                if target.format == Format::Json {
                    output::line("null")?;
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    match missing.is_empty() {
        true => Ok(()),
        false => Err(CliError::No(format!(
            "{} has no row {}",
            args.table,
            missing.join(" and none ")
        ))),
    }
}

pub async fn scan(target: &Target, args: ScanArgs) -> Result<(), CliError> {
    let http = target.http()?;
    let prefix = args.prefix.as_deref().map(key_path);
    let (mut left, mut cursor) = (args.limit, None::<String>);
    let mut rows = Vec::new();
    while left > 0 {
        let limit = left.min(PAGE_ROWS);
        let page = http.rows(&args.table, prefix.as_deref(), limit, cursor.as_deref());
        let page = page.await?;
        let found = array(&page["rows"]);
        left = left.saturating_sub(found.len());
        match target.format {
            Format::Json => {
                for row in &found {
                    output::line(&row.to_string())?;
                }
            }
            Format::Text => rows.extend(found),
        }
        cursor = page["cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    if target.format == Format::Text {
        output::objects(&rows, "no rows")?;
        if cursor.is_some() {
            output::line(&format!(
                "… there are more; see them with --limit {}",
                args.limit * 10
            ))?;
        }
    }
    Ok(())
}

pub async fn put(target: &Target, args: PutArgs) -> Result<(), CliError> {
    let text = match args.row.as_str() {
        "-" => files::read(Path::new("-"))?,
        row => row.to_owned(),
    };
    let row: Value = serde_json::from_str(&text).map_err(|error| {
        let example = json!({ "value": "1.20" });
        CliError::Usage(format!(
            "the row is not JSON: {error}; for example '{example}'"
        ))
    })?;
    let answer = target
        .http()?
        .put_row(&args.table, &key_path(&args.key), &row)
        .await?;
    written(target, &format!("put {}", args.key), &answer)
}

pub async fn delete(target: &Target, args: DeleteArgs) -> Result<(), CliError> {
    let http = target.http()?;
    for key in &args.keys {
        let answer = http.delete_row(&args.table, &key_path(key)).await?;
        written(target, &format!("deleted {key}"), &answer)?;
    }
    Ok(())
}

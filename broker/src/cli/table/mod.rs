//! `weir table …`

mod create;
mod rows;

use clap::Subcommand;
use serde_json::{Value, json};

use super::CliError;
use super::output::{self, Format};
use super::target::Target;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  weir table create prices --partitions 3
  weir table put prices apple '{\"value\":\"1.20\"}'
  weir table get prices apple
  weir table scan prices --limit 10

A key of several columns is written with commas between them; a comma in one as %2C.")]
pub struct TableArgs {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// List the tables
    #[command(after_help = "Examples:\n  weir table list\n  weir table list --format json")]
    List,
    /// Create a table: a topic with a primary key
    Create(create::CreateArgs),
    /// Show a table's columns, partitions and lag
    #[command(after_help = "Examples:\n  weir table describe prices")]
    Describe { table: String },
    /// Look rows up by key
    Get(rows::GetArgs),
    /// Print rows in key order
    Scan(rows::ScanArgs),
    /// Insert or replace a row
    Put(rows::PutArgs),
    /// Delete rows by key
    Delete(rows::DeleteArgs),
}

pub async fn run(args: TableArgs) -> Result<(), CliError> {
    let target = &args.target;
    match args.verb {
        Verb::List => list(target).await,
        Verb::Create(args) => create::run(target, args).await,
        Verb::Describe { table } => describe(target, &table).await,
        Verb::Get(args) => rows::get(target, args).await,
        Verb::Scan(args) => rows::scan(target, args).await,
        Verb::Put(args) => rows::put(target, args).await,
        Verb::Delete(args) => rows::delete(target, args).await,
    }
}

async fn list(target: &Target) -> Result<(), CliError> {
    let answer = target.http()?.tables().await?;
    match target.format {
        Format::Json => output::json(&answer["tables"])?,
        Format::Text => {
            let tables = array(&answer["tables"]);
            let none = "no tables; create one with: weir table create NAME";
            chosen(&tables, &["name", "partitions", "row_count", "lag"], none)?;
        }
    }
    Ok(())
}

async fn describe(target: &Target, table: &str) -> Result<(), CliError> {
    let answer = target.http()?.table(table).await?;
    if target.format == Format::Json {
        output::json(&answer)?;
        return Ok(());
    }
    output::line(&format!(
        "table {}: {} rows, key {}, value {}, partitioner {}",
        table,
        output::cell(&answer["row_count"]),
        output::cell(&answer["key"]["format"]),
        output::cell(&answer["value"]["format"]),
        array(&answer["partitioner"]["candidates"])
            .iter()
            .map(output::cell)
            .collect::<Vec<_>>()
            .join(" or "),
    ))?;
    let columns = array(&answer["columns"]);
    chosen(&columns, &["name", "type", "nullable", "key"], "no columns")?;
    let partitions = array(&answer["partition_states"]);
    let shown = ["partition", "row_count", "applied_offset", "lag"];
    chosen(
        &partitions,
        &shown,
        "rows: a partition cannot be asked now, try again",
    )?;
    Ok(())
}

fn array(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

/// Some members of objects, as columns.
fn chosen(objects: &[Value], names: &[&str], none: &str) -> std::io::Result<()> {
    let rows = objects
        .iter()
        .map(|object| {
            let cell = |name: &&str| output::cell(&object[*name]);
            names.iter().map(cell).collect()
        })
        .collect();
    let headings: Vec<String> = names
        .iter()
        .map(|name| name.to_uppercase().replace('_', " "))
        .collect();
    let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
    output::columns(&headings, rows, none)
}

/// What a write answers.
fn written(target: &Target, what: &str, answer: &Value) -> Result<(), CliError> {
    let (partition, offset) = (&answer["partition"], &answer["offset"]);
    match target.format {
        Format::Json => output::json(&json!({ "partition": partition, "offset": offset }))?,
        Format::Text => output::line(&format!("{what}: partition {partition}, offset {offset}"))?,
    }
    Ok(())
}

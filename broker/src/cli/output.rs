//! How commands print: columns for people, JSON for programs.

use std::io::{self, Write};

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    Text,
    Json,
}

/// Columns under headings, or where there are no rows a line that says so.
pub fn columns(headings: &[&str], rows: Vec<Vec<String>>, none: &str) -> io::Result<()> {
    if rows.is_empty() {
        return line(none);
    }
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(headings.to_vec())
        .add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    line(&table.trim_fmt())
}

pub fn json(value: &Value) -> io::Result<()> {
    line(&format!("{value:#}"))
}

pub fn line(text: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{text}")
}

/// A value as a cell: strings bare, null empty.
pub fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// JSON objects of the same members as columns.
pub fn objects(rows: &[Value], none: &str) -> io::Result<()> {
    let mut headings: Vec<&str> = Vec::new();
    for row in rows.iter().filter_map(Value::as_object) {
        for name in row.keys() {
            if !headings.contains(&name.as_str()) {
                headings.push(name);
            }
        }
    }
    let cells = |row: &Value| {
        let cell = |name: &&str| row.get(name).map(cell).unwrap_or_default();
        headings.iter().map(cell).collect()
    };
    let rows = rows.iter().map(cells).collect();
    columns(&headings, rows, none)
}

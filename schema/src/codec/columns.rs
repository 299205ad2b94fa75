//! What the three languages share when they turn a schema into columns.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields};

use super::error::NoMapping;

/// Columns of a row type, nested ones counted. A schema of n types can name 2^n columns.
const MAX_COLUMNS: usize = 10_000;
const MAX_DEPTH: usize = 64;

/// A row type in the making: which records enclose the current one, and how much there is.
#[derive(Default)]
pub(crate) struct Building {
    enclosing: Vec<String>,
    depth: usize,
    columns: usize,
}

impl Building {
    /// Counts one column, nested or not.
    pub(crate) fn column(&mut self, at: &str) -> Result<(), NoMapping> {
        self.columns += 1;
        if self.columns > MAX_COLUMNS {
            return Err(NoMapping::new(
                at,
                format!("the row type has more than {MAX_COLUMNS} columns"),
            ));
        }
        Ok(())
    }

    /// Builds an array or a map.
    pub(crate) fn nested<T>(
        &mut self,
        at: &str,
        build: impl FnOnce(&mut Self) -> Result<T, NoMapping>,
    ) -> Result<T, NoMapping> {
        if self.depth == MAX_DEPTH {
            return Err(NoMapping::new(
                at,
                format!("is nested deeper than {MAX_DEPTH} levels"),
            ));
        }
        self.depth += 1;
        let built = build(self);
        self.depth -= 1;
        built
    }

    /// Builds the named record type; refuses one that contains itself.
    pub(crate) fn record<T>(
        &mut self,
        at: &str,
        name: &str,
        build: impl FnOnce(&mut Self) -> Result<T, NoMapping>,
    ) -> Result<T, NoMapping> {
        if self.enclosing.iter().any(|outer| outer == name) {
            return Err(NoMapping::new(
                at,
                format!("{name} contains itself, which has no column type"),
            ));
        }
        self.enclosing.push(name.to_owned());
        let built = self.nested(at, build);
        self.enclosing.pop();
        built
    }
}

/// MAP<key, value>, with Arrow's usual names.
pub(crate) fn map_of(key: DataType, value: Field) -> DataType {
    let entries = Fields::from(vec![
        Field::new("key", key, false),
        value.with_name("value"),
    ]);
    DataType::Map(
        Arc::new(Field::new("entries", DataType::Struct(entries), false)),
        false,
    )
}

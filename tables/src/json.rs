//! Rows as JSON objects: the key's columns, then those of the value that are not in the key.

use std::sync::Arc;

use arrow_schema::{DataType, Fields};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;
use weir_schema::codec::{Codec, NoMapping, PayloadError};
use weir_schema::framing::{self, FramingError, Part, SchemaRef};
use weir_schema::row::int64_as_strings;

use crate::def::{KeyFormat, ValueFormat};
use crate::key::KEY_COLUMN;
use crate::keys::ordered;
use crate::row::Row;
use crate::schemas::LatestSchema;
use crate::table::{Columns, Table, VALUE_COLUMN};

/// A stored row cannot be shown.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RowError {
    #[error("the stored key is no key of the table")]
    BadKey,
    #[error("the row's value is not UTF-8")]
    NotUtf8,
    #[error("the row's schema {0} is no longer registered")]
    SchemaGone(SchemaRef),
    #[error("the row's value: {0}")]
    Framing(#[from] FramingError),
    #[error("the row's value: {0}")]
    Payload(#[from] PayloadError),
}

/// What a caller wants of the rows.
#[derive(Clone, Copy, Default, Debug)]
pub struct RowOptions<'a> {
    /// Only these columns, in the row's own order.
    pub columns: Option<&'a [String]>,
    /// BIGINT as strings, for readers whose numbers are doubles.
    pub int64_as_strings: bool,
}

/// Rows cannot be shown as asked.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RowsError {
    #[error("there is no column `{0}`")]
    UnknownColumn(String),
    #[error(transparent)]
    NoMapping(#[from] NoMapping),
}

/// Writes rows of one table, in the latest schema there was when it was made.
pub struct RowWriter<'t> {
    table: &'t Table,
    latest: Option<LatestSchema>,
    columns: Columns,
    /// Whether each column of `columns.key`, then of `columns.value`, is wanted.
    wanted: Vec<bool>,
    int64_as_strings: bool,
    /// The schema of the row before, which the next one mostly has too.
    writer: Option<(SchemaRef, Arc<Codec>)>,
}

impl<'t> RowWriter<'t> {
    pub fn new(table: &'t Table, options: RowOptions<'_>) -> Result<Self, RowsError> {
        let latest = table.latest();
        let columns = table.columns(latest.as_ref())?;
        let names = || {
            columns
                .key
                .iter()
                .chain(&columns.value)
                .map(|column| column.name())
        };
        let wanted = match options.columns {
            None => names().map(|_| true).collect(),
            Some(asked) => {
                if let Some(unknown) = asked
                    .iter()
                    .find(|asked| !names().any(|name| name == *asked))
                {
                    return Err(RowsError::UnknownColumn(unknown.clone()));
                }
                names().map(|name| asked.contains(name)).collect()
            }
        };
        let int64_as_strings = options.int64_as_strings;
        Ok(Self {
            table,
            latest,
            columns,
            wanted,
            int64_as_strings,
            writer: None,
        })
    }

    /// Appends one row. On an error `out` is as it was.
    pub fn write(
        &mut self,
        primary_key: &[u8],
        row: Row<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), RowError> {
        let start = out.len();
        out.push(b'{');
        let written = self
            .write_key(primary_key, out)
            .and_then(|()| self.write_value(row, out));
        if written.is_err() {
            out.truncate(start);
        } else {
            out.push(b'}');
        }
        written
    }

    fn write_key(&self, primary_key: &[u8], out: &mut Vec<u8>) -> Result<(), RowError> {
        if self.table.key().format() == KeyFormat::Schema {
            let values = self
                .table
                .key()
                .columns_of(primary_key)
                .ok_or(RowError::BadKey)?;
            let mut row = self
                .columns
                .key
                .iter()
                .map(|c| c.name().clone())
                .zip(values)
                .collect();
            self.shape(&self.columns.key, &mut row);
            self.write_columns(&self.columns.key, &self.wanted, &row, out);
            return Ok(());
        }
        if !self.wanted[0] {
            return Ok(());
        }
        name(KEY_COLUMN, out);
        match self.table.key().format() {
            KeyFormat::String => text(
                str::from_utf8(primary_key).map_err(|_| RowError::BadKey)?,
                out,
            ),
            KeyFormat::Bytes => base64(primary_key, out),
            KeyFormat::Int32 => {
                let bytes = primary_key.try_into().map_err(|_| RowError::BadKey)?;
                json(&ordered::unflip32(bytes), out);
            }
            KeyFormat::Int64 => {
                let number =
                    ordered::unflip64(primary_key.try_into().map_err(|_| RowError::BadKey)?);
                if self.int64_as_strings {
                    text(&number.to_string(), out)
                } else {
                    json(&number, out)
                }
            }
            KeyFormat::Schema => unreachable!("written above"),
        }
        Ok(())
    }

    fn write_value(&mut self, row: Row<'_>, out: &mut Vec<u8>) -> Result<(), RowError> {
        match self.table.def().value.format {
            ValueFormat::Schema => {
                let Value::Object(mut row) = self.value_json(row)? else {
                    return Ok(());
                };
                self.shape(&self.columns.value, &mut row);
                self.write_columns(
                    &self.columns.value,
                    &self.wanted[self.columns.key.len()..],
                    &row,
                    out,
                );
            }
            // A raw key's column is `key`, so only a key schema can have a column of this name.
            _ if self.columns.value.is_empty() || !self.wanted[self.columns.key.len()] => {}
            ValueFormat::Bytes => {
                name(VALUE_COLUMN, out);
                base64(row.value, out);
            }
            ValueFormat::String => {
                let value = str::from_utf8(row.value).map_err(|_| RowError::NotUtf8)?;
                name(VALUE_COLUMN, out);
                text(value, out);
            }
        }
        Ok(())
    }

    /// The value as an object of the latest schema's columns.
    fn value_json(&mut self, row: Row<'_>) -> Result<Value, RowError> {
        let header = (!row.schema_header.is_empty()).then_some(Some(row.schema_header));
        let framed = framing::split(Part::Value, row.value, header)?;
        if self
            .writer
            .as_ref()
            .is_none_or(|(schema, _)| *schema != framed.schema)
        {
            let codec = self.table.schemas().codec(framed.schema);
            let codec = codec.ok_or(RowError::SchemaGone(framed.schema))?;
            self.writer = Some((framed.schema, codec));
        }
        let (_, writer) = self.writer.as_ref().expect("found above");
        let payload = framed.payload(writer.is_protobuf())?;
        let json = match &self.latest {
            Some(latest) => writer.to_json_as(&latest.codec, payload)?,
            None => writer.to_json(payload)?,
        };
        Ok(match json {
            Value::Object(row) => Value::Object(row),
            bare => Value::Object([(VALUE_COLUMN.to_owned(), bare)].into_iter().collect()),
        })
    }

    fn shape(&self, columns: &Fields, row: &mut serde_json::Map<String, Value>) {
        if self.int64_as_strings {
            let mut object = Value::Object(std::mem::take(row));
            int64_as_strings(columns, &mut object);
            if let Value::Object(shaped) = object {
                *row = shaped;
            }
        }
    }

    fn write_columns(
        &self,
        columns: &Fields,
        wanted: &[bool],
        row: &serde_json::Map<String, Value>,
        out: &mut Vec<u8>,
    ) {
        for (column, wanted) in columns.iter().zip(wanted) {
            if *wanted {
                name(column.name(), out);
                json(row.get(column.name()).unwrap_or(&Value::Null), out);
            }
        }
    }
}

/// What a column's type is called in a table's description.
pub fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Int8 => "TINYINT".into(),
        DataType::Int16 => "SMALLINT".into(),
        DataType::Int32 => "INT".into(),
        DataType::Int64 => "BIGINT".into(),
        DataType::Float32 => "FLOAT".into(),
        DataType::Float64 => "DOUBLE".into(),
        DataType::Utf8 => "STRING".into(),
        DataType::Decimal128(precision, scale) => format!("DECIMAL({precision},{scale})"),
        DataType::Date32 => "DATE".into(),
        DataType::Time32(_) | DataType::Time64(_) => "TIME".into(),
        DataType::Timestamp(_, None) => "TIMESTAMP".into(),
        DataType::Timestamp(_, Some(_)) => "TIMESTAMP_LTZ".into(),
        DataType::FixedSizeBinary(size) => format!("BINARY({size})"),
        DataType::Binary => "BYTES".into(),
        DataType::List(item) => format!("ARRAY<{}>", type_name(item.data_type())),
        DataType::Struct(fields) => row_name(fields),
        DataType::Map(entry, _) => match entry.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => {
                format!(
                    "MAP<{},{}>",
                    type_name(fields[0].data_type()),
                    type_name(fields[1].data_type())
                )
            }
            other => other.to_string(),
        },
        other => other.to_string(),
    }
}

fn row_name(fields: &Fields) -> String {
    let fields: Vec<String> = fields
        .iter()
        .map(|f| format!("{} {}", f.name(), type_name(f.data_type())))
        .collect();
    format!("ROW<{}>", fields.join(","))
}

/// The name of the next column, after a comma where one is due.
fn name(name: &str, out: &mut Vec<u8>) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    text(name, out);
    out.push(b':');
}

fn text(text: &str, out: &mut Vec<u8>) {
    json(text, out);
}

fn json<T: serde::Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value)
        .expect("a vector takes every byte, and JSON values have text keys");
}

fn base64(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let start = out.len();
    let len =
        base64::encoded_len(bytes.len(), true).expect("a value is shorter than half the memory");
    out.resize(start + len, 0);
    BASE64
        .encode_slice(bytes, &mut out[start..])
        .expect("the slice has the encoded length");
    out.push(b'"');
}

#[cfg(test)]
mod tests;

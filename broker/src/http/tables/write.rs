//! Rows written over HTTP: an upsert from JSON or raw bytes, and a delete.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, Uri, header};
use serde::Serialize;
use serde_json::{Map, Value};
use weir_schema::framing::{self, Indexes, Payload};
use weir_schema::row::{bytes_from_text, has_too_many_values};
use weir_tables::table::VALUE_COLUMN;
use weir_tables::{RecordKey, Table, ValueFormat};

use super::lookup::read;
use super::query::{Query, key_values};
use super::{ApiError, RowRecord, Service, Written, find, row_path};

const ROW_HINT: &str = "send the row's columns as a JSON object; the key's may be left out";

#[derive(Serialize)]
pub struct Answer {
    partition: u32,
    offset: i64,
}

impl From<Written> for Answer {
    fn from(written: Written) -> Self {
        Self {
            partition: written.partition,
            offset: written.offset,
        }
    }
}

/// `PUT /v1/tables/{table}/rows/{key}`
pub async fn put(
    State(service): Service,
    uri: Uri,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Answer>, ApiError> {
    let (name, parts) = row_path(&uri)?;
    let open = find(&*service, &name).await?;
    Query::new(uri.query()).finish(&[])?;
    let table = &open.table;
    let key = key_values(table.key().columns(), &parts, false)?;
    let body = read(body)?;
    let value = if is_raw(&headers) {
        raw_value(table, &body)?
    } else {
        json_value(table, &key, &body)?
    };
    let record = RowRecord {
        key: record_key(table, &key)?,
        value: Some(value),
    };
    Ok(Json(service.write(&open, record).await?.into()))
}

/// `DELETE /v1/tables/{table}/rows/{key}`
pub async fn delete(State(service): Service, uri: Uri) -> Result<Json<Answer>, ApiError> {
    let (name, parts) = row_path(&uri)?;
    let open = find(&*service, &name).await?;
    Query::new(uri.query()).finish(&[])?;
    let key = key_values(open.table.key().columns(), &parts, false)?;
    let record = RowRecord {
        key: record_key(&open.table, &key)?,
        value: None,
    };
    Ok(Json(service.write(&open, record).await?.into()))
}

fn record_key(table: &Table, key: &[Value]) -> Result<RecordKey, ApiError> {
    table
        .key()
        .key_of(key)
        .map(|(record, _)| record)
        .map_err(|error| ApiError::bad_key(&error))
}

fn is_raw(headers: &HeaderMap) -> bool {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    content_type.is_some_and(|value| value.trim().starts_with("application/octet-stream"))
}

fn raw_value(table: &Table, body: &Bytes) -> Result<Vec<u8>, ApiError> {
    match table.def().value.format {
        ValueFormat::Bytes => Ok(body.to_vec()),
        ValueFormat::String if str::from_utf8(body).is_ok() => Ok(body.to_vec()),
        ValueFormat::String => Err(ApiError::bad_body(
            "the value is not UTF-8",
            "the table's values are strings",
        )),
        ValueFormat::Schema => {
            let message =
                "the table's values have a schema, and the body is application/octet-stream";
            Err(ApiError::bad_body(
                message,
                "send the row as JSON, with content-type application/json",
            ))
        }
    }
}

/// The value of a row that is a JSON object.
fn json_value(table: &Table, key: &[Value], body: &[u8]) -> Result<Vec<u8>, ApiError> {
    if has_too_many_values(body) {
        return Err(ApiError::bad_body(
            "the row holds too many values",
            ROW_HINT,
        ));
    }
    let row: Value =
        serde_json::from_slice(body).map_err(|error| ApiError::bad_body(error, ROW_HINT))?;
    let Value::Object(mut row) = row else {
        return Err(ApiError::bad_body("the row is not a JSON object", ROW_HINT));
    };
    check_key_columns(table, key, &row)?;
    match table.def().value.format {
        ValueFormat::Schema => schema_value(table, key, row),
        format => {
            table.key().columns().iter().for_each(|column| {
                row.remove(column.name());
            });
            let value = row.remove(VALUE_COLUMN);
            if let Some((column, _)) = row.iter().next() {
                return Err(unknown_column(column));
            }
            single_value(format, value.as_ref())
        }
    }
}

/// Key columns in the body are those of the path.
fn check_key_columns(
    table: &Table,
    key: &[Value],
    row: &Map<String, Value>,
) -> Result<(), ApiError> {
    for (column, in_path) in table.key().columns().iter().zip(key) {
        let Some(in_body) = row.get(column.name()) else {
            continue;
        };
        let read = |value| weir_schema::row::scalar_from_json(column.data_type(), value);
        if read(in_body) != read(in_path) {
            let message = format!("is {in_body} in the body and {in_path} in the path");
            return Err(ApiError::bad_column(
                column.name(),
                message,
                "leave the key's columns out of the body",
            ));
        }
    }
    Ok(())
}

fn unknown_column(column: &str) -> ApiError {
    let message = format!("the table has no column `{column}`");
    ApiError::bad_column(
        column,
        message,
        "see `GET /v1/tables/{table}` for the columns",
    )
}

fn single_value(format: ValueFormat, value: Option<&Value>) -> Result<Vec<u8>, ApiError> {
    let text = value.and_then(Value::as_str);
    let bytes = match format {
        ValueFormat::Bytes => text.and_then(bytes_from_text),
        _ => text.map(|text| text.as_bytes().to_vec()),
    };
    bytes.ok_or_else(|| {
        let takes = if format == ValueFormat::Bytes {
            "base64 in a string"
        } else {
            "a string"
        };
        let found = value.map_or("missing".to_owned(), |value| format!("`{value}`"));
        ApiError::bad_column(
            VALUE_COLUMN,
            format!("the value is {found}, and takes {takes}"),
            ROW_HINT,
        )
    })
}

/// The row as a value of the latest schema, with its id before it.
fn schema_value(
    table: &Table,
    key: &[Value],
    mut row: Map<String, Value>,
) -> Result<Vec<u8>, ApiError> {
    let subject = table.def().value.subject.as_deref().unwrap_or_default();
    let latest = table.latest().ok_or_else(|| {
        let hint = format!("register a schema under {subject}");
        ApiError::schema("", "the table's values have no schema yet", hint)
    })?;
    let columns = latest
        .codec
        .columns(Indexes::FIRST, VALUE_COLUMN)
        .map_err(weir_tables::RowsError::from)?;
    for (column, value) in table.key().columns().iter().zip(key) {
        if columns.find(column.name()).is_some() {
            row.insert(column.name().clone(), value.clone());
        } else {
            row.remove(column.name());
        }
    }
    if let Some(column) = row.keys().find(|name| columns.find(name).is_none()) {
        return Err(unknown_column(column));
    }
    let bare = latest
        .codec
        .columns(Indexes::FIRST, "\0")
        .is_ok_and(|named| named.find("\0").is_some());
    let json = if bare {
        row.remove(VALUE_COLUMN).unwrap_or_default()
    } else {
        Value::Object(row)
    };
    let payload = latest
        .codec
        .from_json(Indexes::FIRST, &json)
        .map_err(|error| {
            let hint = format!(
                "send a value of the latest schema of {subject}, which has id {}",
                latest.id
            );
            ApiError::schema(&error.field, &error.reason, hint)
        })?;
    let payload = Payload {
        indexes: Indexes::FIRST,
        bytes: &payload,
    };
    Ok(framing::with_prefix(
        latest.id,
        payload,
        latest.codec.is_protobuf(),
    ))
}

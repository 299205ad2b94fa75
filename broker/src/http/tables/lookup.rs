//! Rows by key: one from a path, many from a body.

use std::fmt;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, Visitor};
use tokio::time::Instant;
use weir_schema::row::has_too_many_values;
use weir_tables::{FoundRow, KeysSeed, LookupKeys, RowOptions, RowWriter};

use super::query::{Query, key_values};
use super::{ApiError, Service, blocking, find, json, row_path};
use crate::http::name::Name;
use crate::tables::OpenTable;

/// Most keys of one lookup.
const MAX_KEYS: usize = 10_000;
/// Bytes that the answer is given room for per key.
const ROW_GUESS_BYTES: usize = 192;

const BODY_HINT: &str = r#"send {"keys":[…],"columns":[…]}, columns being optional"#;

/// `GET /v1/tables/{table}/rows/{key}`
pub async fn one(State(service): Service, uri: Uri) -> Result<Response, ApiError> {
    let started = Instant::now();
    let (name, parts) = row_path(&uri)?;
    let open = find(&*service, &name).await?;
    let options = Options::of(&uri)?;
    let values = key_values(open.table.key().columns(), &parts, false)?;
    let mut keys = LookupKeys::default();
    keys.push(&open.table, open.candidates, &values)
        .map_err(|error| ApiError::bad_key(&error))?;
    service.read_barrier(&open, &keys.buckets()).await?;
    // Finding one row takes less time than a change of threads, so others make room if it comes from the disk.
    let in_memory = render_from_memory(&open, &keys, &options).transpose();
    let row = in_memory.unwrap_or_else(|| {
        tokio::task::block_in_place(|| {
            render_one(&open, keys.find(|bucket| open.store(bucket))?, &options)
        })
    });
    service.looked_up(started.elapsed());
    Ok(json(row?))
}

/// `POST /v1/tables/{table}/lookup`
pub async fn many(
    State(service): Service,
    Name(name): Name,
    uri: Uri,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let started = Instant::now();
    let open = find(&*service, &name).await?;
    let mut options = Options::of(&uri)?;
    let request = parse(&open, &read(body)?)?;
    options.columns = request.columns.or(options.columns);
    let keys = request.keys;
    service.read_barrier(&open, &keys.buckets()).await?;
    let rows = blocking(move || render(&open, &keys, &options)).await;
    service.looked_up(started.elapsed());
    Ok(json(rows?))
}

/// `None` where a disk has to be waited for.
fn render_from_memory(
    open: &OpenTable,
    keys: &LookupKeys,
    options: &Options,
) -> Result<Option<Vec<u8>>, ApiError> {
    let found = keys.find_in_memory(|bucket| open.store(bucket))?;
    let rendered = found.map(|found| render_one(open, found, options));
    rendered.transpose()
}

fn render_one(
    open: &OpenTable,
    mut found: Vec<Option<FoundRow<'_, '_>>>,
    options: &Options,
) -> Result<Vec<u8>, ApiError> {
    let found = found.pop().flatten().ok_or_else(ApiError::no_such_row)?;
    let mut out = Vec::with_capacity(ROW_GUESS_BYTES);
    let mut writer = RowWriter::new(&open.table, options.rows())?;
    writer.write(found.primary_key, found.row.row()?, &mut out)?;
    Ok(out)
}

/// `{"rows":[…]}`, null where there is no row.
fn render(
    open: &Arc<OpenTable>,
    keys: &LookupKeys,
    options: &Options,
) -> Result<Vec<u8>, ApiError> {
    let mut writer = RowWriter::new(&open.table, options.rows())?;
    let mut out = Vec::with_capacity(16 + keys.len() * ROW_GUESS_BYTES);
    out.extend_from_slice(br#"{"rows":["#);
    for (i, found) in keys
        .find(|bucket| open.store(bucket))?
        .into_iter()
        .enumerate()
    {
        if i > 0 {
            out.push(b',');
        }
        match found {
            Some(found) => writer.write(found.primary_key, found.row.row()?, &mut out)?,
            None => out.extend_from_slice(b"null"),
        }
    }
    out.extend_from_slice(b"]}");
    Ok(out)
}

/// How rows are to be shown.
#[derive(Default)]
pub struct Options {
    pub columns: Option<Vec<String>>,
    pub int64_as_strings: bool,
}

impl Options {
    /// The parameters of a call that has no others.
    fn of(uri: &Uri) -> Result<Self, ApiError> {
        let mut query = Query::new(uri.query());
        let options = Self::take(&mut query)?;
        query.finish(&["columns", "int64"])?;
        Ok(options)
    }

    /// Takes the parameters that every read has.
    pub fn take(query: &mut Query<'_>) -> Result<Self, ApiError> {
        Ok(Self {
            columns: query.take_columns()?,
            int64_as_strings: query.take_int64_as_strings()?,
        })
    }

    pub fn rows(&self) -> RowOptions<'_> {
        RowOptions {
            columns: self.columns.as_deref(),
            int64_as_strings: self.int64_as_strings,
        }
    }
}

/// A body that has come whole.
pub fn read(body: Result<Bytes, BytesRejection>) -> Result<Bytes, ApiError> {
    body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::too_large(
            format!("the body has more than {} bytes", super::MAX_BODY_BYTES),
            "send less at a time",
        ),
        _ => ApiError::bad_body(
            rejection.body_text(),
            "send the body that Content-Length announces",
        ),
    })
}

struct Request {
    keys: LookupKeys,
    columns: Option<Vec<String>>,
}

fn parse(open: &OpenTable, body: &[u8]) -> Result<Request, ApiError> {
    if has_too_many_values(body) {
        return Err(ApiError::bad_body(
            "the body holds too many values",
            BODY_HINT,
        ));
    }
    let mut text = serde_json::Deserializer::from_slice(body);
    let refused = |error: serde_json::Error| {
        let message = error.to_string();
        if message.starts_with("keys[") {
            ApiError::new(StatusCode::BAD_REQUEST, "bad_key", message, BODY_HINT)
        } else {
            ApiError::bad_body(message, BODY_HINT)
        }
    };
    let request = RequestSeed(open).deserialize(&mut text).map_err(refused)?;
    text.end().map_err(refused)?;
    Ok(request)
}

/// Reads a lookup's body; the keys become row keys as they stream by.
struct RequestSeed<'t>(&'t OpenTable);

impl<'de> DeserializeSeed<'de> for RequestSeed<'_> {
    type Value = Request;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Request, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RequestSeed<'_> {
    type Value = Request;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with keys")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Request, A::Error> {
        let (mut keys, mut columns) = (None, None);
        while let Some(name) = entries.next_key::<String>()? {
            match name.as_str() {
                "keys" => {
                    let seed = KeysSeed {
                        table: &self.0.table,
                        candidates: self.0.candidates,
                        limit: MAX_KEYS,
                    };
                    keys = Some(entries.next_value_seed(seed)?);
                }
                "columns" => columns = entries.next_value()?,
                _ => return Err(de::Error::unknown_field(&name, &["keys", "columns"])),
            }
        }
        let keys = keys.ok_or_else(|| de::Error::missing_field("keys"))?;
        Ok(Request { keys, columns })
    }
}

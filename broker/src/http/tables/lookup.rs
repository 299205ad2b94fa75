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
use weir_tables::{FoundRow, KeysSeed, LookupKeys, Row, RowOptions, RowWriter, StoreError};

use super::query::{Query, key_values};
use super::{ApiError, Service, TableService, blocking, find, json, read_here, row_path};
use crate::http::name::Name;
use crate::tables::gather::Wanted;
use crate::tables::{OpenTable, RowsHere};

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
    // Finding one row takes less time than a change of threads, so others make room if it comes from the disk.
    let find = |rows: RowsHere| {
        let in_memory = render_from_memory(&open, &rows, &keys, &options).transpose();
        let row = in_memory.unwrap_or_else(|| {
            tokio::task::block_in_place(|| {
                render_one(&open, keys.find(|bucket| rows.store(bucket))?, &options)
            })
        });
        std::future::ready(row)
    };
    let here = read_here(&*service, &open, &keys.buckets(), find).await;
    let row = match here.transpose() {
        Some(row) => row,
        None => one_gathered(&*service, &open, &keys, &options).await,
    };
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
    let (keys, options) = (Arc::new(request.keys), Arc::new(options));
    let find = |rows: RowsHere| {
        let (open, keys, options) = (open.clone(), keys.clone(), options.clone());
        blocking(move || {
            let found = keys.find(|bucket| rows.store(bucket))?;
            render(&open, &options, found.iter().map(shown))
        })
    };
    let here = read_here(&*service, &open, &keys.buckets(), find).await;
    let rows = match here.transpose() {
        Some(rows) => rows,
        None => many_gathered(&*service, &open, &keys, &options).await,
    };
    service.looked_up(started.elapsed());
    Ok(json(rows?))
}

async fn one_gathered(
    service: &dyn TableService,
    open: &Arc<OpenTable>,
    keys: &LookupKeys,
    options: &Options,
) -> Result<Vec<u8>, ApiError> {
    let found = Gathered::of(service, open, keys).await?;
    let row = found.rows(keys).next().flatten();
    let (key, row) = decoded(row.ok_or_else(ApiError::no_such_row)?)?;
    let mut out = Vec::with_capacity(ROW_GUESS_BYTES);
    RowWriter::new(&open.table, options.rows())?.write(key, row, &mut out)?;
    Ok(out)
}

async fn many_gathered(
    service: &dyn TableService,
    open: &Arc<OpenTable>,
    keys: &LookupKeys,
    options: &Options,
) -> Result<Vec<u8>, ApiError> {
    let found = Gathered::of(service, open, keys).await?;
    let rows = found.rows(keys).map(|found| found.map(decoded).transpose());
    render(open, options, rows)
}

/// A primary key and its row as it is stored.
fn decoded<'r>((key, row): (&'r [u8], &'r [u8])) -> Result<(&'r [u8], Row<'r>), ApiError> {
    Ok((key, Row::decode(row).map_err(StoreError::from)?))
}

/// Rows that several nodes have sent.
struct Gathered {
    /// Of each row key.
    rows: Vec<Option<Bytes>>,
}

impl Gathered {
    async fn of(
        service: &dyn TableService,
        open: &Arc<OpenTable>,
        keys: &LookupKeys,
    ) -> Result<Gathered, ApiError> {
        let asked: Vec<(u32, Vec<u8>)> = keys
            .row_keys()
            .map(|(bucket, key)| (bucket, key.to_vec()))
            .collect();
        let mut rows = vec![None; asked.len()];
        let wanted = Wanted::Keys(asked);
        let parts = service.gather(open, &keys.buckets(), &wanted).await?;
        for part in parts {
            let mine = keys.row_keys().zip(&mut rows);
            let mine = mine.filter(|((bucket, _), _)| part.partitions.contains(bucket));
            for ((_, row), piece) in mine.zip(part.pieces) {
                *row = piece;
            }
        }
        Ok(Gathered { rows })
    }

    /// Of each key its primary key and its stored row, where there is one.
    fn rows<'a>(
        &'a self,
        keys: &'a LookupKeys,
    ) -> impl Iterator<Item = Option<(&'a [u8], &'a [u8])>> {
        let found = keys.first(move |at| self.rows[at].is_some());
        found.map(move |found| {
            let (at, key) = found?;
            Some((key, self.rows[at].as_deref()?))
        })
    }
}

/// Primary key and row of what was found here.
fn shown<'f>(found: &'f Option<FoundRow<'_, '_>>) -> Result<Option<(&'f [u8], Row<'f>)>, ApiError> {
    Ok(match found {
        Some(found) => Some((found.primary_key, found.row.row()?)),
        None => None,
    })
}

/// `None` where a disk has to be waited for.
fn render_from_memory(
    open: &OpenTable,
    rows: &RowsHere,
    keys: &LookupKeys,
    options: &Options,
) -> Result<Option<Vec<u8>>, ApiError> {
    let found = keys.find_in_memory(|bucket| rows.store(bucket))?;
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
fn render<'r>(
    open: &OpenTable,
    options: &Options,
    rows: impl Iterator<Item = Result<Option<(&'r [u8], Row<'r>)>, ApiError>>,
) -> Result<Vec<u8>, ApiError> {
    let mut writer = RowWriter::new(&open.table, options.rows())?;
    let mut out = Vec::with_capacity(16 + rows.size_hint().0 * ROW_GUESS_BYTES);
    out.extend_from_slice(br#"{"rows":["#);
    for (i, found) in rows.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        match found? {
            Some((key, row)) => writer.write(key, row, &mut out)?,
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

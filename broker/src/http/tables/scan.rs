//! Rows in key order, paged.
//!
//! A page is read on one view of each partition. Its `offsets` are those of the first page's view: a reader
//! who has all pages goes on there in the topic, and may meet records again whose rows it has seen.

use std::ops::ControlFlow;
use std::sync::Arc;

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use weir_tables::{RowError, RowWriter, ScanRange, ScanSource, StoreError, scan};

use super::lookup::Options;
use super::query::{Query, key_parts, key_values};
use super::{ApiError, Service, blocking, find, json};
use crate::http::name::Name;
use crate::tables::OpenTable;

const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 10_000;
/// A page ends early once it has this many bytes.
const MAX_PAGE_BYTES: usize = 8 << 20;
const CURSOR_VERSION: u8 = 1;

/// `GET /v1/tables/{table}/rows?prefix=&limit=&cursor=`
pub async fn page(
    State(service): Service,
    Name(name): Name,
    uri: Uri,
) -> Result<Response, ApiError> {
    let open = find(&*service, &name).await?;
    let request = Request::of(&open, &uri)?;
    service.read_barrier(&open, &open.buckets()).await?;
    Ok(json(blocking(move || read(&open, &request)).await?))
}

struct Request {
    prefix: Vec<u8>,
    limit: usize,
    cursor: Option<Cursor>,
    options: Options,
}

impl Request {
    fn of(open: &OpenTable, uri: &Uri) -> Result<Self, ApiError> {
        let mut query = Query::new(uri.query());
        let options = Options::take(&mut query)?;
        let prefix = match query.take_raw("prefix") {
            None | Some("") => Vec::new(),
            Some(raw) => {
                // In a query a plus is a space.
                let parts = key_parts(&raw.replace('+', "%20"))?;
                let values = key_values(open.table.key().columns(), &parts, true)?;
                open.table
                    .key()
                    .prefix_of(&values)
                    .map_err(|error| ApiError::bad_key(&error))?
            }
        };
        let limit = match query.take("limit")? {
            None => DEFAULT_LIMIT,
            Some(text) => limit(&text)?,
        };
        let cursor = query.take("cursor")?.filter(|text| !text.is_empty());
        let cursor = cursor.map(|text| Cursor::parse(&text, open)).transpose()?;
        query.finish(&["prefix", "limit", "cursor", "columns", "int64"])?;
        Ok(Self {
            prefix,
            limit,
            cursor,
            options,
        })
    }
}

fn limit(text: &str) -> Result<usize, ApiError> {
    text.parse()
        .ok()
        .filter(|limit| (1..=MAX_LIMIT).contains(limit))
        .ok_or_else(|| {
            ApiError::bad_query(
                format!("limit is `{text}`"),
                format!("limit takes 1 to {MAX_LIMIT}"),
            )
        })
}

/// Where a page ended. Opaque to clients.
struct Cursor {
    /// The next offset of each partition in the first page's view.
    offsets: Vec<i64>,
    /// Primary key of the last row.
    after: Vec<u8>,
}

impl Cursor {
    fn parse(text: &str, open: &OpenTable) -> Result<Self, ApiError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok();
        bytes
            .and_then(|bytes| Self::decode(&bytes, open.buckets().len()))
            .ok_or_else(|| {
                ApiError::bad_query(
                    "the cursor is not one of this table",
                    "send the last page's `cursor` as it is",
                )
            })
    }

    fn decode(bytes: &[u8], partition_count: usize) -> Option<Self> {
        let offsets = bytes.strip_prefix(&[CURSOR_VERSION])?;
        let (offsets, after) = offsets.split_at_checked(partition_count * 8)?;
        let (offsets, _) = offsets.as_chunks::<8>();
        Some(Self {
            offsets: offsets.iter().map(|o| i64::from_le_bytes(*o)).collect(),
            after: after.to_vec(),
        })
    }

    fn print(&self) -> String {
        let mut bytes = vec![CURSOR_VERSION];
        self.offsets
            .iter()
            .for_each(|offset| bytes.extend_from_slice(&offset.to_le_bytes()));
        bytes.extend_from_slice(&self.after);
        URL_SAFE_NO_PAD.encode(bytes)
    }
}

/// `{"rows":[…],"cursor":…,"offsets":{…}}`; the cursor is null on the last page.
fn read(open: &Arc<OpenTable>, request: &Request) -> Result<Vec<u8>, ApiError> {
    let mut writer = RowWriter::new(&open.table, request.options.rows())?;
    let sources: Vec<ScanSource<'_>> = open
        .buckets()
        .into_iter()
        .map(|bucket| ScanSource {
            tables: open.store(bucket),
            bucket,
        })
        .collect();
    let after = request
        .cursor
        .as_ref()
        .map(|cursor| cursor.after.as_slice());
    let mut out = br#"{"rows":["#.to_vec();
    let mut last = Vec::new();
    let mut count = 0;
    let mut failed: Option<RowError> = None;
    let end = scan(
        open.table.def().table_id,
        &sources,
        ScanRange {
            prefix: &request.prefix,
            after,
        },
        |_, key, row| {
            if count == request.limit || out.len() > MAX_PAGE_BYTES {
                return Ok::<_, StoreError>(ControlFlow::Break(()));
            }
            if count > 0 {
                out.push(b',');
            }
            count += 1;
            last.clear();
            last.extend_from_slice(key);
            failed = writer.write(key, row, &mut out).err();
            Ok(if failed.is_some() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            })
        },
    )?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    let offsets = match &request.cursor {
        Some(cursor) => cursor.offsets.clone(),
        None => end.views.iter().map(|(_, state)| state.applied).collect(),
    };
    let cursor = Cursor {
        offsets,
        after: last,
    };
    let printed = end.stopped.then(|| cursor.print());
    let by_partition: serde_json::Map<_, _> = cursor
        .offsets
        .iter()
        .enumerate()
        .map(|(p, offset)| (p.to_string(), (*offset).into()))
        .collect();
    let tail = serde_json::json!({"cursor": printed, "offsets": by_partition}).to_string();
    out.extend_from_slice(b"],");
    out.extend_from_slice(&tail.as_bytes()[1..]);
    Ok(out)
}

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
use weir_tables::{Row, RowError, RowWriter, ScanRange, ScanSource, StoreError, scan};

use super::lookup::Options;
use super::query::{Query, key_parts, key_values};
use super::{ApiError, ReadError, Service, TableService, blocking, find, json, read_here};
use crate::http::name::Name;
use crate::tables::gather::{Part, Wanted};
use crate::tables::{OpenTable, RowsHere};

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
    let request = Arc::new(Request::of(&open, &uri)?);
    let scan = |rows: RowsHere| {
        let (open, request) = (open.clone(), request.clone());
        blocking(move || read(&open, &rows, &request))
    };
    let here = read_here(&*service, &open, &open.buckets(), scan).await;
    let page = match here.transpose() {
        Some(page) => page,
        None => gathered(&*service, &open, &request).await,
    };
    Ok(json(page?))
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

    /// The primary key to go on behind.
    fn after(&self) -> Option<&[u8]> {
        self.cursor.as_ref().map(|cursor| cursor.after.as_slice())
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

/// A page as it is written: `{"rows":[…],"cursor":…,"offsets":{…}}`; the cursor is null on the last page.
struct Page<'a> {
    request: &'a Request,
    writer: RowWriter<'a>,
    out: Vec<u8>,
    count: usize,
    /// Primary key of the last row.
    last: Vec<u8>,
}

impl<'a> Page<'a> {
    fn new(open: &'a OpenTable, request: &'a Request) -> Result<Self, ApiError> {
        Ok(Self {
            request,
            writer: RowWriter::new(&open.table, request.options.rows())?,
            out: br#"{"rows":["#.to_vec(),
            count: 0,
            last: Vec::new(),
        })
    }

    fn is_full(&self) -> bool {
        self.count == self.request.limit || self.out.len() > MAX_PAGE_BYTES
    }

    fn push(&mut self, key: &[u8], row: Row<'_>) -> Result<(), RowError> {
        if self.count > 0 {
            self.out.push(b',');
        }
        self.count += 1;
        self.last.clear();
        self.last.extend_from_slice(key);
        self.writer.write(key, row, &mut self.out)
    }

    /// `offsets` are those of the view that was read, by partition; `more` says that there are rows behind the last one.
    fn finish(mut self, offsets: Vec<i64>, more: bool) -> Vec<u8> {
        let cursor = Cursor {
            offsets: match &self.request.cursor {
                Some(cursor) => cursor.offsets.clone(),
                None => offsets,
            },
            after: self.last,
        };
        let printed = more.then(|| cursor.print());
        let by_partition: serde_json::Map<_, _> = cursor
            .offsets
            .iter()
            .enumerate()
            .map(|(p, offset)| (p.to_string(), (*offset).into()))
            .collect();
        let tail = serde_json::json!({"cursor": printed, "offsets": by_partition}).to_string();
        self.out.extend_from_slice(b"],");
        self.out.extend_from_slice(&tail.as_bytes()[1..]);
        self.out
    }
}

/// A page of rows that are all here. Blocks.
fn read(open: &OpenTable, rows: &RowsHere, request: &Request) -> Result<Vec<u8>, ApiError> {
    let mut page = Page::new(open, request)?;
    let source = |bucket| ScanSource {
        tables: rows.store(bucket),
        bucket,
    };
    let sources: Vec<ScanSource<'_>> = rows.buckets().map(source).collect();
    let range = ScanRange {
        prefix: &request.prefix,
        after: request.after(),
    };
    let mut failed: Option<RowError> = None;
    let end = scan(open.table.def().table_id, &sources, range, |_, key, row| {
        if page.is_full() {
            return Ok::<_, StoreError>(ControlFlow::Break(()));
        }
        failed = page.push(key, row).err();
        Ok(match failed {
            Some(_) => ControlFlow::Break(()),
            None => ControlFlow::Continue(()),
        })
    })?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    let offsets = end.views.iter().map(|(_, state)| state.applied);
    Ok(page.finish(offsets.collect(), end.stopped))
}

/// A page of rows that lie on several nodes.
async fn gathered(
    service: &dyn TableService,
    open: &Arc<OpenTable>,
    request: &Request,
) -> Result<Vec<u8>, ApiError> {
    let buckets = open.buckets();
    let wanted = Wanted::Range {
        prefix: request.prefix.clone(),
        after: request.after().map(<[u8]>::to_vec),
        limit: request.limit,
    };
    let parts = service.gather(open, &buckets, &wanted).await?;
    merge(open, request, &buckets, &parts)
}

fn merge(
    open: &OpenTable,
    request: &Request,
    buckets: &[u32],
    parts: &[Part],
) -> Result<Vec<u8>, ApiError> {
    let mut offsets = Vec::with_capacity(buckets.len());
    for partition in buckets.iter().copied() {
        let mut standings = parts.iter().flat_map(|part| &part.answer.standings);
        let found = standings.find(|standing| standing.partition == partition);
        offsets.push(found.ok_or(ReadError::Behind { partition })?.applied);
    }
    // What lies behind the last row of a part that ended early is not known there.
    let ended = parts.iter().filter(|part| part.answer.more);
    let known_up_to = ended
        .map(|part| part.rows().last().map(|(key, _)| key))
        .min();
    let mut rows: Vec<(&[u8], &[u8])> = parts.iter().flat_map(Part::rows).collect();
    rows.sort_unstable();
    let mut page = Page::new(open, request)?;
    let mut more = known_up_to.is_some();
    for (key, row) in rows {
        if page.is_full() || known_up_to.is_some_and(|last| Some(key) > last) {
            more = true;
            break;
        }
        page.push(key, Row::decode(row).map_err(StoreError::from)?)?;
    }
    Ok(page.finish(offsets, more))
}

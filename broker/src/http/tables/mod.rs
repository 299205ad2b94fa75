//! Tables over HTTP: make, list, look up, scan, put and delete rows.
//!
//! | call | does |
//! |---|---|
//! | `GET /v1/tables`, `GET /v1/tables/{t}` | what tables there are, and one's columns, count and offsets |
//! | `PUT /v1/tables/{t}` | makes a topic a table, and the topic where there is none |
//! | `GET /v1/tables/{t}/rows/{key}` | one row |
//! | `POST /v1/tables/{t}/lookup` | many rows by key, in the order asked |
//! | `GET /v1/tables/{t}/rows?prefix=&limit=&cursor=` | rows in key order, paged |
//! | `PUT`, `DELETE /v1/tables/{t}/rows/{key}` | writes a row, answers when it is committed |
//!
//! Reads are linearizable: they wait until the rows hold what was committed when they came.

mod create;
mod describe;
mod error;
mod lookup;
mod query;
mod scan;
mod write;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures::future::BoxFuture;
use percent_encoding::percent_decode_str;
use weir_raft::NodeId;
use weir_schema::enforce::Refusal;
use weir_tables::RecordKey;

pub use create::{CreateError, NewTable};
pub use error::ApiError;

use crate::space::NoSpace;
use crate::tables::gather::{Part, Wanted};
use crate::tables::{OpenTable, RowsHere};

/// Largest body of a lookup, and of a row that is put.
const MAX_BODY_BYTES: usize = 16 << 20;
/// How often rows are read that have gone while they were.
const READ_AGAIN: u32 = 3;

/// What this edge needs of the broker.
pub trait TableService: Send + Sync + 'static {
    /// Every table, by name.
    fn tables(&self) -> Vec<Arc<OpenTable>>;

    fn find<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Result<Arc<OpenTable>, FindError>>;

    /// The rows of these buckets, when they hold everything that was acknowledged before the call.
    fn read_barrier<'a>(
        &'a self,
        table: &'a Arc<OpenTable>,
        buckets: &'a [u32],
    ) -> BoxFuture<'a, Result<RowsHere, ReadError>>;

    /// What is wanted of these partitions, part by part from the nodes that have them.
    fn gather<'a>(
        &'a self,
        table: &'a Arc<OpenTable>,
        partitions: &'a [u32],
        wanted: &'a Wanted,
    ) -> BoxFuture<'a, Result<Vec<Part>, ReadError>>;

    /// Makes a topic a table, and the topic too where there is none; whether it was made.
    fn create<'a>(
        &'a self,
        topic: &'a str,
        wanted: NewTable,
    ) -> BoxFuture<'a, Result<bool, CreateError>>;

    /// Writes one record, which fixes the partitioner of a table that has not found it out.
    fn write<'a>(
        &'a self,
        table: &'a Arc<OpenTable>,
        record: RowRecord,
    ) -> BoxFuture<'a, Result<Written, WriteError>>;

    /// Told of each lookup that was answered.
    fn looked_up(&self, _took: Duration) {}
}

/// A record that upserts or, without a value, deletes a row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RowRecord {
    pub key: RecordKey,
    pub value: Option<Vec<u8>>,
}

/// Where a committed record is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Written {
    pub partition: u32,
    pub offset: i64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FindError {
    NoSuchTopic,
    /// The topic is no table.
    NotATable,
    /// The topic is a table that this node does not know yet.
    NotHere,
}

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReadError {
    #[error("no node leads partition {partition} now")]
    NoLeader { partition: u32 },
    #[error("the rows of partition {partition} are not up to date in time")]
    Behind { partition: u32 },
    /// That one has the rows.
    #[error("node {node} has the rows")]
    Elsewhere { node: NodeId },
    /// They are to be gathered.
    #[error("the rows lie on several nodes")]
    Spread,
}

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WriteError {
    /// The table does not take the record.
    #[error("{0}")]
    Refused(Box<Refusal>),
    #[error("the record has {size} bytes, and the topic takes {limit}")]
    TooLarge { size: usize, limit: usize },
    /// The table's rows lag too far behind its log.
    #[error("the table is {records} records behind")]
    Lag { records: i64 },
    #[error("there is no space for records: {0}")]
    NoSpace(NoSpace),
    #[error("no node leads partition {partition} now")]
    NoLeader { partition: u32 },
    /// Another node leads the row's partition.
    #[error("node {node} leads the row's partition")]
    Elsewhere { node: NodeId },
    /// It may have been written, and may yet be.
    #[error("the write was not confirmed in time, and may have happened")]
    Unknown,
    #[error("{0}")]
    Internal(String),
}

type Service = State<Arc<dyn TableService>>;

/// The calls of this module.
pub fn router(service: Arc<dyn TableService>) -> Router {
    let row = get(lookup::one)
        .put(write::put)
        .delete(write::delete)
        .fallback(wrong_method);
    Router::new()
        .route("/v1/tables", get(describe::list).fallback(wrong_method))
        .route(
            "/v1/tables/{table}",
            get(describe::one).put(create::put).fallback(wrong_method),
        )
        .route(
            "/v1/tables/{table}/lookup",
            post(lookup::many).fallback(wrong_method),
        )
        .route(
            "/v1/tables/{table}/rows",
            get(scan::page).fallback(wrong_method),
        )
        .route("/v1/tables/{table}/rows/{key}", row)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(service)
}

async fn wrong_method() -> ApiError {
    ApiError::wrong_method()
}

/// JSON that is there already.
fn json(body: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// The table of a path.
async fn find(service: &dyn TableService, name: &str) -> Result<Arc<OpenTable>, ApiError> {
    service.find(name).await.map_err(|error| match error {
        FindError::NoSuchTopic => ApiError::no_such_table(name),
        FindError::NotATable => ApiError::not_a_table(name),
        FindError::NotHere => ApiError::not_here(name),
    })
}

/// Reads rows of these buckets where this node has all of them; `None` where they lie on several nodes.
async fn read_here<T, F: Future<Output = Result<T, ApiError>>>(
    service: &dyn TableService,
    open: &Arc<OpenTable>,
    buckets: &[u32],
    read: impl Fn(RowsHere) -> F,
) -> Result<Option<T>, ApiError> {
    for _ in 0..READ_AGAIN {
        let rows = match service.read_barrier(open, buckets).await {
            Err(ReadError::Spread) => return Ok(None),
            rows => rows?,
        };
        let done = read(rows.clone()).await;
        // Else they have moved on, or are folded again, and there may have been less of them than there was.
        if !rows.have_gone() {
            return done.map(Some);
        }
    }
    let partition = buckets.first().copied().unwrap_or(0);
    Err(ReadError::Behind { partition }.into())
}

/// Runs what may wait for a disk where waiting is allowed.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|panic| Err(ApiError::internal(&panic)))
}

/// Table and key of the path `/v1/tables/{table}/rows/{key}`, the key's parts decoded.
fn row_path(uri: &Uri) -> Result<(String, Vec<String>), ApiError> {
    // Split before it is decoded: `%2C` is no separator.
    let mut segments = uri.path().rsplit('/');
    let key = segments.next().unwrap_or_default();
    let table = segments.nth(1).unwrap_or_default();
    Ok((
        percent_decode_str(table).decode_utf8_lossy().into_owned(),
        query::key_parts(key)?,
    ))
}

#[cfg(test)]
mod tests;

//! What tables there are, and what one is.

use std::sync::Arc;

use arrow_schema::Fields;
use axum::Json;
use axum::extract::State;
use futures::{StreamExt, stream};
use serde::Serialize;
use weir_tables::json::type_name;

use super::{ApiError, ReadError, Service, TableService, blocking, find};
use crate::http::name::Name;
use crate::tables::OpenTable;
use crate::tables::gather::Wanted;

/// Last write wins; the other engines come later.
const ENGINE: &str = "last-row";
/// Tables that are asked for at the same time where all are listed: one of a node that does not answer takes seconds.
const ASKED_AT_ONCE: usize = 16;

#[derive(Serialize)]
pub struct List {
    tables: Vec<Summary>,
}

#[derive(Serialize)]
struct Summary {
    name: String,
    table_id: u64,
    engine: &'static str,
    partitions: u32,
    /// Null while a partition cannot be asked.
    row_count: Option<u64>,
    /// Records that are committed and not in the rows yet; null as before.
    lag: Option<i64>,
}

#[derive(Serialize)]
pub struct Description {
    #[serde(flatten)]
    summary: Summary,
    topic_id: String,
    key: Key,
    value: Value,
    columns: Vec<Column>,
    partitioner: Partitioner,
    /// Null while a partition cannot be asked, as the sums above.
    partition_states: Option<Vec<Partition>>,
}

#[derive(Serialize)]
struct Key {
    format: &'static str,
    columns: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema_id: Option<i32>,
}

#[derive(Serialize)]
struct Value {
    format: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema_id: Option<i32>,
}

#[derive(Serialize)]
struct Column {
    name: String,
    #[serde(rename = "type")]
    data_type: String,
    nullable: bool,
    key: bool,
}

#[derive(Serialize)]
struct Partitioner {
    setting: &'static str,
    /// Those that every record so far agrees with.
    candidates: Vec<&'static str>,
}

#[derive(Serialize)]
struct Partition {
    partition: u32,
    row_count: u64,
    /// The next offset that the rows take in.
    applied_offset: i64,
    high_watermark: Option<i64>,
    lag: i64,
}

/// `GET /v1/tables`
pub async fn list(State(service): Service) -> Result<Json<List>, ApiError> {
    let summaries = stream::iter(service.tables()).map(|open| {
        let service = service.clone();
        async move {
            let states = partitions(&*service, &open).await;
            summary(&open, states.as_deref().ok())
        }
    });
    let tables = summaries.buffered(ASKED_AT_ONCE).collect().await;
    Ok(Json(List { tables }))
}

/// `GET /v1/tables/{table}`
pub async fn one(State(service): Service, Name(name): Name) -> Result<Json<Description>, ApiError> {
    let open = find(&*service, &name).await?;
    let states = partitions(&*service, &open).await.ok();
    blocking(move || Ok(Json(describe(&open, states)?))).await
}

/// Each partition as the node has it that serves it.
async fn partitions(
    service: &dyn TableService,
    open: &Arc<OpenTable>,
) -> Result<Vec<Partition>, ApiError> {
    let buckets = open.buckets();
    let parts = service.gather(open, &buckets, &Wanted::Standings).await?;
    let partition = |partition: u32| {
        let mut standings = parts.iter().flat_map(|part| &part.answer.standings);
        let found = standings.find(|standing| standing.partition == partition);
        let standing = found.ok_or(ReadError::Behind { partition })?;
        let mark = standing.high_watermark;
        Ok(Partition {
            partition,
            row_count: standing.row_count,
            applied_offset: standing.applied,
            high_watermark: mark,
            lag: mark.map_or(0, |mark| (mark - standing.applied).max(0)),
        })
    };
    buckets.iter().copied().map(partition).collect()
}

fn summary(open: &OpenTable, partitions: Option<&[Partition]>) -> Summary {
    let def = open.table.def();
    Summary {
        name: def.topic.clone(),
        table_id: def.table_id.0,
        engine: ENGINE,
        partitions: def.partition_count,
        row_count: partitions.map(|all| all.iter().map(|p| p.row_count).sum()),
        lag: partitions.map(|all| all.iter().map(|p| p.lag).sum()),
    }
}

fn describe(
    open: &OpenTable,
    partition_states: Option<Vec<Partition>>,
) -> Result<Description, ApiError> {
    let table = &open.table;
    let def = table.def();
    let latest = table.latest();
    let columns = table
        .columns(latest.as_ref())
        .map_err(weir_tables::RowsError::from)?;
    let described = |fields: &Fields, key: bool| -> Vec<Column> {
        let column = |field: &arrow_schema::FieldRef| Column {
            name: field.name().clone(),
            data_type: type_name(field.data_type()),
            nullable: field.is_nullable(),
            key,
        };
        fields.iter().map(column).collect()
    };
    let key_columns = described(&columns.key, true);
    Ok(Description {
        summary: summary(open, partition_states.as_deref()),
        topic_id: def.topic_id.to_string(),
        key: Key {
            format: def.key.format.word(),
            columns: key_columns
                .iter()
                .map(|column| column.name.clone())
                .collect(),
            schema_id: def.key.schema.as_ref().map(|schema| schema.id),
        },
        value: Value {
            format: def.value.format.word(),
            subject: def.value.subject.clone(),
            schema_id: latest.map(|latest| latest.id),
        },
        columns: key_columns
            .into_iter()
            .chain(described(&columns.value, false))
            .collect(),
        partitioner: Partitioner {
            setting: def.partitioner.word(),
            candidates: open
                .candidates
                .iter()
                .map(weir_tables::Partitioner::word)
                .collect(),
        },
        partition_states,
    })
}

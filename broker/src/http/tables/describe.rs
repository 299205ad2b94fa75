//! What tables there are, and what one is.

use std::sync::Arc;

use arrow_schema::Fields;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use weir_tables::json::type_name;
use weir_tables::{BucketState, StoreError};

use super::{ApiError, Service, TableService, blocking, find};
use crate::http::name::Name;
use crate::tables::OpenTable;

/// Last write wins; the other engines come later.
const ENGINE: &str = "last-row";

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
    row_count: u64,
    /// Records that are committed and not in the rows yet.
    lag: i64,
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
    partition_states: Vec<Partition>,
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
    let tables: Vec<_> = service
        .tables()
        .into_iter()
        .map(|open| (watermarks(&*service, &open), open))
        .collect();
    let summaries = blocking(move || {
        let summary = |(marks, open): (Vec<Option<i64>>, Arc<OpenTable>)| {
            Ok(summary(&open, &partitions(&open, &marks)?))
        };
        tables
            .into_iter()
            .map(summary)
            .collect::<Result<Vec<_>, ApiError>>()
    });
    Ok(Json(List {
        tables: summaries.await?,
    }))
}

/// `GET /v1/tables/{table}`
pub async fn one(State(service): Service, Name(name): Name) -> Result<Json<Description>, ApiError> {
    let open = find(&*service, &name).await?;
    let marks = watermarks(&*service, &open);
    blocking(move || Ok(Json(describe(&open, partitions(&open, &marks)?)?))).await
}

fn watermarks(service: &dyn TableService, open: &OpenTable) -> Vec<Option<i64>> {
    service.high_watermarks(open)
}

fn partitions(open: &OpenTable, marks: &[Option<i64>]) -> Result<Vec<Partition>, StoreError> {
    let partition = |(partition, high_watermark): (u32, &Option<i64>)| {
        let id = open.table.def().table_id;
        let BucketState { applied, row_count } =
            open.store(partition).bucket_state(id, partition)?;
        let lag = high_watermark.map_or(0, |mark| (mark - applied).max(0));
        Ok(Partition {
            partition,
            row_count,
            applied_offset: applied,
            high_watermark: *high_watermark,
            lag,
        })
    };
    (0..).zip(marks).map(partition).collect()
}

fn summary(open: &OpenTable, partitions: &[Partition]) -> Summary {
    let def = open.table.def();
    Summary {
        name: def.topic.clone(),
        table_id: def.table_id.0,
        engine: ENGINE,
        partitions: def.partition_count,
        row_count: partitions.iter().map(|p| p.row_count).sum(),
        lag: partitions.iter().map(|p| p.lag).sum(),
    }
}

fn describe(open: &OpenTable, partition_states: Vec<Partition>) -> Result<Description, ApiError> {
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
        summary: summary(open, &partition_states),
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

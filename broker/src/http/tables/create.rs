//! A topic made a table: a new topic, or one that has records.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use serde::Deserialize;
use std::collections::BTreeMap;

use super::lookup::read;
use super::{ApiError, Service, describe};
use crate::http::name::Name;

const HINT: &str =
    r#"send {"partitions":3,"settings":{"table.key.format":"string"}}, both being optional"#;

/// The body; empty is a table by the defaults.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewTable {
    /// Of a topic that is not there yet; by default the broker's number.
    pub partitions: Option<i32>,
    /// Topic settings by name.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
}

/// Why there is no such table.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CreateError {
    /// A name, number or setting that cannot be.
    #[error("{0}")]
    Refused(String),
    #[error("topic `{name}` has {found} partitions")]
    OtherPartitions { name: String, found: i32 },
    #[error("no node leads the metadata now")]
    NoLeader,
    /// It may have been made, and may yet be.
    #[error("the table was not confirmed in time: {0}")]
    Unknown(String),
}

impl From<CreateError> for ApiError {
    fn from(error: CreateError) -> Self {
        let unavailable = |code, hint| {
            let mut refused = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, code, &error, hint);
            refused.retry_after_seconds = Some(1);
            refused
        };
        match &error {
            CreateError::Refused(_) => {
                let hint = "see the topic settings that begin with `table.` in the documentation";
                ApiError::new(StatusCode::BAD_REQUEST, "bad_table", &error, hint)
            }
            CreateError::OtherPartitions { .. } => {
                let hint = "leave `partitions` out: a topic that is there keeps its number";
                ApiError::new(StatusCode::CONFLICT, "other_partitions", &error, hint)
            }
            CreateError::NoLeader => unavailable("no_leader", "try again"),
            CreateError::Unknown(_) => {
                unavailable("unconfirmed", "ask for the table, or put it again")
            }
        }
    }
}

/// `PUT /v1/tables/{table}`
pub async fn put(
    State(service): Service,
    Name(name): Name,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<describe::Description>), ApiError> {
    let body = read(body)?;
    let wanted = match body.as_ref() {
        [] => NewTable::default(),
        body => serde_json::from_slice(body).map_err(|error| ApiError::bad_body(error, HINT))?,
    };
    let made = service.create(&name, wanted).await?;
    let status = if made {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((status, describe::one(State(service), Name(name)).await?))
}

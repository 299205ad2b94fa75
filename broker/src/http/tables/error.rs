//! What goes wrong, as `{"error":{"code","message","field"?,"hint"}}`.

use std::fmt::Display;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use weir_tables::{KeyError, KeySchemaError, RowError, RowsError, StoreError};

use weir_raft::NodeId;

use super::{ReadError, WriteError};
use crate::http::forward::Elsewhere;

/// An answer that is not what was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApiError {
    pub status: StatusCode,
    /// A word that programs compare.
    pub code: &'static str,
    pub message: String,
    /// The column at fault.
    pub field: Option<String>,
    /// What to do.
    pub hint: String,
    pub retry_after_seconds: Option<u32>,
    /// The node that can answer, where another one can.
    pub elsewhere: Option<NodeId>,
}

impl ApiError {
    pub fn new(
        status: StatusCode,
        code: &'static str,
        message: impl Display,
        hint: impl Display,
    ) -> Self {
        Self {
            status,
            code,
            message: message.to_string(),
            field: None,
            hint: hint.to_string(),
            retry_after_seconds: None,
            elsewhere: None,
        }
    }

    fn at(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into()).filter(|field: &String| !field.is_empty());
        self
    }

    fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_seconds = Some(seconds);
        self
    }

    pub fn no_such_table(name: &str) -> Self {
        let message = format!("there is no table `{name}`");
        Self::new(
            StatusCode::NOT_FOUND,
            "no_such_table",
            message,
            "see `GET /v1/tables`, or `weir table create`",
        )
    }

    pub fn no_such_row() -> Self {
        let hint =
            "the table has no row of this key, see `GET /v1/tables/{table}` for the key's columns";
        Self::new(
            StatusCode::NOT_FOUND,
            "no_such_row",
            "there is no such row",
            hint,
        )
    }

    pub fn not_a_table(name: &str) -> Self {
        let message = format!("topic `{name}` is not a table");
        let hint = "make it one with the topic setting `table.mode=primary-key`";
        Self::new(StatusCode::CONFLICT, "not_a_table", message, hint)
    }

    pub fn not_here(name: &str) -> Self {
        let message = format!("table `{name}` is not served by this node now");
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "not_here",
            message,
            "try again",
        )
        .retry_after(1)
    }

    /// What another node can answer; it is asked for it.
    pub fn elsewhere(node: NodeId) -> Self {
        let message = "another node has to answer, and could not be asked";
        let refused = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "elsewhere",
            message,
            "try again",
        );
        Self {
            elsewhere: Some(node),
            ..refused.retry_after(1)
        }
    }

    pub fn bad_key(error: &KeyError) -> Self {
        let hint = "give the key's columns in order, see `GET /v1/tables/{table}`; a `,` or `/` in one as %2C or %2F";
        let refused = Self::new(StatusCode::BAD_REQUEST, "bad_key", error, hint);
        match error {
            KeyError::Column { column, .. } => refused.at(column),
            KeyError::Payload(error) => refused.at(&error.field),
            _ => refused,
        }
    }

    /// A path or `prefix=` that is no key.
    pub fn bad_key_text(message: impl Display) -> Self {
        let hint = "give the key's columns in order and between commas, percent-encoded; bytes as base64url";
        Self::new(StatusCode::BAD_REQUEST, "bad_key", message, hint)
    }

    pub fn bad_body(message: impl Display, hint: impl Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_body", message, hint)
    }

    /// A body whose column `field` is wrong.
    pub fn bad_column(field: &str, message: impl Display, hint: impl Display) -> Self {
        Self::bad_body(message, hint).at(field)
    }

    pub fn bad_query(message: impl Display, hint: impl Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_query", message, hint)
    }

    pub fn too_large(message: impl Display, hint: impl Display) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message, hint)
    }

    pub fn schema(field: &str, message: impl Display, hint: impl Display) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "schema", message, hint).at(field)
    }

    pub fn wrong_method() -> Self {
        let hint = "see the table of calls in the documentation";
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "wrong_method",
            "this path does not take that method",
            hint,
        )
    }

    pub fn internal(error: &dyn Display) -> Self {
        tracing::error!(%error, "a table request failed");
        let hint = "the server's log says more; please report it";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", error, hint)
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        let hint = "try again";
        let code = match error {
            ReadError::NoLeader { .. } => "no_leader",
            ReadError::Behind { .. } => "behind",
            ReadError::Elsewhere { node } => return Self::elsewhere(node),
            ReadError::Spread => "spread",
        };
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, error, hint).retry_after(1)
    }
}

impl From<WriteError> for ApiError {
    fn from(error: WriteError) -> Self {
        match &error {
            WriteError::Refused(refusal) => {
                let message = format!("{}: {}", refusal.part, refusal.reason);
                Self::schema(&refusal.field, message, &refusal.fix)
            }
            WriteError::TooLarge { .. } => Self::too_large(
                &error,
                "send a smaller row, or raise the topic's `max.message.bytes`",
            ),
            WriteError::Lag { .. } => {
                let hint = "send less for a while; `table.max.lag.records` is the limit";
                Self::new(StatusCode::TOO_MANY_REQUESTS, "lag", &error, hint).retry_after(1)
            }
            WriteError::NoSpace(_) => {
                let hint =
                    "deletions of topics go on; the operator can make room as the message says";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "no_space", &error, hint).retry_after(1)
            }
            WriteError::Elsewhere { node } => Self::elsewhere(*node),
            WriteError::NoLeader { .. } => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "no_leader",
                &error,
                "try again",
            )
            .retry_after(1),
            WriteError::Unknown => {
                let hint = "put the row again: the same put twice does no harm";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "unconfirmed", &error, hint)
                    .retry_after(1)
            }
            WriteError::Internal(message) => Self::internal(message),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::internal(&error)
    }
}

impl From<KeySchemaError> for ApiError {
    fn from(error: KeySchemaError) -> Self {
        Self::internal(&error)
    }
}

impl From<RowError> for ApiError {
    fn from(error: RowError) -> Self {
        match error {
            RowError::SchemaGone(_) => Self::schema(
                "",
                error,
                "register the schema again, or write the row with another",
            ),
            RowError::BadKey | RowError::NotUtf8 | RowError::Framing(_) | RowError::Payload(_) => {
                Self::internal(&error)
            }
        }
    }
}

impl From<RowsError> for ApiError {
    fn from(error: RowsError) -> Self {
        match &error {
            RowsError::UnknownColumn(column) => {
                Self::bad_query(&error, "see `GET /v1/tables/{table}` for the columns").at(column)
            }
            RowsError::NoMapping(mapping) => Self::schema(
                &mapping.field,
                &error,
                "register a schema whose fields are all columns",
            ),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut error = json!({"code": self.code, "message": self.message});
        if let Some(field) = self.field {
            error["field"] = field.into();
        }
        error["hint"] = self.hint.into();
        let mut response = (self.status, axum::Json(json!({"error": error}))).into_response();
        if let Some(seconds) = self.retry_after_seconds {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(node) = self.elsewhere {
            response.extensions_mut().insert(Elsewhere(node));
        }
        response
    }
}

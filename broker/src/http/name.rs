//! The segment of a path that names a table or a topic.

use axum::extract::{FromRequestParts, Path};
use axum::http::StatusCode;
use axum::http::request::Parts;

use super::tables::ApiError;

/// What `{table}` or `{topic}` stands for, decoded.
pub struct Name(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Name, ApiError> {
        let name = Path::<String>::from_request_parts(parts, state).await;
        let Path(name) = name.map_err(|rejection| {
            let hint = "write a byte that is no letter, digit, `.`, `_` or `-` as % and two hex digits of UTF-8";
            ApiError::new(StatusCode::BAD_REQUEST, "bad_path", rejection.body_text(), hint)
        })?;
        Ok(Name(name))
    }
}

//! Refusals as HTTP statuses and Confluent's error codes.

use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use serde_json::json;
use weir_schema::registry::RegistryError;

use super::Options;
use super::reply::Reply;

/// Why a request is not answered with what it asks for.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error("HTTP 404 Not Found")]
    NoSuchPath,
    #[error("the request has no body")]
    NoBody,
    #[error("the body is not the JSON expected here: {0}")]
    BadJson(String),
    #[error("{0}")]
    TooLarge(String),
    #[error("{0}")]
    Unreadable(String),
    #[error("internal error: {0}")]
    Broken(String),
}

impl Refusal {
    pub fn unreadable_body(rejection: &BytesRejection) -> Refusal {
        let reason = rejection.body_text();
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Refusal::TooLarge(reason),
            _ => Refusal::Unreadable(reason),
        }
    }

    pub fn broken(error: &dyn std::fmt::Display) -> Refusal {
        Refusal::Broken(error.to_string())
    }

    pub fn reply(&self, options: &Options) -> Reply {
        let (status, code) = match self {
            Refusal::Registry(error) => codes(error, options),
            Refusal::NoSuchPath => (StatusCode::NOT_FOUND, 404),
            Refusal::NoBody => (StatusCode::UNPROCESSABLE_ENTITY, 422),
            Refusal::BadJson(_) | Refusal::Unreadable(_) => (StatusCode::BAD_REQUEST, 400),
            Refusal::TooLarge(_) => (StatusCode::UNPROCESSABLE_ENTITY, 42209),
            Refusal::Broken(_) => (StatusCode::INTERNAL_SERVER_ERROR, 500),
        };
        let body = json!({ "error_code": code, "message": self.to_string() });
        Reply::json(&body).with_status(status)
    }
}

fn codes(error: &RegistryError, options: &Options) -> (StatusCode, u32) {
    use RegistryError as E;
    let code = match error {
        E::SubjectNotFound(_) => 40401,
        E::VersionNotFound(_) => 40402,
        E::SchemaNotFound | E::IdNotFound(_) => 40403,
        E::SubjectSoftDeleted(_) => 40404,
        E::SubjectNotSoftDeleted(_) => 40405,
        E::VersionSoftDeleted { .. } => 40406,
        E::VersionNotSoftDeleted { .. } => 40407,
        E::NoSubjectConfig(_) => 40408,
        E::NoSubjectMode(_) => 40409,
        E::Incompatible { .. } => return (StatusCode::CONFLICT, options.incompatible_code),
        E::InvalidSchema(_) => 42201,
        E::InvalidVersion(_) => 42202,
        E::InvalidCompatibility(_) => 42203,
        E::InvalidMode(_) => 42204,
        E::ReadOnly { .. }
        | E::NotInImportMode { .. }
        | E::NotInReadWriteMode { .. }
        | E::SubjectsExist
        | E::IdTaken { .. }
        | E::VersionTaken { .. } => 42205,
        E::ReferenceExists { .. } => 42206,
        E::InvalidSubject(_) => 42208,
        E::SchemaTooLarge(_) => 42209,
        E::InvalidRuleSet(_) => 42210,
        E::ContextNotEmpty(_) => 42211,
        E::Store(_) => 50001,
        E::Timeout(_) => 50002,
        E::UnknownLeader(_) => 50004,
    };
    let status = match code / 100 {
        404 => StatusCode::NOT_FOUND,
        422 => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (status, code)
}

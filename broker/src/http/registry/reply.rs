//! Answers and their content type.

use axum::body::Body;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use serde::Serialize;

/// The content types that the API speaks, the preferred one first.
const MEDIA_TYPES: [&str; 3] = [
    "application/vnd.schemaregistry.v1+json",
    "application/vnd.schemaregistry+json",
    "application/json",
];

#[derive(Debug)]
pub struct Reply {
    status: StatusCode,
    body: Vec<u8>,
}

impl Reply {
    pub fn json<T: Serialize>(value: &T) -> Reply {
        let body = serde_json::to_vec(value).expect("maps with text keys always serialise");
        Reply {
            status: StatusCode::OK,
            body,
        }
    }

    /// A schema's text as it is, not as a JSON string.
    pub fn raw(text: String) -> Reply {
        Reply {
            status: StatusCode::OK,
            body: text.into_bytes(),
        }
    }

    pub fn no_content() -> Reply {
        Reply {
            status: StatusCode::NO_CONTENT,
            body: Vec::new(),
        }
    }

    pub fn with_status(self, status: StatusCode) -> Reply {
        Reply { status, ..self }
    }

    pub fn into_response(self, media_type: &'static str) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        if self.status != StatusCode::NO_CONTENT {
            let value = HeaderValue::from_static(media_type);
            response.headers_mut().insert(CONTENT_TYPE, value);
        }
        response
    }
}

/// The content type that the client asked for first, among those that the API speaks.
pub fn media_type(headers: &HeaderMap) -> &'static str {
    let accepted = headers
        .get_all(ACCEPT)
        .into_iter()
        .filter_map(|value| value.to_str().ok());
    let mut names = accepted
        .flat_map(|value| value.split(','))
        .map(|part| part.split(';').next().unwrap_or_default().trim());
    names
        .find_map(|name| {
            MEDIA_TYPES
                .into_iter()
                .find(|known| known.eq_ignore_ascii_case(name))
        })
        .unwrap_or(MEDIA_TYPES[0])
}

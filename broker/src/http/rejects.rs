//! `GET /v1/topics/{topic}/rejects`: the last refused records of a topic, oldest first.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use super::name::Name;
use crate::broker::Broker;

pub fn router(broker: Arc<Broker>) -> Router {
    Router::new()
        .route("/v1/topics/{topic}/rejects", get(rejects))
        .with_state(broker)
}

async fn rejects(State(broker): State<Arc<Broker>>, Name(topic): Name) -> Response {
    let id = broker
        .meta
        .read()
        .topics()
        .get(&topic)
        .map(|topic| topic.id);
    match id {
        Some(id) => {
            Json(json!({ "topic": topic, "rejects": broker.rejects.of(id) })).into_response()
        }
        None => {
            let error = json!({
                "code": "no_such_topic",
                "message": format!("there is no topic {topic}"),
                "hint": "list the topics with: weir topic list",
            });
            (StatusCode::NOT_FOUND, Json(json!({ "error": error }))).into_response()
        }
    }
}

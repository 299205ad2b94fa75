//! `GET /v1/topics/{topic}/rejects`: the last refused records of a topic, oldest first, whichever node refused them.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use uuid::Uuid;

use super::name::Name;
use crate::broker::Broker;
use crate::cluster::message::{Answer, Question};
use crate::rejects::{KEPT, Reject};

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
            let rejects = of_all_nodes(&broker, id).await;
            Json(json!({ "topic": topic, "rejects": rejects })).into_response()
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

/// Each node knows what it refused itself, as the leader of the partition. What a node refused that does not answer is
/// not listed.
async fn of_all_nodes(broker: &Broker, topic: Uuid) -> Vec<Reject> {
    let answers = broker.peers.look_round(&Question::Rejects { topic }).await;
    let refused = answers.into_iter().flat_map(|answer| match answer {
        (_, Answer::Rejects(rejects)) => rejects,
        _ => Vec::new(),
    });
    let mut rejects: Vec<Reject> = refused.collect();
    rejects.extend(broker.rejects.of(topic));
    rejects.sort_by_key(|reject| reject.time_ms);
    rejects.drain(..rejects.len().saturating_sub(KEPT));
    rejects
}

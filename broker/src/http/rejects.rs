//! `GET /v1/topics/{topic}/rejects`: the last refused records of a topic, oldest first, whichever node refused them.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures::future::join_all;
use serde_json::json;
use uuid::Uuid;

use super::name::Name;
use crate::broker::Broker;
use crate::cluster::message::{Answer, Question};
use crate::rejects::{KEPT, Reject};

/// How long another node may take; without its answer what it refused is not listed.
const PATIENCE: Duration = Duration::from_secs(1);

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

/// Each node knows what it refused itself, as the leader of the partition.
async fn of_all_nodes(broker: &Broker, topic: Uuid) -> Vec<Reject> {
    let connected = broker.peers.connected();
    let asked = connected.iter().map(|node| async move {
        let question = Question::Rejects { topic };
        let asked = broker.peers.look(*node, &question);
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(Answer::Rejects(rejects))) => rejects,
            _ => Vec::new(),
        }
    });
    let mut rejects: Vec<Reject> = join_all(asked).await.into_iter().flatten().collect();
    rejects.extend(broker.rejects.of(topic));
    rejects.sort_by_key(|reject| reject.time_ms);
    rejects.drain(..rejects.len().saturating_sub(KEPT));
    rejects
}

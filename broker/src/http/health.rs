//! `/livez`, `/readyz` and `/metrics`.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

use crate::broker::Broker;

pub fn router(broker: Arc<Broker>) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(broker)
}

/// Ready when every shard of this node knows its leader. Before the node is up, `opening` answers.
async fn ready(State(broker): State<Arc<Broker>>) -> impl IntoResponse {
    let waiting: Vec<String> = broker
        .shards
        .all()
        .iter()
        .filter(|shard| shard.leadership().leader.is_none())
        .map(|shard| shard.id.to_string())
        .collect();
    if waiting.is_empty() {
        (StatusCode::OK, "ok\n".to_owned())
    } else {
        let mut text = format!("no leader is known of shards {}", waiting.join(", "));
        if broker.peers.possible() {
            text = format!("{text}; {}", broker.peers.connections());
        }
        (StatusCode::SERVICE_UNAVAILABLE, text + "\n")
    }
}

async fn metrics(State(broker): State<Arc<Broker>>) -> impl IntoResponse {
    let text = broker.metrics.render(&broker);
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        text,
    )
}

//! `/v1/cluster/nodes/{id}/drain` and `/v1/cluster/nodes/{id}`: a node leaves the cluster.
//!
//! | method | path | does |
//! |---|---|---|
//! | PUT | `…/drain` | begins to move everything elsewhere |
//! | DELETE | `…/drain` | lets the node get something again |
//! | GET | `…/drain` | says how much is left there |
//! | DELETE | `/v1/cluster/nodes/{id}` | makes a node without replicas no member any more |
//!
//! Any node can be asked. Errors are `{"error":{"code","message"}}`, status 404 for an unknown node, 409 for a node that
//! cannot leave, 503 where the metadata has no leader.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, put};
use axum::{Json, Router};
use serde_json::json;

use crate::broker::Broker;
use crate::cluster::drain;
use crate::meta::ChangeError;
use crate::meta::decide::moves::{NodeError, replicas_on};

pub fn router(broker: Arc<Broker>) -> Router {
    Router::new()
        .route(
            "/v1/cluster/nodes/{id}/drain",
            put(begin).delete(end).get(left),
        )
        .route("/v1/cluster/nodes/{id}", delete(remove))
        .with_state(broker)
}

async fn begin(State(broker): State<Arc<Broker>>, Path(id): Path<i32>) -> Response {
    match drain::drain(&broker, id, true).await {
        Ok(()) => status(&broker, id),
        Err(error) => refused(&error),
    }
}

async fn end(State(broker): State<Arc<Broker>>, Path(id): Path<i32>) -> Response {
    match drain::drain(&broker, id, false).await {
        Ok(()) => status(&broker, id),
        Err(error) => refused(&error),
    }
}

async fn left(State(broker): State<Arc<Broker>>, Path(id): Path<i32>) -> Response {
    status(&broker, id)
}

async fn remove(State(broker): State<Arc<Broker>>, Path(id): Path<i32>) -> Response {
    match drain::remove(&broker, id).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => refused(&error),
    }
}

fn status(broker: &Broker, id: i32) -> Response {
    let state = broker.meta.read();
    if !state.nodes().contains_key(&id) {
        return refused(&ChangeError::Refused(NodeError::Unknown(id)));
    }
    let draining = state.draining().contains(&id);
    let (partitions, _) = replicas_on(&state, id);
    Json(json!({"node": id, "draining": draining, "partitions": partitions})).into_response()
}

fn refused(error: &ChangeError<NodeError>) -> Response {
    let (status, code) = match error {
        ChangeError::Refused(NodeError::Unknown(_)) => (StatusCode::NOT_FOUND, "unknown_node"),
        ChangeError::Refused(_) => (StatusCode::CONFLICT, "cannot_leave"),
        ChangeError::Commit(_) => (StatusCode::SERVICE_UNAVAILABLE, "no_leader"),
    };
    let message = error.to_string();
    let body = json!({"error": {"code": code, "message": message}});
    (status, Json(body)).into_response()
}

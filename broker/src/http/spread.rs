//! `/v1/cluster/balance/partitions`: partitions move so that nodes have their share.
//!
//! | method | does |
//! |---|---|
//! | GET | says how many replicas nodes have, and what would move |
//! | POST | begins some of these moves, also where none begin by themselves; asked again, the next ones |
//!
//! Any node can be asked. Both answer `{"enabled","waits_for","full","underway"}`: whether moves begin by themselves, what is
//! in the way of any (null: nothing), the nodes that get nothing since their disks are nearly full, and how many are on
//! their way. GET adds `"nodes":[{"node","replicas","then"}]` and
//! `"moves"`, at most 1,000 of them, as the cluster is now; POST adds `"moves"`, those that it began:
//! `{"topic","partition","from","to"}`. Status 503 where the metadata has no leader.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::broker::Broker;
use crate::cluster::spread::{allowed, begin_as_asked, is_well, wanted};
use crate::meta::MetaState;
use crate::meta::decide::moves::{self, Underway};
use crate::meta::decide::spread;

/// Moves that are shown at most.
const SHOWN: usize = 1_000;

pub fn router(broker: Arc<Broker>) -> Router {
    Router::new()
        .route("/v1/cluster/balance/partitions", get(show).post(begin))
        .with_state(broker)
}

async fn show(State(broker): State<Arc<Broker>>) -> Response {
    let (full, waits_for) = way(&broker).await;
    // Planning may take a while, and nothing is to wait for it.
    let state = broker.meta.read().clone();
    let (moves, nodes) = {
        let plan = spread::plan(&state, &wanted(&state, SHOWN, &full));
        let nodes = nodes(&state, &plan.moves);
        (plan.moves, nodes)
    };
    let mut answer = answer(&broker, waits_for, &full, &moves);
    answer["nodes"] = nodes;
    Json(answer).into_response()
}

async fn begin(State(broker): State<Arc<Broker>>) -> Response {
    let (full, waits_for) = way(&broker).await;
    if waits_for.is_some() {
        return Json(answer(&broker, waits_for, &full, &[])).into_response();
    }
    match begin_as_asked(&broker, &full).await {
        Ok(plan) => Json(answer(&broker, None, &full, &plan.moves)).into_response(),
        Err(error) => {
            let error = json!({"code": "no_leader", "message": error.to_string()});
            let body = Json(json!({ "error": error }));
            (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
        }
    }
}

/// The nodes that get nothing, and what is in the way of all moves.
async fn way(broker: &Broker) -> (BTreeSet<i32>, Option<String>) {
    match is_well(broker).await {
        Ok(full) => (full, None),
        Err(reason) => (BTreeSet::new(), Some(reason)),
    }
}

fn answer(
    broker: &Broker,
    waits_for: Option<String>,
    full: &BTreeSet<i32>,
    moves: &[Underway],
) -> Value {
    json!({
        "enabled": allowed(broker),
        "waits_for": waits_for,
        "full": full,
        "underway": moves::underway(&broker.meta.read()).len(),
        "moves": moves,
    })
}

/// Each node's replicas now, and after these moves.
fn nodes(state: &MetaState, moves: &[Underway]) -> Value {
    let now = spread::loads(state);
    let mut then: BTreeMap<i32, usize> = now.clone();
    for one in moves {
        for broker in &one.to {
            then.entry(*broker).and_modify(|replicas| *replicas += 1);
        }
        for broker in &one.from {
            then.entry(*broker).and_modify(|replicas| *replicas -= 1);
        }
    }
    let nodes = now.iter();
    nodes
        .map(|(node, replicas)| json!({"node": node, "replicas": replicas, "then": then[node]}))
        .collect()
}

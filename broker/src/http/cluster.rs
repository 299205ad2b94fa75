//! `GET /v1/cluster` and what can be done with it: the cluster as the node that is asked sees it; who leads is changed.
//!
//! | call | does |
//! |---|---|
//! | `GET /v1/cluster` | everything: health, nodes, shards |
//! | `GET /v1/cluster/health`, `GET /v1/cluster/nodes` | these alone |
//! | `POST /v1/cluster/transfer` | `{"topic","partition","to"}` or `{"shard","to"}`: has a node lead a shard |
//! | `POST /v1/cluster/balance` | has the first replica of each shard lead it |

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::tables::ApiError;
use crate::broker::Broker;
use crate::cluster::transfer::{TransferError, transfer};
use crate::cluster::{balance, overview};
use crate::shard::hosting::METADATA;

/// How long a hand-over may take.
const PATIENCE: Duration = Duration::from_secs(10);

pub fn router(broker: Arc<Broker>) -> Router {
    Router::new()
        .route("/v1/cluster", get(all))
        .route("/v1/cluster/health", get(health))
        .route("/v1/cluster/nodes", get(nodes))
        .route("/v1/cluster/transfer", post(transfer_one))
        .route("/v1/cluster/balance", post(balance_all))
        .with_state(broker)
}

async fn all(State(broker): State<Arc<Broker>>) -> Response {
    Json(overview::look(&broker).await).into_response()
}

async fn health(State(broker): State<Arc<Broker>>) -> Response {
    Json(overview::look(&broker).await.health).into_response()
}

async fn nodes(State(broker): State<Arc<Broker>>) -> Response {
    Json(json!({ "nodes": overview::look(&broker).await.nodes })).into_response()
}

/// What is to be led by which node: a shard, by its number or by one of its partitions.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    shard: Option<u64>,
    topic: Option<String>,
    partition: Option<i32>,
    to: i32,
}

/// A shard that changed its leader.
#[derive(Debug, Serialize)]
struct Moved {
    shard: u64,
    from: Option<i32>,
    to: i32,
    /// The partitions that moved with it.
    partitions: usize,
    /// The node to which it goes back by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    goes_back_to: Option<i32>,
}

async fn transfer_one(
    State(broker): State<Arc<Broker>>,
    asked: Result<Json<Asked>, JsonRejection>,
) -> Result<Json<Moved>, ApiError> {
    let Json(asked) = asked.map_err(|error| bad_request(error.body_text()))?;
    let shard = find_shard(&broker, &asked)?;
    let from = leader(&broker, shard);
    let moved = transfer(&broker, shard, asked.to, PATIENCE).await;
    moved.map_err(|error| refusal(&broker, shard, asked.to, &error))?;
    let first = broker.meta.read().replicas_of(shard).first().copied();
    let returns = shard != METADATA && balance::allowed(&broker);
    Ok(Json(Moved {
        shard,
        from,
        to: asked.to,
        partitions: partitions(&broker, shard),
        goes_back_to: first.filter(|first| returns && *first != asked.to),
    }))
}

fn find_shard(broker: &Broker, asked: &Asked) -> Result<u64, ApiError> {
    let (topic, partition) = match (asked.shard, &asked.topic, asked.partition) {
        (Some(shard), None, None) => return Ok(shard),
        (None, Some(topic), Some(partition)) => (topic, partition),
        _ => {
            return Err(bad_request(
                "name a shard, or a topic and a partition".to_owned(),
            ));
        }
    };
    let state = broker.meta.read();
    let found = state.topics().get(topic).ok_or_else(|| {
        ApiError::new(
            StatusCode::NOT_FOUND,
            "no_such_topic",
            format!("there is no topic {topic}"),
            "list the topics with: weir topic list",
        )
    })?;
    let place = found.partition(partition).ok_or_else(|| {
        ApiError::new(
            StatusCode::NOT_FOUND,
            "no_such_partition",
            format!("topic {topic} has no partition {partition}"),
            format!("it has {}, from 0", found.partition_count()),
        )
    })?;
    Ok(place.shard)
}

fn bad_request(message: String) -> ApiError {
    let hint = r#"for example {"topic":"orders","partition":0,"to":2}"#;
    ApiError::new(StatusCode::BAD_REQUEST, "bad_request", message, hint)
}

fn leader(broker: &Broker, shard: u64) -> Option<i32> {
    let leader = broker.admin.partitions.shard(shard).leader?;
    broker.meta.read().broker_of(leader)
}

fn partitions(broker: &Broker, shard: u64) -> usize {
    let state = broker.meta.read();
    let places = state.topics().iter().flat_map(|topic| &topic.partitions);
    places.filter(|place| place.shard == shard).count()
}

fn refusal(broker: &Broker, shard: u64, to: i32, error: &TransferError) -> ApiError {
    let nodes = "see `weir cluster nodes`";
    let (status, code, hint) = match error {
        TransferError::NoShard(_) => (
            StatusCode::NOT_FOUND,
            "no_such_shard",
            "see `GET /v1/cluster`".to_owned(),
        ),
        TransferError::NoNode(_) => (StatusCode::NOT_FOUND, "no_such_node", nodes.to_owned()),
        TransferError::NoReplica => {
            let replicas = broker.meta.read().replicas_of(shard);
            let hint = format!("nodes {replicas:?} have one");
            (StatusCode::CONFLICT, "no_replica", hint)
        }
        TransferError::NoVote => (
            StatusCode::CONFLICT,
            "no_vote",
            "wait until it has caught up".to_owned(),
        ),
        TransferError::Away => (StatusCode::CONFLICT, "node_down", nodes.to_owned()),
        TransferError::Leaving => (StatusCode::CONFLICT, "node_leaving", nodes.to_owned()),
        TransferError::Draining => (
            StatusCode::CONFLICT,
            "node_draining",
            "have it stay with `weir cluster drain --undo`".to_owned(),
        ),
        TransferError::NotInSync => (
            StatusCode::CONFLICT,
            "not_in_sync",
            "wait until it has caught up".to_owned(),
        ),
        TransferError::NoLeader => (
            StatusCode::SERVICE_UNAVAILABLE,
            "no_leader",
            "see `weir cluster health`".to_owned(),
        ),
        TransferError::NotTaken => (
            StatusCode::SERVICE_UNAVAILABLE,
            "not_taken",
            "try again; the nodes' logs say more".to_owned(),
        ),
    };
    let message = match error {
        TransferError::NoShard(_) | TransferError::NoNode(_) => error.to_string(),
        _ => format!("shard {shard} is not handed to node {to}: {error}"),
    };
    ApiError::new(status, code, message, hint)
}

/// A shard that another node than the first of its replicas still leads.
#[derive(Debug, Serialize)]
struct Stayed {
    shard: u64,
    leader: Option<i32>,
    preferred: i32,
    reason: String,
}

async fn balance_all(State(broker): State<Arc<Broker>>) -> Response {
    let due: Vec<(u64, i32, Option<i32>)> = {
        let state = broker.meta.read();
        let leads = |shard| {
            let leader = broker.admin.partitions.shard(shard).leader;
            leader.and_then(|node| state.broker_of(node))
        };
        let shards = state.shards().iter();
        let shards =
            shards.filter_map(|(id, info)| Some((*id, *info.replicas.first()?, leads(*id))));
        shards
            .filter(|(_, first, leader)| *leader != Some(*first))
            .collect()
    };
    let broker = &broker;
    let handed = due.into_iter().map(|(shard, first, from)| async move {
        let result = transfer(broker, shard, first, PATIENCE).await;
        (shard, first, from, result)
    });
    let (mut moved, mut stayed) = (Vec::new(), Vec::new());
    for (shard, first, from, result) in join_all(handed).await {
        match result {
            Ok(()) => moved.push(Moved {
                shard,
                from,
                to: first,
                partitions: partitions(broker, shard),
                goes_back_to: None,
            }),
            Err(error) => stayed.push(Stayed {
                shard,
                leader: leader(broker, shard),
                preferred: first,
                reason: error.to_string(),
            }),
        }
    }
    Json(json!({ "moved": moved, "stayed": stayed })).into_response()
}

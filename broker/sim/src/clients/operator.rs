//! Whoever runs the cluster: nodes lose their disks and come back empty, nodes are drained, taken away and replaced,
//! partitions are to lie on other nodes, and others are to lead.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use weir_broker::cluster::transfer;
use weir_broker::meta::MetaState;
use weir_broker::meta::decide::moves::{self, Reassignment, replicas_on};
use weir_raft::Seat;
use weir_sim::{Crash, Rng};

use super::{Clients, TopicHere, carriers, pause};
use crate::app::REPLICAS;

/// How long a node may take to be emptied, or the cluster to be whole.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long somebody may take to lead.
const LEADS: Duration = Duration::from_secs(3);
/// How often it is looked at what was asked for.
const LOOK: Duration = Duration::from_millis(300);

/// Does one thing after the other. Only one disk is lost at a time: the next one when all is replicated again.
pub async fn operator(clients: Arc<Clients>, topics: Vec<TopicHere>) {
    let rng = clients.rng.fork();
    while !clients.is_finishing() {
        pause(&rng, 300..2000).await;
        let seat = *rng.pick(&clients.watch.cluster.seats());
        match rng.below(10) {
            0..3 => lose_disk(&clients, &rng, seat).await,
            3..5 => replace_node(&clients, &rng, seat).await,
            5..8 => reassign(&clients, &rng, rng.pick(&topics)).await,
            _ => hand_over(&clients, &rng, seat).await,
        }
    }
}

/// Whether the cluster is whole before long.
async fn becomes_whole(clients: &Clients) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline && !clients.is_finishing() {
        if clients.watch.is_whole().await {
            return true;
        }
        sleep(LOOK).await;
    }
    false
}

async fn lose_disk(clients: &Clients, rng: &Rng, seat: Seat) {
    if !becomes_whole(clients).await {
        return;
    }
    let trace = clients.watch.cluster.trace();
    trace.fault("lost disk", [seat.0 as u64]);
    begin_anew(clients, rng, seat).await;
    becomes_whole(clients).await;
}

/// Another node comes to a seat, with an empty disk and the same broker id.
async fn begin_anew(clients: &Clients, rng: &Rng, seat: Seat) {
    let cluster = &clients.watch.cluster;
    cluster.crash(seat, Crash::Power);
    cluster.wipe(seat);
    pause(rng, 1..3000).await;
    cluster.start(seat);
}

/// Drains a node and takes it out of the cluster; another one comes in its place.
async fn replace_node(clients: &Clients, rng: &Rng, seat: Seat) {
    let (watch, broker) = (&clients.watch, seat.0);
    if !becomes_whole(clients).await {
        return;
    }
    let drain = |draining| {
        move |state: &MetaState| match moves::drain(state, broker, draining) {
            Ok((commands, ())) => commands,
            Err(_) => Vec::new(),
        }
    };
    clients.change_metadata(drain(true)).await;
    watch.cluster.trace().fault("drained node", [broker as u64]);
    let is_empty = |state: &MetaState| replicas_on(state, broker).0 == 0;
    let deadline = Instant::now() + PATIENCE;
    while !watch.newest(is_empty).unwrap_or_default() {
        if Instant::now() >= deadline || clients.is_finishing() {
            clients.change_metadata(drain(false)).await;
            return;
        }
        sleep(LOOK).await;
    }
    let remove = |state: &MetaState| match moves::remove_node(state, broker, |_| true) {
        Ok((commands, ())) => commands,
        Err(_) => Vec::new(),
    };
    clients.change_metadata(remove).await;
    let node = watch.cluster.node(seat);
    if !watch
        .newest(|state| state.is_former(node.0))
        .unwrap_or_default()
    {
        clients.change_metadata(drain(false)).await;
        return;
    }
    watch.cluster.trace().fault("removed node", [node.0]);
    pause(rng, 1..2000).await;
    begin_anew(clients, rng, seat).await;
    becomes_whole(clients).await;
}

/// Has a partition lie on other nodes, or has others of its nodes be the first to lead it.
async fn reassign(clients: &Clients, rng: &Rng, topic: &TopicHere) {
    let id = *rng.pick(&topic.partitions);
    let mut brokers: Vec<i32> = clients
        .watch
        .cluster
        .seats()
        .iter()
        .map(|seat| seat.0)
        .collect();
    let mut replicas = Vec::new();
    while replicas.len() < REPLICAS && !brokers.is_empty() {
        let place = rng.below(brokers.len() as u64) as usize;
        replicas.push(brokers.swap_remove(place));
    }
    let decide = |state: &MetaState| {
        let Some(topic) = state.topics().by_id(id.topic) else {
            return Vec::new();
        };
        let asked = Reassignment {
            topic: topic.name.to_string(),
            partition: id.index,
            replicas: Some(replicas.clone()),
        };
        moves::reassign(state, &[asked], true).0
    };
    clients.change_metadata(decide).await;
    let trace = clients.watch.cluster.trace();
    trace.fault("reassigned partition", [id.index as u64]);
}

/// Has a broker lead a shard, as ElectLeaders does.
async fn hand_over(clients: &Clients, rng: &Rng, seat: Seat) {
    let shards = clients.watch.newest(carriers).unwrap_or_default();
    let nodes = clients.watch.nodes();
    if shards.is_empty() || nodes.is_empty() {
        return;
    }
    let asked = rng.pick(&nodes).broker.clone();
    drop(nodes);
    // It may well be refused.
    drop(transfer::transfer(&asked, *rng.pick(&shards), seat.0, LEADS).await);
}

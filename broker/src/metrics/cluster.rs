//! Gauges of leaders, followers and what is not as it should be.
//!
//! Each series comes from one node only, so that `sum()` over nodes is right: a shard's from its leader, the cluster's
//! from the metadata leader.

use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, Opts};

use super::exporter::{gauge, vector};
use crate::broker::Broker;
use crate::cluster::leaders::REASONS;
use crate::cluster::overview::{self, Shard};
use crate::cluster::transfer::Reason;

pub fn gather(broker: &Broker) -> Vec<MetricFamily> {
    let shards = overview::shards_seen(broker);
    let controls = broker.shards.metadata().leadership().open;
    let mut families = number(
        "weir_controller",
        "1 on the node that leads the metadata.",
        usize::from(controls),
    );
    families.extend(led(broker, &shards));
    families.extend(lag(broker));
    families.extend(counters(broker));
    if controls {
        families.extend(whole(broker, &shards));
    }
    families
}

fn number(name: &str, help: &str, value: usize) -> Vec<MetricFamily> {
    let gauge = gauge(name, help);
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
    gauge.collect()
}

/// What this node leads.
fn led(broker: &Broker, shards: &[Shard]) -> Vec<MetricFamily> {
    let here = || {
        let led = shards.iter();
        led.filter(|shard| shard.leader == Some(broker.broker_id))
    };
    let partitions: usize = here().map(|shard| shard.partitions).sum();
    let short = here().filter(|shard| shard.is_under_replicated());
    let short: usize = short.map(|shard| shard.partitions).sum();
    [
        number(
            "weir_shards_led",
            "Shards that this node leads, the metadata's among them.",
            here().count(),
        ),
        number(
            "weir_partitions_led",
            "Partitions that this node leads.",
            partitions,
        ),
        number(
            "weir_under_replicated_partitions",
            "Partitions that this node leads and of which a replica is missing or not in sync.",
            short,
        ),
    ]
    .concat()
}

/// What followers lack of the shards that this node leads.
fn lag(broker: &Broker) -> Vec<MetricFamily> {
    let lag = vector(
        "weir_follower_lag_entries",
        "Entries of a shard that a follower is not known to hold yet.",
        &["shard", "node"],
    );
    for shard in broker.shards.all().iter() {
        let Some(progress) = shard.raft().progress().filter(|_| shard.leadership().open) else {
            continue;
        };
        // Entries are counted from 0.
        let held = |index: Option<u64>| index.map_or(0, |index| index + 1);
        for member in &progress.members {
            let Some(node) = broker.broker_id_of(member.node) else {
                continue;
            };
            if node == broker.broker_id {
                continue;
            }
            let lacks = held(progress.last).saturating_sub(held(member.holds));
            lag.with_label_values(&[&*shard.id.to_string(), &*node.to_string()])
                .set(i64::try_from(lacks).unwrap_or(i64::MAX));
        }
    }
    lag.collect()
}

fn counters(broker: &Broker) -> Vec<MetricFamily> {
    let counter = |name: &str, help: &str, labels: &[&str]| {
        IntCounterVec::new(Opts::new(name, help), labels).expect("a legal metric")
    };
    let elected = counter(
        "weir_shard_elections_total",
        "How often this node became a shard's leader.",
        &[],
    );
    let none: [&str; 0] = [];
    elected
        .with_label_values(&none)
        .inc_by(broker.leaders.election_count());
    let handed_over = counter(
        "weir_shard_handovers_total",
        "Shards that this node has handed over, by what for: it stops, they go to their first replica, somebody asked.",
        &["reason"],
    );
    for reason in REASONS {
        handed_over
            .with_label_values(&[label(reason)])
            .inc_by(broker.leaders.handed_over_count(reason));
    }
    [elected.collect(), handed_over.collect()].concat()
}

fn label(reason: Reason) -> &'static str {
    match reason {
        Reason::Stop => "stop",
        Reason::Preferred => "preferred",
        Reason::Asked => "asked",
    }
}

/// What the metadata leader says of all nodes and shards.
fn whole(broker: &Broker, shards: &[Shard]) -> Vec<MetricFamily> {
    let offline = shards.iter().filter(|shard| shard.leader.is_none());
    let offline: usize = offline.map(|shard| shard.partitions).sum();
    let (down, moving) = {
        let state = broker.meta.read();
        let up = overview::up(broker);
        let nodes = state.nodes().values();
        let down = nodes.filter(|node| !up.contains(&node.raft_id)).count();
        let moving = state.topics().iter().map(|topic| topic.moves.len());
        (down, moving.sum())
    };
    [
        number(
            "weir_offline_partitions",
            "Partitions that nobody leads, or whose leader has no majority.",
            offline,
        ),
        number(
            "weir_nodes_down",
            "Nodes of the cluster that the metadata leader has no connection to.",
            down,
        ),
        number(
            "weir_partitions_moving",
            "Partitions that are on their way to other nodes.",
            moving,
        ),
    ]
    .concat()
}

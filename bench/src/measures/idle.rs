//! What three nodes cost that have many partitions and nothing to do.

use std::time::Duration;

use anyhow::Result;
use compat_tests::clock;

use crate::cluster::Cluster;
use crate::processes::Processes;
use crate::report::number;
use crate::results::{Aim, Better, Figure};
use crate::servers::Server;
use crate::turns::{Case, Plan, Setting, Size};

const TOPICS: usize = 10;

/// Kafka keeps a file open for each partition on each node, and maps two.
fn partitions(size: Size, server: Server) -> usize {
    match server {
        Server::Weir => size.of(100, 1_000, 10_000),
        _ => size.of(100, 1_000, 2_000),
    }
}

/// How long the nodes are left alone, and then looked at.
fn spans(size: Size) -> (Duration, Duration) {
    let span = |seconds| Duration::from_secs(seconds);
    (span(size.of(1, 10, 30)), span(size.of(2, 20, 60)))
}

pub fn plan(size: Size) -> Plan {
    let (rest, measured) = spans(size);
    Plan {
        name: "idle",
        title: "Three idle nodes",
        notes: vec![format!(
            "Three nodes on this machine, {} partitions of Weir, {} of Kafka (a heap of 512 MB each), three replicas of each: \
             every node has one of all. After {} s of rest, over {} s.",
            number(partitions(size, Server::Weir) as f64),
            number(partitions(size, Server::KafkaFsync) as f64),
            rest.as_secs(),
            measured.as_secs()
        )],
        cases: vec![Case {
            name: "idle partitions".to_owned(),
            servers: vec![Server::Weir, Server::KafkaFsync],
            seconds: (rest + measured).as_secs() + size.of(5, 10, 20),
            run: Box::new(run),
        }],
    }
}

fn run(setting: &Setting, server: Server) -> Result<Vec<Figure>> {
    Cluster::run(server, |cluster| measure(setting, server, cluster))
}

fn measure(setting: &Setting, server: Server, cluster: &Cluster) -> Result<Vec<Figure>> {
    let names: Vec<String> = (0..TOPICS).map(|topic| format!("idle-{topic}")).collect();
    let of_topic = partitions(setting.size, server) / TOPICS;
    cluster.create_topics(&names, of_topic as i32, &[])?;
    let (rest, measured) = spans(setting.size);
    let nodes = cluster.each()?;
    clock::pause(rest);
    let before = values(&nodes, Processes::cpu)?;
    clock::pause(measured);
    let after = values(&nodes, Processes::cpu)?;
    let shares: Vec<f64> = after
        .iter()
        .zip(&before)
        .map(|(after, before)| 100.0 * (*after - *before).as_secs_f64() / measured.as_secs_f64())
        .collect();
    let memory = values(&nodes, Processes::resident_mb)?;
    let files = values(&nodes, |node| Ok(node.open_files()? as f64))?;
    let most = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
    let figure = |what: &str, unit, value| Figure::new(what, unit, Better::Lower, value);
    Ok(vec![
        figure("three nodes", "% of a core", shares.iter().sum()),
        figure("the busiest node", "% of a core", most(&shares)).aiming(&[Aim::AtMost(2.0)]),
        figure("three nodes", "MB", memory.iter().sum()),
        figure("the largest node", "MB", most(&memory)).aiming(&[Aim::AtMost(100.0)]),
        figure("the node with the most", "open files", most(&files)),
    ])
}

fn values<T>(nodes: &[Processes], of: impl Fn(&Processes) -> Result<T>) -> Result<Vec<T>> {
    nodes.iter().map(of).collect()
}

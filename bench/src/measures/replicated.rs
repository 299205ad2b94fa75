//! Throughput of writing to three nodes, a replica on each, and what it costs them.

use std::time::Duration;

use anyhow::Result;

use super::{TOPIC, cpu_per_gb, mb_per_second};
use crate::cluster::Cluster;
use crate::machine::check_space;
use crate::processes::Processes;
use crate::results::{Aim, Better, Figure};
use crate::servers::Server;
use crate::tools::Burst;
use crate::turns::{Case, Plan, Setting, Size};

const PARTITIONS: i32 = 10;
const RECORD_BYTES: u64 = 1024;
const WHAT: &str = "1 KB, 10 partitions";
/// How long each node may work on after the last ack, one after the other.
const AFTER_LIMIT: Duration = Duration::from_secs(20);

fn bytes(size: Size) -> u64 {
    size.of(16 << 20, 512 << 20, 3 << 29)
}

/// The classes of durability are tables of their own, as their figures must not be compared.
pub fn plans(size: Size) -> Vec<Plan> {
    let load = format!(
        "Three nodes on this machine, three replicas of each partition; Kafka with min.insync.replicas=2 and a heap of \
         512 MB each. {} of records, after a warm-up of an eighth of that, by librdkafka's rdkafka_performance (acks=-1, \
         linger 5 ms). CPU is that of the three nodes together for each GB of records; \"to the end\" includes what they go \
         on to do after the last ack, up to a minute.",
        size.of("16 MB", "0.5 GB", "1.5 GB")
    );
    vec![
        Plan {
            name: "replicated-fsync",
            title: "Produce to three nodes, fsynced before the ack",
            notes: vec![load.clone()],
            cases: vec![case(size, &[Server::Weir, Server::KafkaFsync])],
        },
        Plan {
            name: "replicated-page-cache",
            title: "Produce to three nodes, Kafka acked from the page cache",
            notes: vec![
                load,
                "Not the same promise: Kafka's acks wait until each replica in sync has a record in memory, Weir's until a \
                 majority has synced it. It has no weaker ack where there are several replicas."
                    .to_owned(),
            ],
            cases: vec![case(size, &[Server::Weir, Server::KafkaCache])],
        },
    ]
}

fn case(size: Size, servers: &[Server]) -> Case {
    Case {
        name: WHAT.to_owned(),
        servers: servers.to_vec(),
        seconds: size.of(12, 30, 55),
        run: Box::new(run),
    }
}

fn run(setting: &Setting, server: Server) -> Result<Vec<Figure>> {
    check_space(7 * bytes(setting.size) + (1 << 30))?;
    Cluster::run(server, |cluster| measure(setting, server, cluster))
}

fn measure(setting: &Setting, server: Server, cluster: &Cluster) -> Result<Vec<Figure>> {
    let (kafka, processes) = (cluster.bootstrap(), cluster.processes()?);
    cluster.create_topics(&[TOPIC.to_owned()], PARTITIONS, server.topic_settings())?;
    let burst = Burst {
        kafka: &kafka,
        topic: TOPIC,
        record_bytes: RECORD_BYTES,
        records: bytes(setting.size) / RECORD_BYTES,
    };
    let warm = Burst {
        records: burst.records / 8,
        ..burst
    };
    setting.tools.rdkafka_produce(warm)?;
    processes.settle(Duration::from_secs(10))?;
    let before = processes.cpu()?;
    let took = setting.tools.rdkafka_produce(burst)?;
    let mut figures = vec![
        mb_per_second(WHAT, burst.bytes(), took).aiming(&[Aim::TimesPeer(3.0)]),
        cpu_per_gb(WHAT, &processes, before, burst.bytes())?.aiming(&[Aim::PartOfPeer(1.0 / 8.0)]),
    ];
    let nodes = cluster.each()?;
    let peaks: Result<Vec<f64>> = nodes.iter().map(Processes::peak_mb).collect();
    let peaks = peaks?;
    // Each by itself: three of Kafka are never idle together.
    let settle = |node: &Processes| node.settle(AFTER_LIMIT);
    nodes.iter().try_for_each(settle)?;
    let all = format!("{WHAT}, to the end");
    figures.push(cpu_per_gb(all, &processes, before, burst.bytes())?);
    let mb = |what: &str, value| Figure::new(what, "MB", Better::Lower, value);
    figures.extend([
        mb("memory at most, three nodes", peaks.iter().sum()),
        mb(
            "memory at most, the largest node",
            peaks.iter().copied().fold(0.0, f64::max),
        ),
        mb("memory after it, three nodes", processes.resident_mb()?),
    ]);
    Ok(figures)
}

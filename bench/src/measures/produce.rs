//! Throughput of writing and what it costs the server, with librdkafka's and Kafka's own generators.

use std::time::Duration;

use anyhow::Result;

use super::{TOPIC, cpu_per_gb, mb_per_second};
use crate::load::create_topics;
use crate::results::{Aim, Better, Figure};
use crate::servers::{Broker, Server};
use crate::tools::{Burst, java_produce};
use crate::turns::{Case, Plan, Setting, Size};

/// How long a server may work on after the last ack.
const AFTER_LIMIT: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy)]
enum Generator {
    Rdkafka,
    Java,
}

/// One shape of load, and Weir's aims for it.
#[derive(Debug, Clone, Copy)]
struct Shape {
    name: &'static str,
    generator: Generator,
    partitions: i32,
    record_bytes: u64,
    throughput: &'static [Aim],
    cpu: &'static [Aim],
    /// Where acks do not wait for the fsync.
    cached_cpu: &'static [Aim],
}

const SHAPES: &[Shape] = &[
    Shape {
        name: "1 KB, 10 partitions",
        generator: Generator::Rdkafka,
        partitions: 10,
        record_bytes: 1024,
        throughput: &[Aim::TimesPeer(2.0)],
        cpu: &[Aim::PartOfPeer(1.0 / 8.0), Aim::AtMost(0.5)],
        cached_cpu: &[Aim::PartOfPeer(1.0 / 8.0), Aim::AtMost(0.4)],
    },
    Shape {
        name: "1 KB, 1 partition",
        generator: Generator::Rdkafka,
        partitions: 1,
        record_bytes: 1024,
        throughput: &[Aim::PartOfFirst(1.0 / 1.2)],
        cpu: &[Aim::AtMost(0.6)],
        cached_cpu: &[],
    },
    Shape {
        name: "1 KB, 1,000 partitions",
        generator: Generator::Rdkafka,
        partitions: 1000,
        record_bytes: 1024,
        throughput: &[Aim::PartOfFirst(1.0 / 1.5)],
        cpu: &[Aim::AtMost(0.6)],
        cached_cpu: &[],
    },
    Shape {
        name: "100 B, 10 partitions",
        generator: Generator::Rdkafka,
        partitions: 10,
        record_bytes: 100,
        throughput: &[],
        cpu: &[],
        cached_cpu: &[],
    },
    Shape {
        name: "1 KB, 10 partitions, Java client",
        generator: Generator::Java,
        partitions: 10,
        record_bytes: 1024,
        throughput: &[],
        cpu: &[],
        cached_cpu: &[],
    },
];

/// The classes of durability are tables of their own, as their figures must not be compared.
pub fn plans(size: Size) -> Vec<Plan> {
    let load = format!(
        "{} of records, after a warm-up of an eighth of that, by librdkafka's rdkafka_performance (acks=-1, linger 5 ms) \
         or Kafka's ProducerPerformance (acks=all, linger 5 ms), on the same machine as the server. CPU is the server's \
         user and system time; \"to the end\" includes what it goes on to do after the last ack, up to a minute.",
        size.of("16 MB", "0.5 GB", "2 GB")
    );
    vec![
        Plan {
            name: "produce-fsync",
            title: "Produce, fsynced before the ack",
            notes: vec![load.clone()],
            cases: cases(size, &[Server::Weir, Server::KafkaFsync]),
        },
        Plan {
            name: "produce-page-cache",
            title: "Produce, acked from the page cache",
            notes: vec![
                load,
                "Weir's topics have write.caching=true. Weir's aim for fsynced records, twice Kafka's MB/s, is meant \
                 against these figures of Kafka too."
                    .to_owned(),
            ],
            cases: cases(size, &[Server::WeirWriteCaching, Server::KafkaCache]),
        },
    ]
}

fn cases(size: Size, servers: &[Server]) -> Vec<Case> {
    let case = |shape: &Shape| {
        let shape = *shape;
        Case {
            name: shape.name.to_owned(),
            servers: servers.to_vec(),
            seconds: size.of(8, 15, 35),
            run: Box::new(move |setting, server| run(setting, server, shape)),
        }
    };
    SHAPES.iter().map(case).collect()
}

fn run(setting: &Setting, server: Server, shape: Shape) -> Result<Vec<Figure>> {
    let bytes: u64 = setting.size.of(16 << 20, 512 << 20, 2 << 30);
    let broker = Broker::start(server)?;
    let (kafka, processes) = (broker.address(), broker.processes()?);
    let topics = [TOPIC.to_owned()];
    let settings = server.topic_settings();
    create_topics(&kafka, &topics, shape.partitions, 1, settings)?;
    let burst = Burst {
        kafka: &kafka,
        topic: TOPIC,
        record_bytes: shape.record_bytes,
        records: bytes / shape.record_bytes,
    };
    let warm = Burst {
        records: burst.records / 8,
        ..burst
    };
    produce(setting, shape.generator, warm)?;
    processes.settle(Duration::from_secs(10))?;
    let before = processes.cpu()?;
    let took = produce(setting, shape.generator, burst)?;
    let cpu = match server {
        Server::WeirWriteCaching => shape.cached_cpu,
        _ => shape.cpu,
    };
    let mut figures = vec![
        mb_per_second(shape.name, burst.bytes(), took).aiming(shape.throughput),
        cpu_per_gb(shape.name, &processes, before, burst.bytes())?.aiming(cpu),
    ];
    processes.settle(AFTER_LIMIT)?;
    let all = format!("{}, to the end", shape.name);
    figures.push(cpu_per_gb(all, &processes, before, burst.bytes())?);
    if shape.record_bytes == 100 {
        let rate = burst.records as f64 / took.as_secs_f64();
        figures.push(
            Figure::new(shape.name, "records/s", Better::Higher, rate)
                .aiming(&[Aim::AtLeast(3_000_000.0)]),
        );
    }
    Ok(figures)
}

fn produce(setting: &Setting, generator: Generator, burst: Burst<'_>) -> Result<Duration> {
    match generator {
        Generator::Rdkafka => setting.tools.rdkafka_produce(burst),
        Generator::Java => {
            let report = java_produce(burst, None, 5)?;
            Ok(Duration::from_secs_f64(
                burst.records as f64 / report.records_per_second,
            ))
        }
    }
}

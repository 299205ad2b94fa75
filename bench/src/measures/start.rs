//! From the start of the process to the first acknowledged record.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use compat_tests::clock;
use rdkafka::producer::BaseRecord;

use super::TOPIC;
use crate::load::{Load, UNTIMED, create_topic};
use crate::machine::check_space;
use crate::results::{Aim, Better, Figure};
use crate::servers::{Broker, Server};
use crate::tools::Burst;
use crate::turns::{Case, Plan, Setting, Size};

const RECORD_BYTES: u64 = 1024;
const LIMIT: Duration = Duration::from_secs(300);

pub fn plan(size: Size) -> Plan {
    let servers = || vec![Server::Weir, Server::KafkaFsync];
    let mut cases = vec![Case {
        name: "new directory".to_owned(),
        servers: servers(),
        seconds: 8,
        run: Box::new(|_, server| run_new(server)),
    }];
    let one = (1 << 30, "after kill -9 with 1 GB", Aim::AtMost(2.0));
    let twenty = (20 << 30, "after kill -9 with 20 GB", Aim::AtMost(2.5));
    let restarts = size.of(vec![], vec![one], vec![one, twenty]);
    for (bytes, name, aim) in restarts {
        cases.push(Case {
            name: name.to_owned(),
            servers: servers(),
            seconds: 15 + bytes / (150 << 20),
            run: Box::new(move |setting, server| run_again(setting, server, name, bytes, aim)),
        });
    }
    Plan {
        name: "start",
        title: "Start to the first acknowledged record",
        notes: vec![
            "From the start of the process until a record of a librdkafka producer, which starts when the port answers, \
             is acknowledged. Kafka's directory was formatted before. The restarts come right after the last ack of 1 KB \
             records over 10 partitions and kill -9, with the page cache as it is then."
                .to_owned(),
        ],
        cases,
    }
}

fn run_new(server: Server) -> Result<Vec<Figure>> {
    let mut broker = Broker::prepare(server)?;
    let took = first_ack(&mut broker, "first")?;
    Ok(vec![
        seconds("new directory", took).aiming(&[Aim::AtMost(0.2)]),
    ])
}

fn run_again(
    setting: &Setting,
    server: Server,
    name: &str,
    bytes: u64,
    aim: Aim,
) -> Result<Vec<Figure>> {
    check_space(bytes + bytes / 4 + (2 << 30))?;
    let mut broker = Broker::start(server)?;
    let kafka = broker.address();
    create_topic(&kafka, TOPIC, 10)?;
    setting.tools.rdkafka_produce(Burst {
        kafka: &kafka,
        topic: TOPIC,
        record_bytes: RECORD_BYTES,
        records: bytes / RECORD_BYTES,
    })?;
    broker.kill()?;
    let took = first_ack(&mut broker, TOPIC)?;
    Ok(vec![seconds(name, took).aiming(&[aim])])
}

fn seconds(what: &str, took: Duration) -> Figure {
    Figure::new(what, "s", Better::Lower, took.as_secs_f64())
}

/// Starts the process, and has a record acknowledged as soon as the port answers.
fn first_ack(broker: &mut Broker, topic: &str) -> Result<Duration> {
    let kafka = broker.address();
    let started = Instant::now();
    broker.spawn()?;
    wait_open(kafka.parse()?)?;
    let load = Load::start(&kafka, 0)?;
    let record: BaseRecord<'_, str, str, _> = BaseRecord::with_opaque_to(topic, UNTIMED);
    load.send(record.payload("record"))?;
    load.finish()?;
    Ok(started.elapsed())
}

/// An ApiVersions request of version 0 is answered.
fn wait_open(kafka: SocketAddr) -> Result<()> {
    let request = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff];
    let ask = || -> std::io::Result<()> {
        let mut stream = TcpStream::connect(kafka)?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(&request)?;
        stream.read_exact(&mut [0; 8])
    };
    clock::wait_for(LIMIT, Duration::from_millis(2), || ask().ok())
        .with_context(|| format!("no answer within {LIMIT:?}"))
}

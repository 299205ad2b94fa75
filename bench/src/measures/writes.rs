//! Bytes that reach the disk for each byte of records, over a time in which everything that is written later is too.

use std::time::Duration;

use anyhow::Result;

use super::TOPIC;
use crate::load::{Paced, create_topic};
use crate::machine::{check_space, written_by_device};
use crate::report::number;
use crate::results::{Aim, Better, Figure};
use crate::servers::{Broker, Server};
use crate::turns::{Case, Plan, Setting, Size};

const RECORD_BYTES: usize = 1024;
const PER_SECOND: u32 = 20_000;

fn seconds(size: Size) -> u64 {
    size.of(2, 30, 600)
}

pub fn plan(size: Size) -> Plan {
    Plan {
        name: "writes",
        title: "Write amplification",
        notes: vec![format!(
            "{} records of 1 KB a second over 10 partitions for {} s, then until the server writes no more. The \
             process's bytes are those that it had the system write (/proc/PID/io); the device's are all that was \
             written to it meanwhile, the file system's own bytes and other programs' among them.",
            number(f64::from(PER_SECOND)),
            seconds(size)
        )],
        cases: vec![Case {
            name: "steady".to_owned(),
            servers: vec![Server::Weir, Server::KafkaFsync],
            seconds: seconds(size) + size.of(5, 20, 60),
            run: Box::new(run),
        }],
    }
}

fn run(setting: &Setting, server: Server) -> Result<Vec<Figure>> {
    let paced = Paced {
        topic: TOPIC.to_owned(),
        partitions: 10,
        record_bytes: RECORD_BYTES,
        per_second: PER_SECOND,
        seconds: seconds(setting.size),
        linger_ms: 5,
    };
    check_space(2 * paced.bytes())?;
    let broker = Broker::start(server)?;
    let (kafka, processes) = (broker.address(), broker.processes()?);
    create_topic(&kafka, TOPIC, paced.partitions)?;
    let (before, device) = (processes.written()?, written_by_device(&broker.data_dir())?);
    paced.run(&kafka)?;
    processes.settle(Duration::from_secs(120))?;
    let by_process = processes.written()? - before;
    let by_device = written_by_device(&broker.data_dir())?;
    let figure = |what: &str, bytes: u64| {
        let value = bytes as f64 / paced.bytes() as f64;
        Figure::new(what, "bytes per byte", Better::Lower, value)
    };
    let mut figures = vec![figure("by the process", by_process).aiming(&[Aim::AtMost(2.1)])];
    if let (Some(before), Some(after)) = (device, by_device) {
        figures.push(figure("by the device", after - before));
    }
    Ok(figures)
}

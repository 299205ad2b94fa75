//! The servers that are measured, each with a directory and ports of its own.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use compat_tests::kafka::{Kafka, Setup};
use compat_tests::weir::{Weir, find_binary};
use rustix::fs::Advice;

use crate::processes::Processes;

/// Kafka's own flags.
const KAFKA_JVM: &[&str] = &[
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-XX:MaxInlineLevel=15",
    "-Djava.awt.headless=true",
];
/// With the heap that Kafka's scripts set.
const KAFKA_CACHE: Setup = Setup {
    heap_flags: ["-Xms1g", "-Xmx1g"],
    jvm_flags: KAFKA_JVM,
    features_off: &[],
    properties: "",
};
const KAFKA_FSYNC: Setup = Setup {
    properties: "log.flush.interval.messages=1\n",
    ..KAFKA_CACHE
};
/// One of three nodes that share this machine.
pub const KAFKA_NODE_CACHE: Setup = Setup {
    heap_flags: ["-Xms512m", "-Xmx512m"],
    properties: "min.insync.replicas=2\n",
    ..KAFKA_CACHE
};
pub const KAFKA_NODE_FSYNC: Setup = Setup {
    properties: "min.insync.replicas=2\nlog.flush.interval.messages=1\n",
    ..KAFKA_NODE_CACHE
};

/// What is measured: a server and when it acknowledges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Server {
    /// Every ack waits for an fsync
    Weir,
    /// Weir's topics with `write.caching`: acks come once a record is written, and do not wait for the fsync
    WeirWriteCaching,
    /// Kafka with `log.flush.interval.messages=1`: every ack waits for an fsync
    KafkaFsync,
    /// Kafka as it comes: acks come from the page cache
    KafkaCache,
    /// Fluss as it comes: acks come from the page cache
    Fluss,
    /// RocksDB's own `db_bench`, without a server around it
    Rocksdb,
}

impl Server {
    /// The head of its column.
    pub fn name(self) -> &'static str {
        match self {
            Server::Weir => "Weir",
            Server::WeirWriteCaching => "Weir, write.caching",
            Server::KafkaFsync => "Kafka, fsync",
            Server::KafkaCache => "Kafka, page cache",
            Server::Fluss => "Fluss, page cache",
            Server::Rocksdb => "RocksDB, db_bench",
        }
    }

    /// What the topics that it is measured with are set to.
    pub fn topic_settings(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Server::WeirWriteCaching => &[("write.caching", "true")],
            _ => &[],
        }
    }
}

/// A server that speaks Kafka's protocol.
pub enum Broker {
    Weir(Weir),
    Kafka(Kafka),
}

impl Broker {
    /// Starts it and waits until it answers.
    pub fn start(server: Server) -> Result<Broker> {
        let mut broker = Broker::prepare(server)?;
        match &mut broker {
            Broker::Weir(weir) => weir.launch()?,
            Broker::Kafka(kafka) => kafka.launch()?,
        }
        Ok(broker)
    }

    /// Everything that comes before its first start.
    pub fn prepare(server: Server) -> Result<Broker> {
        Ok(match server {
            Server::Weir | Server::WeirWriteCaching => {
                Broker::Weir(Weir::prepare(&find_binary()?, &["dev"])?)
            }
            Server::KafkaFsync => Broker::Kafka(Kafka::prepare(&KAFKA_FSYNC)?),
            Server::KafkaCache => Broker::Kafka(Kafka::prepare(&KAFKA_CACHE)?),
            Server::Fluss | Server::Rocksdb => bail!("{} is no broker", server.name()),
        })
    }

    /// Starts its process and does not wait.
    pub fn spawn(&mut self) -> Result<()> {
        match self {
            Broker::Weir(weir) => weir.spawn(),
            Broker::Kafka(kafka) => kafka.spawn(),
        }
    }

    /// As `kill -9` does.
    pub fn kill(&mut self) -> Result<()> {
        match self {
            Broker::Weir(weir) => weir.kill(),
            Broker::Kafka(kafka) => kafka.kill(),
        }
    }

    pub fn address(&self) -> String {
        match self {
            Broker::Weir(weir) => weir.kafka.to_string(),
            Broker::Kafka(kafka) => kafka.address.to_string(),
        }
    }

    pub fn processes(&self) -> Result<Processes> {
        let pid = match self {
            Broker::Weir(weir) => weir.pid(),
            Broker::Kafka(kafka) => kafka.pid(),
        };
        Processes::of(&[pid])
    }

    pub fn data_dir(&self) -> PathBuf {
        match self {
            Broker::Weir(weir) => weir.dir().join("data"),
            Broker::Kafka(kafka) => kafka.data_dir(),
        }
    }

    /// Writes what is dirty and has the page cache forget the server's files.
    pub fn forget_pages(&self) -> Result<()> {
        rustix::fs::sync();
        forget(&self.data_dir())
    }
}

fn forget(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            forget(&entry.path())?;
        } else if let Ok(file) = fs::File::open(entry.path()) {
            rustix::fs::fadvise(&file, 0, None, Advice::DontNeed)?;
        }
    }
    Ok(())
}

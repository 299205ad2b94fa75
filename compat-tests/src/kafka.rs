//! Apache Kafka from its jars: KRaft nodes, each in a temporary directory.
//!
//! `scripts/kafka.sh` has Maven resolve `differential/pom.xml` once into a cache outside the clone.

use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::{cache, clock, ports, process};

pub const VERSION: &str = "4.3.0";
const CLUSTER_ID: &str = "d2Vpci1qdWRnZS1rYWZrYQ";
/// Of the nodes of a cluster, by their place.
const DIRECTORY_IDS: &[&str] = &[
    "d2Vpci1kaXJlY3RvcnktMQ",
    "d2Vpci1kaXJlY3RvcnktMg",
    "d2Vpci1kaXJlY3RvcnktMw",
];
const START_LIMIT: Duration = Duration::from_secs(300);

/// How a node is set up.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    pub heap_flags: [&'static str; 2],
    pub jvm_flags: &'static [&'static str],
    /// Features that are switched off when the directory is formatted.
    pub features_off: &'static [&'static str],
    /// Lines of `server.properties` beside those that the nodes need to find each other, and for as many replicas of
    /// Kafka's own topics as there are nodes.
    pub properties: &'static str,
}

/// The node whose answers are right: quick to start, and without the features that a broker without transactions and
/// new-style groups does not finalise, so that the judge speaks about the same cluster.
pub const JUDGE: Setup = Setup {
    heap_flags: ["-Xms256m", "-Xmx512m"],
    jvm_flags: &["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"],
    features_off: &[
        "eligible.leader.replicas.version",
        "group.version",
        "share.version",
        "streams.version",
        "transaction.version",
    ],
    properties: "",
};

/// A Kafka node; its process is killed by its own id when this goes. The address stays the same over restarts.
pub struct Kafka {
    pub address: SocketAddr,
    jvm_flags: Vec<&'static str>,
    class_path: String,
    dir: TempDir,
    child: Option<Child>,
}

impl Kafka {
    /// Formats a directory, starts the node and waits until it listens.
    pub fn start(setup: &Setup) -> Result<Kafka> {
        let mut kafka = Kafka::prepare(setup)?;
        kafka.launch()?;
        Ok(kafka)
    }

    /// Formats a directory.
    pub fn prepare(setup: &Setup) -> Result<Kafka> {
        let [kafka, controller] = ports::free()?;
        let quorum = Quorum::of(&[controller])?;
        Kafka::prepare_node(setup, 0, kafka, &quorum)
    }

    /// Formats the directories of so many nodes that form one cluster, at most three, each a broker and a controller.
    /// The node.id of a place is one more.
    pub fn prepare_cluster(setup: &Setup, count: usize) -> Result<Vec<Kafka>> {
        let mut brokers = Vec::new();
        let mut controllers = Vec::new();
        for _ in 0..count {
            let [kafka, controller] = ports::free()?;
            brokers.push(kafka);
            controllers.push(controller);
        }
        let quorum = Quorum::of(&controllers)?;
        let nodes = brokers.into_iter().enumerate();
        nodes
            .map(|(place, kafka)| Kafka::prepare_node(setup, place, kafka, &quorum))
            .collect()
    }

    fn prepare_node(setup: &Setup, place: usize, kafka: u16, quorum: &Quorum) -> Result<Kafka> {
        let class_path = class_path()?;
        let dir = tempfile::Builder::new().prefix("kafka-").tempdir()?;
        let properties = server_properties(dir.path(), place, kafka, quorum) + setup.properties;
        let path = dir.path().join("server.properties");
        std::fs::write(&path, properties)?;
        format_directory(&class_path, &path, quorum, setup.features_off)?;
        Ok(Kafka {
            address: SocketAddr::from(([127, 0, 0, 1], kafka)),
            jvm_flags: [&setup.heap_flags[..], setup.jvm_flags].concat(),
            class_path,
            dir,
            child: None,
        })
    }

    /// Starts the prepared node, or a killed one again, and waits until it listens.
    pub fn launch(&mut self) -> Result<()> {
        self.spawn()?;
        self.await_ready()
    }

    /// As [`Kafka::launch`], without waiting.
    pub fn spawn(&mut self) -> Result<()> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_path())?;
        let mut java = Command::new("java");
        java.args(&self.jvm_flags)
            .args(["-cp", &self.class_path, "kafka.Kafka"])
            .arg(self.dir.path().join("server.properties"));
        self.child = Some(process::spawn_bound(&java, log)?);
        Ok(())
    }

    /// Kills the process as `kill -9` does.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// The running process, if there is one.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Where its logs of records are.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("kafka.log")
    }

    /// Waits until the process that was spawned listens.
    pub fn await_ready(&mut self) -> Result<()> {
        let child = self.child.as_mut().context("not started")?;
        let address = self.address;
        let ready = clock::wait_for(START_LIMIT, Duration::from_millis(100), || {
            match child.try_wait() {
                Ok(Some(status)) => Some(Err(status)),
                _ => TcpStream::connect(address).is_ok().then_some(Ok(())),
            }
        });
        match ready {
            Some(Ok(())) => Ok(()),
            Some(Err(status)) => bail!("Kafka ended with {status}:\n{}", self.output()),
            None => bail!(
                "Kafka did not listen within {START_LIMIT:?}:\n{}",
                self.output()
            ),
        }
    }

    /// What the node printed so far.
    pub fn output(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// Kafka's jars, its command line tools' among them.
pub fn class_path() -> Result<String> {
    let dir = cache::dir()?.join(format!("kafka-{VERSION}"));
    if !complete(&dir) {
        bail!(
            "Kafka {VERSION}, which Weir is compared with, is not in {}: run scripts/kafka.sh",
            dir.display()
        );
    }
    if !process::runs("java", "-version") {
        bail!("java, which Kafka needs, does not run: run scripts/kafka.sh");
    }
    Ok(format!("{}/*", dir.display()))
}

fn complete(dir: &Path) -> bool {
    ["kafka_2.13", "kafka-tools"]
        .iter()
        .all(|name| dir.join(format!("{name}-{VERSION}.jar")).exists())
}

/// The controllers that decide together.
struct Quorum {
    addresses: Vec<String>,
}

impl Quorum {
    fn of(ports: &[u16]) -> Result<Quorum> {
        ensure!(
            (1..=DIRECTORY_IDS.len()).contains(&ports.len()),
            "a cluster has one to {} nodes",
            DIRECTORY_IDS.len()
        );
        let addresses = ports.iter().map(|port| format!("127.0.0.1:{port}"));
        Ok(Quorum {
            addresses: addresses.collect(),
        })
    }

    /// What `StorageTool` is told of the first voters.
    fn format_flags(&self) -> Vec<String> {
        if self.addresses.len() == 1 {
            return vec!["--standalone".to_owned()];
        }
        let voters = self.addresses.iter().zip(DIRECTORY_IDS).enumerate();
        let voters =
            voters.map(|(place, (at, directory))| format!("{}@{at}:{directory}", place + 1));
        let voters: Vec<String> = voters.collect();
        vec!["--initial-controllers".to_owned(), voters.join(",")]
    }
}

fn format_directory(
    class_path: &str,
    properties: &Path,
    quorum: &Quorum,
    features_off: &[&str],
) -> Result<()> {
    let mut format = Command::new("java");
    format.args(["-cp", class_path, "kafka.tools.StorageTool", "format"]);
    format.args(quorum.format_flags());
    format.args(["-t", CLUSTER_ID, "-c"]).arg(properties);
    for feature in features_off {
        format.args(["--feature", &format!("{feature}=0")]);
    }
    succeed(format.output().context("cannot start java")?)
}

fn succeed(output: Output) -> Result<()> {
    if !output.status.success() {
        let text = [output.stdout, output.stderr].concat();
        bail!("{}:\n{}", output.status, String::from_utf8_lossy(&text));
    }
    Ok(())
}

/// Kafka's own topics have a replica on each node, of which most must have what is acknowledged.
fn server_properties(dir: &Path, place: usize, kafka: u16, quorum: &Quorum) -> String {
    let data = dir.join("data");
    let replicas = quorum.addresses.len();
    let most = replicas / 2 + 1;
    format!(
        "process.roles=broker,controller
node.id={}
controller.quorum.bootstrap.servers={}
listeners=PLAINTEXT://127.0.0.1:{kafka},CONTROLLER://{}
advertised.listeners=PLAINTEXT://127.0.0.1:{kafka}
controller.listener.names=CONTROLLER
log.dirs={}
offsets.topic.replication.factor={replicas}
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr={most}
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor={replicas}
share.coordinator.state.topic.min.isr={most}
group.initial.rebalance.delay.ms=0
",
        place + 1,
        quorum.addresses.join(","),
        quorum.addresses[place],
        data.display()
    )
}

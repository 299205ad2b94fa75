//! Apache Kafka from its jars: one KRaft node in a temporary directory.
//!
//! `scripts/kafka.sh` has Maven resolve `differential/pom.xml` once into a cache outside the clone. Features that a broker without
//! transactions and new-style groups does not finalise are switched off when the directory is formatted, so that the
//! judge speaks about the same cluster.

use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::{clock, ports, process};

pub const VERSION: &str = "4.3.0";
const CLUSTER_ID: &str = "d2Vpci1qdWRnZS1rYWZrYQ";
const FEATURES_OFF: [&str; 5] = [
    "eligible.leader.replicas.version",
    "group.version",
    "share.version",
    "streams.version",
    "transaction.version",
];
const START_LIMIT: Duration = Duration::from_secs(300);

/// A running Kafka; its process is killed by its own id when this goes.
pub struct Kafka {
    pub address: SocketAddr,
    child: Child,
    _dir: TempDir,
}

impl Kafka {
    /// Formats a directory and starts the node.
    pub fn start() -> Result<Kafka> {
        let class_path = format!("{}/*", jars()?.display());
        let dir = tempfile::Builder::new().prefix("kafka-judge-").tempdir()?;
        let [kafka, controller] = ports::free()?;
        let properties = dir.path().join("server.properties");
        std::fs::write(
            &properties,
            server_properties(dir.path(), kafka, controller),
        )?;
        format_directory(&class_path, &properties)?;
        let log = File::create(dir.path().join("kafka.log"))?;
        let mut java = Command::new("java");
        java.args([
            "-Xmx512m",
            "-Xms256m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
        ])
        .args(["-cp", &class_path, "kafka.Kafka"])
        .arg(&properties);
        let child = process::spawn_bound(&java, log)?;
        let address = SocketAddr::from(([127, 0, 0, 1], kafka));
        let mut kafka = Kafka {
            address,
            child,
            _dir: dir,
        };
        kafka.await_ready()?;
        Ok(kafka)
    }

    fn await_ready(&mut self) -> Result<()> {
        let ready = clock::wait_for(START_LIMIT, Duration::from_millis(100), || {
            match self.child.try_wait() {
                Ok(Some(status)) => Some(Err(status)),
                _ => TcpStream::connect(self.address).is_ok().then_some(Ok(())),
            }
        });
        let log =
            || std::fs::read_to_string(self._dir.path().join("kafka.log")).unwrap_or_default();
        match ready {
            Some(Ok(())) => Ok(()),
            Some(Err(status)) => bail!("Kafka ended with {status}:\n{}", log()),
            None => bail!("Kafka did not listen within {START_LIMIT:?}:\n{}", log()),
        }
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The directory of the jars.
fn jars() -> Result<PathBuf> {
    let dir = cache()?.join(format!("kafka-{VERSION}"));
    if !complete(&dir) {
        bail!(
            "Kafka {VERSION}, which the answers are compared with, is not in {}: run scripts/kafka.sh",
            dir.display()
        );
    }
    if !process::runs("java", "-version") {
        bail!("java, which Kafka needs, does not run: run scripts/kafka.sh");
    }
    Ok(dir)
}

/// `WEIR_CACHE`, as `scripts/setup.sh` has it.
fn cache() -> Result<PathBuf> {
    let set = |name| std::env::var_os(name).map(PathBuf::from);
    let user = || set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    set("WEIR_CACHE")
        .or_else(|| user().map(|dir| dir.join("weir")))
        .context("none of WEIR_CACHE, XDG_CACHE_HOME and HOME is set")
}

fn complete(dir: &Path) -> bool {
    ["kafka_2.13", "kafka-tools"]
        .iter()
        .all(|name| dir.join(format!("{name}-{VERSION}.jar")).exists())
}

fn format_directory(class_path: &str, properties: &Path) -> Result<()> {
    let mut format = Command::new("java");
    format.args([
        "-cp",
        class_path,
        "kafka.tools.StorageTool",
        "format",
        "--standalone",
    ]);
    format.args(["-t", CLUSTER_ID, "-c"]).arg(properties);
    for feature in FEATURES_OFF {
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

fn server_properties(dir: &Path, kafka: u16, controller: u16) -> String {
    let data = dir.join("data");
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{kafka},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{kafka}
controller.listener.names=CONTROLLER
log.dirs={}
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
",
        data.display()
    )
}

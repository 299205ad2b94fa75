//! Three nodes of a server that form one cluster, all of them on this machine.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use compat_tests::calls::{self, Described};
use compat_tests::kafka::{Kafka, Setup};
use compat_tests::{clock, cluster as weir};
use rustix::process::{Pid, Signal, kill_process};

use crate::load::create_topics;
use crate::processes::Processes;
use crate::servers::{KAFKA_NODE_CACHE, KAFKA_NODE_FSYNC, Server};

pub const NODES: usize = 3;
/// How long the nodes may take until they know each other, and until all replicas of new topics are in sync.
const PATIENCE: Duration = Duration::from_secs(180);
const STEP: Duration = Duration::from_millis(100);
/// Lines of each node's output that an error shows.
const SHOWN_LINES: usize = 12;

/// Nodes by their place; the broker.id of a place is one more.
pub enum Cluster {
    Weir(weir::Cluster),
    Kafka(Vec<Kafka>),
}

impl Cluster {
    /// Starts three nodes, and has them do what is measured once they know each other. What they printed last is part
    /// of an error, since it goes with their directories.
    pub fn run<T>(server: Server, measure: impl FnOnce(&mut Cluster) -> Result<T>) -> Result<T> {
        let mut cluster = match server {
            Server::Weir | Server::WeirWriteCaching => Cluster::Weir(weir::Cluster::start(NODES)?),
            Server::KafkaFsync => Cluster::start_kafka(&KAFKA_NODE_FSYNC)?,
            Server::KafkaCache => Cluster::start_kafka(&KAFKA_NODE_CACHE)?,
            Server::Fluss | Server::Rocksdb => bail!("{} is no broker", server.name()),
        };
        let measured = cluster
            .await_acquainted()
            .and_then(|()| measure(&mut cluster));
        measured.map_err(|error| cluster.explain(&error))
    }

    /// None of them listens before most of them have met.
    fn start_kafka(setup: &Setup) -> Result<Cluster> {
        let mut nodes = Kafka::prepare_cluster(setup, NODES)?;
        nodes.iter_mut().try_for_each(Kafka::spawn)?;
        nodes.iter_mut().try_for_each(Kafka::await_ready)?;
        Ok(Cluster::Kafka(nodes))
    }

    /// Each node names all of them.
    fn await_acquainted(&self) -> Result<()> {
        let knows = |place: usize| {
            let brokers = calls::brokers(self.address(place)).ok()?;
            (brokers.len() == NODES).then_some(())
        };
        let all = || (0..NODES).try_for_each(knows);
        clock::wait_for(PATIENCE, STEP, all).context("the nodes do not find each other")
    }

    pub fn address(&self, place: usize) -> SocketAddr {
        match self {
            Cluster::Weir(cluster) => cluster.nodes[place].kafka,
            Cluster::Kafka(nodes) => nodes[place].address,
        }
    }

    /// Where clients begin: all nodes.
    pub fn bootstrap(&self) -> String {
        let addresses = (0..NODES).map(|place| self.address(place).to_string());
        addresses.collect::<Vec<_>>().join(",")
    }

    fn pid(&self, place: usize) -> Option<u32> {
        match self {
            Cluster::Weir(cluster) => cluster.nodes[place].pid(),
            Cluster::Kafka(nodes) => nodes[place].pid(),
        }
    }

    /// All three together.
    pub fn processes(&self) -> Result<Processes> {
        let pids: Vec<_> = (0..NODES).map(|place| self.pid(place)).collect();
        Processes::of(&pids)
    }

    /// Each node's process.
    pub fn each(&self) -> Result<Vec<Processes>> {
        let one = |place| Processes::of(&[self.pid(place)]);
        (0..NODES).map(one).collect()
    }

    /// As `kill -9` does; returns when the process has ended.
    pub fn kill(&mut self, place: usize) -> Result<()> {
        match self {
            Cluster::Weir(cluster) => cluster.nodes[place].kill(),
            Cluster::Kafka(nodes) => nodes[place].kill(),
        }
    }

    /// Starts a node that was killed, and does not wait.
    pub fn spawn(&mut self, place: usize) -> Result<()> {
        match self {
            Cluster::Weir(cluster) => cluster.nodes[place].spawn(),
            Cluster::Kafka(nodes) => nodes[place].spawn(),
        }
    }

    /// Has a node's process stand still (SIGSTOP); returns when it does.
    pub fn freeze(&self, place: usize) -> Result<()> {
        self.signal(place, Signal::STOP)?;
        let pid = self.pid(place).context("it does not run")?;
        let stands = || {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let state = stat.rsplit(')').next()?.trim_start().chars().next()?;
            (state == 'T').then_some(())
        };
        clock::wait_for(Duration::from_secs(10), Duration::from_millis(1), stands)
            .context("the process goes on after SIGSTOP")
    }

    /// Has it go on.
    pub fn thaw(&self, place: usize) -> Result<()> {
        self.signal(place, Signal::CONT)
    }

    fn signal(&self, place: usize, signal: Signal) -> Result<()> {
        let pid = self.pid(place).and_then(|pid| i32::try_from(pid).ok());
        let pid = pid.and_then(Pid::from_raw).context("it does not run")?;
        Ok(kill_process(pid, signal)?)
    }

    /// The place of the node that leads the metadata.
    pub fn controller(&self) -> Result<usize> {
        let node = self.address(0);
        let found = clock::wait_for(PATIENCE, STEP, || calls::controller(node).ok().flatten());
        let id = found.context("nobody leads the metadata")?;
        let place = weir::Cluster::place_of(id);
        ensure!(place < NODES, "the metadata is led by {id}");
        Ok(place)
    }

    /// Topics with a replica on each node; returns when all replicas are in sync and led.
    pub fn create_topics(
        &self,
        names: &[String],
        partitions: i32,
        settings: &[(&str, &str)],
    ) -> Result<()> {
        let replicas = NODES as i32;
        create_topics(&self.bootstrap(), names, partitions, replicas, settings)?;
        let mut left: Vec<(usize, &String)> = (0..NODES)
            .flat_map(|place| names.iter().map(move |name| (place, name)))
            .collect();
        let all = || {
            while let Some((place, name)) = left.last() {
                let found = calls::describe(self.address(*place), name).ok()?;
                let complete = found.len() == partitions as usize && all_in_sync(&found);
                complete.then(|| left.pop())?;
            }
            Some(())
        };
        let ready = clock::wait_for(PATIENCE, STEP, all);
        ready.with_context(|| format!("the replicas of {left:?} are not in sync"))
    }

    /// An error with the nodes' last words behind its first line.
    fn explain(&self, error: &Error) -> Error {
        let outputs: Vec<String> = match self {
            Cluster::Weir(cluster) => cluster.nodes.iter().map(|node| node.output()).collect(),
            Cluster::Kafka(nodes) => nodes.iter().map(Kafka::output).collect(),
        };
        let mut text = format!("{error:#}");
        for (place, output) in outputs.iter().enumerate() {
            let lines: Vec<&str> = output.lines().collect();
            let last = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
            text += &format!("\n  node {}:\n    {}", place + 1, last.join("\n    "));
        }
        anyhow!(text)
    }
}

/// Whether every partition has a leader and all replicas.
pub fn all_in_sync(partitions: &[Described]) -> bool {
    let complete = |one: &Described| one.leader >= 0 && one.in_sync == NODES;
    partitions.iter().all(complete)
}

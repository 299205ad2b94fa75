//! Several `weir` processes that form one cluster, each in a directory and on ports of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use kafka_protocol::protocol::Request;
use tempfile::TempDir;

use crate::weir::{Weir, find_binary};
use crate::{calls, clock, ports};

/// How long the nodes may take until all of them say something.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Options under which partitions stay where they are.
const STILL: &str = "[settings]\n\"auto.partition.rebalance.enable\" = false\n";
/// The same, and a group's first rebalance starts at once, as with `weir dev`.
const STILL_DEV: &str = "[settings]\n\"auto.partition.rebalance.enable\" = false\n\
    \"group.initial.rebalance.delay.ms\" = 0\n";

/// Nodes by their place; the broker.id of a place is one more.
pub struct Cluster {
    pub nodes: Vec<Weir>,
    binary: PathBuf,
    seeds: String,
    /// What every node is told beside its addresses.
    options: Vec<String>,
    /// Of a file that they are told of.
    dir: Option<TempDir>,
}

impl Cluster {
    /// Starts so many nodes, all of them seeds, and waits until all are ready.
    pub fn start(count: usize) -> Result<Cluster> {
        let mut cluster = Cluster::prepare(count)?;
        cluster.spawn_all()?;
        cluster.await_all()?;
        Ok(cluster)
    }

    /// Starts a node in each of these racks, and waits until all are ready.
    pub fn start_in_racks(racks: &[&str]) -> Result<Cluster> {
        let mut cluster = Cluster::prepare(racks.len())?;
        for (place, rack) in racks.iter().enumerate() {
            cluster.add_options(place, &["--rack", rack]);
        }
        cluster.spawn_all()?;
        cluster.await_all()?;
        Ok(cluster)
    }

    /// As [`Cluster::start`], and partitions move only when somebody asks for it.
    pub fn start_still(count: usize) -> Result<Cluster> {
        let mut cluster = Cluster::prepare(count)?;
        cluster.keep_still()?;
        cluster.spawn_all()?;
        cluster.await_all()?;
        Ok(cluster)
    }

    /// As [`Cluster::start_still`], of this binary, and groups do not wait for more members, as with `weir dev`.
    pub fn start_still_dev(binary: &Path, count: usize) -> Result<Cluster> {
        let mut cluster = Cluster::prepare_of(binary, count, &[])?;
        cluster.set_up(STILL_DEV)?;
        cluster.spawn_all()?;
        cluster.await_all()?;
        Ok(cluster)
    }

    /// Has partitions move only when somebody asks for it, from the nodes' next start on.
    pub fn keep_still(&mut self) -> Result<()> {
        self.set_up(STILL)
    }

    /// Tells all nodes of a file with these options.
    pub fn set_up(&mut self, options: &str) -> Result<()> {
        let dir = tempfile::tempdir()?;
        let file = dir.path().join("weir.toml");
        std::fs::write(&file, options)?;
        let words = ["-c".to_owned(), file.display().to_string()];
        for node in &mut self.nodes {
            node.add_to_command(&words.each_ref().map(String::as_str));
        }
        self.options.extend(words);
        self.dir = Some(dir);
        Ok(())
    }

    /// What [`Cluster::start`] starts, before its first start.
    pub fn prepare(count: usize) -> Result<Cluster> {
        Cluster::prepare_with(count, &[])
    }

    /// The same, with more options for every node.
    pub fn prepare_with(count: usize, options: &[&str]) -> Result<Cluster> {
        Cluster::prepare_of(&find_binary()?, count, options)
    }

    fn prepare_of(binary: &Path, count: usize, options: &[&str]) -> Result<Cluster> {
        let mut addresses = Vec::new();
        for _ in 0..count {
            let [port] = ports::free()?;
            addresses.push(format!("127.0.0.1:{port}"));
        }
        let mut cluster = Cluster {
            nodes: Vec::new(),
            binary: binary.to_path_buf(),
            seeds: addresses.join(","),
            options: options.iter().map(|word| word.to_string()).collect(),
            dir: None,
        };
        for address in addresses {
            cluster.prepare_node(&address)?;
        }
        Ok(cluster)
    }

    /// One more node, which is none of the seeds, before its first start; answers its place.
    pub fn prepare_another(&mut self) -> Result<usize> {
        let [port] = ports::free()?;
        self.prepare_node(&format!("127.0.0.1:{port}"))
    }

    fn prepare_node(&mut self, address: &str) -> Result<usize> {
        let place = self.nodes.len();
        let id = (place + 1).to_string();
        let mut command = vec![
            "serve",
            "--broker-id",
            &id,
            "--cluster-listen",
            address,
            "--seeds",
            &self.seeds,
        ];
        command.extend(self.options.iter().map(String::as_str));
        self.nodes.push(Weir::prepare(&self.binary, &command)?);
        Ok(place)
    }

    /// Where a seed is reached by other nodes.
    pub fn peer_address(&self, place: usize) -> SocketAddr {
        let address = self.seeds.split(',').nth(place).expect("a seed");
        address.parse().expect("an address")
    }

    /// Tells one node more, from its next start on.
    pub fn add_options(&mut self, place: usize, options: &[&str]) {
        self.nodes[place].add_to_command(options);
    }

    pub fn spawn_all(&mut self) -> Result<()> {
        self.nodes.iter_mut().try_for_each(Weir::spawn)
    }

    pub fn await_all(&mut self) -> Result<()> {
        self.nodes.iter_mut().try_for_each(Weir::await_ready)
    }

    /// Where clients begin: all nodes.
    pub fn bootstrap(&self) -> String {
        let addresses = self.nodes.iter().map(|node| node.kafka.to_string());
        addresses.collect::<Vec<_>>().join(",")
    }

    /// The place of a broker.id.
    pub fn place_of(broker_id: i32) -> usize {
        usize::try_from(broker_id - 1).expect("ids begin with 1")
    }

    /// What the nodes printed, for a test that fails.
    pub fn outputs(&self) -> String {
        let output =
            |(place, node): (usize, &Weir)| format!("node {}:\n{}\n", place + 1, node.tail());
        self.nodes.iter().enumerate().map(output).collect()
    }

    /// Asks until there is an answer; ends the test when there is none for [`PATIENCE`].
    pub fn eventually<T>(&self, what: &str, asked: impl FnMut() -> Option<T>) -> T {
        match clock::wait_for(PATIENCE, Duration::from_millis(50), asked) {
            Some(answer) => answer,
            None => panic!("not in time: {what}\n{}", self.outputs()),
        }
    }
}

/// Sends one request on a connection of its own.
pub fn ask<R: Request>(address: SocketAddr, version: i16, request: &R) -> Result<R::Response> {
    calls::ask_within(PATIENCE, address, version, request)
}

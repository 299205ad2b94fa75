//! One weir process: its namespace is the network's, its disk one of its own.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

use crate::disk::Disk;
use crate::net::namespace::Namespace;
use crate::net::{self};

const KAFKA: u16 = 9092;
const CLUSTER: u16 = 9093;
const REGISTRY: u16 = 8081;
const HTTP: u16 = 8080;
/// Small, so that records move into segments, and a node that was away is brought them.
const WAL_BUDGET_MB: &str = "48";
const DISK_RESERVE_MB: &str = "8";
/// How long a process may take to die.
const DEATH_LIMIT: Duration = Duration::from_secs(20);

pub struct Node {
    place: usize,
    binary: PathBuf,
    seeds: String,
    /// More words for the process.
    options: Vec<String>,
    log: PathBuf,
    pub disk: Disk,
    child: Option<Child>,
}

impl Node {
    /// A node that was not started yet. Its output goes to `log`, over all starts.
    pub fn new(
        place: usize,
        nodes: usize,
        binary: &Path,
        options: &[String],
        log: PathBuf,
        disk: Disk,
    ) -> Node {
        let seeds = (0..nodes).map(|place| SocketAddr::from((net::address(place), CLUSTER)));
        let seeds: Vec<String> = seeds.map(|address| address.to_string()).collect();
        Node {
            place,
            binary: binary.to_path_buf(),
            seeds: seeds.join(","),
            options: options.to_vec(),
            log,
            disk,
            child: None,
        }
    }

    pub fn spawn(&mut self, namespace: &Namespace) -> Result<()> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut command = namespace.command(&self.binary);
        let id = (self.place + 1).to_string();
        command.args(["serve", "--broker-id", &id, "--seeds", &self.seeds]);
        command.args(["--wal-budget-mb", WAL_BUDGET_MB]);
        command.args(["--disk-reserve-mb", DISK_RESERVE_MB]);
        command.arg("--data-dir").arg(self.disk.path().join("data"));
        for (flag, port) in [
            ("--kafka-listen", KAFKA),
            ("--registry-listen", REGISTRY),
            ("--http-listen", HTTP),
            ("--cluster-listen", CLUSTER),
        ] {
            let address = SocketAddr::from((net::address(self.place), port));
            command.arg(flag).arg(address.to_string());
        }
        command.args(&self.options);
        command.stdin(Stdio::null()).stdout(log.try_clone()?);
        let child = command.stderr(log).spawn();
        self.child = Some(child.context("cannot start nsenter (util-linux)")?);
        Ok(())
    }

    /// Whether a process is there, as far as nobody has noticed its end.
    pub fn is_started(&self) -> bool {
        self.child.is_some()
    }

    /// How the process ended that was not made to.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.as_mut()?.try_wait().ok().flatten()?;
        self.child = None;
        Some(status)
    }

    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// SIGTERM; whoever asked waits with [`Node::kill_late`].
    pub fn begin_stop(&self) -> Result<()> {
        self.signal(Signal::TERM)
    }

    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Waits for an end that was asked for; kills the process when there is none in time, and tells so.
    pub fn await_end(&mut self) -> Result<bool> {
        let Some(mut child) = self.child.take() else {
            return Ok(true);
        };
        let ended = || child.try_wait().transpose();
        let ended = crate::time::wait_for(DEATH_LIMIT, Duration::from_millis(20), ended);
        if ended.is_none() {
            child.kill()?;
            child.wait()?;
        }
        Ok(ended.is_some())
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        if let Some(child) = &self.child {
            kill_process(Pid::from_child(child), signal)?;
        }
        Ok(())
    }

    pub fn output(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// Where clients connect to a node.
pub fn kafka(place: usize) -> SocketAddr {
    SocketAddr::from((net::address(place), KAFKA))
}

pub fn http(place: usize) -> SocketAddr {
    SocketAddr::from((net::address(place), HTTP))
}

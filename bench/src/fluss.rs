//! Apache Fluss from its jars: ZooKeeper, a coordinator and a tablet server in a temporary directory.

use std::fs::{self, File};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use compat_tests::{clock, ports, process};
use tempfile::TempDir;

use crate::processes::Processes;

const START_LIMIT: Duration = Duration::from_secs(120);

/// Three running processes, each killed by its own id when this goes.
pub struct Fluss {
    coordinator: u16,
    children: Vec<Child>,
    dir: TempDir,
}

impl Fluss {
    pub fn start(jars: &Path) -> Result<Fluss> {
        let [zookeeper, coordinator, tablet] = ports::free()?;
        let mut fluss = Fluss {
            coordinator,
            children: Vec::new(),
            dir: tempfile::Builder::new().prefix("fluss-").tempdir()?,
        };
        let zoo_cfg = fluss.write("zoo.cfg", &zookeeper_config(fluss.dir.path(), zookeeper))?;
        let mut java = java(
            jars,
            &[
                "zookeeper",
                "netty",
                "metrics",
                "snappy",
                "audience",
                "commons",
            ],
        )?;
        java.args(["-Xmx256m", "-Dzookeeper.admin.enableServer=false"])
            .arg("org.apache.zookeeper.server.quorum.QuorumPeerMain")
            .arg(zoo_cfg);
        fluss.spawn("zookeeper", java, zookeeper)?;
        for (name, class, port) in [
            ("coordinator", "coordinator.CoordinatorServer", coordinator),
            ("tablet", "tablet.TabletServer", tablet),
        ] {
            let config = server_config(fluss.dir.path(), zookeeper, port);
            let config = fluss.write(&format!("{name}/server.yaml"), &config)?;
            let mut java = java_of_server(jars)?;
            java.arg(format!("org.apache.fluss.server.{class}"))
                .arg("--configDir")
                .arg(config.parent().context("a directory")?);
            fluss.spawn(name, java, port)?;
        }
        Ok(fluss)
    }

    /// Where clients connect first.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.coordinator)
    }

    pub fn processes(&self) -> Result<Processes> {
        let pids: Vec<Option<u32>> = self.children.iter().map(|child| Some(child.id())).collect();
        Processes::of(&pids)
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().context("a directory")?)?;
        fs::write(&path, text)?;
        Ok(path)
    }

    /// Starts a process and waits until it listens.
    fn spawn(&mut self, name: &str, mut command: Command, port: u16) -> Result<()> {
        let path = self.dir.path().join(format!("{name}.log"));
        command.current_dir(self.dir.path());
        let child = process::spawn_bound(&command, File::create(&path)?)?;
        self.children.push(child);
        let child = self.children.last_mut().context("just started")?;
        let ready = clock::wait_for(START_LIMIT, Duration::from_millis(100), || {
            match child.try_wait() {
                Ok(Some(status)) => Some(Err(status)),
                _ => TcpStream::connect(("127.0.0.1", port))
                    .is_ok()
                    .then_some(Ok(())),
            }
        });
        let log = || fs::read_to_string(&path).unwrap_or_default();
        match ready {
            Some(Ok(())) => Ok(()),
            Some(Err(status)) => bail!("the {name} of Fluss ended with {status}:\n{}", log()),
            None => bail!(
                "the {name} of Fluss did not listen within {START_LIMIT:?}:\n{}",
                log()
            ),
        }
    }
}

impl Drop for Fluss {
    fn drop(&mut self) {
        for child in self.children.iter_mut().rev() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The jars whose names begin with one of `prefixes`, and those that log.
pub fn class_path(jars: &Path, prefixes: &[&str]) -> Result<String> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(jars).with_context(|| format!("reading {}", jars.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let wanted = prefixes.iter().chain(&["log4j", "slf4j"]);
        if wanted.into_iter().any(|prefix| name.starts_with(prefix)) {
            paths.push(entry.path().display().to_string());
        }
    }
    paths.sort();
    Ok(paths.join(":"))
}

fn java(jars: &Path, prefixes: &[&str]) -> Result<Command> {
    let mut command = Command::new("java");
    command.args(["-cp", &class_path(jars, prefixes)?]);
    Ok(command)
}

/// With the heap that the JVM chooses, as Fluss's own scripts have it.
fn java_of_server(jars: &Path) -> Result<Command> {
    let mut command = java(jars, &["fluss-server"])?;
    command.arg("--add-opens=java.base/java.nio=ALL-UNNAMED");
    Ok(command)
}

fn zookeeper_config(dir: &Path, port: u16) -> String {
    format!(
        "tickTime=2000\ndataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n",
        dir.join("zookeeper-data").display()
    )
}

/// The coordinator and the tablet server each read what concerns them.
fn server_config(dir: &Path, zookeeper: u16, port: u16) -> String {
    format!(
        "zookeeper.address: 127.0.0.1:{zookeeper}
zookeeper.path.root: /fluss
bind.listeners: FLUSS://127.0.0.1:{port}
remote.data.dir: {}
tablet-server.id: 0
data.dir: {}
default.replication.factor: 1
",
        dir.join("remote").display(),
        dir.join("data").display()
    )
}

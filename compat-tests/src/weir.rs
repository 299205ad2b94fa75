//! A running `weir`, in a directory and on ports of its own.
//!
//! The binary is `WEIR_BIN`, or the newest of `release/weir` and `debug/weir` in cargo's target directory. The process
//! is killed by its own id when the fixture goes, and by the system when the thread that started it does.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::{clock, ports, process};

const READY_LIMIT: Duration = Duration::from_secs(30);
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// A broker process and where it listens. The addresses stay the same over restarts.
pub struct Weir {
    binary: PathBuf,
    command: Vec<String>,
    dir: TempDir,
    data_dir: PathBuf,
    pub kafka: SocketAddr,
    pub registry: SocketAddr,
    pub http: SocketAddr,
    child: Option<Child>,
}

impl Weir {
    /// Starts the binary that [`find_binary`] finds as `weir dev` and waits until it is ready.
    pub fn start() -> Result<Weir> {
        Weir::start_with(&find_binary()?, &["dev"])
    }

    /// Starts `binary` with `command` before the addresses and the data directory, and waits until it is ready.
    pub fn start_with(binary: &Path, command: &[&str]) -> Result<Weir> {
        let mut weir = Weir::prepare(binary, command)?;
        weir.launch()?;
        Ok(weir)
    }

    /// What [`Weir::start_with`] starts, before its first start.
    pub fn prepare(binary: &Path, command: &[&str]) -> Result<Weir> {
        let [kafka, registry, http] = ports::free()?;
        let dir = tempfile::Builder::new().prefix("weir-").tempdir()?;
        let mut weir = Weir {
            binary: binary.to_path_buf(),
            command: Vec::new(),
            data_dir: dir.path().join("data"),
            dir,
            kafka: loopback(kafka),
            registry: loopback(registry),
            http: loopback(http),
            child: None,
        };
        weir.set_command(command);
        Ok(weir)
    }

    /// The broker's data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.data_dir.clone()
    }

    /// Has later starts use this data directory, which the caller removes.
    pub fn set_data_dir(&mut self, data_dir: PathBuf) {
        self.data_dir = data_dir;
    }

    /// The temporary directory: `data/` is the broker's, unless it was told of another one, and `weir.log` its output
    /// over all starts.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What the broker printed so far.
    pub fn output(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// The running process, if there is one.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Kills the process as `kill -9` does: nothing is flushed, nobody is told.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// As [`Weir::kill`], without waiting until the process has ended: it may have to wait for a disk.
    pub fn begin_kill(&mut self) -> Result<()> {
        Ok(self.child.as_mut().context("not started")?.kill()?)
    }

    /// What later starts put before the addresses and the data directory.
    pub fn set_command(&mut self, command: &[&str]) {
        self.command = command.iter().map(|word| word.to_string()).collect();
    }

    /// What later starts put behind the words that they put there so far.
    pub fn add_to_command(&mut self, words: &[&str]) {
        self.command
            .extend(words.iter().map(|word| word.to_string()));
    }

    /// Asks the process to end (SIGTERM) and waits until it has.
    pub fn stop(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else {
            return Ok(());
        };
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let ended = clock::wait_for(STOP_LIMIT, Duration::from_millis(20), || {
            child.try_wait().transpose()
        });
        match ended {
            Some(status) => {
                let status = status?;
                if !status.success() {
                    bail!("a clean stop ended with {status}: {}", self.tail());
                }
                Ok(())
            }
            None => {
                child.kill()?;
                child.wait()?;
                bail!("did not stop within {STOP_LIMIT:?}: {}", self.tail())
            }
        }
    }

    /// Starts the process again over the same data and addresses, after [`Weir::kill`] or [`Weir::stop`].
    pub fn launch(&mut self) -> Result<()> {
        self.spawn()?;
        self.await_ready()
    }

    /// As [`Weir::launch`], without waiting until it is ready.
    pub fn spawn(&mut self) -> Result<()> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_path())?;
        let mut command = Command::new(&self.binary);
        command
            .args(&self.command)
            .arg("--data-dir")
            .arg(self.data_dir());
        for (flag, address) in [
            ("--kafka-listen", self.kafka),
            ("--registry-listen", self.registry),
            ("--http-listen", self.http),
        ] {
            command.arg(flag).arg(address.to_string());
        }
        command.current_dir(self.dir.path());
        self.child = Some(process::spawn_bound(&command, log)?);
        Ok(())
    }

    /// Waits until the process that was spawned is ready.
    pub fn await_ready(&mut self) -> Result<()> {
        let (kafka, registry, http) = (self.kafka, self.registry, self.http);
        let child = self.child.as_mut().context("not started")?;
        let ready = clock::wait_for(READY_LIMIT, Duration::from_millis(10), || {
            if let Ok(Some(status)) = child.try_wait() {
                return Some(Err(status));
            }
            let listening = [kafka, registry]
                .iter()
                .all(|address| TcpStream::connect(address).is_ok());
            (listening && says_ready(http)).then_some(Ok(()))
        });
        match ready {
            Some(Ok(())) => Ok(()),
            Some(Err(status)) => bail!("ended with {status} before it was ready: {}", self.tail()),
            None => bail!("not ready after {READY_LIMIT:?}: {}", self.tail()),
        }
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("weir.log")
    }

    /// The end of what the broker printed.
    pub fn tail(&self) -> String {
        let output = self.output();
        let lines: Vec<&str> = output.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Weir {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// `WEIR_BIN`, else the newest `weir` in cargo's target directory.
pub fn find_binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("WEIR_BIN") {
        return Ok(path.into());
    }
    let target = match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => PathBuf::from(dir),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"),
    };
    let built = ["release", "debug"].map(|profile| target.join(profile).join("weir"));
    built
        .iter()
        .filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path)))
        .max()
        .map(|(_, path)| path.clone())
        .with_context(|| {
            format!(
                "no weir binary in {}: build it with `cargo build --release`, or set WEIR_BIN",
                target.display()
            )
        })
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn says_ready(http: SocketAddr) -> bool {
    let ask = || -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(http)?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: weir\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with(b"HTTP/1.1 200"))
}

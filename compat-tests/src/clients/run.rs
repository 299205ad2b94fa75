//! Starts the clients, two at a time, and collects what they say.

use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::clients::matrix::{CLIENTS, Matrix, Played, SCENARIOS};
use crate::clients::stored;
use crate::cluster::Cluster;
use crate::weir::Weir;
use crate::{clock, process, weir};

/// How long a client may take for all scenarios; warm it is some 15 s.
const CLIENT_LIMIT: Duration = Duration::from_secs(240);
const AT_ONCE: usize = 2;

/// What to play.
#[derive(Default)]
pub struct Options {
    /// The clients; all where there are none.
    pub clients: Vec<String>,
    /// One scenario instead of all.
    pub scenario: Option<String>,
    /// How many nodes the broker has; one where this is 0.
    pub nodes: usize,
}

/// Plays the matrix against a broker that is started for it. `own` is the `clients` binary, which plays rdkafka's part.
pub fn run(own: &Path, options: &Options) -> Result<Matrix> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/clients");
    check_installed(&script)?;
    let queue: VecDeque<&'static str> = CLIENTS
        .into_iter()
        .filter(|client| {
            options.clients.is_empty() || options.clients.iter().any(|name| name == client)
        })
        .collect();
    if queue.is_empty() {
        bail!(
            "there is no client {:?}; there are {CLIENTS:?}",
            options.clients
        );
    }
    let nodes = match options.nodes {
        0 | 1 => vec![Weir::start()?],
        count => Cluster::start(count)?.nodes,
    };
    let stage = Stage {
        own: own.to_path_buf(),
        script,
        binary: weir::find_binary()?,
        nodes,
        scenario: options.scenario.clone(),
    };
    let (queue, matrix) = (Mutex::new(queue), Mutex::new(Matrix::new()));
    thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE)
            .map(|_| scope.spawn(|| stage.work(&queue, &matrix)))
            .collect();
        for worker in workers {
            worker.join().expect("a worker does not panic")?;
        }
        anyhow::Ok(())
    })?;
    Ok(matrix.into_inner().expect("no worker panicked"))
}

fn check_installed(script: &Path) -> Result<()> {
    let output = Command::new("bash").arg(script).arg("--check").output()?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// The broker's nodes and what a client needs to find them.
struct Stage {
    own: PathBuf,
    script: PathBuf,
    binary: PathBuf,
    nodes: Vec<Weir>,
    scenario: Option<String>,
}

impl Stage {
    /// Plays clients until the queue is empty. Clients end with the thread that started them, which is this one.
    fn work(&self, queue: &Mutex<VecDeque<&'static str>>, matrix: &Mutex<Matrix>) -> Result<()> {
        loop {
            let next = queue.lock().expect("no worker panicked").pop_front();
            let Some(client) = next else { return Ok(()) };
            let played = self.play(client)?;
            println!(
                "{client} {}: {} of {} without failure in {:.0} s",
                played.version.as_deref().unwrap_or("did not start"),
                played.outcomes.len() - played.failures().count(),
                played.outcomes.len(),
                played.seconds
            );
            matrix
                .lock()
                .expect("no worker panicked")
                .insert(client, played);
        }
    }

    fn play(&self, client: &str) -> Result<Played> {
        let started = clock::now_ms();
        let dir = self.nodes[0].dir();
        let output = dir.join(format!("{client}.out"));
        let errors = dir.join(format!("{client}.err"));
        let child = process::bound(&self.command(client))
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(File::create(&output)?)
            .stderr(File::create(&errors)?)
            .spawn()
            .with_context(|| format!("cannot start {client}"))?;
        let silence = match await_end(child)? {
            Some(status) => format!("no result; the client ended with {status}"),
            None => format!("no result within {CLIENT_LIMIT:?}"),
        };
        let wanted: Vec<&str> = match &self.scenario {
            Some(scenario) => vec![scenario],
            None => SCENARIOS.iter().map(|(name, _)| *name).collect(),
        };
        let mut played = Played::parse(&std::fs::read_to_string(output)?, &wanted, &silence);
        played
            .errors
            .push_str(&String::from_utf8_lossy(&std::fs::read(errors)?));
        stored::check(&self.nodes, client, &mut played);
        played.seconds = (clock::now_ms() - started) as f64 / 1000.0;
        Ok(played)
    }

    fn command(&self, client: &str) -> Command {
        let mut command = if client == "rdkafka" {
            let mut own = Command::new(&self.own);
            own.arg("play-rdkafka");
            own
        } else {
            let mut script = Command::new("bash");
            script.arg(&self.script).args(["--start", client]);
            script
        };
        // Each surface at a node of its own, where there are so many: any node answers anything.
        let node = |place: usize| &self.nodes[place % self.nodes.len()];
        command
            .env("WEIR_BOOTSTRAP", node(0).kafka.to_string())
            .env("WEIR_REGISTRY", format!("http://{}", node(1).registry))
            .env("WEIR_HTTP", format!("http://{}", node(2).http))
            .env("WEIR_REPLICAS", self.nodes.len().min(3).to_string())
            .env("WEIR_BIN", &self.binary)
            .env("WEIR_SCENARIO", self.scenario.as_deref().unwrap_or("all"));
        command
    }
}

/// How the client ended, or `None` where it had to be killed, together with what it had started.
fn await_end(mut child: Child) -> Result<Option<ExitStatus>> {
    let group = Pid::from_child(&child);
    let ended = clock::wait_for(CLIENT_LIMIT, Duration::from_millis(20), || {
        child.try_wait().transpose()
    });
    // What it left behind; usually there is nobody.
    let _ = kill_process_group(group, Signal::KILL);
    match ended {
        Some(status) => Ok(Some(status?)),
        None => {
            child.wait()?;
            Ok(None)
        }
    }
}

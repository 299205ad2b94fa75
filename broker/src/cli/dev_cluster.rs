//! `weir dev -n COUNT`: a cluster on this machine, each node a process of its own.
//!
//! Nodes are numbered from 1, which is their broker.id too; node N has its data, and its process id in the file `pid`,
//! in `DIR/node-N`. A node that ends is reported and not started again.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use crate::options::{ClusterTls, Options};

/// Where the first node's peers reach it, unless it is told otherwise.
pub const CLUSTER_LISTEN: &str = "localhost:19093";
/// From one node to the next, the ports of Kafka and between nodes move by one, those of HTTP by this.
const HTTP_STEP: u16 = 10;
/// Lines of a node's greeting: that it is up, and three addresses.
const GREETING_LINES: usize = 4;
/// How long the nodes may take to stop.
const STOP_LIMIT: Duration = Duration::from_secs(15);

#[derive(Debug, thiserror::Error)]
enum DevError {
    #[error("{address}: not HOST:PORT with room for {count} ports")]
    Address { address: String, count: u16 },
    #[error("-n and --seeds exclude each other: the nodes of -n are each other's seeds")]
    Seeds,
    #[error(
        "-n and --cluster-tls-… exclude each other: the nodes of -n meet on this machine only, without TLS"
    )]
    Tls,
    #[error("cannot start node {number}: {source}")]
    Start { number: u16, source: io::Error },
    #[error("node {number} ended before it was up")]
    Ended { number: u16 },
    #[error("no free port: {0}")]
    Ports(io::Error),
}

/// One node to be: its number, its directory and its command line.
struct Plan {
    number: u16,
    dir: PathBuf,
    args: Vec<String>,
}

struct Running {
    plan: Plan,
    child: Child,
    pid: u32,
}

/// A node that has ended.
struct Ended {
    plan: Plan,
    pid: u32,
    status: io::Result<ExitStatus>,
}

/// Runs until a signal, or until every node has ended.
pub fn run(count: u16, options: &Options) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("the system gives a runtime");
    match runtime.block_on(run_all(count, options)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("weir: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run_all(count: u16, options: &Options) -> Result<ExitCode, DevError> {
    let mut signals = Signals::new();
    let mut nodes = Vec::new();
    for plan in plans(count, options)? {
        nodes.push(start(plan)?);
    }
    let mut pids: BTreeMap<u16, u32> = nodes.iter().map(|one| (one.plan.number, one.pid)).collect();
    let mut greetings = Vec::new();
    for node in &mut nodes {
        let greeting = tokio::select! {
            greeting = greeting(node) => greeting,
            () = signals.next() => break,
        };
        match greeting {
            Ok(greeting) => greetings.push(greeting),
            Err(error) => {
                stop(&pids, nodes.into_iter().map(ended).collect()).await;
                return Err(error);
            }
        }
    }
    let up = greetings.len() == nodes.len();
    if up {
        greet(&options.data_dir, &greetings, &nodes);
    }
    let mut ending: FuturesUnordered<_> = nodes.into_iter().map(ended).collect();
    if up {
        loop {
            tokio::select! {
                one = ending.next() => match one {
                    Some(one) => {
                        pids.remove(&one.plan.number);
                        report(&one);
                    }
                    None => return Ok(ExitCode::FAILURE),
                },
                () = signals.next() => break,
            }
        }
    }
    stop(&pids, ending).await;
    Ok(ExitCode::SUCCESS)
}

/// Ctrl-C, or being asked to end.
struct Signals {
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Signals {
        Signals {
            terminate: signal(SignalKind::terminate()).expect("a signal handler"),
        }
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// The nodes' command lines.
fn plans(count: u16, options: &Options) -> Result<Vec<Plan>, DevError> {
    if !options.seeds.is_empty() {
        return Err(DevError::Seeds);
    }
    if options.cluster_tls != ClusterTls::default() {
        return Err(DevError::Tls);
    }
    let cluster = match options.cluster_listen.rsplit_once(':') {
        Some((host, "0")) => (0..count).map(|_| free_address(host)).collect(),
        _ => addresses(&options.cluster_listen, count, 1),
    }?;
    let kafka = addresses(&options.kafka_listen, count, 1)?;
    let registry = addresses(&options.registry_listen, count, HTTP_STEP)?;
    let http = addresses(&options.http_listen, count, HTTP_STEP)?;
    let plan = |at: usize| {
        let number = at as u16 + 1;
        let dir = options.data_dir.join(format!("node-{number}"));
        let megabytes = |bytes: u64| (bytes >> 20).to_string();
        let values = [
            ("--data-dir", dir.display().to_string()),
            ("--broker-id", number.to_string()),
            ("--kafka-listen", kafka[at].clone()),
            ("--registry-listen", registry[at].clone()),
            ("--http-listen", http[at].clone()),
            ("--cluster-listen", cluster[at].clone()),
            ("--seeds", cluster.join(",")),
            ("--tail-mb", megabytes(options.tail_bytes as u64)),
            ("--wal-index-mb", megabytes(options.wal_index_bytes as u64)),
            ("--wal-budget-mb", megabytes(options.wal_budget_bytes)),
            ("--disk-reserve-mb", megabytes(options.disk_reserve_bytes)),
        ];
        let shards = options
            .data_shards
            .map(|count| ("--data-shards", count.to_string()));
        let values = values
            .into_iter()
            .chain(shards)
            .flat_map(|(flag, value)| [flag.to_owned(), value]);
        Plan {
            number,
            dir,
            args: std::iter::once("dev".to_owned()).chain(values).collect(),
        }
    };
    Ok((0..usize::from(count)).map(plan).collect())
}

/// The first node's address and the others', whose ports move by `step`. Port 0 stays what it is.
fn addresses(first: &str, count: u16, step: u16) -> Result<Vec<String>, DevError> {
    let wrong = || DevError::Address {
        address: first.to_owned(),
        count,
    };
    let (host, port) = first.rsplit_once(':').ok_or_else(wrong)?;
    let port: u16 = port.parse().map_err(|_| wrong())?;
    let of = |at: u16| match port {
        0 => Some(first.to_owned()),
        _ => Some(format!(
            "{host}:{}",
            port.checked_add(at.checked_mul(step)?)?
        )),
    };
    (0..count).map(|at| of(at).ok_or_else(wrong)).collect()
}

/// An address with a port that nobody listened on a moment ago.
fn free_address(host: &str) -> Result<String, DevError> {
    let bound = std::net::TcpListener::bind((host, 0)).and_then(|listener| listener.local_addr());
    Ok(format!("{host}:{}", bound.map_err(DevError::Ports)?.port()))
}

fn start(plan: Plan) -> Result<Running, DevError> {
    let number = plan.number;
    let failed = |source| DevError::Start { number, source };
    std::fs::create_dir_all(&plan.dir).map_err(failed)?;
    let mut command = Command::new(std::env::current_exe().map_err(failed)?);
    command
        .args(&plan.args)
        .arg("--child")
        .env_remove("WEIR_KAFKA_ADVERTISE")
        .env_remove("WEIR_CLUSTER_ADVERTISE")
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let child = command.spawn().map_err(failed)?;
    let pid = child.id().expect("it was not waited for yet");
    std::fs::write(plan.dir.join("pid"), format!("{pid}\n")).map_err(failed)?;
    Ok(Running { plan, child, pid })
}

/// What a node says once it is up: where it serves what.
async fn greeting(node: &mut Running) -> Result<Vec<String>, DevError> {
    let stdout = node.child.stdout.take().expect("it is piped");
    let mut lines = BufReader::new(stdout).lines();
    let mut said = Vec::new();
    while said.len() < GREETING_LINES {
        match lines.next_line().await {
            Ok(Some(line)) => said.push(line),
            Ok(None) | Err(_) => {
                return Err(DevError::Ended {
                    number: node.plan.number,
                });
            }
        }
    }
    // Whatever it says later goes nowhere, but must be taken.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Ok(said.split_off(1))
}

fn greet(dir: &Path, greetings: &[Vec<String>], nodes: &[Running]) {
    println!(
        "weir {}: {} nodes are up, with data in {}",
        env!("CARGO_PKG_VERSION"),
        nodes.len(),
        dir.display()
    );
    for (node, lines) in nodes.iter().zip(greetings) {
        let number = node.plan.number;
        println!("node {number}, process {}", node.pid);
        lines.iter().for_each(|line| println!("{line}"));
    }
    println!("Ctrl-C stops all of them; `kill -9` of one is a test.");
}

async fn ended(mut node: Running) -> Ended {
    let status = node.child.wait().await;
    // A stale one would name some other process later.
    let _ = std::fs::remove_file(node.plan.dir.join("pid"));
    Ended {
        plan: node.plan,
        pid: node.pid,
        status,
    }
}

fn report(ended: &Ended) {
    let Ended { plan, pid, status } = ended;
    let how = match status {
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    };
    let number = plan.number;
    eprintln!("weir: node {number}, process {pid}, has ended: {how}. This starts it again:");
    eprintln!("  weir {}", plan.args.join(" "));
}

/// Asks all nodes to end and waits until they have.
async fn stop<F: Future<Output = Ended>>(
    pids: &BTreeMap<u16, u32>,
    mut ending: FuturesUnordered<F>,
) {
    let signal_all = |signal| {
        for pid in pids.values() {
            let pid = i32::try_from(*pid).ok().and_then(Pid::from_raw);
            // One that has ended meanwhile is as good.
            let _ = pid.map(|pid| kill_process(pid, signal));
        }
    };
    signal_all(Signal::TERM);
    let all = async { while ending.next().await.is_some() {} };
    if tokio::time::timeout(STOP_LIMIT, all).await.is_err() {
        signal_all(Signal::KILL);
        while ending.next().await.is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_node_has_ports_of_its_own() {
        let options = Options {
            kafka_listen: "127.0.0.1:9092".into(),
            cluster_listen: CLUSTER_LISTEN.into(),
            ..Options::default()
        };
        let plans = plans(3, &options).expect("legal");
        let line = plans[2].args.join(" ");
        for part in [
            "dev --data-dir weir-data/node-3 --broker-id 3",
            "--kafka-listen 127.0.0.1:9094",
            "--registry-listen localhost:8101",
            "--http-listen localhost:8100",
            "--cluster-listen localhost:19095",
            "--seeds localhost:19093,localhost:19094,localhost:19095",
        ] {
            assert!(line.contains(part), "{part} in {line}");
        }
    }

    #[test]
    fn ports_end_somewhere() {
        assert!(addresses("x:65534", 3, 1).is_err());
        assert!(addresses("x", 3, 1).is_err());
        assert_eq!(addresses("x:0", 2, 1).expect("legal"), ["x:0", "x:0"]);
    }
}

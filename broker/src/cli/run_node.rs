//! `weir dev` and `weir serve`: a node in the foreground until a signal.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Signal, set_parent_process_death_signal};
use tikv_jemalloc_ctl::{background_thread, max_background_threads};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::signal::unix::{SignalKind, signal};

use super::dev_cluster;
use super::node_args::NodeArgs;
use crate::clock::SystemClock;
use crate::demo::{self, Endpoints};
use crate::node::{Addresses, Node, NodeError};
use crate::options::Options;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  weir dev
  weir dev --data-dir /tmp/w --kafka-listen 127.0.0.1:0
  weir dev -n 3                three nodes, data in ./weir-data/node-1 and so on
  weir dev --demo              load the demo, show it, and stay up
  weir dev --demo --once       and end after it, with an exit code")]
pub struct DevArgs {
    /// Load the demo and show, step by step, what can be done with it
    #[arg(long)]
    demo: bool,
    /// End after the demo
    #[arg(long, requires = "demo")]
    once: bool,
    /// Start a cluster of so many nodes, each a process of its own
    #[arg(
        short = 'n',
        long,
        value_name = "COUNT",
        conflicts_with = "demo",
        value_parser = clap::value_parser!(u16).range(1..=9)
    )]
    nodes: Option<u16>,
    /// End when whoever started this process does
    #[arg(long, hide = true)]
    child: bool,
    #[command(flatten)]
    node: NodeArgs,
}

impl DevArgs {
    /// The node's own notes would stand between the demo's lines.
    pub fn default_log(&self) -> &'static str {
        if self.demo { "error" } else { NODE_LOG }
    }
}

/// What a node logs unless it is told otherwise. Openraft would warn of each message to a node that is away; that
/// it is away is said once, by who connects. What a replica is asked while it stops it reports as its errors; whoever asked
/// is told of them, and a replica that stops unasked is reported by `weir_raft`.
pub const NODE_LOG: &str = "info,openraft=error,openraft::raft::raft_inner=off";

/// How long a node runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Course {
    UntilSignal,
    Demo,
    DemoOnce,
}

#[derive(clap::Args)]
#[command(after_help = "Examples:
  weir serve -c /etc/weir/weir.toml
  weir serve --data-dir /var/lib/weir --kafka-listen 0.0.0.0:9092 --kafka-advertise broker-1:9092
  WEIR_HTTP_LISTEN=0.0.0.0:8080 weir serve -c weir.toml

A flag wins over its variable, that over the file, that over the default.")]
pub struct ServeArgs {
    /// The file of options, TOML
    #[arg(short, long, env = "WEIR_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    node: NodeArgs,
}

/// Consumers wait for nobody else: the first rebalance of a group starts at once.
pub fn dev(args: DevArgs) -> ExitCode {
    let mut options = Options::default();
    options
        .settings
        .insert("group.initial.rebalance.delay.ms".into(), "0".into());
    if let Some(count) = args.nodes {
        options.cluster_listen = dev_cluster::CLUSTER_LISTEN.into();
        return dev_cluster::run(count, &args.node.over(options));
    }
    if args.child {
        end_with_parent();
    }
    let course = match (args.demo, args.once) {
        (false, _) => Course::UntilSignal,
        (true, false) => Course::Demo,
        (true, true) => Course::DemoOnce,
    };
    run(args.node.over(options), course)
}

/// A node of `weir dev -n` does not outlive the process that started it, however that ends.
fn end_with_parent() {
    if let Err(error) = set_parent_process_death_signal(Some(Signal::TERM)) {
        tracing::warn!(%error, "this node may outlive the process that started it");
    }
}

pub fn serve(args: ServeArgs) -> ExitCode {
    let file = match args.config.as_deref().map(NodeArgs::read).transpose() {
        Ok(file) => file.unwrap_or_default(),
        Err(error) => return failed(&error),
    };
    let options = args.node.over(file.over(Options::default()));
    run(options, Course::UntilSignal)
}

/// How far apart timers of shards fire: an idle node wakes up that much less often, and notices as much later that a
/// leader hangs.
const TIMERS_APART: Duration = Duration::from_millis(50);

/// Connections and proposers share one data thread: fewer hops. HTTP has its own, so that a large
/// answer there does not hold up produce and fetch.
struct Runtimes {
    data: Runtime,
    edge: Runtime,
}

impl Runtimes {
    fn new() -> Runtimes {
        let runtime = |name: &str| {
            let builder = Builder::new_multi_thread()
                .worker_threads(1)
                .thread_name(name)
                .on_thread_start(|| weir_raft::gather_timers(TIMERS_APART))
                .enable_all()
                .build();
            builder.expect("the system gives threads")
        };
        Runtimes {
            data: runtime("weir-data"),
            edge: runtime("weir-edge"),
        }
    }
}

/// Has the allocator give unused memory back on a thread of its own: else a thread that was busy once and sleeps now
/// would keep what it freed, and the data thread would pay for the rest.
fn give_memory_back() {
    let started = max_background_threads::write(1).and_then(|()| background_thread::write(true));
    if let Err(error) = started {
        tracing::warn!(%error, "memory is given back late: the allocator has no thread for it");
    }
}

fn run(options: Options, course: Course) -> ExitCode {
    give_memory_back();
    let runtimes = Runtimes::new();
    // On the data thread itself, not on the thread that waits for it.
    let edge = runtimes.edge.handle().clone();
    let outcome = runtimes
        .data
        .block_on(async { tokio::spawn(until_end(options, edge, course)).await });
    match outcome {
        Ok(Ok(code)) => code,
        Ok(Err(error)) => failed(&error),
        Err(error) => failed(&error),
    }
}

fn failed(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("weir: {error}");
    ExitCode::FAILURE
}

async fn until_end(options: Options, edge: Handle, course: Course) -> Result<ExitCode, NodeError> {
    let data_dir = options.data_dir.clone();
    let node = Node::start(options, &edge).await?;
    let endpoints = endpoints(&node.addresses);
    greet(&endpoints, &data_dir.display().to_string());
    if course == Course::UntilSignal {
        suggest(&endpoints);
    }
    let mut code = ExitCode::SUCCESS;
    if course != Course::UntilSignal {
        // Beside the data thread, as another process would be.
        let demo = edge.spawn(async move { demo::run(&endpoints, Arc::new(SystemClock)).await });
        code = match demo.await {
            Ok(Ok(())) => ExitCode::SUCCESS,
            Ok(Err(error)) => failed(&error),
            Err(error) => failed(&error),
        };
    }
    if course == Course::Demo {
        println!("The broker stays up; Ctrl-C stops it.");
    }
    if course != Course::DemoOnce {
        let mut terminate = signal(SignalKind::terminate()).expect("a signal handler");
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
            () = node.removed() => tracing::warn!(
                "this node is no member of the cluster any more: it was removed, or another one took its place"
            ),
        }
    }
    tracing::info!("stopping");
    node.shutdown().await;
    Ok(code)
}

/// The addresses as clients on this machine write them: `localhost` where both loopbacks are served.
fn endpoints(addresses: &Addresses) -> Endpoints {
    let named = |addresses: &[SocketAddr]| match addresses {
        [] => String::new(),
        [one] if !one.ip().is_unspecified() => one.to_string(),
        [first, ..] if addresses.iter().all(|a| is_here(a.ip())) => {
            format!("localhost:{}", first.port())
        }
        [first, ..] => first.to_string(),
    };
    Endpoints {
        kafka: named(&addresses.kafka),
        registry: format!("http://{}", named(&addresses.registry)),
        http: format!("http://{}", named(&addresses.http)),
    }
}

fn is_here(address: IpAddr) -> bool {
    address.is_loopback() || address.is_unspecified()
}

fn greet(endpoints: &Endpoints, data_dir: &str) {
    println!(
        "weir {} is up, with data in {data_dir}",
        env!("CARGO_PKG_VERSION")
    );
    println!("  kafka     {}", endpoints.kafka);
    println!("  registry  {}", endpoints.registry);
    println!("  http      {}", endpoints.http);
}

/// Lines to paste that use other people's tools.
fn suggest(endpoints: &Endpoints) {
    let Endpoints {
        kafka,
        registry,
        http,
    } = endpoints;
    println!("try:");
    println!("  seq 1 10 | kcat -b {kafka} -P -t numbers");
    println!("  kcat -b {kafka} -C -t numbers -e");
    println!("  curl -s {registry}/subjects");
    println!("  curl -s {http}/metrics | grep ^kafka_");
}

//! `weir dev` and `weir serve`: a node in the foreground until a signal.

use std::path::PathBuf;
use std::process::ExitCode;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::signal::unix::{SignalKind, signal};

use super::node_args::NodeArgs;
use crate::node::{Addresses, Node};
use crate::options::Options;

#[derive(clap::Args)]
pub struct DevArgs {
    #[command(flatten)]
    node: NodeArgs,
}

#[derive(clap::Args)]
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
    run(args.node.over(options))
}

pub fn serve(args: ServeArgs) -> ExitCode {
    let file = match args.config.as_deref().map(NodeArgs::read).transpose() {
        Ok(file) => file.unwrap_or_default(),
        Err(error) => return failed(&error),
    };
    run(args.node.over(file.over(Options::default())))
}

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

fn run(options: Options) -> ExitCode {
    let runtimes = Runtimes::new();
    // On the data thread itself, not on the thread that waits for it.
    let edge = runtimes.edge.handle().clone();
    let outcome = runtimes
        .data
        .block_on(async { tokio::spawn(until_signal(options, edge)).await });
    match outcome {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => failed(&error),
        Err(error) => failed(&error),
    }
}

fn failed(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("weir: {error}");
    ExitCode::FAILURE
}

async fn until_signal(options: Options, edge: Handle) -> Result<(), crate::node::NodeError> {
    let data_dir = options.data_dir.clone();
    let node = Node::start(options, &edge).await?;
    greet(&node.addresses, &data_dir.display().to_string());
    let mut terminate = signal(SignalKind::terminate()).expect("a signal handler");
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
    tracing::info!("stopping");
    node.shutdown().await;
    Ok(())
}

/// The endpoints, and lines to paste that use other people's tools.
fn greet(addresses: &Addresses, data_dir: &str) {
    let first = |addresses: &[std::net::SocketAddr]| {
        addresses
            .first()
            .map_or_else(String::new, ToString::to_string)
    };
    let (kafka, registry, http) = (
        first(&addresses.kafka),
        first(&addresses.registry),
        first(&addresses.http),
    );
    println!(
        "weir {} is up, with data in {data_dir}",
        env!("CARGO_PKG_VERSION")
    );
    println!("  kafka     {kafka}");
    println!("  registry  http://{registry}");
    println!("  http      http://{http}");
    println!("try:");
    println!("  seq 1 10 | kcat -b {kafka} -P -t numbers");
    println!("  kcat -b {kafka} -C -t numbers -e");
    println!("  curl -s http://{http}/metrics | grep ^kafka_");
}

//! The command line: `weir dev`, `weir serve`, `weir <noun> <verb>`.

mod cluster;
mod cluster_drain;
mod cluster_spread;
mod dev_cluster;
mod error;
mod files;
mod group;
mod metrics;
mod node_args;
mod output;
mod run_node;
mod schema;
mod table;
pub mod target;
mod topic;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

pub use error::CliError;

/// A streaming broker that existing Kafka clients use unchanged, with a table layer on top.
#[derive(Parser)]
#[command(name = "weir", version, after_help = EXAMPLES)]
struct Cli {
    /// What to log: a level, or `target=level,…` [default: info of a node, warn of other commands]
    #[arg(long, global = true, env = "WEIR_LOG")]
    log: Option<String>,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  weir dev                                  everything on loopback, data in ./weir-data
  weir dev --demo                           and load the demo, step by step
  weir serve -c weir.toml                   production: options from a file
  weir topic list
  weir topic consume flights -n 5           records as JSON, decoded by their schema
  weir table get airports JFK";

#[derive(Subcommand)]
enum Command {
    /// Start everything on loopback with data in ./weir-data
    Dev(run_node::DevArgs),
    /// Start a node with options from a file, variables and flags
    Serve(run_node::ServeArgs),
    /// List, create, alter and delete topics; read and write their records
    Topic(topic::TopicArgs),
    /// List, describe and delete consumer groups
    Group(group::GroupArgs),
    /// List, show, register, check and delete schemas
    Schema(schema::SchemaArgs),
    /// Create tables; look rows up, scan, put and delete them
    Table(table::TableArgs),
    /// Show the cluster's nodes and health; move leaders; have a node leave
    Cluster(cluster::ClusterArgs),
    /// Show what Prometheus would scrape
    Metrics(metrics::MetricsArgs),
}

impl Command {
    fn default_log(&self) -> &'static str {
        match self {
            Command::Dev(args) => args.default_log(),
            Command::Serve(_) => run_node::NODE_LOG,
            _ => "warn",
        }
    }
}

pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let log = cli.log.as_deref().unwrap_or(cli.command.default_log());
    let filter = match EnvFilter::try_new(log) {
        Ok(filter) => filter,
        Err(error) => {
            eprintln!("weir: --log {log}: {error}; for example --log debug");
            return ExitCode::FAILURE;
        }
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    match cli.command {
        Command::Dev(args) => run_node::dev(args),
        Command::Serve(args) => run_node::serve(args),
        Command::Topic(args) => finish(topic::run(args)),
        Command::Group(args) => finish(group::run(args)),
        Command::Schema(args) => finish(schema::run(args)),
        Command::Table(args) => finish(table::run(args)),
        Command::Cluster(args) => finish(cluster::run(args)),
        Command::Metrics(args) => finish(metrics::run(args)),
    }
}

/// Runs a command against a cluster to its end.
fn finish(command: impl Future<Output = Result<(), CliError>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("the system gives a runtime");
    match runtime.block_on(command) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads the output, such as `head`, has enough.
        Err(CliError::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("weir: {error}");
            ExitCode::FAILURE
        }
    }
}

//! The command line: `weir dev`, `weir serve`, `weir <noun> <verb>`.

mod node_args;
mod run_node;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// A streaming broker that existing Kafka clients use unchanged, with a table layer on top.
#[derive(Parser)]
#[command(name = "weir", version, after_help = EXAMPLES)]
struct Cli {
    /// What to log: a level, or `target=level,…`
    #[arg(
        long,
        global = true,
        env = "WEIR_LOG",
        default_value = "info,openraft=warn"
    )]
    log: String,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  weir dev                                  everything on loopback, data in ./weir-data
  weir dev --data-dir /tmp/w --kafka-listen 127.0.0.1:0
  weir serve -c weir.toml                   production: options from a file";

#[derive(Subcommand)]
enum Command {
    /// Start everything on loopback with data in ./weir-data
    Dev(run_node::DevArgs),
    /// Start a node with options from a file, variables and flags
    Serve(run_node::ServeArgs),
}

pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let filter = match EnvFilter::try_new(&cli.log) {
        Ok(filter) => filter,
        Err(error) => {
            eprintln!("weir: --log {}: {error}; for example --log debug", cli.log);
            return ExitCode::FAILURE;
        }
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    match cli.command {
        Command::Dev(args) => run_node::dev(args),
        Command::Serve(args) => run_node::serve(args),
    }
}

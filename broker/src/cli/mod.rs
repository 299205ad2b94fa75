//! The command line: `weir dev`, `weir serve`, `weir <noun> <verb>`.

use std::process::ExitCode;

use clap::Parser;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::signal::unix::{SignalKind, signal};

use crate::node::Node;
use crate::options::Options;

/// A streaming broker that existing Kafka clients use unchanged, with a table layer on top.
#[derive(Parser)]
#[command(name = "weir", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Start everything on loopback with data in ./weir-data.
    Dev(Listen),
}

#[derive(clap::Args)]
struct Listen {
    #[arg(long, env = "WEIR_DATA_DIR", default_value = "weir-data")]
    data_dir: std::path::PathBuf,
    #[arg(long, env = "WEIR_KAFKA_LISTEN", default_value = "localhost:9092")]
    kafka_listen: String,
    #[arg(long, env = "WEIR_REGISTRY_LISTEN", default_value = "localhost:8081")]
    registry_listen: String,
    #[arg(long, env = "WEIR_HTTP_LISTEN", default_value = "localhost:8080")]
    http_listen: String,
    #[arg(long, env = "WEIR_KAFKA_ADVERTISE")]
    kafka_advertise: Option<String>,
}

pub fn run() -> ExitCode {
    let cli = Cli::parse();
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("WEIR_LOG")
                .unwrap_or_else(|_| "info,openraft=warn".into()),
        )
        .with_writer(std::io::stderr)
        .init();
    let Command::Dev(listen) = cli.command;
    let options = Options {
        data_dir: listen.data_dir,
        kafka_listen: listen.kafka_listen,
        registry_listen: listen.registry_listen,
        http_listen: listen.http_listen,
        kafka_advertise: listen.kafka_advertise,
        ..Options::default()
    };
    let runtimes = Runtimes::new();
    let outcome = runtimes
        .data
        .block_on(serve(options, runtimes.edge.handle()));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weir: {error}");
            ExitCode::FAILURE
        }
    }
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

async fn serve(options: Options, edge: &Handle) -> Result<(), crate::node::NodeError> {
    let node = Node::start(options, edge).await?;
    for (name, addresses) in [
        ("kafka", &node.addresses.kafka),
        ("registry", &node.addresses.registry),
        ("http", &node.addresses.http),
    ] {
        for address in addresses {
            println!("{name} {address}");
        }
    }
    let mut terminate = signal(SignalKind::terminate()).expect("a signal handler");
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
    node.shutdown().await;
    Ok(())
}

//! The command line: `weir dev`, `weir serve`, `weir <noun> <verb>`.

use std::process::ExitCode;

use clap::Parser;

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
        ..Options::default()
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    match runtime.block_on(serve(options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weir: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(options: Options) -> Result<(), crate::node::NodeError> {
    let node = Node::start(options).await?;
    println!("kafka {}", node.kafka[0]);
    let _ = tokio::signal::ctrl_c().await;
    node.shutdown().await;
    Ok(())
}

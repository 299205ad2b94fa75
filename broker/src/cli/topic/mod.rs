//! `weir topic …`

mod admin;
mod consume;
mod keys;
mod produce;
mod rejects;

use clap::Subcommand;

use super::CliError;
use super::target::Target;

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct TopicArgs {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    verb: Verb,
}

const EXAMPLES: &str = "Examples:
  weir topic create orders --partitions 3 --set retention.ms=86400000
  echo hello | weir topic produce orders
  weir topic consume orders
  weir topic list --format json";

#[derive(Subcommand)]
enum Verb {
    /// List the topics
    List(admin::ListArgs),
    /// Create a topic
    Create(admin::CreateArgs),
    /// Show a topic's partitions and settings
    Describe(admin::DescribeArgs),
    /// Delete topics and all their records
    Delete(admin::DeleteArgs),
    /// Change a topic's settings or add partitions
    Alter(admin::AlterArgs),
    /// Print records, as JSON where a schema says how
    Consume(consume::ConsumeArgs),
    /// Write lines of standard input as records, JSON where a schema says how
    Produce(produce::ProduceArgs),
    /// Show the last records that the topic refused, and why
    Rejects(rejects::RejectsArgs),
}

pub async fn run(args: TopicArgs) -> Result<(), CliError> {
    let target = &args.target;
    match args.verb {
        Verb::List(args) => admin::list(target, args).await,
        Verb::Create(args) => admin::create(target, args).await,
        Verb::Describe(args) => admin::describe(target, args).await,
        Verb::Delete(args) => admin::delete(target, args).await,
        Verb::Alter(args) => admin::alter(target, args).await,
        Verb::Consume(args) => consume::run(target, args).await,
        Verb::Produce(args) => produce::run(target, args).await,
        Verb::Rejects(args) => rejects::run(target, args).await,
    }
}

/// How many partitions and replicas a new topic has.
#[derive(clap::Args)]
pub struct Counts {
    /// Number of partitions [default: the cluster's num.partitions]
    #[arg(short, long, value_name = "COUNT")]
    pub partitions: Option<i32>,
    /// Nodes that have a copy of each partition [default: the cluster's default.replication.factor]
    #[arg(short, long, value_name = "COUNT")]
    pub replication_factor: Option<i16>,
}

/// `name=value` of `--set`.
pub fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("not NAME=VALUE; for example retention.ms=86400000".to_owned()),
    }
}

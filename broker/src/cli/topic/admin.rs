//! `weir topic list|create|describe|delete|alter`

use serde_json::json;

use super::{Counts, setting};
use crate::cli::CliError;
use crate::cli::output::{self, Format};
use crate::cli::target::Target;
use crate::client::{EARLIEST, LATEST, NewTopic};

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  weir topic list\n  weir topic list --internal --format json")]
pub struct ListArgs {
    /// Show the cluster's own topics too
    #[arg(long)]
    internal: bool,
}

#[derive(clap::Args)]
#[command(after_help = "Examples:
  weir topic create orders
  weir topic create orders --partitions 3 --set retention.ms=86400000
  weir topic create orders --partitions 6 --replication-factor 3
  weir topic create orders --set schema.validation.value=full")]
pub struct CreateArgs {
    topic: String,
    #[command(flatten)]
    counts: Counts,
    /// A setting, by Kafka's name or Weir's; may be given more than once
    #[arg(short, long = "set", value_name = "NAME=VALUE", value_parser = setting)]
    settings: Vec<(String, String)>,
}

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  weir topic describe orders\n  weir topic describe orders --all --format json"
)]
pub struct DescribeArgs {
    topic: String,
    /// Show every setting that applies, not only what the topic itself sets
    #[arg(long)]
    all: bool,
}

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  weir topic delete orders")]
pub struct DeleteArgs {
    #[arg(required = true)]
    topics: Vec<String>,
}

#[derive(clap::Args)]
#[command(after_help = "Examples:
  weir topic alter orders --set retention.ms=3600000
  weir topic alter orders --unset retention.ms
  weir topic alter orders --partitions 6")]
pub struct AlterArgs {
    topic: String,
    /// Set this; may be given more than once
    #[arg(short, long = "set", value_name = "NAME=VALUE", value_parser = setting)]
    settings: Vec<(String, String)>,
    /// Return this to its default; may be given more than once
    #[arg(long, value_name = "NAME")]
    unset: Vec<String>,
    /// Raise the number of partitions to this
    #[arg(short, long, value_name = "COUNT")]
    partitions: Option<i32>,
}

pub async fn list(target: &Target, args: ListArgs) -> Result<(), CliError> {
    let mut topics = target.client().await?.topics().await?;
    // Kafka's clients must be able to read `_schemas`, so that it is no internal topic to them.
    topics.retain(|topic| args.internal || !topic.is_internal && topic.name != "_schemas");
    match target.format {
        Format::Json => {
            let topics: Vec<_> = topics
                .iter()
                .map(|topic| {
                    json!({
                        "topic": topic.name,
                        "id": topic.id,
                        "partitions": topic.partitions.len(),
                        "internal": topic.is_internal,
                    })
                })
                .collect();
            output::json(&json!(topics))?;
        }
        Format::Text => {
            let rows = topics
                .into_iter()
                .map(|topic| vec![topic.name, topic.partitions.len().to_string()])
                .collect();
            let none = "no topics; create one with: weir topic create NAME";
            output::columns(&["TOPIC", "PARTITIONS"], rows, none)?;
        }
    }
    Ok(())
}

pub async fn create(target: &Target, args: CreateArgs) -> Result<(), CliError> {
    let topic = NewTopic {
        name: &args.topic,
        partitions: args.counts.partitions,
        replication_factor: args.counts.replication_factor,
        settings: &args.settings,
    };
    let partitions = target.client().await?.create_topic(&topic).await?;
    match target.format {
        Format::Json => output::json(&json!({ "topic": args.topic, "partitions": partitions }))?,
        Format::Text => output::line(&format!(
            "created topic {} with {partitions} partition{}",
            args.topic,
            if partitions == 1 { "" } else { "s" }
        ))?,
    }
    Ok(())
}

pub async fn describe(target: &Target, args: DescribeArgs) -> Result<(), CliError> {
    let mut client = target.client().await?;
    let topic = client.topic(&args.topic).await?;
    let starts = client.offsets(&args.topic, EARLIEST).await?;
    let ends = client.offsets(&args.topic, LATEST).await?;
    let settings = client.topic_settings(&args.topic, args.all).await?;
    if target.format == Format::Json {
        let partitions: Vec<_> = topic
            .partitions
            .iter()
            .map(|p| {
                json!({
                    "partition": p.index,
                    "leader": p.leader,
                    "leader_epoch": p.leader_epoch,
                    "replicas": p.replicas,
                    "in_sync_replicas": p.in_sync,
                    "start_offset": starts.get(&p.index),
                    "end_offset": ends.get(&p.index),
                })
            })
            .collect();
        let settings: serde_json::Map<_, _> = settings
            .into_iter()
            .map(|(name, value)| (name, value.into()))
            .collect();
        output::json(&json!({
            "topic": topic.name,
            "id": topic.id,
            "internal": topic.is_internal,
            "partitions": partitions,
            "settings": settings,
        }))?;
        return Ok(());
    }
    output::line(&format!("topic {}, id {}", topic.name, topic.id))?;
    let number = |value: Option<&i64>| value.map(ToString::to_string).unwrap_or_default();
    let rows = topic
        .partitions
        .iter()
        .map(|p| {
            vec![
                p.index.to_string(),
                p.leader
                    .map_or_else(|| "none".to_owned(), |id| id.to_string()),
                list_of(&p.replicas),
                list_of(&p.in_sync),
                number(starts.get(&p.index)),
                number(ends.get(&p.index)),
            ]
        })
        .collect();
    let headings = ["PARTITION", "LEADER", "REPLICAS", "IN SYNC", "START", "END"];
    output::columns(&headings, rows, "no partitions")?;
    for (name, value) in settings {
        output::line(&format!("{name}={value}"))?;
    }
    Ok(())
}

fn list_of(ids: &[i32]) -> String {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    ids.join(",")
}

pub async fn delete(target: &Target, args: DeleteArgs) -> Result<(), CliError> {
    let mut client = target.client().await?;
    for topic in &args.topics {
        client.delete_topic(topic).await?;
        if target.format == Format::Text {
            output::line(&format!("deleted topic {topic}"))?;
        }
    }
    if target.format == Format::Json {
        output::json(&json!({ "deleted": args.topics }))?;
    }
    Ok(())
}

pub async fn alter(target: &Target, args: AlterArgs) -> Result<(), CliError> {
    let set = args
        .settings
        .into_iter()
        .map(|(name, value)| (name, Some(value)));
    let unset = args.unset.into_iter().map(|name| (name, None));
    let changes: Vec<_> = set.chain(unset).collect();
    if changes.is_empty() && args.partitions.is_none() {
        let reason = "nothing to change: give --set NAME=VALUE, --unset NAME or --partitions COUNT";
        return Err(CliError::Usage(reason.to_owned()));
    }
    let mut client = target.client().await?;
    if !changes.is_empty() {
        client.alter_topic(&args.topic, &changes).await?;
    }
    if let Some(count) = args.partitions {
        client.create_partitions(&args.topic, count).await?;
    }
    match target.format {
        Format::Json => output::json(&json!({ "altered": args.topic }))?,
        Format::Text => output::line(&format!("altered topic {}", args.topic))?,
    }
    Ok(())
}

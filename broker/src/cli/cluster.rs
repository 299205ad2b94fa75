//! `weir cluster …`

use clap::Subcommand;
use serde_json::{Value, json};

use super::output::{self, Format};
use super::target::Target;
use super::{CliError, cluster_drain, cluster_spread};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  weir cluster health                       fails unless everything is served by all replicas
  weir cluster nodes
  weir cluster transfer orders 0 --to 2
  weir cluster balance
  weir cluster balance --partitions --dry-run
  weir cluster decommission 3

Any node can be asked; what is shown is what that node knows.")]
pub struct ClusterArgs {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Say whether all nodes are up and all partitions led and in sync; fails where they are not
    #[command(after_help = "Examples:\n  weir cluster health\n  weir cluster health --format json")]
    Health,
    /// List the nodes: where they are, whether they are up, what they lead and hold, their disks
    #[command(after_help = "Examples:\n  weir cluster nodes\n  weir cluster nodes --format json")]
    Nodes,
    /// Have a node lead a partition, and with it the others of its shard
    #[command(after_help = "Examples:
  weir cluster transfer orders 0 --to 2
  weir cluster transfer --shard 0 --to 2    the metadata's shard: makes node 2 the controller")]
    Transfer {
        #[arg(required_unless_present = "shard", requires = "partition")]
        topic: Option<String>,
        partition: Option<i32>,
        /// A shard by its number, as `GET /v1/cluster` lists them
        #[arg(long, conflicts_with = "topic")]
        shard: Option<u64>,
        /// The node's broker id
        #[arg(long, value_name = "NODE")]
        to: i32,
    },
    /// Have the first replica of each partition lead it; or have partitions move so that nodes have their share
    #[command(after_help = "Examples:
  weir cluster balance
  weir cluster balance --partitions --dry-run    shows what would move
  weir cluster balance --partitions              moves it, and waits until nodes have their share")]
    Balance {
        /// Move partitions from nodes that have more to those that have fewer
        #[arg(long)]
        partitions: bool,
        /// Only show what would move
        #[arg(long, requires = "partitions")]
        dry_run: bool,
    },
    /// Move everything off a node, and wait until it is empty
    #[command(after_help = "Examples:
  weir cluster drain 3
  weir cluster drain 3 --undo               lets the node get something again")]
    Drain {
        /// The node's broker id
        node: i32,
        /// Let the node get something again
        #[arg(long)]
        undo: bool,
    },
    /// Drain a node, then make it no member any more; afterwards it can be stopped for good
    #[command(after_help = "Examples:\n  weir cluster decommission 3")]
    Decommission {
        /// The node's broker id
        node: i32,
    },
}

pub async fn run(args: ClusterArgs) -> Result<(), CliError> {
    let target = &args.target;
    match args.verb {
        Verb::Health => health(target).await,
        Verb::Nodes => nodes(target).await,
        Verb::Transfer {
            topic,
            partition,
            shard,
            to,
        } => {
            let asked = match shard {
                Some(shard) => json!({ "shard": shard, "to": to }),
                None => json!({ "topic": topic, "partition": partition, "to": to }),
            };
            transfer(target, &asked).await
        }
        Verb::Balance {
            partitions: false, ..
        } => balance(target).await,
        Verb::Balance { dry_run: true, .. } => cluster_spread::show(target).await,
        Verb::Balance { dry_run: false, .. } => cluster_spread::run(target).await,
        Verb::Drain { node, undo: false } => cluster_drain::drain(target, node).await,
        Verb::Drain { node, undo: true } => cluster_drain::undo(target, node).await,
        Verb::Decommission { node } => cluster_drain::decommission(target, node).await,
    }
}

async fn health(target: &Target) -> Result<(), CliError> {
    let health = target.http()?.cluster_health().await?;
    let status = output::cell(&health["status"]);
    match target.format {
        Format::Json => output::json(&health)?,
        Format::Text => {
            let number = |name: &str| output::cell(&health[name]);
            output::line(&format!(
                "{status}: {} nodes, {} partitions, {} under-replicated, {} without a leader, {} not led by their first \
                 replica",
                number("nodes"),
                number("partitions"),
                number("under_replicated_partitions"),
                number("leaderless_partitions"),
                number("not_preferred_partitions"),
            ))?;
        }
    }
    if status == "ok" {
        return Ok(());
    }
    let problems = health["problems"].as_array();
    let problems: Vec<String> = problems.into_iter().flatten().map(output::cell).collect();
    Err(CliError::No(format!(
        "the cluster is {status}: {}",
        problems.join("; ")
    )))
}

async fn nodes(target: &Target) -> Result<(), CliError> {
    let answer = target.http()?.cluster_nodes().await?;
    let nodes = answer["nodes"].as_array().cloned().unwrap_or_default();
    if target.format == Format::Json {
        output::json(&Value::Array(nodes))?;
        return Ok(());
    }
    let headings = [
        "NODE",
        "STATE",
        "ROLE",
        "RACK",
        "KAFKA",
        "CLUSTER",
        "LEADS",
        "HOLDS",
        "DISK FREE",
        "WAL",
    ];
    output::columns(&headings, nodes.iter().map(row).collect(), "no nodes")?;
    Ok(())
}

fn row(node: &Value) -> Vec<String> {
    let is = |name: &str| node[name] == true;
    let state = match (is("up"), is("leaving")) {
        (true, true) => "stopping",
        (true, false) => "up",
        (false, _) => "down",
    };
    let role = if is("controller") { "controller" } else { "" };
    let of = |part: &str, whole: &str| match (node[part].as_u64(), node[whole].as_u64()) {
        (Some(part), Some(whole)) => format!("{} of {}", size(part), size(whole)),
        _ => String::new(),
    };
    vec![
        output::cell(&node["id"]),
        state.to_owned(),
        role.to_owned(),
        output::cell(&node["rack"]),
        output::cell(&node["kafka"]),
        output::cell(&node["cluster"]),
        output::cell(&node["partitions_led"]),
        output::cell(&node["partitions_held"]),
        of("disk_free_bytes", "disk_total_bytes"),
        of("wal_bytes", "wal_budget_bytes"),
    ]
}

/// Bytes for people.
fn size(bytes: u64) -> String {
    match bytes {
        0..1_048_576 => format!("{} KiB", bytes >> 10),
        1_048_576..1_073_741_824 => format!("{} MiB", bytes >> 20),
        _ => format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)),
    }
}

async fn transfer(target: &Target, asked: &Value) -> Result<(), CliError> {
    let moved = target.http()?.cluster_transfer(asked).await?;
    match target.format {
        Format::Json => output::json(&moved)?,
        Format::Text => {
            output::line(&said(&moved))?;
            if let Some(first) = moved["goes_back_to"].as_i64() {
                output::line(&format!(
                    "it goes back to node {first}, its first replica, unless auto.leader.rebalance.enable is false"
                ))?;
            }
        }
    }
    Ok(())
}

fn said(moved: &Value) -> String {
    let part = |name: &str| output::cell(&moved[name]);
    let from = match moved["from"].as_i64() {
        Some(from) if Some(from) == moved["to"].as_i64() => " as before".to_owned(),
        Some(from) => format!(", before by node {from}"),
        None => String::new(),
    };
    format!(
        "shard {} with {} partitions is led by node {}{from}",
        part("shard"),
        part("partitions"),
        part("to")
    )
}

async fn balance(target: &Target) -> Result<(), CliError> {
    let answer = target.http()?.cluster_balance().await?;
    let list = |name: &str| answer[name].as_array().cloned().unwrap_or_default();
    let (moved, stayed) = (list("moved"), list("stayed"));
    match target.format {
        Format::Json => output::json(&answer)?,
        Format::Text if moved.is_empty() && stayed.is_empty() => {
            output::line("every partition is led by its first replica")?;
        }
        Format::Text => {
            for one in &moved {
                output::line(&said(one))?;
            }
        }
    }
    if stayed.is_empty() {
        return Ok(());
    }
    let why = |one: &Value| {
        let part = |name: &str| output::cell(&one[name]);
        let (shard, preferred) = (part("shard"), part("preferred"));
        format!(
            "shard {shard} is not led by node {preferred}: {}",
            part("reason")
        )
    };
    let why: Vec<String> = stayed.iter().map(why).collect();
    Err(CliError::No(why.join("; ")))
}

//! `weir group …`

use clap::Subcommand;
use serde_json::json;

use super::CliError;
use super::output::{self, Format};
use super::target::Target;
use crate::client::{GroupDetails, GroupOffset};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  weir group list
  weir group describe billing
  weir group delete billing --format json")]
pub struct GroupArgs {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// List the groups
    #[command(after_help = "Examples:\n  weir group list\n  weir group list --format json")]
    List,
    /// Show a group's members, how far it has read, and its lag
    #[command(after_help = "Examples:\n  weir group describe billing")]
    Describe { group: String },
    /// Delete groups that have no members, with what they have committed
    #[command(after_help = "Examples:\n  weir group delete billing")]
    Delete {
        #[arg(required = true)]
        groups: Vec<String>,
    },
}

pub async fn run(args: GroupArgs) -> Result<(), CliError> {
    match args.verb {
        Verb::List => list(&args.target).await,
        Verb::Describe { group } => describe(&args.target, &group).await,
        Verb::Delete { groups } => delete(&args.target, &groups).await,
    }
}

async fn list(target: &Target) -> Result<(), CliError> {
    let groups = target.client().await?.groups().await?;
    if target.format == Format::Json {
        let groups: Vec<_> = groups
            .iter()
            .map(
                |g| json!({ "group": g.group, "state": g.state, "protocol_type": g.protocol_type }),
            )
            .collect();
        output::json(&json!(groups))?;
        return Ok(());
    }
    let rows = groups
        .into_iter()
        .map(|group| vec![group.group, group.state, group.protocol_type])
        .collect();
    let none = "no groups; consumers that name one make it";
    output::columns(&["GROUP", "STATE", "TYPE"], rows, none)?;
    Ok(())
}

async fn describe(target: &Target, group: &str) -> Result<(), CliError> {
    let details = target.client().await?.group(group).await?;
    match target.format {
        Format::Json => output::json(&as_json(&details))?,
        Format::Text => print(&details)?,
    }
    Ok(())
}

fn as_json(details: &GroupDetails) -> serde_json::Value {
    let members: Vec<_> = details
        .members
        .iter()
        .map(|m| json!({ "member_id": m.member_id, "client_id": m.client_id, "host": m.host }))
        .collect();
    let offset = |o: &GroupOffset| {
        json!({
            "topic": o.topic,
            "partition": o.partition,
            "committed_offset": o.committed,
            "end_offset": o.end,
            "lag": o.lag(),
        })
    };
    json!({
        "group": details.group,
        "state": details.state,
        "assignor": details.protocol,
        "members": members,
        "offsets": details.offsets.iter().map(offset).collect::<Vec<_>>(),
    })
}

fn print(details: &GroupDetails) -> std::io::Result<()> {
    let lag: i64 = details.offsets.iter().filter_map(GroupOffset::lag).sum();
    output::line(&format!(
        "group {}: {}, {} members, lag {lag}",
        details.group,
        details.state,
        details.members.len()
    ))?;
    let members = details
        .members
        .iter()
        .map(|m| vec![m.client_id.clone(), m.host.clone(), m.member_id.clone()])
        .collect();
    output::columns(&["CLIENT", "HOST", "MEMBER"], members, "no members")?;
    let number = |value: Option<i64>| value.map_or_else(String::new, |v| v.to_string());
    let offsets = details
        .offsets
        .iter()
        .map(|o| {
            vec![
                o.topic.clone(),
                o.partition.to_string(),
                o.committed.to_string(),
                number(o.end),
                number(o.lag()),
            ]
        })
        .collect();
    let headings = ["TOPIC", "PARTITION", "COMMITTED", "END", "LAG"];
    output::columns(&headings, offsets, "no committed offsets")
}

async fn delete(target: &Target, groups: &[String]) -> Result<(), CliError> {
    let mut client = target.client().await?;
    for group in groups {
        client.delete_group(group).await?;
        if target.format == Format::Text {
            output::line(&format!("deleted group {group}"))?;
        }
    }
    if target.format == Format::Json {
        output::json(&json!({ "deleted": groups }))?;
    }
    Ok(())
}

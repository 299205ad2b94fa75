//! `weir table create`

use std::path::PathBuf;

use serde_json::json;
use weir_schema::SchemaType;

use crate::cli::CliError;
use crate::cli::files;
use crate::cli::output::{self, Format};
use crate::cli::target::Target;
use crate::cli::topic::{Counts, setting};
use crate::client::{NewTopic, SchemaText};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  weir table create prices --partitions 3
  weir table create counters --key-format int64 --value-format string
  weir table create planes --value-schema plane.avsc

A schema is registered under TABLE-key or TABLE-value first, and makes that format `schema`.")]
pub struct CreateArgs {
    table: String,
    #[command(flatten)]
    counts: Counts,
    /// What keys are [default: schema where the registry has one, else string]
    #[arg(long, value_parser = ["string", "int32", "int64", "bytes", "schema"])]
    key_format: Option<String>,
    /// What values are [default: schema where the registry has one, else bytes]
    #[arg(long, value_parser = ["bytes", "string", "schema"])]
    value_format: Option<String>,
    /// A schema for keys: a file of Avro (.avsc), JSON Schema (.json) or Protobuf (.proto)
    #[arg(long, value_name = "FILE")]
    key_schema: Option<PathBuf>,
    /// A schema for values
    #[arg(long, value_name = "FILE")]
    value_schema: Option<PathBuf>,
    /// A setting, by Kafka's name or Weir's; may be given more than once
    #[arg(short, long = "set", value_name = "NAME=VALUE", value_parser = setting)]
    settings: Vec<(String, String)>,
}

pub async fn run(target: &Target, args: CreateArgs) -> Result<(), CliError> {
    for (part, file) in [("key", &args.key_schema), ("value", &args.value_schema)] {
        let Some(file) = file else { continue };
        let ending = file.extension().and_then(|ending| ending.to_str());
        let text = SchemaText {
            schema_type: match ending {
                Some("proto") => SchemaType::Protobuf,
                Some("json") => SchemaType::Json,
                _ => SchemaType::Avro,
            },
            schema: files::read(file)?,
            references: Vec::new(),
        };
        let subject = format!("{}-{part}", args.table);
        target.registry()?.register(&subject, &text).await?;
    }
    let mut settings = vec![("table.mode".to_owned(), "primary-key".to_owned())];
    let formats = [
        ("table.key.format", args.key_format, args.key_schema),
        ("table.value.format", args.value_format, args.value_schema),
    ];
    for (name, format, schema) in formats {
        let format = format.or(schema.map(|_| "schema".to_owned()));
        settings.extend(format.map(|format| (name.to_owned(), format)));
    }
    settings.extend(args.settings);
    let topic = NewTopic {
        name: &args.table,
        partitions: args.counts.partitions,
        replication_factor: args.counts.replication_factor,
        settings: &settings,
    };
    let partitions = target.client().await?.create_topic(&topic).await?;
    match target.format {
        Format::Json => output::json(&json!({ "table": args.table, "partitions": partitions }))?,
        Format::Text => output::line(&format!(
            "created table {} with {partitions} partition{}",
            args.table,
            if partitions == 1 { "" } else { "s" }
        ))?,
    }
    Ok(())
}

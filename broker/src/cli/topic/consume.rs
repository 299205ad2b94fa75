//! `weir topic consume`: records, decoded by the schemas that they name.

use std::collections::BTreeMap;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use weir_schema::framing::Part;

use super::keys::Keys;
use crate::cli::CliError;
use crate::cli::output::{self, Format};
use crate::cli::target::Target;
use crate::client::{
    Client, Decoded, EARLIEST, LATEST, ReadRecord, RecordDecoder, SchemaCache, Start, TopicInfo,
};

/// How long one round over the partitions waits for new records.
const FOLLOW_MS: i32 = 500;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  weir topic consume orders                  all that is there, one record a line
  weir topic consume orders -n 5 --keys
  weir topic consume orders --from latest    what comes from now on, until Ctrl-C
  weir topic consume orders --partition 0 --from 100 --format json

A value that names a schema of the registry is printed as JSON, text as it is, other bytes as
base64. With --format json each line holds partition, offset, timestamp, key, value and headers.")]
pub struct ConsumeArgs {
    topic: String,
    /// End after this many records
    #[arg(short = 'n', long = "count", value_name = "COUNT")]
    count: Option<usize>,
    /// Where to start: beginning, latest, or an offset
    #[arg(long, value_name = "WHERE", default_value = "beginning")]
    from: From,
    /// Only this partition
    #[arg(short, long)]
    partition: Option<i32>,
    /// Wait for new records when all have been read
    #[arg(short, long)]
    follow: bool,
    /// Print each key and a tab before the value
    #[arg(short, long)]
    keys: bool,
    /// Print bytes without looking for schemas
    #[arg(long)]
    raw: bool,
}

#[derive(Clone, Copy)]
struct From(Start);

impl FromStr for From {
    type Err = String;

    fn from_str(text: &str) -> Result<From, String> {
        match text {
            "beginning" | "earliest" => Ok(From(Start::Beginning)),
            "latest" | "end" => Ok(From(Start::Latest)),
            offset => match offset.parse() {
                Ok(offset) if offset >= 0 => Ok(From(Start::Offset(offset))),
                _ => Err("not beginning, latest or an offset".to_owned()),
            },
        }
    }
}

pub async fn run(target: &Target, args: ConsumeArgs) -> Result<(), CliError> {
    let mut client = target.client().await?;
    let topic = client.topic(&args.topic).await?;
    let schemas = match args.raw {
        true => None,
        false => Some(SchemaCache::new(target.registry()?)),
    };
    let shows_keys = args.keys || target.format == Format::Json;
    let mut printer = Printer {
        table_keys: match shows_keys && !args.raw {
            true => Keys::of(target, &args.topic).await?,
            false => Keys::PLAIN,
        },
        decoder: RecordDecoder::new(schemas),
        format: target.format,
        keys: args.keys,
        left: args.count.unwrap_or(usize::MAX),
    };
    let (starts, ends) = range(&mut client, &topic, &args).await?;
    let mut positions = starts;
    if args.from.0 != Start::Latest {
        for (partition, end) in &ends {
            let position = positions.get_mut(partition).expect("starts has the same");
            while *position < *end && printer.left > 0 {
                let (records, next) = client.fetch(&topic, *partition, *position, 0).await?;
                let records = records.into_iter().take_while(|r| r.offset < *end);
                printer.print(records).await?;
                *position = next;
            }
        }
    }
    if args.follow || args.from.0 == Start::Latest {
        return follow(&mut client, &topic, &mut positions, &mut printer).await;
    }
    if printer.left == args.count.unwrap_or(usize::MAX) {
        // Not among the records, which a program may read.
        eprintln!("no records there; --follow waits for some");
    }
    Ok(())
}

/// Prints what comes, until there is enough or the command is stopped.
async fn follow(
    client: &mut Client,
    topic: &TopicInfo,
    positions: &mut BTreeMap<i32, i64>,
    printer: &mut Printer,
) -> Result<(), CliError> {
    let share = i32::try_from(positions.len()).unwrap_or(i32::MAX).max(1);
    let wait_ms = (FOLLOW_MS / share).max(10);
    while printer.left > 0 {
        for (partition, position) in positions.iter_mut() {
            let (records, next) = client.fetch(topic, *partition, *position, wait_ms).await?;
            printer.print(records.into_iter()).await?;
            *position = next;
        }
    }
    Ok(())
}

/// Where to start and what is there now, by partition.
async fn range(
    client: &mut Client,
    topic: &TopicInfo,
    args: &ConsumeArgs,
) -> Result<(BTreeMap<i32, i64>, BTreeMap<i32, i64>), CliError> {
    let mut starts = client.offsets(&topic.name, EARLIEST).await?;
    let mut ends = client.offsets(&topic.name, LATEST).await?;
    if let Some(only) = args.partition {
        if !starts.contains_key(&only) {
            return Err(crate::client::ClientError::NoPartition {
                topic: topic.name.clone(),
                partition: only,
                count: starts.len(),
            }
            .into());
        }
        starts.retain(|partition, _| *partition == only);
        ends.retain(|partition, _| *partition == only);
    }
    match args.from.0 {
        Start::Beginning => {}
        Start::Latest => starts.clone_from(&ends),
        Start::Offset(offset) => starts.values_mut().for_each(|start| *start = offset),
    }
    Ok((starts, ends))
}

struct Printer {
    table_keys: Keys,
    decoder: RecordDecoder,
    format: Format,
    keys: bool,
    /// Records that are still wanted.
    left: usize,
}

impl Printer {
    async fn print(&mut self, records: impl Iterator<Item = ReadRecord>) -> Result<(), CliError> {
        for record in records {
            if self.left == 0 {
                break;
            }
            self.left -= 1;
            let value = self.decoder.decode(&record, Part::Value).await?;
            let line = match self.format {
                Format::Text if !self.keys => text(value),
                Format::Text => {
                    let key = self.key(&record).await?;
                    format!("{}\t{}", text(key), text(value))
                }
                Format::Json => {
                    let key = self.key(&record).await?;
                    full(&record, key, value).to_string()
                }
            };
            output::line(&line)?;
        }
        Ok(())
    }
}

impl Printer {
    async fn key(&mut self, record: &ReadRecord) -> Result<Option<Decoded>, CliError> {
        let number = record
            .key
            .as_deref()
            .and_then(|key| self.table_keys.number(key));
        match number {
            Some(number) => Ok(Some(Decoded::BySchema(number))),
            None => Ok(self.decoder.decode(record, Part::Key).await?),
        }
    }
}

/// For people: JSON by schema, text as it is, bytes as base64.
fn text(decoded: Option<Decoded>) -> String {
    match decoded {
        None => "null".to_owned(),
        Some(Decoded::BySchema(json)) => json.to_string(),
        Some(Decoded::Text(text)) => text,
        Some(Decoded::Bytes(bytes)) => BASE64.encode(bytes),
    }
}

/// For programs: a whole record. Bytes that are no text are an object, so that they are not taken for text.
fn full(record: &ReadRecord, key: Option<Decoded>, value: Option<Decoded>) -> Value {
    let part = |decoded: Option<Decoded>| match decoded {
        None => Value::Null,
        Some(Decoded::BySchema(json)) => json,
        Some(Decoded::Text(text)) => text.into(),
        Some(Decoded::Bytes(bytes)) => json!({ "base64": BASE64.encode(bytes) }),
    };
    let header = |value: &Option<Vec<u8>>| match value.as_deref().map(std::str::from_utf8) {
        None => Value::Null,
        Some(Ok(text)) => text.into(),
        Some(Err(_)) => json!({ "base64": BASE64.encode(value.as_deref().unwrap_or_default()) }),
    };
    // An array: names may come more than once, and their order counts.
    let headers: Vec<Value> = record
        .headers
        .iter()
        .map(|(name, value)| json!([name, header(value)]))
        .collect();
    let time = chrono::DateTime::from_timestamp_millis(record.timestamp_ms)
        .map(|time| time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true));
    json!({
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": time,
        "key": part(key),
        "value": part(value),
        "headers": headers,
    })
}

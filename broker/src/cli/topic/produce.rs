//! `weir topic produce`: lines become records, by the subject's schema where there is one.

use std::io::BufRead;

use serde_json::{Value, json};

use super::keys::Keys;
use crate::cli::CliError;
use crate::cli::output::{self, Format};
use crate::cli::target::Target;
use crate::client::{ClientError, NewRecord, SchemaCache, SubjectEncoder};
use crate::clock::{Clock, SystemClock};

/// Records that are written at once.
const BATCH_RECORDS: usize = 1_000;
const BATCH_BYTES: usize = 512 << 10;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  seq 1 10 | weir topic produce numbers
  echo 'hello' | weir topic produce greetings --key en
  printf 'en\\thello\\nde\\thallo\\n' | weir topic produce greetings --key-separator '\\t'
  echo '{\"carrier\":\"UA\",\"name\":\"United\"}' | weir topic produce airlines --key-field carrier

Each line is a value. Where the registry has a schema under TOPIC-value, a line is JSON and
is encoded by the latest version; so is the key where there is one under TOPIC-key.")]
pub struct ProduceArgs {
    topic: String,
    /// The key of every record
    #[arg(short, long, conflicts_with_all = ["key_field", "key_separator"])]
    key: Option<String>,
    /// Take each key from this member of the line's JSON object
    #[arg(long, value_name = "NAME", conflicts_with = "key_separator")]
    key_field: Option<String>,
    /// Each line is a key, this, and a value
    #[arg(long, value_name = "TEXT")]
    key_separator: Option<String>,
    /// Write to this partition [default: by the key's hash, in turns without a key]
    #[arg(short, long)]
    partition: Option<i32>,
    /// Write lines as they are, without looking for schemas
    #[arg(long)]
    raw: bool,
}

impl ProduceArgs {
    fn has_keys(&self) -> bool {
        self.key.is_some() || self.key_field.is_some() || self.key_separator.is_some()
    }
}

pub async fn run(target: &Target, args: ProduceArgs) -> Result<(), CliError> {
    let mut client = target.client().await?;
    let mut topic = client.topic(&args.topic).await?;
    let keys = match (args.has_keys(), args.raw) {
        (false, _) => Keys::PLAIN,
        (true, false) => Keys::of(target, &args.topic).await?,
        (true, true) => Keys::of(target, &args.topic).await?.raw(),
    };
    topic.partitioner = keys.partitioner;
    let lines = Lines::new(target, args, keys).await?;
    let (mut records, mut bytes, mut written) = (Vec::new(), 0, 0);
    for (number, line) in std::io::stdin().lock().split(b'\n').enumerate() {
        let line = line.map_err(|source| CliError::Read {
            path: "standard input".into(),
            source,
        })?;
        let record = lines.record(&line).map_err(|reason| CliError::Line {
            line: number + 1,
            reason,
        })?;
        bytes += record.value.as_ref().map_or(0, Vec::len);
        records.push(record);
        if records.len() == BATCH_RECORDS || bytes >= BATCH_BYTES {
            client
                .produce(&topic, &records, SystemClock.now_ms())
                .await
                .map_err(|error| of_input(error, written))?;
            written += records.len();
            (records, bytes) = (Vec::new(), 0);
        }
    }
    if !records.is_empty() {
        client
            .produce(&topic, &records, SystemClock.now_ms())
            .await
            .map_err(|error| of_input(error, written))?;
        written += records.len();
    }
    match target.format {
        Format::Json => output::json(&json!({ "topic": topic.name, "records": written }))?,
        Format::Text => output::line(&format!(
            "wrote {written} record{} to {}",
            if written == 1 { "" } else { "s" },
            topic.name
        ))?,
    }
    Ok(())
}

/// The first refusal by its line in the input. A batch enters whole or not at all, so more may be missing than it.
fn of_input(error: ClientError, before: usize) -> CliError {
    let ClientError::Records {
        total,
        written,
        refusals,
    } = error
    else {
        return error.into();
    };
    let mut reason = refusals[0].said();
    if before + total > 1 {
        let (written, lost) = (before + written, total - written);
        reason.push_str(&format!(
            "; of the lines until here {written} were written, {lost} not"
        ));
    }
    CliError::Line {
        line: before + refusals[0].index + 1,
        reason,
    }
}

/// What lines are read as.
struct Lines {
    args: ProduceArgs,
    separator: Option<String>,
    keys: Keys,
    key: Option<SubjectEncoder>,
    value: Option<SubjectEncoder>,
}

impl Lines {
    async fn new(target: &Target, args: ProduceArgs, keys: Keys) -> Result<Lines, CliError> {
        let (mut key, mut value) = (None, None);
        if !args.raw {
            let schemas = SchemaCache::new(target.registry()?);
            key = schemas.encoder(&format!("{}-key", args.topic)).await?;
            value = schemas.encoder(&format!("{}-value", args.topic)).await?;
        }
        let separator = args.key_separator.as_ref();
        let separator = separator.map(|text| text.replace("\\t", "\t"));
        Ok(Lines {
            args,
            separator,
            keys,
            key,
            value,
        })
    }

    /// Any bytes are a value, unless the line is to be understood.
    fn record(&self, line: &[u8]) -> Result<NewRecord, String> {
        let understood =
            self.separator.is_some() || self.value.is_some() || self.args.key_field.is_some();
        if understood {
            let text = std::str::from_utf8(line).map_err(|_| "not UTF-8".to_owned())?;
            return self.understood(text.strip_suffix('\r').unwrap_or(text));
        }
        let key = self.args.key.as_deref().map(Value::from);
        Ok(NewRecord {
            key: key.map(|key| self.encode_key(&key)).transpose()?,
            value: Some(line.to_vec()),
            partition: self.args.partition,
        })
    }

    fn understood(&self, line: &str) -> Result<NewRecord, String> {
        let (before, text) = match &self.separator {
            None => (None, line),
            Some(separator) => {
                let split = line.split_once(separator.as_str());
                let (key, value) = split.ok_or_else(|| format!("no {separator:?} in it"))?;
                (Some(key), value)
            }
        };
        let json = match self.value.is_some() || self.args.key_field.is_some() {
            true => Some(serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?),
            false => None,
        };
        let key = match &self.args.key_field {
            Some(name) => {
                let value = json.as_ref().and_then(|json: &Value| json.get(name));
                Some(
                    value
                        .ok_or_else(|| format!("no member {name:?} in it"))?
                        .clone(),
                )
            }
            None => before.or(self.args.key.as_deref()).map(Value::from),
        };
        let value = match (&self.value, &json) {
            (Some(encoder), Some(json)) => encoder.encode(json)?,
            _ => text.as_bytes().to_vec(),
        };
        Ok(NewRecord {
            key: key.map(|key| self.encode_key(&key)).transpose()?,
            value: Some(value),
            partition: self.args.partition,
        })
    }

    /// A key that was typed is JSON where that is what the schema takes, else text.
    fn encode_key(&self, key: &Value) -> Result<Vec<u8>, String> {
        match &self.key {
            None => self.keys.encode(&output::cell(key)),
            Some(encoder) => encoder.encode(key).or_else(|error| {
                let json = key
                    .as_str()
                    .and_then(|text| serde_json::from_str(text).ok());
                json.map_or(Err(error), |json: Value| encoder.encode(&json))
            }),
        }
    }
}

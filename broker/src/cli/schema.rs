//! `weir schema …`

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::{Value, json};
use weir_schema::SchemaType;

use super::CliError;
use super::files;
use super::output::{self, Format};
use super::target::Target;
use crate::client::{Reference, RegistryClient, SchemaText};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  weir schema list
  weir schema register orders-value order.avsc
  weir schema check orders-value order-2.avsc
  weir schema show orders-value")]
pub struct SchemaArgs {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// List the subjects, with their versions
    #[command(after_help = "Examples:\n  weir schema list\n  weir schema list --format json")]
    List,
    /// Show a schema by subject and version, or by id
    #[command(after_help = "Examples:
  weir schema show orders-value
  weir schema show orders-value --version 1
  weir schema show --id 3 --format json")]
    Show(ShowArgs),
    /// Register a schema under a subject
    #[command(after_help = "Examples:
  weir schema register orders-value order.avsc
  weir schema register orders-value order.proto --type protobuf --reference money.proto=money:1
  echo '\"string\"' | weir schema register orders-key -")]
    Register(FileArgs),
    /// Tell whether a schema may follow the subject's latest version
    #[command(after_help = "Examples:\n  weir schema check orders-value order-2.avsc")]
    Check(FileArgs),
    /// Delete a subject or one of its versions
    #[command(after_help = "Examples:
  weir schema delete orders-value --version 1
  weir schema delete orders-value && weir schema delete orders-value --permanent")]
    Delete(DeleteArgs),
}

#[derive(clap::Args)]
struct ShowArgs {
    #[arg(required_unless_present = "id")]
    subject: Option<String>,
    /// A version's number, or latest
    #[arg(long, default_value = "latest")]
    version: String,
    /// The schema's id, in place of subject and version
    #[arg(long, conflicts_with = "subject")]
    id: Option<i32>,
}

#[derive(clap::Args)]
struct FileArgs {
    subject: String,
    /// The schema; - is standard input
    file: PathBuf,
    /// avro, json or protobuf [default: by the file's ending: .avsc, .json, .proto; else avro]
    #[arg(long = "type", value_name = "TYPE")]
    schema_type: Option<SchemaType>,
    /// A schema that this one uses; may be given more than once
    #[arg(long = "reference", value_name = "NAME=SUBJECT:VERSION", value_parser = reference)]
    references: Vec<Reference>,
}

#[derive(clap::Args)]
struct DeleteArgs {
    subject: String,
    /// Only this version
    #[arg(long)]
    version: Option<String>,
    /// For good; it must have been deleted without this before
    #[arg(long)]
    permanent: bool,
}

fn reference(text: &str) -> Result<Reference, String> {
    let (name, target) = text.split_once('=').unwrap_or((text, ""));
    let (subject, version) = target.rsplit_once(':').unwrap_or((target, ""));
    match version.parse() {
        Ok(version) if !name.is_empty() && !subject.is_empty() => Ok(Reference {
            name: name.to_owned(),
            subject: subject.to_owned(),
            version,
        }),
        _ => Err("not NAME=SUBJECT:VERSION; for example money.proto=money:1".to_owned()),
    }
}

impl FileArgs {
    fn text(&self) -> Result<SchemaText, CliError> {
        Ok(SchemaText {
            schema_type: self.schema_type.unwrap_or_else(|| type_of(&self.file)),
            schema: files::read(&self.file)?,
            references: self.references.clone(),
        })
    }
}

fn type_of(file: &Path) -> SchemaType {
    match file.extension().and_then(|ending| ending.to_str()) {
        Some("proto") => SchemaType::Protobuf,
        Some("json") => SchemaType::Json,
        _ => SchemaType::Avro,
    }
}

pub async fn run(args: SchemaArgs) -> Result<(), CliError> {
    let (target, registry) = (&args.target, args.target.registry()?);
    match args.verb {
        Verb::List => list(target, &registry).await,
        Verb::Show(args) => show(target, &registry, args).await,
        Verb::Register(args) => register(target, &registry, args).await,
        Verb::Check(args) => check(target, &registry, args).await,
        Verb::Delete(args) => delete(target, &registry, args).await,
    }
}

async fn list(target: &Target, registry: &RegistryClient) -> Result<(), CliError> {
    let mut rows = Vec::new();
    for subject in registry.subjects().await? {
        let versions = registry.versions(&subject).await?;
        let latest = registry.version(&subject, "latest").await?;
        rows.push((latest, versions));
    }
    if target.format == Format::Json {
        let rows: Vec<_> = rows
            .iter()
            .map(|(latest, versions)| {
                json!({
                    "subject": latest.subject,
                    "versions": versions,
                    "type": latest.text.schema_type.as_str(),
                    "latest_id": latest.id,
                })
            })
            .collect();
        output::json(&json!(rows))?;
        return Ok(());
    }
    let rows = rows
        .into_iter()
        .map(|(latest, versions)| {
            vec![
                latest.subject,
                latest.text.schema_type.to_string(),
                versions.len().to_string(),
                latest.version.to_string(),
                latest.id.to_string(),
            ]
        })
        .collect();
    let none = "no schemas; register one with: weir schema register SUBJECT FILE";
    output::columns(&["SUBJECT", "TYPE", "VERSIONS", "LATEST", "ID"], rows, none)?;
    Ok(())
}

async fn show(target: &Target, registry: &RegistryClient, args: ShowArgs) -> Result<(), CliError> {
    let (text, place) = match (args.id, args.subject) {
        (Some(id), _) => (registry.by_id(id).await?, json!({ "id": id })),
        (None, subject) => {
            let subject = subject.unwrap_or_default();
            let found = registry.version(&subject, &args.version).await?;
            let place = json!({ "subject": subject, "version": found.version, "id": found.id });
            (found.text, place)
        }
    };
    if target.format == Format::Json {
        let mut all = place;
        all["type"] = text.schema_type.as_str().into();
        all["schema"] = text.schema.as_str().into();
        all["references"] = json!(text.references);
        output::json(&all)?;
        return Ok(());
    }
    match serde_json::from_str::<Value>(&text.schema) {
        Ok(json) => output::json(&json)?,
        Err(_) => output::line(text.schema.trim_end())?,
    }
    Ok(())
}

async fn register(
    target: &Target,
    registry: &RegistryClient,
    args: FileArgs,
) -> Result<(), CliError> {
    let id = registry.register(&args.subject, &args.text()?).await?;
    match target.format {
        Format::Json => output::json(&json!({ "subject": args.subject, "id": id }))?,
        Format::Text => output::line(&format!("{} has schema id {id}", args.subject))?,
    }
    Ok(())
}

async fn check(target: &Target, registry: &RegistryClient, args: FileArgs) -> Result<(), CliError> {
    let text = args.text()?;
    if let Err(error) = registry.version(&args.subject, "latest").await {
        let none = format!(
            "{} has no schema yet, so that any may be its first",
            args.subject
        );
        return Err(match error.is_not_found() {
            true => CliError::No(none),
            false => error.into(),
        });
    }
    let answer = registry.check(&args.subject, &text).await?;
    if target.format == Format::Json {
        output::json(&json!({
            "subject": args.subject,
            "is_compatible": answer.is_compatible,
            "messages": answer.messages,
        }))?;
    } else {
        // Behind the reasons the registry repeats what it compared.
        let reasons = answer.messages.iter();
        for reason in reasons.filter(|text| text.starts_with("{errorType")) {
            output::line(reason)?;
        }
    }
    if !answer.is_compatible {
        let reason = format!(
            "the schema may not follow the latest version of {}",
            args.subject
        );
        return Err(CliError::No(reason));
    }
    if target.format == Format::Text {
        output::line(&format!(
            "the schema may follow the latest version of {}",
            args.subject
        ))?;
    }
    Ok(())
}

async fn delete(
    target: &Target,
    registry: &RegistryClient,
    args: DeleteArgs,
) -> Result<(), CliError> {
    let version = args.version.as_deref();
    let deleted = registry
        .delete(&args.subject, version, args.permanent)
        .await?;
    match target.format {
        Format::Json => output::json(&json!({ "subject": args.subject, "deleted": deleted }))?,
        Format::Text => {
            let versions = match &deleted {
                Value::Array(versions) => versions.iter().map(output::cell).collect(),
                one => vec![output::cell(one)],
            };
            output::line(&format!(
                "deleted {}, version {}",
                args.subject,
                versions.join(", ")
            ))?;
        }
    }
    Ok(())
}

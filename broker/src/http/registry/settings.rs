//! Configs and modes of subjects, contexts and the whole registry.

use serde::Deserialize;
use serde_json::json;
use weir_schema::registry::{Answer, Command, ConfigUpdate, Mode, RegistryError, Subject};

use super::call::Call;
use super::error::Refusal;
use super::reply::Reply;
use super::routes::Plan;
use super::shapes::updated_config;
use super::subjects::unexpected;

type Planned = Result<Plan, Refusal>;

#[derive(Deserialize)]
struct ModeRequest {
    mode: Option<String>,
}

fn scope(call: &Call, subject: Option<&str>) -> Subject {
    subject.map_or_else(|| call.top_level(), |subject| call.subject(subject))
}

pub fn config(call: Call, subject: Option<&str>) -> Planned {
    let subject = scope(&call, subject);
    Ok(Plan::read(move |registry| {
        let config = match call.query.flag("defaultToGlobal") {
            true => Some(registry.config_in_scope(&subject)),
            false => registry.config(&subject),
        };
        let config = config.ok_or(RegistryError::NoSubjectConfig(subject))?;
        Ok(Reply::json(&config))
    }))
}

pub fn update_config(call: Call, subject: Option<&str>) -> Planned {
    let subject = scope(&call, subject);
    let update: Box<ConfigUpdate> = call.json()?;
    let command = Command::UpdateConfig { subject, update };
    Ok(Plan::change(command, |answer| match answer {
        Answer::Config(config) => Reply::json(&updated_config(&config)),
        other => unexpected(&other),
    }))
}

pub fn delete_config(call: Call, subject: Option<&str>) -> Planned {
    let subject = scope(&call, subject);
    Ok(Plan::change(
        Command::DeleteConfig { subject },
        |answer| match answer {
            Answer::Config(config) => Reply::json(&config),
            other => unexpected(&other),
        },
    ))
}

pub fn mode(call: Call, subject: Option<&str>) -> Planned {
    let subject = scope(&call, subject);
    Ok(Plan::read(move |registry| {
        let mode = match call.query.flag("defaultToGlobal") {
            true => Some(registry.mode_in_scope(&subject)),
            false => registry.mode(&subject),
        };
        let mode = mode.ok_or(RegistryError::NoSubjectMode(subject))?;
        Ok(mode_reply(Some(mode)))
    }))
}

pub fn set_mode(call: Call, subject: Option<&str>) -> Planned {
    let subject = scope(&call, subject);
    let request: ModeRequest = call.json()?;
    let command = Command::SetMode {
        subject,
        mode: request.mode,
        force: call.query.flag("force"),
    };
    Ok(Plan::change(command, render_mode))
}

pub fn delete_mode(call: Call, subject: Option<&str>) -> Planned {
    let subject = scope(&call, subject);
    let recursive = call.query.flag("recursive");
    let command = Command::DeleteMode { subject, recursive };
    Ok(Plan::change(command, render_mode))
}

fn render_mode(answer: Answer) -> Reply {
    match answer {
        Answer::Mode(mode) => mode_reply(mode),
        other => unexpected(&other),
    }
}

fn mode_reply(mode: Option<Mode>) -> Reply {
    match mode {
        Some(mode) => Reply::json(&json!({ "mode": mode })),
        None => Reply::json(&json!({})),
    }
}

//! The table of paths.

use axum::http::Method;
use weir_schema::registry::{Answer, Command, Registry};

use super::call::Call;
use super::error::Refusal;
use super::reply::Reply;
use super::{compatibility, schemas, server, settings, subjects};

/// How a request is answered.
pub enum Plan {
    /// By itself.
    Answer(Reply),
    /// By a look at the registry.
    Read(Look<Reply>),
    /// By changing the registry.
    Change(Change),
}

pub type Look<T> = Box<dyn FnOnce(&Registry) -> Result<T, Refusal> + Send>;

pub struct Change {
    pub command: Look<Command>,
    pub render: Box<dyn FnOnce(Answer) -> Reply + Send>,
}

impl Plan {
    pub fn read(look: impl FnOnce(&Registry) -> Result<Reply, Refusal> + Send + 'static) -> Plan {
        Plan::Read(Box::new(look))
    }

    /// A change whose command does not depend on the registry.
    pub fn change(command: Command, render: impl FnOnce(Answer) -> Reply + Send + 'static) -> Plan {
        Plan::Change(Change {
            command: Box::new(|_| Ok(command)),
            render: Box::new(render),
        })
    }
}

pub fn plan(call: Call) -> Result<Plan, Refusal> {
    let segments: Vec<String> = call.segments.clone();
    let path: Vec<&str> = segments.iter().map(String::as_str).collect();
    match call.method.clone() {
        // HEAD is GET without the body, which the server leaves out.
        Method::GET | Method::HEAD => get(call, &path),
        Method::POST => post(call, &path),
        Method::PUT => put(call, &path),
        Method::DELETE => delete(call, &path),
        _ => Err(Refusal::NoSuchPath),
    }
}

fn get(call: Call, path: &[&str]) -> Result<Plan, Refusal> {
    match *path {
        [] => server::root(),
        ["schemas"] => schemas::list(call),
        ["schemas", "types"] => schemas::types(),
        ["schemas", "ids", id] => schemas::by_id(call, id),
        ["schemas", "ids", id, "schema"] => schemas::text_by_id(call, id),
        ["schemas", "ids", id, "versions"] => schemas::versions_of_id(call, id),
        ["schemas", "ids", id, "subjects"] => schemas::subjects_of_id(call, id),
        ["schemas", "guids", guid] => schemas::by_guid(call, guid),
        ["schemas", "guids", guid, "ids"] => schemas::ids_of_guid(guid),
        ["subjects"] => subjects::list(call),
        ["subjects", subject, "metadata"] => subjects::latest_with_metadata(call, subject),
        ["subjects", subject, "versions"] => subjects::versions(call, subject),
        ["subjects", subject, "versions", version] => subjects::version(call, subject, version),
        ["subjects", subject, "versions", version, "schema"] => {
            subjects::text(call, subject, version)
        }
        ["subjects", subject, "versions", version, "referencedby"] => {
            subjects::referenced_by(call, subject, version)
        }
        ["config"] => settings::config(call, None),
        ["config", subject] => settings::config(call, Some(subject)),
        ["mode"] => settings::mode(call, None),
        ["mode", subject] => settings::mode(call, Some(subject)),
        ["contexts"] => server::contexts(call),
        ["associations", "subjects", _]
        | ["associations", "resources", _]
        | ["associations", "resources", _, _] => server::no_associations(),
        ["v1", "metadata", "id"] => server::id(&call),
        ["v1", "metadata", "version"] => server::version(),
        ["v1", "metadata", "deployment"] => server::deployment(),
        ["status", "ready"] | ["_health"] => server::ready(),
        ["master_available"] => server::master_available(),
        _ => Err(Refusal::NoSuchPath),
    }
}

fn post(call: Call, path: &[&str]) -> Result<Plan, Refusal> {
    match *path {
        [] => server::root(),
        ["subjects", subject] => subjects::lookup(call, subject),
        ["subjects", subject, "versions"] => subjects::register(call, subject),
        ["compatibility", "subjects", subject, "versions"] => {
            compatibility::test(call, subject, None)
        }
        ["compatibility", "subjects", subject, "versions", version] => {
            compatibility::test(call, subject, Some(version))
        }
        _ => Err(Refusal::NoSuchPath),
    }
}

fn put(call: Call, path: &[&str]) -> Result<Plan, Refusal> {
    match *path {
        ["config"] => settings::update_config(call, None),
        ["config", subject] => settings::update_config(call, Some(subject)),
        ["mode"] => settings::set_mode(call, None),
        ["mode", subject] => settings::set_mode(call, Some(subject)),
        _ => Err(Refusal::NoSuchPath),
    }
}

fn delete(call: Call, path: &[&str]) -> Result<Plan, Refusal> {
    match *path {
        ["subjects", subject] => subjects::delete(call, subject),
        ["subjects", subject, "versions", version] => {
            subjects::delete_version(call, subject, version)
        }
        ["config"] => settings::delete_config(call, None),
        ["config", subject] => settings::delete_config(call, Some(subject)),
        ["mode"] => settings::delete_mode(call, None),
        ["mode", subject] => settings::delete_mode(call, Some(subject)),
        ["contexts", context] => server::delete_context(context),
        _ => Err(Refusal::NoSuchPath),
    }
}

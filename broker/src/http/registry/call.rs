//! One request, taken apart: path segments without the context, query, body.

use axum::http::Method;
use axum::http::request::Parts;
use bytes::Bytes;
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;
use weir_schema::registry::{GLOBAL_CONTEXT, Subject, VersionSpec};

use super::Options;
use super::error::Refusal;
use super::query::Query;

pub struct Call {
    pub method: Method,
    /// The path's decoded segments, below `/contexts/{context}` where it begins so.
    pub segments: Vec<String>,
    pub query: Query,
    pub options: Options,
    /// The context that the path begins with.
    context: Option<String>,
    body: Bytes,
}

impl Call {
    /// Nothing when the path is not text.
    pub fn new(parts: &Parts, body: Bytes, options: Options) -> Option<Call> {
        let mut segments = decode_path(parts.uri.path())?;
        let mut context = None;
        if segments.len() > 2 && segments[0] == "contexts" {
            context = Some(context_name(&segments[1]));
            segments.drain(..2);
        }
        Some(Call {
            method: parts.method.clone(),
            segments,
            query: Query::parse(parts.uri.query().unwrap_or_default()),
            options,
            context,
            body,
        })
    }

    /// A subject as a path or parameter names it, in the path's context unless it names its own.
    pub fn subject(&self, text: &str) -> Subject {
        match &self.context {
            Some(context) => Subject::of_context(context).qualify(text),
            None => Subject::parse(text),
        }
    }

    /// What settings without a subject are for.
    pub fn top_level(&self) -> Subject {
        self.subject("")
    }

    /// The parameter `subject`, or the path's context.
    pub fn subject_parameter(&self) -> Option<Subject> {
        let named = self.query.text("subject").map(|text| self.subject(text));
        named.or_else(|| self.context.is_some().then(|| self.top_level()))
    }

    /// A listing's prefix, within the path's context.
    pub fn prefix(&self, default: &str) -> String {
        let prefix = self.query.text("subjectPrefix");
        match &self.context {
            Some(_) => self.subject(prefix.unwrap_or_default()).as_str().to_owned(),
            None => prefix.unwrap_or(default).to_owned(),
        }
    }

    /// Reads the body as JSON, whatever its content type says.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        if self.body.is_empty() {
            return Err(Refusal::NoBody);
        }
        serde_json::from_slice(&self.body).map_err(|error| Refusal::BadJson(error.to_string()))
    }
}

/// The segments of a path; a slash at its end says nothing.
fn decode_path(path: &str) -> Option<Vec<String>> {
    let path = path.trim_start_matches('/').trim_end_matches('/');
    if path.is_empty() {
        return Some(Vec::new());
    }
    let decode = |segment: &str| percent_decode_str(segment).decode_utf8().map(String::from);
    path.split('/').map(decode).collect::<Result<_, _>>().ok()
}

/// A context as paths and parameters name it: with or without its colons, with its dot.
pub fn context_name(text: &str) -> String {
    let name = text.trim_matches(':');
    match name.starts_with('.') {
        true => name.to_owned(),
        false if format!(".{name}") == GLOBAL_CONTEXT => GLOBAL_CONTEXT.to_owned(),
        false => format!(".{name}"),
    }
}

pub fn version(text: &str) -> Result<VersionSpec, Refusal> {
    Ok(text.parse()?)
}

/// An id in a path; a path with anything else does not exist.
pub fn id(text: &str) -> Result<i32, Refusal> {
    text.parse().map_err(|_| Refusal::NoSuchPath)
}

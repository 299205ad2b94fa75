//! Rows that are put, deleted and looked up through any node. A key is left after a while, so that its history stays
//! short enough to be judged.

use std::sync::Arc;

use compat_tests::luck::Luck;
use serde_json::Value as Json;

use super::http::{self, Failure};
use super::{Scene, TABLE, pace};
use crate::history::{Action, Effect, Operation, Outcome, Value};
use crate::node;

pub const CLIENTS: u64 = 5;
const PAUSE_MS: u64 = 60;
/// Keys at a time.
const KEYS: u64 = 6;
/// A key is left after so long, in microseconds.
const LIFE: u64 = 12_000_000;
const WRITE_PERCENT: u64 = 45;
const DELETE_PERCENT: u64 = 10;

/// Asks until the end.
pub fn run(scene: &Arc<Scene>, client: u64) {
    let mut luck = Luck::new(scene.seed ^ (client << 24));
    while scene.goes_on() {
        let began = scene.recorder.clock.micros();
        let key = format!("k{}-{}", luck.below(KEYS), began / LIFE);
        let node = luck.below(scene.nodes as u64) as usize;
        let action = if !luck.says(WRITE_PERCENT) {
            Action::Read
        } else if luck.says(DELETE_PERCENT) {
            Action::Write(None)
        } else {
            Action::Write(Some(scene.value()))
        };
        let outcome = act(node, &key, action);
        let operation = Operation {
            register: key,
            client,
            node,
            action,
            began,
            ended: scene.recorder.clock.micros(),
            outcome,
        };
        scene.recorder.note(|history| history.rows.push(operation));
        pace(&mut luck, PAUSE_MS);
    }
}

fn act(node: usize, key: &str, action: Action) -> Outcome<Effect> {
    let path = format!("/v1/tables/{TABLE}/rows/{key}");
    let (method, body) = match action {
        Action::Read => ("GET", String::new()),
        Action::Write(Some(value)) => ("PUT", format!(r#"{{"value":"{value}"}}"#)),
        Action::Write(None) => ("DELETE", String::new()),
    };
    match http::ask(node::http(node), method, &path, &body) {
        Err(Failure::Unreachable) => Outcome::Refused("unreachable".to_owned()),
        Err(Failure::Unanswered(why)) => Outcome::Unknown(why),
        Ok((status, answer)) => judge(action, status, &answer),
    }
}

/// What an answer says.
fn judge(action: Action, status: u16, answer: &Json) -> Outcome<Effect> {
    let done = match (action, status) {
        (Action::Read, 200) => row(answer).map(|(_, value)| Effect::Read(value.parse().ok())),
        (Action::Read, 404) if answer["error"]["code"] == "no_such_row" => Some(Effect::Read(None)),
        (Action::Write(_), 200) => written(answer),
        _ => None,
    };
    done.map_or_else(
        || Outcome::Unknown(format!("{status}: {answer}")),
        Outcome::Done,
    )
}

/// Key and value of a row.
pub fn row(answer: &Json) -> Option<(String, String)> {
    let key = answer["key"].as_str()?;
    let value = answer["value"].as_str()?;
    Some((key.to_owned(), value.to_owned()))
}

fn written(answer: &Json) -> Option<Effect> {
    Some(Effect::WrittenAt {
        partition: answer["partition"].as_i64()?.try_into().ok()?,
        offset: answer["offset"].as_i64()?,
    })
}

/// The value of a row's record.
pub fn text(bytes: Option<&[u8]>) -> Option<String> {
    bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

/// So that a value is not taken for a key.
pub fn number(text: &str) -> Option<Value> {
    text.parse().ok()
}

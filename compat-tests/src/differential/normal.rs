//! What two runs of one case may not share (ids, times, addresses) becomes words, and lists with names become maps.
//!
//! An id is numbered in the order in which a case meets it, so that two answers that must carry one id still show
//! whether they do. A time is `<now>` if it lies within three days of the run; cases use times far from it.
//!
//! What one of several nodes says is shown as if it were alone, as far as [`alone`] goes.

use std::collections::HashMap;

use kafka_protocol::error::ParseResponseErrorCode;
use kafka_protocol::messages::ApiKey;
use serde_json::{Map, Value, json};

use super::target::Target;
use super::{alone, batches, tree};
use crate::clock;

const THREE_DAYS_MS: i64 = 3 * 24 * 3600 * 1000;
const ZERO_ID: &str = "00000000-0000-0000-0000-000000000000";
const ID_CHARS: usize = ZERO_ID.len();
/// The first of these fields that an entry carries names it.
const NAMES: [&str; 11] = [
    "name",
    "topic",
    "topic_name",
    "topic_id",
    "group_id",
    "resource_name",
    "key",
    "member_id",
    "group_instance_id",
    "log_dir",
    "reason",
];
const NUMBERS: [&str; 7] = [
    "partition_index",
    "partition",
    "partition_id",
    "index",
    "api_key",
    "node_id",
    "broker_id",
];
const BROKER_IDS: [&str; 7] = [
    "node_id",
    "leader_id",
    "controller_id",
    "broker_id",
    "replica_nodes",
    "isr_nodes",
    "offline_replicas",
];
const LEADER_EPOCHS: [&str; 4] = [
    // Of a diverging epoch.
    "epoch",
    "leader_epoch",
    "partition_leader_epoch",
    "committed_leader_epoch",
];
/// Lists whose order means something.
const ORDERED: [&str; 2] = ["synonyms", "records"];

/// The words of one case on one target.
pub struct Normal<'a> {
    target: &'a Target,
    /// The case's own prefix of topics, groups and the like, shown as `~`.
    prefix: String,
    ids: HashMap<String, String>,
    numbers: HashMap<(&'static str, i64), String>,
    epochs: Vec<i64>,
    now: i64,
}

impl<'a> Normal<'a> {
    pub fn new(target: &'a Target, prefix: &str) -> Normal<'a> {
        let prefix = prefix.to_string();
        Normal {
            target,
            prefix,
            ids: HashMap::new(),
            numbers: HashMap::new(),
            epochs: Vec::new(),
            now: clock::now_ms(),
        }
    }

    /// Gives a topic's id its name, and its partitions' present leader epochs theirs.
    pub fn learn_topic(&mut self, id: &str, name: &str, epochs: impl IntoIterator<Item = i32>) {
        let name = self.own(name);
        self.ids.insert(id.to_string(), format!("<id of {name}>"));
        self.epochs.extend(epochs.into_iter().map(i64::from));
    }

    /// Gives the ids inside a text their numbers now, before an answer shows them in an order of its own.
    pub fn introduce(&mut self, text: &str) {
        self.ids_in(text);
    }

    pub fn answer(&mut self, tree: Value) -> Value {
        self.walk("", tree)
    }

    fn walk(&mut self, field: &str, value: Value) -> Value {
        match value {
            Value::Object(fields) => self.object(fields),
            Value::Array(entries) => {
                let entries: Vec<Value> = alone::list(self.target, field, entries)
                    .into_iter()
                    .map(|entry| self.walk(field, entry))
                    .collect();
                if ORDERED.contains(&field) {
                    Value::Array(entries)
                } else {
                    named(entries)
                }
            }
            Value::String(text) if field == "records" => match tree::unhex(&text) {
                Some(bytes) => self.walk("batches", batches::describe(&bytes)),
                None => Value::String(text),
            },
            Value::String(text) => Value::String(self.text(field, text)),
            Value::Number(number) => match number.as_i64() {
                Some(whole) => self.number(field, whole),
                None => Value::Number(number),
            },
            other => other,
        }
    }

    fn object(&mut self, mut fields: Map<String, Value>) -> Value {
        // A list of coordinators replaces the single one, whose fields then are not on the wire.
        if fields.get("coordinators").is_some() && fields.get("host").is_some_and(|host| host == "")
        {
            fields.remove("node_id");
        }
        let walk = |(field, value): (String, Value)| {
            let no_tags =
                field == "unknown_tagged_fields" && value.as_object().is_some_and(Map::is_empty);
            (!no_tags).then(|| {
                let value = self.walk(&field, value);
                (field, value)
            })
        };
        Value::Object(fields.into_iter().filter_map(walk).collect())
    }

    fn text(&mut self, field: &str, text: String) -> String {
        if text.is_empty() {
            return text;
        }
        if field.ends_with("error_message") {
            return "<text>".into();
        }
        let (host, _) = &self.target.advertised;
        match field {
            "host" if text == *host => "<host>".into(),
            "cluster_id" if text == self.target.cluster_id => "<cluster>".into(),
            "resource_name" if text == self.target.broker_id.to_string() => "<broker>".into(),
            "log_dir" => "<directory>".into(),
            "client_host" => "<client>".into(),
            _ => {
                let text = self.ids_in(&text);
                self.own(&text)
            }
        }
    }

    fn own(&self, text: &str) -> String {
        text.replace(&self.prefix, "~")
    }

    /// Every id inside a text becomes its name or its number.
    fn ids_in(&mut self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = id_at(rest) {
            let id = &rest[at..at + ID_CHARS];
            out.push_str(&rest[..at]);
            let next = self
                .ids
                .values()
                .filter(|name| name.starts_with("<id ") && name.contains('#'))
                .count()
                + 1;
            match id {
                ZERO_ID => out.push_str("<no id>"),
                _ => out.push_str(
                    self.ids
                        .entry(id.into())
                        .or_insert_with(|| format!("<id #{next}>")),
                ),
            }
            rest = &rest[at + ID_CHARS..];
        }
        out + rest
    }

    fn number(&mut self, field: &str, number: i64) -> Value {
        if (self.now - number).abs() < THREE_DAYS_MS {
            return json!("<now>");
        }
        match field {
            "error_code" | "error" => error_name(number),
            "api_key" => json!(api_name(number)),
            "port" if number == i64::from(self.target.advertised.1) => json!("<port>"),
            "total_bytes" | "usable_bytes" if number > 0 => json!("<bytes>"),
            "finalized_features_epoch" if number >= 0 => json!("<epoch>"),
            "producer_id" if number >= 0 => self.numbered("producer", number),
            "session_id" if number > 0 => self.numbered("session", number),
            // Which node it is, the nodes decide.
            "controller_id" if self.target.advertised_by(number).is_some() => json!("<broker>"),
            _ if BROKER_IDS.contains(&field) && number == i64::from(self.target.broker_id) => {
                json!("<broker>")
            }
            _ if LEADER_EPOCHS.contains(&field) && self.epochs.contains(&number) => {
                json!("<epoch>")
            }
            _ => json!(number),
        }
    }

    fn numbered(&mut self, kind: &'static str, number: i64) -> Value {
        let next = self.numbers.keys().filter(|(of, _)| *of == kind).count() + 1;
        json!(
            self.numbers
                .entry((kind, number))
                .or_insert_with(|| format!("<{kind} #{next}>"))
        )
    }
}

/// A list of entries that carry a name becomes a map by it; a name that comes again is `name again`, unless it is a
/// topic whose partitions are spread over several entries.
fn named(entries: Vec<Value>) -> Value {
    let names: Option<Vec<String>> = entries.iter().map(name_of).collect();
    let Some(names) = names.filter(|names| !names.is_empty()) else {
        return Value::Array(entries);
    };
    let mut sorted: Vec<(String, Value)> = names.into_iter().zip(entries).collect();
    sorted.sort_by(|(left, _), (right, _)| left.cmp(right));
    let mut map = Map::new();
    for (name, entry) in sorted {
        if !joined(&mut map, &name, &entry) {
            insert_again(&mut map, name, entry);
        }
    }
    Value::Object(map)
}

fn insert_again(map: &mut Map<String, Value>, mut name: String, entry: Value) {
    while map.contains_key(&name) {
        name.push_str(" again");
    }
    map.insert(name, entry);
}

/// Adds the partitions of a topic to those that it already has in the map.
fn joined(map: &mut Map<String, Value>, topic: &str, entry: &Value) -> bool {
    for field in ["partitions", "partition_responses"] {
        let before = map
            .get_mut(topic)
            .and_then(|known| known.get_mut(field)?.as_object_mut());
        if let (Some(before), Some(more)) = (before, entry.get(field).and_then(Value::as_object)) {
            for (name, partition) in more {
                insert_again(before, name.clone(), partition.clone());
            }
            return true;
        }
    }
    false
}

fn name_of(entry: &Value) -> Option<String> {
    let entry = entry.as_object()?;
    let text = |field: &&str| entry.get(*field)?.as_str();
    let number = |field: &&str| match entry.get(*field)? {
        Value::Number(number) => Some(number.to_string()),
        Value::String(word) => Some(word.clone()),
        _ => None,
    };
    if let Some(name) = NAMES
        .iter()
        .filter_map(text)
        .find(|text| !text.is_empty() && *text != "<no id>")
    {
        return Some(name.to_string());
    }
    if NAMES.iter().any(|field| entry.contains_key(*field)) {
        return Some("<no name>".into());
    }
    NUMBERS.iter().find_map(number)
}

fn error_name(code: i64) -> Value {
    match i16::try_from(code).unwrap_or(i16::MIN).err() {
        None => json!("NONE"),
        Some(error) => json!(format!("{error:?} ({code})")),
    }
}

fn api_name(key: i64) -> String {
    let known = i16::try_from(key)
        .ok()
        .and_then(|key| ApiKey::try_from(key).ok());
    known.map_or_else(|| format!("api {key}"), |key| format!("{key:?}"))
}

/// Where the first `8-4-4-4-12` hexadecimal id in a text starts.
fn id_at(text: &str) -> Option<usize> {
    let fits = |window: &[u8]| {
        window.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
    };
    text.as_bytes().windows(ID_CHARS).position(fits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::differential::target::Other;

    fn target() -> Target {
        Target {
            name: "test",
            address: ([127, 0, 0, 1], 9092).into(),
            advertised: ("127.0.0.1".into(), 9092),
            broker_id: 7,
            others: Vec::new(),
            cluster_id: "cluster".into(),
            mark: "0".into(),
        }
    }

    #[test]
    fn ids_are_numbered_as_they_appear_and_stay_equal() {
        let target = target();
        let mut normal = Normal::new(&target, "case");
        let id = "6f5c8d4e-0000-4000-8000-00000000000a";
        let seen = normal.answer(json!({"member_id": format!("judge-{id}"), "topic_id": ZERO_ID}));
        assert_eq!(
            seen,
            json!({"member_id": "judge-<id #1>", "topic_id": "<no id>"})
        );
        assert_eq!(normal.answer(json!(id)), "<id #1>");
    }

    #[test]
    fn addresses_times_errors_and_epochs_become_words() {
        let target = target();
        let mut normal = Normal::new(&target, "case");
        normal.learn_topic("x", "case-t", [4]);
        let answer = json!({"node_id": 7, "leader_id": -1, "port": 9092, "host": "127.0.0.1", "leader_epoch": 4,
            "diverging_epoch": {"epoch": 4}, "time": clock::now_ms(), "error_code": 3,
            "error_message": "no", "name": "case-t"});
        let expected = json!({"node_id": "<broker>", "leader_id": -1, "port": "<port>", "host": "<host>",
            "leader_epoch": "<epoch>", "diverging_epoch": {"epoch": "<epoch>"}, "time": "<now>",
            "error_code": "UnknownTopicOrPartition (3)",
            "error_message": "<text>", "name": "~-t"});
        assert_eq!(normal.answer(answer), expected);
    }

    #[test]
    fn any_node_may_be_the_controller_and_one_leads() {
        let other = Other {
            broker_id: 8,
            advertised: ("127.0.0.1".into(), 9093),
        };
        let target = Target {
            others: vec![other],
            ..target()
        };
        let mut normal = Normal::new(&target, "case");
        for (answer, expected) in [
            (
                json!({"controller_id": 8}),
                json!({"controller_id": "<broker>"}),
            ),
            (json!({"controller_id": 9}), json!({"controller_id": 9})),
            (json!({"leader_id": 8}), json!({"leader_id": 8})),
            (json!({"leader_id": 7}), json!({"leader_id": "<broker>"})),
        ] {
            assert_eq!(normal.answer(answer), expected);
        }
    }

    #[test]
    fn a_list_of_named_entries_is_a_map_whatever_its_order() {
        let target = target();
        let mut normal = Normal::new(&target, "case");
        let one = json!([{"partition_index": 1, "x": 1}, {"partition_index": 0, "x": 0}, {"partition_index": 1, "x": 2}]);
        let seen = normal.answer(one);
        assert_eq!(seen["0"]["x"], 0);
        assert_eq!(seen["1"]["x"], 1);
        assert_eq!(seen["1 again"]["x"], 2);
    }
}

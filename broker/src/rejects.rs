//! The last refusals of each topic: most clients hide the broker's reason, so it is found again here.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Refusals kept of one topic.
pub const KEPT: usize = 100;

/// One refused record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reject {
    pub time_ms: i64,
    pub client_id: String,
    pub partition: i32,
    /// The record's place in its batch, from 0.
    pub index: i32,
    /// The key's first bytes, as text where they are text.
    pub key_prefix: String,
    pub part: Cow<'static, str>,
    pub subject: Option<String>,
    pub id: Option<i32>,
    pub field: String,
    pub reason: String,
    pub fix: String,
}

/// By topic, in memory of this node only.
#[derive(Default)]
pub struct Rejects {
    topics: Mutex<HashMap<Uuid, VecDeque<Reject>>>,
}

impl Rejects {
    pub fn add(&self, topic: Uuid, reject: Reject) {
        let mut topics = self.topics.lock();
        let kept = topics.entry(topic).or_default();
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(reject);
    }

    /// Oldest first.
    pub fn of(&self, topic: Uuid) -> Vec<Reject> {
        self.topics
            .lock()
            .get(&topic)
            .map(|kept| kept.iter().cloned().collect())
            .unwrap_or_default()
    }

    /// Forgets topics that are no more.
    pub fn retain(&self, is_there: impl Fn(Uuid) -> bool) {
        self.topics.lock().retain(|topic, _| is_there(*topic));
    }
}

/// The first bytes of a key for a person to read.
pub fn key_prefix(key: Option<&[u8]>) -> String {
    const SHOWN: usize = 32;
    let Some(key) = key else { return "null".into() };
    let shown = &key[..key.len().min(SHOWN)];
    let more = if key.len() > SHOWN { "…" } else { "" };
    match std::str::from_utf8(shown) {
        Ok(text) if !text.chars().any(char::is_control) => format!("{text}{more}"),
        _ => {
            let hex: String = shown.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("0x{hex}{more}")
        }
    }
}

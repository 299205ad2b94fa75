//! What a history must not show. Each checker names every anomaly that it finds.

pub mod log;
pub mod register;
pub mod replicas;
pub mod table;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::history::{History, Operation};

/// Something that must not have happened.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Anomaly {
    pub kind: &'static str,
    pub what: String,
}

impl Anomaly {
    pub fn new(kind: &'static str, what: String) -> Anomaly {
        Anomaly { kind, what }
    }
}

/// Every anomaly of a history, by every checker.
pub fn all(history: &History) -> Vec<Anomaly> {
    let mut found = log::check(history);
    found.extend(registers("row", &history.rows));
    found.extend(registers("committed offset", &history.commits));
    found.extend(table::check(history));
    found.extend(replicas::check(history));
    let complaint = |what: &String| Anomaly::new("complaint", what.clone());
    found.extend(history.complaints.iter().map(complaint));
    found
}

/// Each register by itself.
fn registers(of: &str, operations: &[Operation]) -> Vec<Anomaly> {
    let mut apart: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
    for operation in operations {
        let register = apart.entry(operation.register.as_str()).or_default();
        register.push(operation);
    }
    let judged = apart.into_iter().filter_map(|(name, operations)| {
        use register::Verdict::*;
        let kind = match register::check(&operations) {
            Linearizable => return None,
            Broken => "not-linearizable",
            Undecided => "linearizability-undecided",
        };
        Some(Anomaly::new(kind, format!("{of} {name}")))
    });
    judged.collect()
}

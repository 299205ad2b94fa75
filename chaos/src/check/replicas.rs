//! The replicas hold the same: whoever led a partition when it was read at the end gave the same records, and every node
//! has the same rows. A table's topic is compacted by each replica for itself, so there the last record of each key is
//! compared, deletions left out.

use std::collections::BTreeMap;

use super::Anomaly;
use crate::history::{History, RowRecord, Whole};

pub fn check(history: &History) -> Vec<Anomaly> {
    let mut found = Vec::new();
    same("log", &history.logs, &mut found);
    let latest: Vec<Whole<RowRecord>> = history.table_logs.iter().map(latest).collect();
    same("table's log", &latest, &mut found);
    let mut scans = history.scans.iter();
    if let Some((first, rows)) = scans.next() {
        for (node, others) in scans.filter(|(_, others)| *others != rows) {
            let what = format!(
                "nodes {first} and {node}: {} and {} rows",
                rows.len(),
                others.len()
            );
            found.push(Anomaly::new("rows-differ", what));
        }
    }
    found
}

/// The last records of keys that have a value.
fn latest(log: &Whole<RowRecord>) -> Whole<RowRecord> {
    let records = log.records.iter();
    let last: BTreeMap<&str, i64> = records.map(|(at, (key, _))| (key.as_str(), *at)).collect();
    let is_latest = |(at, (key, value)): &&(i64, RowRecord)| {
        value.is_some() && last.get(key.as_str()) == Some(at)
    };
    Whole {
        node: log.node,
        partition: log.partition,
        records: log.records.iter().filter(is_latest).cloned().collect(),
    }
}

fn same<T: PartialEq>(of: &str, logs: &[Whole<T>], found: &mut Vec<Anomaly>) {
    let mut first: BTreeMap<i32, &Whole<T>> = BTreeMap::new();
    for log in logs {
        let first = first.entry(log.partition).or_insert(log);
        if first.records != log.records {
            let what = format!(
                "{of} of partition {}, nodes {} and {}: {} and {} records",
                log.partition,
                first.node,
                log.node,
                first.records.len(),
                log.records.len()
            );
            found.push(Anomaly::new("replicas-differ", what));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(node: usize, records: &[(i64, u64)]) -> Whole<u64> {
        Whole {
            node,
            partition: 0,
            records: records.to_vec(),
        }
    }

    #[test]
    fn equal_replicas_are_good_and_different_ones_are_found() {
        let logs = |other: &[(i64, u64)]| History {
            logs: vec![whole(0, &[(0, 1), (1, 2)]), whole(1, other)],
            ..History::default()
        };
        assert!(check(&logs(&[(0, 1), (1, 2)])).is_empty());
        for other in [&[(0, 1)][..], &[(0, 1), (1, 3)], &[(0, 1), (2, 2)]] {
            assert_eq!(check(&logs(other))[0].kind, "replicas-differ");
        }
    }

    #[test]
    fn a_table_may_be_compacted_on_one_replica_only_but_not_lose_what_is_latest() {
        let log = |node, records: &[(i64, &str, Option<&str>)]| Whole {
            node,
            partition: 0,
            records: records
                .iter()
                .map(|(at, key, value)| (*at, (key.to_string(), value.map(str::to_owned))))
                .collect(),
        };
        let all = [
            (0, "a", Some("1")),
            (1, "b", Some("2")),
            (2, "a", Some("3")),
            (3, "b", None),
        ];
        let kinds = |other: &[(i64, &str, Option<&str>)]| {
            let history = History {
                table_logs: vec![log(0, &all), log(1, other)],
                ..History::default()
            };
            check(&history).len()
        };
        assert_eq!(kinds(&all[2..]), 0);
        assert_eq!(kinds(&all[2..3]), 0);
        assert_eq!(kinds(&all[..2]), 1);
        assert_eq!(kinds(&all[..3]), 1, "a deletion is missing");
    }

    #[test]
    fn rows_that_differ_between_nodes_are_found() {
        let row = |value: &str| BTreeMap::from([("a".to_owned(), value.to_owned())]);
        let scans = |other| History {
            scans: BTreeMap::from([(0, row("1")), (1, row(other))]),
            ..History::default()
        };
        assert!(check(&scans("1")).is_empty());
        assert_eq!(check(&scans("2"))[0].kind, "rows-differ");
    }
}

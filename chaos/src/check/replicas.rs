//! The replicas hold the same: whoever led a partition when it was read at the end gave the same records, and every node
//! has the same rows.

use std::collections::BTreeMap;

use super::Anomaly;
use crate::history::{History, Whole};

pub fn check(history: &History) -> Vec<Anomaly> {
    let mut found = Vec::new();
    same("log", &history.logs, &mut found);
    same("table's log", &history.table_logs, &mut found);
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

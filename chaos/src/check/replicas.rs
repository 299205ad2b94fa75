//! The replicas hold the same: whoever led a partition when it was read at the end gave the same records, and every node
//! has the same rows. A table's topic is compacted by each replica for itself, so there the last record of each key is
//! compared, deletions left out.
//!
//! Each log is compared with the one read first, up to where that one ended: a write of which its client heard nothing may
//! still be on its way then, and adds to those that are read later.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use super::Anomaly;
use crate::history::{History, RowRecord, Whole};

pub fn check(history: &History) -> Vec<Anomaly> {
    let mut found = Vec::new();
    same("log", &history.logs, all, &mut found);
    same("table's log", &history.table_logs, latest, &mut found);
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

type Records<'a, T> = Vec<&'a (i64, T)>;

/// What two logs of a partition should have in common, of each.
type Common<T> = for<'a> fn(&'a Whole<T>, &'a Whole<T>) -> [Records<'a, T>; 2];

/// All records before the end of the first log.
fn all<'a>(first: &'a Whole<u64>, later: &'a Whole<u64>) -> [Records<'a, u64>; 2] {
    [first, later].map(|log| {
        let records = log.records.iter();
        records.filter(|(at, _)| *at < first.end).collect()
    })
}

/// The last record before the end of the first log of each key that has a value there, and was not written since.
fn latest<'a>(
    first: &'a Whole<RowRecord>,
    later: &'a Whole<RowRecord>,
) -> [Records<'a, RowRecord>; 2] {
    let since = later.records.iter().filter(|(at, _)| *at >= first.end);
    let since: BTreeSet<&str> = since.map(|(_, (key, _))| key.as_str()).collect();
    [first, later].map(|log| {
        let before = || log.records.iter().filter(|(at, _)| *at < first.end);
        let last: BTreeMap<&str, i64> =
            before().map(|(at, (key, _))| (key.as_str(), *at)).collect();
        let is_latest = |(at, (key, value)): &&(i64, RowRecord)| {
            let key = key.as_str();
            value.is_some() && !since.contains(key) && last.get(key) == Some(at)
        };
        before().filter(is_latest).collect()
    })
}

fn same<T: PartialEq + Debug>(
    of: &str,
    logs: &[Whole<T>],
    common: Common<T>,
    found: &mut Vec<Anomaly>,
) {
    let mut read: BTreeMap<i32, &Whole<T>> = BTreeMap::new();
    for log in logs {
        let first = *read.entry(log.partition).or_insert(log);
        let [ours, theirs] = common(first, log);
        let alike = ours.iter().zip(&theirs).take_while(|(a, b)| a == b).count();
        let is_shorter = log.end < first.end;
        if is_shorter || alike < ours.len().max(theirs.len()) {
            let what = format!(
                "{of} of partition {}, nodes {} and {}, which ended at {} and {}: {:?} and {:?} after {alike} alike",
                log.partition,
                first.node,
                log.node,
                first.end,
                log.end,
                ours.get(alike),
                theirs.get(alike),
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
            end: 2,
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
    fn a_log_may_grow_while_all_are_read_but_not_shrink() {
        let ended = |end, records| Whole {
            end,
            ..whole(1, records)
        };
        let short = || ended(2, &[(0, 1), (1, 2)]);
        let long = || ended(3, &[(0, 1), (1, 2), (2, 3)]);
        let other = ended(3, &[(0, 1), (1, 7), (2, 3)]);
        let count = |logs| {
            let history = History {
                logs,
                ..History::default()
            };
            check(&history).len()
        };
        assert_eq!(count(vec![short(), long(), long()]), 0);
        assert_eq!(count(vec![short(), other]), 1);
        assert_eq!(count(vec![long(), short()]), 1);
    }

    #[test]
    fn a_table_may_be_compacted_on_one_replica_only_but_not_lose_what_is_latest() {
        let log = |node, records: &[(i64, &str, Option<&str>)]| Whole {
            node,
            partition: 0,
            end: 4,
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
        let row = (4, "a", Some("5"));
        let later = |records: &[_]| Whole {
            end: 5,
            ..log(1, records)
        };
        let grown = |records: &[_]| {
            let history = History {
                table_logs: vec![log(0, &all), later(records)],
                ..History::default()
            };
            check(&history).len()
        };
        assert_eq!(grown(&[row]), 0, "compacted for what was written since");
        assert_eq!(grown(&[all[2]]), 0, "what was written since is gone again");
        assert_eq!(grown(&[all[0], (4, "b", Some("5"))]), 1);
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

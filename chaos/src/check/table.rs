//! The table is the fold of its log: on every node the last value of each key, and in the log each row's record where its
//! writer was told that it is.

use std::collections::BTreeMap;

use super::Anomaly;
use crate::history::{Action, Effect, History, RowRecord};

pub fn check(history: &History) -> Vec<Anomaly> {
    let mut found = Vec::new();
    let mut log: BTreeMap<(i32, i64), &RowRecord> = BTreeMap::new();
    for whole in &history.table_logs {
        for (offset, record) in &whole.records {
            let before = log.insert((whole.partition, *offset), record);
            if before.is_some_and(|before| before != record) {
                let what = format!(
                    "rows at {}:{offset}: {before:?}, {record:?}",
                    whole.partition
                );
                found.push(Anomaly::new("inconsistent-offsets", what));
            }
        }
    }
    // Offsets of a key are all in one partition.
    let mut fold: BTreeMap<&str, &str> = BTreeMap::new();
    for (key, value) in log.values() {
        match value {
            Some(value) => fold.insert(key, value),
            None => fold.remove(key.as_str()),
        };
    }
    for (node, rows) in &history.scans {
        let rows: BTreeMap<&str, &str> =
            rows.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        for key in rows.keys().chain(fold.keys()) {
            let (row, folded) = (rows.get(key), fold.get(key));
            if row != folded {
                let what = format!("{key} is {row:?} on node {node}, {folded:?} by the log");
                found.push(Anomaly::new("table-not-fold", what));
            }
        }
    }
    written(history, &log, &mut found);
    found.sort();
    found.dedup();
    found
}

/// What was acknowledged at an offset is there, unless compaction took it for a later record of its key.
fn written(history: &History, log: &BTreeMap<(i32, i64), &RowRecord>, found: &mut Vec<Anomaly>) {
    if log.is_empty() {
        return;
    }
    let mut last: BTreeMap<(i32, &str), i64> = BTreeMap::new();
    for ((partition, offset), (key, _)) in log {
        last.insert((*partition, key.as_str()), *offset);
    }
    for row in &history.rows {
        let (Action::Write(value), Some(Effect::WrittenAt { partition, offset })) =
            (row.action, row.outcome.done().copied())
        else {
            continue;
        };
        let wanted = (row.register.clone(), value.map(|value| value.to_string()));
        let there = log.get(&(partition, offset));
        let superseded = last
            .get(&(partition, row.register.as_str()))
            .is_some_and(|last| *last > offset);
        let good = match there {
            Some(record) => **record == wanted,
            None => superseded,
        };
        if !good {
            let what =
                format!("{wanted:?} was written at {partition}:{offset}, there is {there:?}");
            found.push(Anomaly::new("lost-row", what));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Operation, Outcome, Whole};

    fn good() -> History {
        let records = [
            ("a", Some("1")),
            ("b", Some("2")),
            ("a", Some("3")),
            ("b", None),
        ];
        let records = (0..).zip(records.map(|(k, v)| (k.to_owned(), v.map(str::to_owned))));
        let write = |key: &str, value, offset| Operation {
            register: key.to_owned(),
            client: 0,
            node: 0,
            action: Action::Write(value),
            began: 0,
            ended: 1,
            outcome: Outcome::Done(Effect::WrittenAt {
                partition: 0,
                offset,
            }),
        };
        let rows = BTreeMap::from([("a".to_owned(), "3".to_owned())]);
        History {
            rows: vec![write("a", Some(1), 0), write("b", None, 3)],
            table_logs: vec![Whole {
                node: 0,
                partition: 0,
                end: 4,
                records: records.collect(),
            }],
            scans: BTreeMap::from([(0, rows.clone()), (1, rows)]),
            ..History::default()
        }
    }

    fn kinds(change: impl FnOnce(&mut History)) -> Vec<&'static str> {
        let mut history = good();
        change(&mut history);
        check(&history).iter().map(|found| found.kind).collect()
    }

    #[test]
    fn a_table_that_is_the_fold_of_its_log_is_good_also_when_it_was_compacted() {
        assert!(kinds(|_| ()).is_empty());
        assert!(kinds(|history| drop(history.table_logs[0].records.remove(0))).is_empty());
    }

    #[test]
    fn a_row_that_is_old_missing_or_too_much_on_one_node_is_found() {
        let one = |change: fn(&mut BTreeMap<String, String>)| {
            kinds(|history| change(history.scans.get_mut(&1).expect("scanned")))
        };
        let old = one(|rows| drop(rows.insert("a".to_owned(), "1".to_owned())));
        assert_eq!(old, ["table-not-fold"]);
        assert_eq!(one(BTreeMap::clear), ["table-not-fold"]);
        let more = one(|rows| drop(rows.insert("b".to_owned(), "2".to_owned())));
        assert_eq!(more, ["table-not-fold"]);
    }

    #[test]
    fn a_row_that_is_not_where_it_was_written_is_lost() {
        let lost = kinds(|history| {
            history.table_logs[0].records.pop();
            let rows = [("a", "3"), ("b", "2")].map(|(k, v)| (k.to_owned(), v.to_owned()));
            let rows = BTreeMap::from(rows);
            history.scans = BTreeMap::from([(0, rows)]);
        });
        assert_eq!(lost, ["lost-row"]);
    }

    #[test]
    fn two_records_of_one_offset_are_inconsistent() {
        let two = kinds(|history| {
            let mut other = history.table_logs[0].clone();
            other.records[0].1.1 = Some("7".to_owned());
            history.rows.clear();
            history.table_logs.insert(0, other);
        });
        assert_eq!(two, ["inconsistent-offsets"]);
    }
}

//! Log matching: entries with the same index and term have the same entries before them.

use weir_raft::Index;
use weir_raft::inspect::Log;

/// `Err` says where the terms of a log's entries go back.
pub fn ascends(log: &Log) -> Result<(), String> {
    let goes_back = log.runs.windows(2).find(|pair| pair[1].0 < pair[0].0);
    match goes_back {
        None => Ok(()),
        Some(pair) => Err(format!(
            "entries of {:?} follow those of {:?}",
            pair[1], pair[0]
        )),
    }
}

/// `Err` says where two logs differ that must not.
pub fn match_each_other(one: &Log, other: &Log) -> Result<(), String> {
    let from = first(one).max(first(other));
    let Some(last) = last(one).min(last(other)) else {
        return Ok(());
    };
    let mut matched_above = None;
    for index in (from..=last).rev() {
        let (a, b) = (one.term(index), other.term(index));
        match (a == b, matched_above) {
            (true, None) => matched_above = Some(index),
            (false, Some(above)) => {
                return Err(format!(
                    "both have the same entry {above}, but entry {index} is of term {a:?} and {b:?}"
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

fn first(log: &Log) -> Index {
    log.purged.map_or(0, |(_, index)| index + 1)
}

fn last(log: &Log) -> Option<Index> {
    log.last.map(|(_, index)| index)
}

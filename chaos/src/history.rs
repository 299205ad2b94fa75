//! What clients asked and saw, in the order in which it was noted.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use anyhow::Result;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::time::{Micros, Stopwatch};

/// A number that is written once only, so that it says who wrote it.
pub type Value = u64;

/// What became of something that was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome<T> {
    Done(T),
    /// It was refused, and never happens.
    Refused(String),
    /// It may have happened, and may still.
    Unknown(String),
}

impl<T> Outcome<T> {
    pub fn done(&self) -> Option<&T> {
        match self {
            Outcome::Done(found) => Some(found),
            Outcome::Refused(_) | Outcome::Unknown(_) => None,
        }
    }
}

/// A record that was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Send {
    pub producer: u64,
    /// Whether its records keep their order whatever happens.
    pub in_order: bool,
    pub partition: i32,
    pub value: Value,
    pub began: Micros,
    pub ended: Micros,
    /// The offset; `None` where the client was told only that the record is there already.
    pub outcome: Outcome<Option<i64>>,
}

impl Send {
    /// The offset that was acknowledged.
    pub fn offset(&self) -> Option<i64> {
        self.outcome.done().copied().flatten()
    }
}

/// A producer gave up its epoch and began a new one: what is on its way then is sent again with numbers that no broker can
/// compare with the old ones, and may be there twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bump {
    pub producer: u64,
    pub at: Micros,
}

/// A record that a consumer was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Poll {
    pub consumer: u64,
    /// Changes whenever the consumer is assigned something or seeks.
    pub assignment: u64,
    pub partition: i32,
    pub offset: i64,
    pub value: Value,
    pub at: Micros,
}

/// A leader's word for where a partition ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    pub node: usize,
    pub partition: i32,
    pub offset: i64,
    pub began: Micros,
    pub ended: Micros,
}

/// An operation on a row, or on the committed offset of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// What is read or written; histories of different ones have nothing to do with each other.
    pub register: String,
    pub client: u64,
    pub node: usize,
    pub action: Action,
    pub began: Micros,
    pub ended: Micros,
    pub outcome: Outcome<Effect>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    Read,
    /// `None` deletes.
    Write(Option<Value>),
}

/// What an operation told that was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    Read(Option<Value>),
    Written,
    /// A row's record.
    WrittenAt {
        partition: i32,
        offset: i64,
    },
}

/// A partition from its beginning to its end, read when all was well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whole<T> {
    /// The node that led it then.
    pub node: usize,
    pub partition: i32,
    /// Where it ended when reading began.
    pub end: i64,
    /// By offset.
    pub records: Vec<(i64, T)>,
}

/// A record of the table's topic: key, and value if it is no deletion.
pub type RowRecord = (String, Option<String>);

/// All that is checked.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    pub sends: Vec<Send>,
    pub bumps: Vec<Bump>,
    pub polls: Vec<Poll>,
    pub ends: Vec<End>,
    pub rows: Vec<Operation>,
    pub commits: Vec<Operation>,
    /// What consumers complained of that none may.
    pub complaints: Vec<String>,
    pub logs: Vec<Whole<Value>>,
    pub table_logs: Vec<Whole<RowRecord>>,
    /// By node, all rows.
    pub scans: BTreeMap<usize, BTreeMap<String, String>>,
}

impl History {
    /// Writes it down, one entry a line, each named for its kind.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
        let History {
            sends,
            bumps,
            polls,
            ends,
            rows,
            commits,
            complaints,
            logs,
            table_logs,
            scans,
        } = self;
        fn lines<T: Serialize>(file: &mut impl Write, kind: &str, entries: &[T]) -> Result<()> {
            for entry in entries {
                writeln!(file, "{{\"{kind}\":{}}}", serde_json::to_string(entry)?)?;
            }
            Ok(())
        }
        lines(&mut file, "send", sends)?;
        lines(&mut file, "bump", bumps)?;
        lines(&mut file, "poll", polls)?;
        lines(&mut file, "end", ends)?;
        lines(&mut file, "row", rows)?;
        lines(&mut file, "commit", commits)?;
        lines(&mut file, "complaint", complaints)?;
        lines(&mut file, "log", logs)?;
        lines(&mut file, "table-log", table_logs)?;
        lines(&mut file, "scan", &scans.iter().collect::<Vec<_>>())?;
        Ok(file.flush()?)
    }

    /// Reads what [`History::save`] wrote.
    pub fn load(path: &Path) -> Result<History> {
        #[derive(Deserialize)]
        #[serde(rename_all = "kebab-case")]
        enum Line {
            Send(Send),
            Bump(Bump),
            Poll(Poll),
            End(End),
            Row(Operation),
            Commit(Operation),
            Complaint(String),
            Log(Whole<Value>),
            TableLog(Whole<RowRecord>),
            Scan((usize, BTreeMap<String, String>)),
        }
        let mut history = History::default();
        for line in std::fs::read_to_string(path)?.lines() {
            match serde_json::from_str(line)? {
                Line::Send(entry) => history.sends.push(entry),
                Line::Bump(entry) => history.bumps.push(entry),
                Line::Poll(entry) => history.polls.push(entry),
                Line::End(entry) => history.ends.push(entry),
                Line::Row(entry) => history.rows.push(entry),
                Line::Commit(entry) => history.commits.push(entry),
                Line::Complaint(entry) => history.complaints.push(entry),
                Line::Log(entry) => history.logs.push(entry),
                Line::TableLog(entry) => history.table_logs.push(entry),
                Line::Scan((node, rows)) => {
                    history.scans.insert(node, rows);
                }
            }
        }
        Ok(history)
    }
}

/// Where all clients note what they see.
pub struct Recorder {
    pub clock: Stopwatch,
    history: Mutex<History>,
}

impl Recorder {
    pub fn new(clock: Stopwatch) -> Recorder {
        Recorder {
            clock,
            history: Mutex::new(History::default()),
        }
    }

    pub fn note(&self, note: impl FnOnce(&mut History)) {
        note(&mut self.history.lock());
    }

    pub fn take(&self) -> History {
        std::mem::take(&mut self.history.lock())
    }
}

//! Which cluster this data directory belongs to, in the file `cluster`.
//!
//! ```text
//! weir-cluster <1, or 2 where there are racks>
//! id <the cluster's id>
//! state <promised | member>
//! node <broker.id, i32> <incarnation, u64>        for each that founds it
//! rack <broker.id, i32> <a string of JSON>        for each of them that has one, while it is promised
//! crc32c <8 hex digits over the lines above>
//! ```
//!
//! A version that does not know racks can go on with the directory of a member.
//!
//! A promise is given once: an incarnation that has promised to found one cluster founds no other. A member has had
//! the cluster's metadata in its log. Where the log is gone, its votes are, so it must not come back under its old id
//! (invariant D5).

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::founding::Founding;
use crate::identity::store;

const FILE: &str = "cluster";
const FIRST_LINE: &str = "weir-cluster 1";
const FIRST_LINE_WITH_RACKS: &str = "weir-cluster 2";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Promised,
    Member,
}

/// What a data directory says of its cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Belonging {
    pub state: State,
    /// Of a node that joined, only the id is known.
    pub founding: Founding,
}

#[derive(Debug, thiserror::Error)]
pub enum BelongingError {
    #[error(
        "{path} is damaged ({what}): restore it from a copy, or start with an empty --data-dir, with which the node \
         joins as a new one"
    )]
    Damaged { path: PathBuf, what: &'static str },
    #[error("cannot use {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error(
        "the log in {path} is gone, though this node was a member of cluster {cluster}, so it must not vote again: \
         restore the directory, or start with an empty --data-dir, with which the node joins as a new one"
    )]
    LogGone { path: PathBuf, cluster: String },
}

/// Reads what the directory says. Blocks.
pub fn read(dir: &Path) -> Result<Option<Belonging>, BelongingError> {
    let path = dir.join(FILE);
    match fs::read(&path) {
        Ok(bytes) => match parse(&bytes) {
            Ok(belonging) => Ok(Some(belonging)),
            Err(what) => Err(BelongingError::Damaged { path, what }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(BelongingError::Io { path, source }),
    }
}

/// Writes it durably. Blocks.
pub fn write(dir: &Path, belonging: &Belonging) -> Result<(), BelongingError> {
    let path = dir.join(FILE);
    store(dir, &path, &render(belonging)).map_err(|source| BelongingError::Io { path, source })
}

fn render(belonging: &Belonging) -> String {
    let state = match belonging.state {
        State::Promised => "promised",
        State::Member => "member",
    };
    let founding = &belonging.founding;
    let first = match founding.racks.is_empty() {
        true => FIRST_LINE,
        false => FIRST_LINE_WITH_RACKS,
    };
    let mut lines = format!("{first}\nid {}\nstate {state}\n", founding.cluster_id);
    for (broker, incarnation) in &founding.nodes {
        lines += &format!("node {broker} {incarnation}\n");
    }
    for (broker, rack) in &founding.racks {
        lines += &format!("rack {broker} {}\n", serde_json::json!(rack));
    }
    format!("{lines}crc32c {:08x}\n", weir_crc::crc32c(lines.as_bytes()))
}

fn parse(bytes: &[u8]) -> Result<Belonging, &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not text")?;
    let at = text.rfind("crc32c ").ok_or("no checksum")?;
    let (lines, checksum) = text.split_at(at);
    if checksum != format!("crc32c {:08x}\n", weir_crc::crc32c(lines.as_bytes())) {
        return Err("wrong checksum");
    }
    let mut lines = lines.lines();
    if !matches!(lines.next(), Some(FIRST_LINE | FIRST_LINE_WITH_RACKS)) {
        return Err("written by another version of weir");
    }
    let mut field = |name| lines.next().and_then(|line| line.strip_prefix(name));
    let cluster_id = field("id ").ok_or("a field is missing")?.to_owned();
    let state = match field("state ") {
        Some("promised") => State::Promised,
        Some("member") => State::Member,
        _ => return Err("a field is missing"),
    };
    let (mut nodes, mut racks) = (BTreeMap::new(), BTreeMap::new());
    for line in lines {
        let (what, broker, value) = words(line).ok_or("a node cannot be read")?;
        match what {
            "node" => {
                let incarnation = value.parse().map_err(|_| "a node cannot be read")?;
                nodes.insert(broker, incarnation);
            }
            "rack" => {
                let rack = serde_json::from_str(value).map_err(|_| "a rack cannot be read")?;
                racks.insert(broker, rack);
            }
            _ => return Err("a line that means nothing"),
        }
    }
    Ok(Belonging {
        state,
        founding: Founding {
            cluster_id,
            nodes,
            racks,
        },
    })
}

/// What a line is about, of which broker, and what it says.
fn words(line: &str) -> Option<(&str, i32, &str)> {
    let (what, rest) = line.split_once(' ')?;
    let (broker, value) = rest.split_once(' ')?;
    Some((what, broker.parse().ok()?, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn belonging() -> Belonging {
        Belonging {
            state: State::Promised,
            founding: Founding {
                cluster_id: "AAAAAAAAAAAAAAAAAAAABQ".into(),
                nodes: [(1, 11), (2, u64::MAX)].into(),
                racks: BTreeMap::new(),
            },
        }
    }

    #[test]
    fn a_directory_remembers_its_cluster() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(read(dir.path()).expect("readable"), None);
        let mut belonging = belonging();
        write(dir.path(), &belonging).expect("written");
        assert_eq!(read(dir.path()).expect("readable"), Some(belonging.clone()));
        belonging.state = State::Member;
        write(dir.path(), &belonging).expect("written");
        assert_eq!(read(dir.path()).expect("readable"), Some(belonging));
    }

    #[test]
    fn racks_are_remembered_with_a_promise() {
        let mut belonging = belonging();
        belonging.founding.racks = [(1, "a".to_owned()), (2, "b \"c\"\n".to_owned())].into();
        let text = render(&belonging);
        assert!(text.starts_with("weir-cluster 2\n"), "{text}");
        assert!(text.contains("\nrack 1 \"a\"\nrack 2 \"b \\\"c\\\"\\n\"\ncrc32c "));
        assert_eq!(parse(text.as_bytes()), Ok(belonging));
    }

    #[test]
    fn every_flipped_or_missing_byte_is_found() {
        let text = render(&belonging());
        assert!(text.starts_with(
            "weir-cluster 1\nid AAAAAAAAAAAAAAAAAAAABQ\nstate promised\nnode 1 11\nnode 2 18446744073709551615\ncrc32c "
        ));
        for at in 0..text.len() {
            assert!(parse(&text.as_bytes()[..at]).is_err(), "cut to {at}");
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            assert!(parse(&bytes).is_err(), "flipped byte {at}");
        }
    }
}

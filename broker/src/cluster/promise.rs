//! Which cluster this data directory belongs to, in the file `cluster`.
//!
//! ```text
//! weir-cluster 1
//! id <the cluster's id>
//! state <promised | member>
//! node <broker.id, i32> <incarnation, u64>        for each that founds it
//! crc32c <8 hex digits over the lines above>
//! ```
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
    let mut lines = format!("{FIRST_LINE}\nid {}\nstate {state}\n", founding.cluster_id);
    for (broker, incarnation) in &founding.nodes {
        lines += &format!("node {broker} {incarnation}\n");
    }
    format!("{lines}crc32c {:08x}\n", crc32c::crc32c(lines.as_bytes()))
}

fn parse(bytes: &[u8]) -> Result<Belonging, &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not text")?;
    let at = text.rfind("crc32c ").ok_or("no checksum")?;
    let (lines, checksum) = text.split_at(at);
    if checksum != format!("crc32c {:08x}\n", crc32c::crc32c(lines.as_bytes())) {
        return Err("wrong checksum");
    }
    let mut lines = lines.lines();
    if lines.next() != Some(FIRST_LINE) {
        return Err("written by another version of weir");
    }
    let mut field = |name| lines.next().and_then(|line| line.strip_prefix(name));
    let cluster_id = field("id ").ok_or("a field is missing")?.to_owned();
    let state = match field("state ") {
        Some("promised") => State::Promised,
        Some("member") => State::Member,
        _ => return Err("a field is missing"),
    };
    let node = |line: &str| {
        let (broker, incarnation) = line.strip_prefix("node ")?.split_once(' ')?;
        Some((broker.parse().ok()?, incarnation.parse().ok()?))
    };
    let nodes: Option<BTreeMap<i32, u64>> = lines.map(node).collect();
    Ok(Belonging {
        state,
        founding: Founding {
            cluster_id,
            nodes: nodes.ok_or("a node cannot be read")?,
        },
    })
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

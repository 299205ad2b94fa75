//! Who this data directory is: its Raft incarnation, in the file `node`, held by one process at a time.
//!
//! ```text
//! weir-node 1
//! incarnation <u64, decimal>
//! broker.id <i32, decimal>
//! crc32c <8 hex digits over the lines above>
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use weir_raft::disk::{Disk, RealDisk};

/// The directory of the log, which is made after the identity.
const LOG: &str = "raft";
/// The log's files.
const LOG_FILES: &str = "raft/wal";
/// An empty file of this name says that the log has entries.
const BEGUN: &str = "begun";
const FIRST_LINE: &str = "weir-node 1";

/// The directory's identity. The directory is this process's until the value is dropped.
#[derive(Debug)]
pub struct Identity {
    /// Raft's node id; never reused, so a directory that lost its state is another node.
    pub incarnation: u64,
    pub broker_id: i32,
    dir: PathBuf,
    _lock: File,
}

#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error(
        "the data directory {0} is in use by another weir process: stop that one, or give this one another --data-dir"
    )]
    Locked(PathBuf),
    #[error(
        "the data directory {path} belongs to broker.id {found}, not {wanted}: start with broker.id {found}, or with another --data-dir"
    )]
    OtherBroker {
        path: PathBuf,
        found: i32,
        wanted: i32,
    },
    #[error(
        "{path} is damaged ({what}): restore it from a copy, or start with an empty --data-dir"
    )]
    Damaged { path: PathBuf, what: &'static str },
    #[error(
        "{0} is missing or empty, though there was a log in it, with what was acknowledged: restore it from a copy, make \
         sure that its file system is mounted, or start with an empty --data-dir, with which a node of a cluster joins as \
         a new one"
    )]
    LogMissing(PathBuf),
    #[error("cannot use the data directory {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
}

impl Identity {
    /// Takes the directory, making it and its identity when it is new.
    pub fn take(
        dir: &Path,
        broker_id: i32,
        new_incarnation: impl FnOnce() -> u64,
    ) -> Result<Identity, IdentityError> {
        let io = |source| IdentityError::Io {
            path: dir.to_owned(),
            source,
        };
        RealDisk.create_dir(dir).map_err(io)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(dir.join("lock"))
            .map_err(io)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| IdentityError::Locked(dir.to_owned()))?;
        let path = dir.join("node");
        let incarnation = match fs::read(&path) {
            Ok(bytes) => {
                let (incarnation, found) =
                    parse(&bytes).map_err(|what| IdentityError::Damaged { path, what })?;
                if found != broker_id {
                    return Err(IdentityError::OtherBroker {
                        path: dir.to_owned(),
                        found,
                        wanted: broker_id,
                    });
                }
                let log = dir.join(LOG_FILES);
                if dir.join(BEGUN).exists() && is_empty(&log).map_err(io)? {
                    return Err(IdentityError::LogMissing(log));
                }
                incarnation
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if dir.join(LOG).exists() {
                    let what = "it is missing, though there is a log";
                    return Err(IdentityError::Damaged { path, what });
                }
                let incarnation = new_incarnation();
                store(dir, &path, &render(incarnation, broker_id)).map_err(io)?;
                incarnation
            }
            Err(error) => return Err(io(error)),
        };
        Ok(Identity {
            incarnation,
            broker_id,
            dir: dir.to_owned(),
            _lock: lock,
        })
    }

    /// Notes durably that the log has entries: a start that finds none is refused from now on.
    pub fn log_has_begun(&self) -> io::Result<()> {
        let begun = self.dir.join(BEGUN);
        if !begun.exists() {
            File::create(begun)?;
            File::open(&self.dir)?.sync_all()?;
        }
        Ok(())
    }
}

/// Whether there is nothing in a directory, or no directory.
fn is_empty(dir: &Path) -> io::Result<bool> {
    match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        listed => Ok(listed?.next().is_none()),
    }
}

pub(crate) fn render(incarnation: u64, broker_id: i32) -> String {
    let lines = format!("{FIRST_LINE}\nincarnation {incarnation}\nbroker.id {broker_id}\n");
    format!("{lines}crc32c {:08x}\n", weir_crc::crc32c(lines.as_bytes()))
}

pub(crate) fn parse(bytes: &[u8]) -> Result<(u64, i32), &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not text")?;
    let at = text.rfind("crc32c ").ok_or("no checksum")?;
    let (lines, checksum) = text.split_at(at);
    let checksum = checksum
        .strip_prefix("crc32c ")
        .and_then(|c| c.strip_suffix('\n'))
        .ok_or("no checksum")?;
    if checksum != format!("{:08x}", weir_crc::crc32c(lines.as_bytes())) {
        return Err("wrong checksum");
    }
    let mut lines = lines.lines();
    if lines.next() != Some(FIRST_LINE) {
        return Err("written by another version of weir");
    }
    let incarnation = field(lines.next(), "incarnation ")?;
    Ok((incarnation, field(lines.next(), "broker.id ")?))
}

fn field<T: std::str::FromStr>(line: Option<&str>, name: &str) -> Result<T, &'static str> {
    line.and_then(|l| l.strip_prefix(name))
        .and_then(|v| v.parse().ok())
        .ok_or("a field is missing")
}

/// Written whole under another name, fsynced, then named: a crash leaves the old file or the new.
pub(crate) fn store(dir: &Path, path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_keeps_its_incarnation() {
        let dir = tempfile::tempdir().expect("a directory");
        let first = Identity::take(dir.path(), 3, || 77).expect("new");
        assert!(matches!(
            Identity::take(dir.path(), 3, || 1),
            Err(IdentityError::Locked(_))
        ));
        drop(first);
        assert_eq!(
            Identity::take(dir.path(), 3, || 1)
                .expect("known")
                .incarnation,
            77
        );
        assert!(matches!(
            Identity::take(dir.path(), 4, || 1),
            Err(IdentityError::OtherBroker { found: 3, .. })
        ));
    }

    #[test]
    fn a_log_without_its_identity_gets_no_new_one() {
        let dir = tempfile::tempdir().expect("a directory");
        drop(Identity::take(dir.path(), 3, || 77).expect("new"));
        fs::create_dir(dir.path().join(LOG)).expect("created");
        fs::remove_file(dir.path().join("node")).expect("removed");
        let error = Identity::take(dir.path(), 3, || 1).expect_err("refused");
        assert!(error.to_string().contains("restore it"), "{error}");
        assert!(!dir.path().join("node").exists());
    }

    #[test]
    fn a_log_that_has_begun_and_is_gone_is_missed() {
        let dir = tempfile::tempdir().expect("a directory");
        let take = || Identity::take(dir.path(), 3, || 77);
        drop(take().expect("new"));
        take().expect("not begun").log_has_begun().expect("noted");
        let files = dir.path().join(LOG_FILES);
        for _ in 0..2 {
            let error = take().expect_err("refused").to_string();
            assert!(error.contains("raft/wal is missing"), "{error}");
            fs::create_dir_all(&files).expect("created");
        }
        fs::write(files.join("1.wal"), []).expect("written");
        take().expect("there").log_has_begun().expect("noted");
    }

    #[test]
    fn every_flipped_or_missing_byte_is_found() {
        let text = render(12345, 0);
        assert_eq!(
            text,
            "weir-node 1\nincarnation 12345\nbroker.id 0\ncrc32c ".to_owned()
                + &text[text.len() - 9..]
        );
        for at in 0..text.len() {
            assert!(parse(&text.as_bytes()[..at]).is_err(), "cut to {at}");
            for bits in [1, 0xff] {
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= bits;
                assert!(parse(&bytes).is_err(), "flipped byte {at}");
            }
        }
    }
}

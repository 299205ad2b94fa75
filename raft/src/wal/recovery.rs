//! Finds out what the WAL holds after a stop of any kind.
//!
//! Files form a chain: each one's start record names the file before it and where that one ends.
//! Records are replayed along the chain up to the first that is not whole. If any record anywhere
//! says that this place was already durable, it is damage and the WAL does not open; otherwise it
//! is the tail of a group of writes that nobody was told about, and is cut.

use std::io;
use std::path::{Path, PathBuf};

use super::files::{OpenFile, file_path, file_seq};
use super::format::{FILE_HEADER_LEN, FileHeader, Kind, RecordHeader};
use super::scan::{Beyond, Found, Scan};
use crate::disk::Disk;
use crate::ids::{NodeId, WalPos};
use crate::observer::{Damage, WalObserver};

/// Why a node's WAL does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{action} {path} failed: {source}")]
    Io {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error(
        "write-ahead log file {path} is damaged at offset {offset}: {what}. The bytes there were \
         durable, so acknowledged data is affected and nothing was changed. Restore the whole \
         directory from a copy of this node, or remove this node from its cluster and let it \
         join again with an empty directory and a new node id"
    )]
    Damaged {
        path: PathBuf,
        offset: u32,
        what: String,
    },
    #[error("{path} belongs to node {owner}, but this is node {node}; use that node's directory")]
    OtherNode {
        path: PathBuf,
        owner: NodeId,
        node: NodeId,
    },
    #[error("{path} is in use by another process; stop that one, or use another directory")]
    Locked { path: PathBuf },
    #[error("{0}")]
    Config(String),
    #[error("starting the thread of the write-ahead log failed: {0}")]
    Thread(io::Error),
}

/// A WAL that can be continued.
pub struct Recovered {
    /// Where the next record goes.
    pub tail: WalPos,
    /// How far the tail's file may be filled.
    pub capacity: u32,
    pub next_file: u64,
    pub oldest_file: u64,
    pub files: Vec<OpenFile>,
    /// An unused file that already has the name of the next one.
    pub prepared: Option<OpenFile>,
    pub spares: Vec<PathBuf>,
}

type Replay<'a> = &'a mut dyn FnMut(&RecordHeader) -> Result<(), String>;

pub fn recover(
    disk: &dyn Disk,
    dir: &Path,
    node: NodeId,
    observer: &dyn WalObserver,
    replay: Replay<'_>,
) -> Result<Recovered, OpenError> {
    disk.create_dir(dir).map_err(io("creating", dir))?;
    let (scans, spares) = open_files(disk, dir, node)?;
    let mut chain = Chain {
        scans,
        at: WalPos::ZERO,
        position: 0,
        durable: WalPos::ZERO,
        oldest_file: 1,
    };
    chain.follow(replay)?;
    chain.check_oldest(dir)?;
    let beyond = chain.beyond()?;
    chain.refuse_damage(&beyond)?;
    chain.finish(disk, dir, spares, &beyond, observer)
}

/// All files in order of their numbers, and the paths of spare ones.
fn open_files(
    disk: &dyn Disk,
    dir: &Path,
    node: NodeId,
) -> Result<(Vec<Scan>, Vec<PathBuf>), OpenError> {
    let mut scans = Vec::new();
    let paths = disk.list(dir).map_err(io("listing", dir))?;
    for path in paths {
        match file_seq(&path) {
            Some(seq) => scans.push(open_file(disk, path, seq, node)?),
            // An unfinished or a spare file; a fresh one is made when it is needed.
            None if path.extension().is_some_and(|extension| extension == "tmp") => {
                disk.remove(&path).map_err(io("removing", &path))?;
            }
            None => {}
        }
    }
    scans.sort_by_key(|scan| scan.file.seq);
    for pair in scans.windows(2) {
        let expected = pair[0].file.seq + 1;
        if pair[1].file.seq != expected {
            return Err(missing(dir, expected));
        }
    }
    Ok((scans, Vec::new()))
}

fn open_file(disk: &dyn Disk, path: PathBuf, seq: u64, node: NodeId) -> Result<Scan, OpenError> {
    let file = disk.open(&path).map_err(io("opening", &path))?;
    let mut bytes = [0; FILE_HEADER_LEN as usize];
    let damaged = |what: &str| OpenError::Damaged {
        path: path.clone(),
        offset: 0,
        what: what.into(),
    };
    match file.pread(&mut bytes, 0) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Err(damaged("it is shorter than its header"));
        }
        result => result.map_err(io("reading", &path))?,
    }
    let header = FileHeader::decode(&bytes).map_err(damaged)?;
    if header.file != seq {
        return Err(damaged("its header has the number of another file"));
    }
    if header.node != node.0 {
        return Err(OpenError::OtherNode {
            path,
            owner: NodeId(header.node),
            node,
        });
    }
    let file = OpenFile {
        seq,
        capacity: header.capacity,
        salt: header.salt,
        file,
    };
    Scan::new(file, path.clone()).map_err(io("reading", &path))
}

/// The way through the files.
struct Chain {
    scans: Vec<Scan>,
    /// The first byte that is not part of a good record.
    at: WalPos,
    /// The place of the last file of the chain among `scans`.
    position: usize,
    /// The highest durable position that a good record claims.
    durable: WalPos,
    /// From the last watermark.
    oldest_file: u64,
}

impl Chain {
    fn follow(&mut self, replay: Replay<'_>) -> Result<(), OpenError> {
        if self.scans.is_empty() {
            return Ok(());
        }
        let mut successors = Vec::new();
        for (place, scan) in self.scans.iter_mut().enumerate() {
            if let Some((previous, end)) = scan.start().map_err(io("reading", &scan.path))? {
                successors.push((previous, end, place));
            }
        }
        loop {
            let seq = self.scans[self.position].file.seq;
            let next = successors.iter().rfind(|(previous, ..)| *previous == seq);
            let end = next.map(|(_, end, _)| *end);
            self.at = self.follow_file(end, replay)?;
            match next {
                Some((_, end, place)) if self.at.offset == *end => self.position = *place,
                _ => return Ok(()),
            }
        }
    }

    /// Replays a file up to `end`, or as far as it goes. Returns where that was.
    fn follow_file(&mut self, end: Option<u32>, replay: Replay<'_>) -> Result<WalPos, OpenError> {
        let scan = &mut self.scans[self.position];
        let mut offset = FILE_HEADER_LEN;
        while end.is_none_or(|end| offset < end) {
            let found = scan.record(offset).map_err(io("reading", &scan.path))?;
            let Found::Record(header) = found else {
                break;
            };
            self.durable = self.durable.max(header.durable);
            if let Kind::Watermark { oldest_file, .. } = header.kind {
                self.oldest_file = oldest_file;
            }
            replay(&header).map_err(|what| OpenError::Damaged {
                path: scan.path.clone(),
                offset,
                what,
            })?;
            offset = header.end();
        }
        Ok(WalPos {
            file: scan.file.seq,
            offset,
        })
    }

    fn check_oldest(&self, dir: &Path) -> Result<(), OpenError> {
        match self.scans.first() {
            Some(first) if first.file.seq > self.oldest_file => Err(missing(dir, self.oldest_file)),
            _ => Ok(()),
        }
    }

    /// What lies past the end of the chain.
    fn beyond(&mut self) -> Result<Beyond, OpenError> {
        let mut beyond = Beyond::default();
        for (place, scan) in self.scans.iter_mut().enumerate() {
            let from = match place.cmp(&self.position) {
                std::cmp::Ordering::Less => continue,
                std::cmp::Ordering::Equal => self.at.offset,
                std::cmp::Ordering::Greater => FILE_HEADER_LEN,
            };
            let looked = scan.beyond(from, &mut beyond);
            looked.map_err(io("reading", &scan.path))?;
        }
        Ok(beyond)
    }

    fn refuse_damage(&self, beyond: &Beyond) -> Result<(), OpenError> {
        let durable = self.durable.max(beyond.durable);
        if durable <= self.at {
            return Ok(());
        }
        let scan = &self.scans[self.position];
        Err(OpenError::Damaged {
            path: scan.path.clone(),
            offset: self.at.offset,
            what: format!("no whole record lies there, but all up to {durable} was durable"),
        })
    }

    /// Cuts what has to be cut and makes the rest durable.
    fn finish(
        self,
        disk: &dyn Disk,
        dir: &Path,
        spares: Vec<PathBuf>,
        beyond: &Beyond,
        observer: &dyn WalObserver,
    ) -> Result<Recovered, OpenError> {
        let cut = beyond.bytes > 0;
        if cut {
            report(&self, beyond, observer);
        }
        let mut recovered = Recovered {
            tail: self.at,
            capacity: 0,
            next_file: self.at.file + 1,
            oldest_file: self.oldest_file,
            files: Vec::new(),
            prepared: None,
            spares,
        };
        for (place, scan) in self.scans.into_iter().enumerate() {
            let Scan { file, path, .. } = scan;
            if place <= self.position {
                if file.seq >= self.durable.file {
                    file.file.sync().map_err(io("syncing", &path))?;
                }
                // After a cut the file is left as it is: records that come to lie before the cut
                // ones might make those look good again.
                if place == self.position && !cut {
                    recovered.capacity = file.capacity;
                }
                recovered.files.push(file);
            } else if !cut && file.seq == self.at.file + 1 {
                recovered.prepared = Some(file);
            } else {
                disk.remove(&path).map_err(io("removing", &path))?;
            }
        }
        disk.sync_dir(dir).map_err(io("syncing", dir))?;
        Ok(recovered)
    }
}

fn missing(dir: &Path, seq: u64) -> OpenError {
    OpenError::Damaged {
        path: file_path(dir, seq),
        offset: 0,
        what: "the file is missing".into(),
    }
}

fn report(chain: &Chain, beyond: &Beyond, observer: &dyn WalObserver) {
    let path = chain.scans[chain.position].path.clone();
    let shards: Vec<_> = beyond.shards.iter().copied().collect();
    tracing::warn!(
        path = %path.display(),
        offset = chain.at.offset,
        bytes = beyond.bytes,
        ?shards,
        "cut the torn tail of the write-ahead log; nothing in it was acknowledged"
    );
    observer.reported(&Damage::TornTail {
        path,
        at: chain.at,
        bytes: beyond.bytes,
        shards,
    });
}

fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Io {
        action,
        path,
        source,
    }
}

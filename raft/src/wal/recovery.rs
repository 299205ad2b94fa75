//! Finds out what the WAL holds after a stop of any kind.
//!
//! Files form a chain: each one's start record names the file before it and where that one ends.
//! Records are replayed along the chain up to the first that is not whole. If any record anywhere
//! says that this place was already durable, it is damage and the WAL does not open; otherwise it
//! is the tail of a group of writes that nobody was told about, and is cut.
//!
//! A file that another one goes on from was synced before that one was begun. Of such files only headers and short
//! bodies are read: a start with 20 GB of large records would read all of them otherwise, at what the disk gives. Damage
//! in a long body is found when it is read, for a reader as for a replica that applies it.

use std::io;
use std::path::{Path, PathBuf};

use super::files::{OpenFile, file_path, file_seq};
use super::format::{FILE_HEADER_LEN, FileHeader, Kind, RecordHeader};
use super::mark;
use super::scan::{Beyond, Found, Scan};
use crate::disk::Disk;
use crate::ids::{NodeId, WalPos};
use crate::observer::{Damage, WalObserver};
use crate::planted::{self, Bug};

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
    /// The file that is marked as the newest; 0 for none.
    pub marked: u64,
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
    let (scans, marked, reached) = open_files(disk, dir, node)?;
    let mut chain = Chain {
        scans,
        marked,
        reached,
        at: WalPos::ZERO,
        position: 0,
        goes_on: false,
        durable: WalPos::ZERO,
        oldest_file: 1,
    };
    chain.follow(replay)?;
    let beyond = chain.beyond()?;
    // First, since a damaged record may be the one that says which file is the oldest.
    chain.refuse_damage(&beyond)?;
    chain.check_oldest(dir)?;
    chain.finish(disk, dir, &beyond, observer)
}

/// All files in order of their numbers, the one that is marked as the newest, and how far the log reaches at least.
fn open_files(
    disk: &dyn Disk,
    dir: &Path,
    node: NodeId,
) -> Result<(Vec<Scan>, u64, WalPos), OpenError> {
    let mut scans = Vec::new();
    let paths = disk.list(dir).map_err(io("listing", dir))?;
    let (mut marked, mut reached) = (0, WalPos::ZERO);
    for path in paths {
        if let Some(seq) = mark::seq(&path) {
            marked = seq.max(marked);
            reached = marked_end(disk, &path)?.max(reached);
            continue;
        }
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
    let newest = scans.last().map_or(0, |scan| scan.file.seq);
    if planted::has(Bug::FilesNotChecked) {
        return Ok((scans, marked, reached));
    }
    if newest < marked {
        return Err(missing(dir, if newest == 0 { marked } else { newest + 1 }));
    }
    for pair in scans.windows(2) {
        let expected = pair[0].file.seq + 1;
        if pair[1].file.seq != expected {
            return Err(missing(dir, expected));
        }
    }
    Ok((scans, marked, reached))
}

fn marked_end(disk: &dyn Disk, path: &Path) -> Result<WalPos, OpenError> {
    let end = mark::end(disk, path).map_err(io("reading", path))?;
    end.map_err(|what| OpenError::Damaged {
        path: path.to_owned(),
        offset: 0,
        what: what.into(),
    })
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
    if header.file != seq && !planted::has(Bug::FilesNotChecked) {
        return Err(damaged("its header has the number of another file"));
    }
    if header.node != node.0 {
        return Err(OpenError::OtherNode {
            path,
            owner: NodeId(header.node),
            node,
        });
    }
    let size = file.size().map_err(io("reading", &path))?;
    if size < header.len {
        return Err(OpenError::Damaged {
            path,
            offset: size as u32,
            what: format!("the file ends there, but had {} bytes", header.len),
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
    /// The file that is marked as the newest; 0 for none.
    marked: u64,
    /// The mark says that the log reaches so far at least.
    reached: WalPos,
    /// The first byte that is not part of a good record.
    at: WalPos,
    /// The place of the last file of the chain among `scans`.
    position: usize,
    /// The next file says that this one goes on.
    goes_on: bool,
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
            let start = scan.start().map_err(io("reading", &scan.path))?;
            // One that names itself or a later file is damaged; followed, it would lead round for ever.
            if let Some((previous, end)) = start.filter(|(previous, _)| *previous < scan.file.seq) {
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
                next => {
                    self.goes_on = next.is_some();
                    return Ok(());
                }
            }
        }
    }

    /// Replays a file up to `end`, or as far as it goes. Returns where that was.
    fn follow_file(&mut self, end: Option<u32>, replay: Replay<'_>) -> Result<WalPos, OpenError> {
        let scan = &mut self.scans[self.position];
        let mut offset = FILE_HEADER_LEN;
        while end.is_none_or(|end| offset < end) {
            let found = match end {
                Some(_) => scan.durable_record(offset),
                None => scan.record(offset),
            };
            let found = found.map_err(io("reading", &scan.path))?;
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
            Some(first)
                if first.file.seq > self.oldest_file && !planted::has(Bug::FilesNotChecked) =>
            {
                Err(missing(dir, self.oldest_file))
            }
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
        let durable = self.durable.max(beyond.durable).max(self.reached);
        if durable <= self.at
            || planted::has(Bug::TailCutBelowWatermark)
            || planted::has(Bug::FilesNotChecked)
        {
            return Ok(());
        }
        let (scan, offset) = self.suspect(beyond);
        Err(OpenError::Damaged {
            path: scan.path.clone(),
            offset,
            what: format!("no whole record lies there, but all up to {durable} was durable"),
        })
    }

    /// The place of the damage: the end of the chain, unless that file just ends there and the first record
    /// of the next one, which would say so, is not whole.
    fn suspect(&self, beyond: &Beyond) -> (&Scan, u32) {
        let elsewhere = beyond.first_file.is_some_and(|file| file > self.at.file);
        match self.scans.get(self.position + 1) {
            Some(next) if elsewhere && !self.goes_on => (next, FILE_HEADER_LEN),
            _ => (&self.scans[self.position], self.at.offset),
        }
    }

    /// Cuts what has to be cut and makes the rest durable.
    fn finish(
        self,
        disk: &dyn Disk,
        dir: &Path,
        beyond: &Beyond,
        observer: &dyn WalObserver,
    ) -> Result<Recovered, OpenError> {
        let cut = beyond.bytes > 0;
        if cut {
            report(&self, beyond, observer);
        }
        let prepared = (!cut).then_some(self.at.file + 1);
        let last = self.scans.last().map(|scan| scan.file.seq);
        let mut marked = self.marked;
        if last.is_some_and(|last| last > prepared.unwrap_or(self.at.file)) {
            // The files beyond are removed, and must not be missed if that is as far as this start comes.
            mark::set(disk, dir, marked, self.at.file)
                .map_err(io("marking the newest file in", dir))?;
            marked = self.at.file;
        }
        let mut recovered = Recovered {
            tail: self.at,
            capacity: 0,
            next_file: self.at.file + 1,
            oldest_file: self.oldest_file,
            files: Vec::new(),
            prepared: None,
            spares: Vec::new(),
            marked,
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
            } else if prepared == Some(file.seq) {
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

//! A disk's names and bytes: as its process sees them, and as they would be found later.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;

use bytes::Bytes;
use tokio::time::Instant;

use crate::random::Rng;

/// What a disk writes at once or not at all.
const SECTOR: usize = 512;

/// A file, whatever its name.
pub type Inode = u64;

/// By their whole paths, which are compared as bytes: there are hundreds.
type Names = BTreeMap<OsString, Inode>;

/// What an operation does.
#[derive(Debug, Clone)]
pub enum Change {
    Write(Inode, usize, Bytes),
    /// The file has at least so many bytes.
    Grow(Inode, usize),
    Sync(Inode),
    /// A sync that failed: what it was to make durable never will be.
    Forget(Inode),
    Name(OsString, Inode),
    Rename(OsString, OsString),
    Remove(OsString),
    SyncDir(OsString),
}

/// What is kept of writes and names that are in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    Cache,
    /// Any sectors, and the first names.
    Sectors,
    Nothing,
}

/// Invariant: `names` and the files' `seen` are what all changes come to, `cached` and `pending` what those come to
/// that have ended.
#[derive(Default)]
pub struct Store {
    pub names: Names,
    cached: Names,
    durable: Names,
    /// Changes of cached names since their directories were synced.
    unsynced: Vec<Change>,
    files: BTreeMap<Inode, Content>,
    last: Inode,
    /// Changes that have not ended.
    journal: VecDeque<(Instant, Instant, Change)>,
}

#[derive(Default)]
struct Content {
    seen: Vec<u8>,
    durable: Vec<u8>,
    /// Writes in the cache.
    pending: Vec<(usize, Bytes)>,
    grown: usize,
}

impl Content {
    fn write(&mut self, offset: usize, bytes: Bytes) {
        self.pending.push((offset, bytes));
    }

    fn sync(&mut self) {
        grow(&mut self.durable, self.grown);
        for (offset, bytes) in self.pending.drain(..) {
            write_at(&mut self.durable, offset, &bytes);
        }
    }
}

impl Store {
    pub fn create(&mut self) -> Inode {
        self.last += 1;
        self.files.insert(self.last, Content::default());
        self.last
    }

    pub fn len(&self, inode: Inode) -> usize {
        self.files[&inode].seen.len()
    }

    pub fn read(&self, inode: Inode, offset: usize, buf: &mut [u8]) -> io::Result<()> {
        let seen = &self.files[&inode].seen;
        let bytes = seen.get(offset..offset + buf.len());
        buf.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    /// A change that is seen at once, and ends later.
    pub fn change(&mut self, start: Instant, end: Instant, change: Change) {
        match &change {
            Change::Write(inode, offset, bytes) => {
                write_at(&mut self.content(*inode).seen, *offset, bytes);
            }
            Change::Grow(inode, len) => grow(&mut self.content(*inode).seen, *len),
            Change::Sync(_) | Change::Forget(_) | Change::SyncDir(_) => {}
            names => rename(&mut self.names, names),
        }
        self.journal.push_back((start, end, change));
    }

    fn content(&mut self, inode: Inode) -> &mut Content {
        let content = self.files.get_mut(&inode);
        content.expect("an open file is there")
    }

    /// Has the changes take effect that have ended at `now`.
    pub fn settle(&mut self, now: Instant) {
        while let Some((_, end, _)) = self.journal.front()
            && *end <= now
        {
            let (_, _, change) = self.journal.pop_front().expect("there is one");
            self.settle_one(change);
        }
    }

    fn settle_one(&mut self, change: Change) {
        match change {
            Change::Write(inode, offset, bytes) => self.content(inode).write(offset, bytes),
            Change::Grow(inode, len) => {
                let content = self.content(inode);
                content.grown = content.grown.max(len);
            }
            Change::Sync(inode) => self.content(inode).sync(),
            Change::Forget(inode) => self.content(inode).pending.clear(),
            Change::SyncDir(dir) => {
                let is_within = |change: &mut Change| is_within(name_of(change), &dir);
                for synced in self.unsynced.extract_if(.., is_within) {
                    rename(&mut self.durable, &synced);
                }
            }
            names => {
                rename(&mut self.cached, &names);
                self.unsynced.push(names);
            }
        }
    }

    /// The file of a name.
    pub fn find(&self, path: &Path) -> Option<Inode> {
        self.names.get(path.as_os_str()).copied()
    }

    /// The names in a directory.
    pub fn list(&self, dir: &Path) -> impl Iterator<Item = &OsString> {
        let names = self.names.keys();
        names.filter(move |name| is_within(name, dir.as_os_str()))
    }

    /// Whether these bytes, as they are seen, are durable, as well as the file's name.
    pub fn is_durable(&self, path: &Path, offset: usize, len: usize) -> bool {
        let Some(inode) = self.find(path) else {
            return false;
        };
        let content = &self.files[&inode];
        let range = offset..offset + len;
        let seen = content.seen.get(range.clone());
        self.durable.get(path.as_os_str()) == Some(&inode)
            && seen.is_some()
            && seen == content.durable.get(range)
    }

    pub fn rot(&mut self, path: &Path, offset: usize, bit: u8) -> bool {
        let Some(inode) = self.find(path) else {
            return false;
        };
        let content = self.files.get_mut(&inode).expect("a named file is there");
        let mask = 1 << (bit % 8);
        let Content {
            seen,
            durable,
            pending,
            ..
        } = content;
        let (Some(seen), Some(durable)) = (seen.get_mut(offset), durable.get_mut(offset)) else {
            return false;
        };
        let rewritten = |(at, bytes): &(usize, Bytes)| (*at..*at + bytes.len()).contains(&offset);
        if pending.iter().any(rewritten) {
            return false;
        }
        *seen ^= mask;
        *durable ^= mask;
        true
    }

    pub fn swap(&mut self, one: &Path, other: &Path) {
        for names in [&mut self.names, &mut self.cached, &mut self.durable] {
            let (one, other) = (one.as_os_str(), other.as_os_str());
            if let (Some(a), Some(b)) = (names.get(one).copied(), names.get(other).copied()) {
                names.insert(one.to_owned(), b);
                names.insert(other.to_owned(), a);
            }
        }
    }

    /// What is found after a crash at `at`.
    pub fn after(&mut self, at: Instant, keep: Keep, rng: &Rng) -> Store {
        self.settle(at);
        let mut names = self.durable.clone();
        let surviving = match keep {
            Keep::Cache => self.unsynced.len(),
            Keep::Sectors => rng.below(self.unsynced.len() as u64 + 1) as usize,
            Keep::Nothing => 0,
        };
        for change in &self.unsynced[..surviving] {
            rename(&mut names, change);
        }
        let mut after = Store {
            last: self.last,
            ..Store::default()
        };
        for inode in names.values() {
            let bytes = self.surviving(*inode, at, keep, rng);
            let content = Content {
                seen: bytes.clone(),
                durable: bytes,
                ..Content::default()
            };
            after.files.insert(*inode, content);
        }
        after.names = names.clone();
        after.cached = names.clone();
        after.durable = names;
        after
    }

    fn surviving(&self, inode: Inode, at: Instant, keep: Keep, rng: &Rng) -> Vec<u8> {
        let content = &self.files[&inode];
        let mut bytes = content.durable.clone();
        if keep != Keep::Nothing {
            grow(&mut bytes, content.grown);
        }
        // A loss of power tends to take much or little.
        let lost = *rng.pick(&[50, 500, 950]);
        let mut survives = || match keep {
            Keep::Cache => true,
            Keep::Sectors => !rng.chance(lost),
            Keep::Nothing => false,
        };
        for (offset, written) in &content.pending {
            tear(&mut bytes, *offset, written, &mut survives);
        }
        // The write that was going on.
        for (start, _, change) in &self.journal {
            if let Change::Write(of, offset, written) = change
                && *of == inode
                && *start < at
            {
                let mut survives = || keep != Keep::Nothing && !rng.chance(lost);
                tear(&mut bytes, *offset, written, &mut survives);
            }
        }
        bytes
    }
}

fn is_within(name: &OsStr, dir: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    let within = name.strip_prefix(dir.as_encoded_bytes());
    let file = within.and_then(|within| within.strip_prefix(b"/"));
    file.is_some_and(|file| !file.contains(&b'/'))
}

fn name_of(change: &Change) -> &OsStr {
    match change {
        Change::Name(name, _) | Change::Rename(_, name) | Change::Remove(name) => name,
        _ => unreachable!("only changes of names are kept apart"),
    }
}

fn rename(names: &mut Names, change: &Change) {
    match change {
        Change::Name(name, inode) => {
            names.insert(name.clone(), *inode);
        }
        Change::Rename(from, to) => {
            if let Some(inode) = names.remove(from) {
                names.insert(to.clone(), inode);
            }
        }
        Change::Remove(name) => {
            names.remove(name);
        }
        _ => unreachable!("this is no change of names"),
    }
}

fn grow(bytes: &mut Vec<u8>, len: usize) {
    if bytes.len() < len {
        bytes.resize(len, 0);
    }
}

fn write_at(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    grow(bytes, offset + data.len());
    bytes[offset..offset + data.len()].copy_from_slice(data);
}

/// Writes those sectors of `data` that survive; a lost one leaves what was there before.
fn tear(bytes: &mut Vec<u8>, offset: usize, data: &[u8], survives: &mut dyn FnMut() -> bool) {
    let mut at = 0;
    while at < data.len() {
        let sector_end = (offset + at) / SECTOR * SECTOR + SECTOR - offset;
        let end = sector_end.min(data.len());
        if survives() {
            write_at(bytes, offset + at, &data[at..end]);
        }
        at = end;
    }
}

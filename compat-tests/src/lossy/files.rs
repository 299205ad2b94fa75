//! The bytes of one file, in a file of the backing directory, and how to get back to what was synced.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::loss::Loss;

/// A file whose changes since its last sync can be undone.
pub struct Bytes {
    backing: File,
    len: u64,
    /// In order.
    unsynced: Vec<Change>,
}

enum Change {
    Write {
        at: u64,
        /// The file's length before.
        len: u64,
        /// What was there, as far as the file went.
        before: Vec<u8>,
        after: Vec<u8>,
    },
    Resize {
        from: u64,
        to: u64,
        /// What was cut off.
        cut: Vec<u8>,
    },
}

impl Bytes {
    /// An empty file; `backing` is empty too.
    pub fn new(backing: File) -> Bytes {
        Bytes {
            backing,
            len: 0,
            unsynced: Vec::new(),
        }
    }

    pub fn len(&self) -> u64 {
        self.len
    }

    /// At most `len` bytes, fewer at the end of the file.
    pub fn read(&self, at: u64, len: usize) -> io::Result<Vec<u8>> {
        let there = self.len.saturating_sub(at).min(len as u64) as usize;
        let mut bytes = vec![0; there];
        self.backing.read_exact_at(&mut bytes, at)?;
        Ok(bytes)
    }

    pub fn write(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let before = self.read(at, bytes.len())?;
        self.backing.write_all_at(bytes, at)?;
        self.unsynced.push(Change::Write {
            at,
            len: self.len,
            before,
            after: bytes.to_vec(),
        });
        self.len = self.len.max(at + bytes.len() as u64);
        Ok(())
    }

    pub fn resize(&mut self, to: u64) -> io::Result<()> {
        if to == self.len {
            return Ok(());
        }
        let cut = self.read(to, self.len.saturating_sub(to) as usize)?;
        self.unsynced.push(Change::Resize {
            from: self.len,
            to,
            cut,
        });
        self.set_len(to)
    }

    /// What was written so far is durable.
    pub fn sync(&mut self) {
        self.unsynced.clear();
    }

    /// Goes back to what was synced, and keeps of the rest what the loss leaves.
    pub fn lose(&mut self, loss: &mut Loss) -> io::Result<()> {
        let changes = std::mem::take(&mut self.unsynced);
        for change in changes.iter().rev() {
            match change {
                Change::Write {
                    at, len, before, ..
                } => {
                    self.backing.write_all_at(before, *at)?;
                    self.set_len(*len)?;
                }
                Change::Resize { from, to, cut } => {
                    self.set_len(*from)?;
                    self.backing.write_all_at(cut, *to)?;
                }
            }
        }
        for change in changes {
            match change {
                Change::Write { at, after, .. } => {
                    for part in loss.sectors(at, after.len()) {
                        if loss.keeps_sector() {
                            let start = at + part.start as u64;
                            self.backing.write_all_at(&after[part.clone()], start)?;
                            self.len = self.len.max(start + part.len() as u64);
                        }
                    }
                }
                Change::Resize { to, .. } => {
                    if loss.keeps_length() {
                        self.set_len(to)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.backing.set_len(len)?;
        self.len = len;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Bytes {
        Bytes::new(tempfile::tempfile().expect("a file"))
    }

    fn all(file: &Bytes) -> Vec<u8> {
        file.read(0, 1 << 20).expect("read")
    }

    #[test]
    fn what_was_synced_comes_back_whatever_was_done_to_it_since() {
        let mut file = file();
        file.write(0, &[1; 3000]).expect("written");
        file.sync();
        file.write(2000, &[2; 2000]).expect("written");
        file.resize(10).expect("cut");
        file.write(1000, &[3; 10]).expect("written");
        file.resize(9000).expect("longer");
        file.write(0, &[4; 9000]).expect("written");
        assert_eq!(all(&file), [4; 9000]);
        file.lose(&mut Loss::total()).expect("undone");
        assert_eq!(all(&file), [1; 3000]);
        // What came before is forgotten.
        file.lose(&mut Loss::total()).expect("undone");
        assert_eq!(all(&file), [1; 3000]);
    }

    #[test]
    fn each_sector_survives_or_not() {
        let (mut torn, mut whole) = (0, 0);
        for seed in 0..200 {
            let mut file = file();
            file.write(0, &[1; 8192]).expect("written");
            file.sync();
            file.write(0, &[2; 8192]).expect("written");
            file.lose(&mut Loss::random(seed)).expect("lost");
            let bytes = all(&file);
            assert_eq!(bytes.len(), 8192);
            for sector in bytes.chunks(512) {
                assert!(sector.iter().all(|byte| *byte == sector[0]));
            }
            let new = bytes.iter().filter(|byte| **byte == 2).count();
            torn += usize::from(new > 0 && new < 8192);
            whole += usize::from(new == 8192);
        }
        assert!(torn > 20 && whole > 20, "{torn} torn, {whole} whole");
    }

    #[test]
    fn an_older_write_of_a_sector_may_outlive_a_newer_one() {
        let mut seen = [false; 3];
        for seed in 0..200 {
            let mut file = file();
            file.write(0, &[0; 512]).expect("written");
            file.sync();
            file.write(0, &[1; 512]).expect("written");
            file.write(0, &[2; 512]).expect("written");
            file.lose(&mut Loss::random(seed)).expect("lost");
            seen[usize::from(all(&file)[0])] = true;
        }
        assert_eq!(seen, [true; 3]);
    }
}

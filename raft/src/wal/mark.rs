//! The mark of the newest file, `<sequence>.newest`: it tells a log that lost its newest file, or all of them, from one
//! that never had it. It is empty, or was written at a clean stop and tells an older copy of the newest file from the
//! file. All integers are little-endian.
//!
//! offset  size  field   encoding
//! 0       8     file    u64, the file in which the log ended
//! 8       4     offset  u32, of its end there
//! 12      4     crc     CRC32C of bytes 0..12

use std::io;
use std::path::{Path, PathBuf};

use crate::disk::Disk;
use crate::ids::WalPos;

const EXTENSION: &str = "newest";
const LEN: usize = 16;

/// Marks `seq` as the newest file, durably, instead of `marked`, which is 0 for none.
pub fn set(disk: &dyn Disk, dir: &Path, marked: u64, seq: u64) -> io::Result<()> {
    disk.create(&path(dir, seq))?;
    if marked > 0 && marked != seq {
        disk.remove(&path(dir, marked))?;
    }
    disk.sync_dir(dir)
}

/// Notes in the mark of the file `marked` that the log reaches up to `end`, durably.
pub fn set_end(disk: &dyn Disk, dir: &Path, marked: u64, end: WalPos) -> io::Result<()> {
    let path = path(dir, marked);
    let tmp = path.with_extension("tmp");
    let file = disk.create(&tmp)?;
    file.pwrite(&encode(end), 0)?;
    file.sync()?;
    disk.rename(&tmp, &path)?;
    disk.sync_dir(dir)
}

/// How far the log reaches at least, as far as this mark tells; `Err` says what is wrong with its bytes.
pub fn end(disk: &dyn Disk, path: &Path) -> io::Result<Result<WalPos, &'static str>> {
    let file = disk.open(path)?;
    let len = file.size()?;
    if len == 0 {
        return Ok(Ok(WalPos::ZERO));
    }
    if len != LEN as u64 {
        return Ok(Err("it has neither no bytes nor all of them"));
    }
    let mut bytes = [0; LEN];
    file.pread(&mut bytes, 0)?;
    Ok(decode(&bytes).ok_or("its checksum does not match"))
}

/// The sequence number in a mark's name.
pub fn seq(path: &Path) -> Option<u64> {
    if path.extension()? != EXTENSION {
        return None;
    }
    path.file_stem()?.to_str()?.parse().ok()
}

pub fn path(dir: &Path, seq: u64) -> PathBuf {
    dir.join(format!("{seq:020}.{EXTENSION}"))
}

fn encode(end: WalPos) -> [u8; LEN] {
    let mut bytes = [0; LEN];
    bytes[..8].copy_from_slice(&end.file.to_le_bytes());
    bytes[8..12].copy_from_slice(&end.offset.to_le_bytes());
    let crc = weir_crc::crc32c(&bytes[..12]);
    bytes[12..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8; LEN]) -> Option<WalPos> {
    let u32_at = |at: usize| {
        let bytes = bytes[at..at + 4].try_into();
        u32::from_le_bytes(bytes.expect("four bytes"))
    };
    (u32_at(12) == weir_crc::crc32c(&bytes[..12])).then(|| WalPos {
        file: u64::from(u32_at(0)) | u64::from(u32_at(4)) << 32,
        offset: u32_at(8),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::MemDisk;

    const DIR: &str = "/wal";
    const END: WalPos = WalPos {
        file: 7,
        offset: 0x0102,
    };

    #[test]
    fn golden_bytes() {
        let hex: String = encode(END)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(hex, "070000000000000002010000322813a7");
    }

    #[test]
    fn a_mark_keeps_its_end_over_a_crash_and_a_new_one_has_none() {
        let (disk, dir) = (MemDisk::new(), Path::new(DIR));
        set(&disk, dir, 0, 7).expect("marked");
        set_end(&disk, dir, 7, END).expect("noted");
        let disk = disk.crash(|| false);
        assert_eq!(end(&disk, &path(dir, 7)).expect("read"), Ok(END));
        set(&disk, dir, 7, 8).expect("marked");
        let disk = disk.crash(|| false);
        assert_eq!(end(&disk, &path(dir, 8)).expect("read"), Ok(WalPos::ZERO));
        assert_eq!(disk.list(dir).expect("listed"), [path(dir, 8)]);
    }

    #[test]
    fn every_flipped_or_missing_byte_is_noticed() {
        let (disk, dir) = (MemDisk::new(), Path::new(DIR));
        set_end(&disk, dir, 7, END).expect("noted");
        let path = path(dir, 7);
        for at in 0..LEN {
            disk.flip(&path, at);
            assert!(end(&disk, &path).expect("read").is_err(), "byte {at}");
            disk.flip(&path, at);
        }
        for len in (1..LEN).rev() {
            disk.truncate(&path, len);
            assert!(end(&disk, &path).expect("read").is_err(), "length {len}");
        }
    }
}

//! The readers of stored bytes and of peers' bytes by themselves, for the fuzz targets. Nothing else uses them.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use futures::FutureExt;

use crate::disk::{Disk, MemDisk};
use crate::group::{LogState, decode_snapshot};
use crate::ids::{NodeId, ShardId};
use crate::observer::Unobserved;
use crate::transport::message;
use crate::transport::tcp::{frame, hello};
use crate::wal;

/// What a start finds in WAL files with these numbers and bytes: how many records stand, or why it is refused.
pub fn wal(node: u64, files: &[(u64, &[u8])]) -> Result<usize, String> {
    let disk = MemDisk::new();
    let dir = Path::new("/wal");
    for (number, bytes) in files {
        let created = disk.create(&wal::file_path(dir, *number));
        let written = created.and_then(|file| file.pwrite(bytes, 0));
        written.map_err(|error| error.to_string())?;
    }
    let mut logs: BTreeMap<ShardId, LogState> = BTreeMap::new();
    let mut records = 0;
    let mut replay = |header: &wal::format::RecordHeader| {
        records += 1;
        logs.entry(header.shard).or_default().replay(header)
    };
    let recovered = wal::recover(&disk, dir, NodeId(node), &Unobserved, &mut replay);
    recovered.map_err(|error| error.to_string())?;
    logs.values().try_for_each(LogState::validate)?;
    Ok(records)
}

/// The state in a snapshot file of this shard; `None` where the bytes are none.
pub fn snapshot(shard: u64, bytes: Bytes) -> Option<Bytes> {
    decode_snapshot(ShardId(shard), bytes).map(|snapshot| snapshot.snapshot)
}

/// The messages in the bytes of a connection between nodes: the number, kind and bytes of each.
pub fn messages(mut bytes: &[u8]) -> Result<Vec<(u64, u8, Bytes)>, String> {
    let mut assembler = frame::Assembler::default();
    let mut messages = Vec::new();
    loop {
        let next = assembler.next(&mut bytes).now_or_never();
        let next = next.expect("bytes in memory are never waited for");
        match next.map_err(|error| error.to_string())? {
            Some(message) => messages.push((message.stream, message.kind as u8, message.bytes)),
            None => return Ok(messages),
        }
    }
}

/// One piece of a message of `total` bytes, as a peer sends it; none where the kind is unknown.
pub fn piece(stream: u64, total: u32, kind: u8, last: bool, piece: Bytes) -> Option<Vec<u8>> {
    let kind = frame::Kind::decode(kind)?;
    let head = frame::header(stream, total, kind, last, std::slice::from_ref(&piece));
    Some([&head[..], &piece].concat())
}

/// An introduction, taken apart and put together again.
pub fn hello(mut bytes: &[u8]) -> Result<Vec<u8>, String> {
    let heard = hello::hear(&mut bytes).now_or_never();
    let heard = heard.expect("bytes in memory are never waited for");
    let heard = heard.map_err(|error| error.to_string())?;
    let mut said = Vec::new();
    let saying = hello::say(&mut said, &heard).now_or_never();
    saying
        .expect("memory takes bytes at once")
        .map_err(|error| error.to_string())?;
    Ok(said)
}

/// A question of a replica, decoded and encoded again.
pub fn request(bytes: Bytes) -> Result<Bytes, String> {
    let (shard, request) = message::decode_request(bytes).map_err(|error| error.to_string())?;
    Ok(message::encode_request(shard, &request).concat().into())
}

/// An answer of a replica, decoded and encoded again.
pub fn reply(bytes: Bytes) -> Result<Bytes, String> {
    let reply = message::decode_reply(bytes).map_err(|error| error.to_string())?;
    Ok(message::encode_reply(&reply))
}

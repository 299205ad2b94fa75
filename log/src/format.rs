//! A partition's log state as it stands in a shard's snapshot. Numbers are big-endian.
//!
//! ```text
//! offset  size  field
//! 0       1     kind       u8 = 0x01 (0x00 reserved)
//! 1       1     version    u8 = 0x04 (0x00 reserved; 0x01 had no segments, 0x02 no state, 0x03 whole extents)
//! 2       4     length     u32, bytes of the body
//! 6       4     crc        u32, CRC-32C over bytes 0..6 and the body
//! 10      n     body
//!
//! body:      log_start_offset i64, next_offset i64, then four lists, each behind a u32 count
//! epoch:     epoch i32, start_offset i64
//! producer:  producer_id i64, epoch i16, last_append_ms i64, count u8, its batches
//! batch:     base_offset i64, timestamp i64, first_sequence i32, last_sequence i32
//! segment:   base_offset i64, last_offset i64, max_timestamp i64, file u64, at u64, bytes u64,
//!            blocks u32, index_crc u32, state i64; see `segment`
//! state:     least i64 = dirty, greatest i64 = clean without tombstones, else clean with tombstones that are
//!            kept until this time in ms
//! run:       base_offset i64, base_timestamp i64, file u64, leader_epoch i32, count u32, its extents: those that
//!            follow each other in one file and epoch, as far as the differences fit
//! extent:    last offset u32, from base_offset; max_timestamp i32, from base_timestamp; offset u32; len u32
//! ```
//! The last list is that of the runs.

use crate::batch::Offset;
use crate::epochs::{EpochStart, Epochs};
use crate::extent::{Extent, Extents, Pos};
use crate::partition::PartitionLog;
use crate::planted::{self, Bug};
use crate::producer::{ProducedBatch, ProducerState, Producers};
use crate::segment::{Segment, SegmentState, Segments};
use bytes::{Buf, BufMut, TryGetError};

const KIND: u8 = 1;
const VERSION: u8 = 4;
const HEADER_LEN: usize = 10;
const CRC_AT: usize = 6;
const EXTENT_LEN: usize = 16;
const DIRTY: i64 = i64::MIN;
const CLEAN: i64 = i64::MAX;

/// Why stored bytes are no partition state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    #[error("partition state is cut off")]
    Truncated,
    #[error("partition state has kind {kind} and version {version}, 1 and 4 are known")]
    Unknown { kind: u8, version: u8 },
    #[error("partition state carries crc {stored:#010x}, its bytes have {computed:#010x}")]
    CrcMismatch { stored: u32, computed: u32 },
    #[error("partition state contradicts itself: {0}")]
    Inconsistent(&'static str),
}

impl From<TryGetError> for FormatError {
    fn from(_: TryGetError) -> FormatError {
        FormatError::Truncated
    }
}

/// Appends the whole state to `out`.
pub fn encode(log: &PartitionLog, out: &mut Vec<u8>) {
    let start = out.len();
    out.put_u8(KIND);
    out.put_u8(VERSION);
    out.put_bytes(0, HEADER_LEN - 2);
    put_body(log, out);

    let length = count(out.len() - start - HEADER_LEN);
    out[start + 2..start + CRC_AT].copy_from_slice(&length.to_be_bytes());
    let crc = crc_of(&out[start..]);
    out[start + CRC_AT..start + HEADER_LEN].copy_from_slice(&crc.to_be_bytes());
}

/// Takes one state off the front of `bytes`.
pub fn decode(bytes: &mut &[u8]) -> Result<PartitionLog, FormatError> {
    let header = bytes.get(..HEADER_LEN).ok_or(FormatError::Truncated)?;
    let (kind, version) = (header[0], header[1]);
    if (kind, version) != (KIND, VERSION) {
        return Err(FormatError::Unknown { kind, version });
    }
    let mut fields = &header[2..];
    let length = fields.try_get_u32()? as usize;
    let stored = fields.try_get_u32()?;
    let (state, rest) = HEADER_LEN
        .checked_add(length)
        .and_then(|end| bytes.split_at_checked(end))
        .ok_or(FormatError::Truncated)?;
    let computed = crc_of(state);
    if stored != computed {
        return Err(FormatError::CrcMismatch { stored, computed });
    }
    let mut body = &state[HEADER_LEN..];
    let log = take_body(&mut body)?;
    if !body.is_empty() {
        return Err(FormatError::Inconsistent("bytes are left over"));
    }
    *bytes = rest;
    Ok(log)
}

fn crc_of(state: &[u8]) -> u32 {
    weir_crc::append(weir_crc::crc32c(&state[..CRC_AT]), &state[HEADER_LEN..])
}

fn put_body(log: &PartitionLog, out: &mut Vec<u8>) {
    out.put_i64(log.log_start_offset());
    out.put_i64(log.next_offset());

    out.put_u32(count(log.epochs().iter().len()));
    for EpochStart {
        epoch,
        start_offset,
    } in log.epochs().iter()
    {
        out.put_i32(epoch);
        out.put_i64(start_offset);
    }

    let known = match planted::has(Bug::ProducersNotStored) {
        true => 0,
        false => log.producers().len(),
    };
    out.put_u32(count(known));
    for (producer_id, state) in log.producers().iter().take(known) {
        out.put_i64(producer_id);
        out.put_i16(state.epoch());
        out.put_i64(state.last_append_ms());
        out.put_u8(state.batches().len() as u8);
        for batch in state.batches() {
            out.put_i64(batch.base_offset);
            out.put_i64(batch.timestamp);
            out.put_i32(batch.first_sequence);
            out.put_i32(batch.last_sequence);
        }
    }

    out.put_u32(count(log.segments().len()));
    for segment in log.segments().iter() {
        out.put_i64(segment.base_offset);
        out.put_i64(segment.last_offset);
        out.put_i64(segment.max_timestamp);
        out.put_u64(segment.file);
        out.put_u64(segment.at);
        out.put_u64(segment.bytes);
        out.put_u32(segment.blocks);
        out.put_u32(segment.index_crc);
        out.put_i64(match segment.state {
            SegmentState::Dirty => DIRTY,
            SegmentState::Clean {
                tombstones_until_ms,
            } => tombstones_until_ms.map_or(CLEAN, |until| until.clamp(DIRTY + 1, CLEAN - 1)),
        });
    }

    put_extents(log.extents(), out);
}

fn put_extents(extents: &Extents, out: &mut Vec<u8>) {
    out.reserve(extents.len() * EXTENT_LEN);
    let runs_at = out.len();
    out.put_u32(0);
    let mut runs = 0;
    // The first extent of the run that is being written, where its count is, and its count.
    let mut run: Option<(Extent, usize, u32)> = None;
    for extent in extents.iter() {
        let in_run = run
            .as_mut()
            .and_then(|(first, at, count)| Some((deltas(first, &extent)?, at, count)));
        let (last_offset, timestamp) = match in_run {
            Some((deltas, at, count)) => {
                *count += 1;
                set_count(out, *at, *count);
                deltas
            }
            None => {
                runs += 1;
                out.put_i64(extent.base_offset);
                out.put_i64(extent.max_timestamp);
                out.put_u64(extent.pos.file);
                out.put_i32(extent.leader_epoch);
                run = Some((extent, out.len(), 1));
                out.put_u32(1);
                deltas(&extent, &extent).expect("an extent spans fewer than 2^32 offsets")
            }
        };
        out.put_u32(last_offset);
        out.put_i32(timestamp);
        out.put_u32(extent.pos.offset);
        out.put_u32(extent.len);
    }
    set_count(out, runs_at, runs);
}

/// The last offset and the timestamp of an extent, from the offset and the timestamp of the run that `first`
/// begins; `None` where the extent is not of that run.
fn deltas(first: &Extent, extent: &Extent) -> Option<(u32, i32)> {
    if (extent.pos.file, extent.leader_epoch) != (first.pos.file, first.leader_epoch) {
        return None;
    }
    let last_offset = extent.last_offset - first.base_offset;
    let timestamp = extent.max_timestamp.checked_sub(first.max_timestamp)?;
    Some((last_offset.try_into().ok()?, timestamp.try_into().ok()?))
}

fn set_count(out: &mut [u8], at: usize, count: u32) {
    out[at..at + 4].copy_from_slice(&count.to_be_bytes());
}

fn take_body(body: &mut &[u8]) -> Result<PartitionLog, FormatError> {
    let mut log_start_offset = body.try_get_i64()?;
    let mut next_offset = body.try_get_i64()?;
    let epochs = take_list(body, take_epoch)?;
    let mut epochs = Epochs::restore(epochs).ok_or(FormatError::Inconsistent("epochs fall"))?;
    let producers = take_list(body, take_producer)?;
    let producers =
        Producers::restore(producers).ok_or(FormatError::Inconsistent("producers are unsorted"))?;
    let segments = take_list(body, take_segment)?;
    let segments = Segments::restore(segments)
        .ok_or(FormatError::Inconsistent("segments are not consecutive"))?;
    let extents = take_extents(body)?;
    let is_empty = segments.is_empty() && extents.is_empty();
    if planted::has(Bug::EndNotStored) && is_empty {
        (log_start_offset, next_offset) = (0, 0);
        epochs = Epochs::default();
    }
    if planted::has(Bug::TrimNotStored) && !is_empty {
        let first = segments.iter().map(|segment| segment.base_offset);
        let first = first
            .chain(extents.iter().map(|extent| extent.base_offset))
            .next();
        log_start_offset = first.unwrap_or(log_start_offset);
    }
    PartitionLog::restore(
        log_start_offset,
        next_offset,
        epochs,
        producers,
        segments,
        extents,
    )
    .ok_or(FormatError::Inconsistent(
        "segments, extents and offsets differ",
    ))
}

fn take_list<T>(
    body: &mut &[u8],
    mut take: impl FnMut(&mut &[u8]) -> Result<T, FormatError>,
) -> Result<Vec<T>, FormatError> {
    // Grown by what is there, not by what is claimed.
    (0..body.try_get_u32()?).map(|_| take(body)).collect()
}

fn take_epoch(body: &mut &[u8]) -> Result<EpochStart, FormatError> {
    Ok(EpochStart {
        epoch: body.try_get_i32()?,
        start_offset: body.try_get_i64()?,
    })
}

fn take_producer(body: &mut &[u8]) -> Result<(i64, ProducerState), FormatError> {
    let producer_id = body.try_get_i64()?;
    let epoch = body.try_get_i16()?;
    let last_append_ms = body.try_get_i64()?;
    let mut batches = Vec::new();
    for _ in 0..body.try_get_u8()? {
        batches.push(ProducedBatch {
            base_offset: body.try_get_i64()?,
            timestamp: body.try_get_i64()?,
            first_sequence: body.try_get_i32()?,
            last_sequence: body.try_get_i32()?,
        });
    }
    let state = ProducerState::restore(epoch, last_append_ms, &batches);
    let state = state.ok_or(FormatError::Inconsistent(
        "a producer's sequences have a gap",
    ))?;
    Ok((producer_id, state))
}

fn take_segment(body: &mut &[u8]) -> Result<Segment, FormatError> {
    Ok(Segment {
        base_offset: body.try_get_i64()?,
        last_offset: body.try_get_i64()?,
        max_timestamp: body.try_get_i64()?,
        file: body.try_get_u64()?,
        at: body.try_get_u64()?,
        bytes: body.try_get_u64()?,
        blocks: body.try_get_u32()?,
        index_crc: body.try_get_u32()?,
        state: match body.try_get_i64()? {
            DIRTY => SegmentState::Dirty,
            state => SegmentState::Clean {
                tombstones_until_ms: (state != CLEAN).then_some(state),
            },
        },
    })
}

fn take_extents(body: &mut &[u8]) -> Result<Extents, FormatError> {
    let mut extents = Extents::default();
    let mut follows: Option<Offset> = None;
    for _ in 0..body.try_get_u32()? {
        let base_offset = body.try_get_i64()?;
        let base_timestamp = body.try_get_i64()?;
        let file = body.try_get_u64()?;
        let leader_epoch = body.try_get_i32()?;
        let mut next = base_offset;
        if follows.is_some_and(|follows| base_offset != follows) {
            return Err(FormatError::Inconsistent("extents are not consecutive"));
        }
        for _ in 0..body.try_get_u32()? {
            let last_offset = base_offset.checked_add(i64::from(body.try_get_u32()?));
            let max_timestamp = base_timestamp.checked_add(i64::from(body.try_get_i32()?));
            let pos = Pos {
                file,
                offset: body.try_get_u32()?,
            };
            let len = body.try_get_u32()?;
            let (Some(last_offset), Some(max_timestamp)) = (last_offset, max_timestamp) else {
                return Err(FormatError::Inconsistent("extents run over"));
            };
            if last_offset < next || last_offset == Offset::MAX {
                return Err(FormatError::Inconsistent("extents are not consecutive"));
            }
            extents.push(&Extent {
                base_offset: next,
                last_offset,
                max_timestamp,
                pos,
                len,
                leader_epoch,
            });
            next = last_offset + 1;
        }
        follows = Some(next);
    }
    Ok(extents)
}

fn count(count: usize) -> u32 {
    u32::try_from(count).expect("a partition's state is below 4 GiB")
}

#[cfg(test)]
mod tests;

//! A partition's log state as it stands in a shard's snapshot. Numbers are big-endian.
//!
//! ```text
//! offset  size  field
//! 0       1     kind       u8 = 0x01 (0x00 reserved)
//! 1       1     version    u8 = 0x03 (0x00 reserved; 0x01 had no segments, 0x02 no state)
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
//! extent:    base_offset i64, last_offset i64, max_timestamp i64, file u64, offset u32, len u32,
//!            leader_epoch i32
//! ```

use crate::batch::Offset;
use crate::epochs::{EpochStart, Epochs};
use crate::extent::{Extent, Extents, Pos};
use crate::partition::PartitionLog;
use crate::producer::{ProducedBatch, ProducerState, Producers};
use crate::segment::{Segment, SegmentState, Segments};
use bytes::{Buf, BufMut, TryGetError};

const KIND: u8 = 1;
const VERSION: u8 = 3;
const HEADER_LEN: usize = 10;
const CRC_AT: usize = 6;
const DIRTY: i64 = i64::MIN;
const CLEAN: i64 = i64::MAX;

/// Why stored bytes are no partition state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    #[error("partition state is cut off")]
    Truncated,
    #[error("partition state has kind {kind} and version {version}, 1 and 3 are known")]
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
    crc32c::crc32c_append(crc32c::crc32c(&state[..CRC_AT]), &state[HEADER_LEN..])
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

    out.put_u32(count(log.producers().len()));
    for (producer_id, state) in log.producers().iter() {
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

    out.put_u32(count(log.extents().len()));
    for extent in log.extents().iter() {
        out.put_i64(extent.base_offset);
        out.put_i64(extent.last_offset);
        out.put_i64(extent.max_timestamp);
        out.put_u64(extent.pos.file);
        out.put_u32(extent.pos.offset);
        out.put_u32(extent.len);
        out.put_i32(extent.leader_epoch);
    }
}

fn take_body(body: &mut &[u8]) -> Result<PartitionLog, FormatError> {
    let log_start_offset = body.try_get_i64()?;
    let next_offset = body.try_get_i64()?;
    let epochs = take_list(body, take_epoch)?;
    let epochs = Epochs::restore(epochs).ok_or(FormatError::Inconsistent("epochs fall"))?;
    let producers = take_list(body, take_producer)?;
    let producers =
        Producers::restore(producers).ok_or(FormatError::Inconsistent("producers are unsorted"))?;
    let segments = take_list(body, take_segment)?;
    let segments = Segments::restore(segments)
        .ok_or(FormatError::Inconsistent("segments are not consecutive"))?;
    let extents = take_extents(body)?;
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
        let extent = Extent {
            base_offset: body.try_get_i64()?,
            last_offset: body.try_get_i64()?,
            max_timestamp: body.try_get_i64()?,
            pos: Pos {
                file: body.try_get_u64()?,
                offset: body.try_get_u32()?,
            },
            len: body.try_get_u32()?,
            leader_epoch: body.try_get_i32()?,
        };
        let span = extent.last_offset.checked_sub(extent.base_offset);
        let sound = span.is_some_and(|span| (0..=i64::from(u32::MAX)).contains(&span))
            && follows.is_none_or(|follows| extent.base_offset == follows);
        follows = extent.last_offset.checked_add(1);
        if !sound || follows.is_none() {
            return Err(FormatError::Inconsistent("extents are not consecutive"));
        }
        extents.push(&extent);
    }
    Ok(extents)
}

fn count(count: usize) -> u32 {
    u32::try_from(count).expect("a partition's state is below 4 GiB")
}

#[cfg(test)]
mod tests;

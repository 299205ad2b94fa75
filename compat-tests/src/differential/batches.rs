//! Record batches built by hand, right or wrong in any field, and fetched ones as trees.
//!
//! The codec's own encoder is not used: it drops duplicate headers and the timestamp type, and cannot write a broken
//! batch.
//!
//! offset  size  field                    offset  size  field
//! 0       8     base_offset              27      8     base_timestamp
//! 8       4     length of what follows   35      8     max_timestamp
//! 12      4     partition_leader_epoch   43      8     producer_id
//! 16      1     magic                    51      2     producer_epoch
//! 17      4     crc32c of 21..end        53      4     base_sequence
//! 21      2     attributes               57      4     records_count
//! 23      4     last_offset_delta        61      n     records

use std::io::{Read, Write};

use anyhow::{Context, Result, bail};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde_json::{Value, json};

use super::tree;

const HEADER_BYTES: usize = 61;
const LENGTH_END: usize = 12;
const CRC_FROM: usize = 21;

pub const LOG_APPEND_TIME: i16 = 1 << 3;
pub const TRANSACTIONAL: i16 = 1 << 4;
pub const CONTROL: i16 = 1 << 5;

/// A time long past, so that it is no clock's `now`.
pub const PAST_MS: i64 = 1_600_000_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    None = 0,
    Gzip = 1,
    Snappy = 2,
    Lz4 = 3,
    Zstd = 4,
}

pub const CODECS: [Codec; 5] = [
    Codec::None,
    Codec::Gzip,
    Codec::Snappy,
    Codec::Lz4,
    Codec::Zstd,
];

#[derive(Debug, Clone, Default)]
pub struct Record {
    pub offset_delta: Option<i32>,
    pub timestamp_delta: i64,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Vec<(&'static str, Option<&'static str>)>,
}

/// A record of this key and value, at the batch's base timestamp.
pub fn record(key: &str, value: &str) -> Record {
    Record {
        key: Some(Bytes::copy_from_slice(key.as_bytes())),
        value: Some(Bytes::copy_from_slice(value.as_bytes())),
        ..Record::default()
    }
}

/// What a batch is made of; `None` is computed as a correct producer would.
#[derive(Debug, Clone)]
pub struct Batch {
    pub base_offset: i64,
    pub length: Option<i32>,
    pub magic: i8,
    pub crc: Option<u32>,
    pub attributes: i16,
    pub codec: Codec,
    pub last_offset_delta: Option<i32>,
    pub base_timestamp: i64,
    pub max_timestamp: Option<i64>,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub records_count: Option<i32>,
    pub records: Vec<Record>,
}

/// A batch of `records` of [`PAST_MS`] from no idempotent producer.
pub fn batch(records: Vec<Record>) -> Batch {
    Batch {
        base_offset: 0,
        length: None,
        magic: 2,
        crc: None,
        attributes: 0,
        codec: Codec::None,
        last_offset_delta: None,
        base_timestamp: PAST_MS,
        max_timestamp: None,
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
        records_count: None,
        records,
    }
}

/// A batch of one small record.
pub fn one() -> Batch {
    batch(vec![record("k", "v")])
}

/// A batch of `count` small records whose timestamps rise by a second.
pub fn several(count: usize) -> Batch {
    let numbered = |at: usize| Record {
        timestamp_delta: at as i64 * 1000,
        ..record(&format!("k{at}"), "v")
    };
    batch((0..count).map(numbered).collect())
}

impl Batch {
    pub fn codec(mut self, codec: Codec) -> Batch {
        self.codec = codec;
        self
    }

    pub fn attributes(mut self, bits: i16) -> Batch {
        self.attributes = bits;
        self
    }

    pub fn at(mut self, base_timestamp: i64) -> Batch {
        self.base_timestamp = base_timestamp;
        self
    }

    pub fn producer(mut self, id: i64, epoch: i16, base_sequence: i32) -> Batch {
        (self.producer_id, self.producer_epoch, self.base_sequence) = (id, epoch, base_sequence);
        self
    }

    pub fn bytes(&self) -> Bytes {
        let mut body = BytesMut::new();
        for (at, record) in self.records.iter().enumerate() {
            put_record(&mut body, record, at as i32);
        }
        let body = compress(self.codec, &body);
        let latest = self
            .records
            .iter()
            .map(|record| record.timestamp_delta)
            .max()
            .unwrap_or(0);
        let count = self.records.len() as i32;
        let mut out = BytesMut::with_capacity(HEADER_BYTES + body.len());
        out.put_i64(self.base_offset);
        out.put_i32(
            self.length
                .unwrap_or((HEADER_BYTES - LENGTH_END + body.len()) as i32),
        );
        out.put_i32(-1);
        out.put_i8(self.magic);
        out.put_u32(0);
        out.put_i16(self.attributes | self.codec as i16);
        out.put_i32(self.last_offset_delta.unwrap_or(count - 1));
        out.put_i64(self.base_timestamp);
        out.put_i64(self.max_timestamp.unwrap_or(self.base_timestamp + latest));
        out.put_i64(self.producer_id);
        out.put_i16(self.producer_epoch);
        out.put_i32(self.base_sequence);
        out.put_i32(self.records_count.unwrap_or(count));
        out.put_slice(&body);
        let crc = self.crc.unwrap_or_else(|| crc32c::crc32c(&out[CRC_FROM..]));
        out[17..CRC_FROM].copy_from_slice(&crc.to_be_bytes());
        out.freeze()
    }
}

fn put_record(out: &mut BytesMut, record: &Record, at: i32) {
    let mut body = BytesMut::new();
    body.put_i8(0);
    put_varint(&mut body, record.timestamp_delta);
    put_varint(&mut body, i64::from(record.offset_delta.unwrap_or(at)));
    put_bytes(&mut body, record.key.as_deref());
    put_bytes(&mut body, record.value.as_deref());
    put_varint(&mut body, record.headers.len() as i64);
    for (name, value) in &record.headers {
        put_bytes(&mut body, Some(name.as_bytes()));
        put_bytes(&mut body, value.map(str::as_bytes));
    }
    put_varint(out, body.len() as i64);
    out.put_slice(&body);
}

fn put_bytes(out: &mut BytesMut, bytes: Option<&[u8]>) {
    put_varint(out, bytes.map_or(-1, |bytes| bytes.len() as i64));
    out.put_slice(bytes.unwrap_or_default());
}

fn put_varint(out: &mut BytesMut, value: i64) {
    let mut zigzag = ((value << 1) ^ (value >> 63)) as u64;
    while zigzag >= 0x80 {
        out.put_u8(zigzag as u8 | 0x80);
        zigzag >>= 7;
    }
    out.put_u8(zigzag as u8);
}

fn varint(bytes: &mut impl Buf) -> Result<i64> {
    let (mut zigzag, mut shift) = (0u64, 0);
    loop {
        if !bytes.has_remaining() || shift > 63 {
            bail!("a varint that does not end");
        }
        let byte = bytes.get_u8();
        zigzag |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            return Ok((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64));
        }
    }
}

const XERIAL: &[u8] = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";

fn compress(codec: Codec, plain: &[u8]) -> Bytes {
    const TO_MEMORY: &str = "a Vec takes every write";
    match codec {
        Codec::None => Bytes::copy_from_slice(plain),
        Codec::Gzip => {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(plain).expect(TO_MEMORY);
            encoder.finish().expect(TO_MEMORY).into()
        }
        Codec::Snappy => {
            let block = snap::raw::Encoder::new()
                .compress_vec(plain)
                .expect("a block of a legal size");
            let mut out = BytesMut::from(XERIAL);
            out.put_u32(block.len() as u32);
            out.put_slice(&block);
            out.freeze()
        }
        Codec::Lz4 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            encoder.write_all(plain).expect(TO_MEMORY);
            encoder.finish().expect(TO_MEMORY).into()
        }
        Codec::Zstd => zstd::encode_all(plain, 3).expect(TO_MEMORY).into(),
    }
}

fn decompress(codec: i16, mut packed: &[u8]) -> Result<Bytes> {
    let mut out = Vec::new();
    match codec {
        0 => return Ok(Bytes::copy_from_slice(packed)),
        1 => drop(flate2::read::MultiGzDecoder::new(packed).read_to_end(&mut out)?),
        2 if packed.starts_with(b"\x82SNAPPY\0") => {
            packed.advance(XERIAL.len());
            while packed.len() >= 4 {
                let length = packed.get_u32() as usize;
                let block = packed.get(..length).context("a cut snappy block")?;
                out.extend(snap::raw::Decoder::new().decompress_vec(block)?);
                packed.advance(length);
            }
        }
        2 => out = snap::raw::Decoder::new().decompress_vec(packed)?,
        3 => drop(lz4_flex::frame::FrameDecoder::new(packed).read_to_end(&mut out)?),
        4 => out = zstd::decode_all(packed)?,
        other => bail!("codec {other}"),
    }
    Ok(out.into())
}

/// The batches of a fetched record set as a tree; a batch that the set cuts off at its end is only counted.
pub fn describe(mut bytes: &[u8]) -> Value {
    let mut batches = Vec::new();
    while bytes.len() >= LENGTH_END {
        let length = i32::from_be_bytes(bytes[8..LENGTH_END].try_into().expect("four bytes"));
        let end = LENGTH_END + usize::try_from(length).unwrap_or(usize::MAX - LENGTH_END);
        if end > bytes.len() || end < HEADER_BYTES {
            break;
        }
        batches.push(
            describe_batch(&bytes[..end]).unwrap_or_else(|error| json!(format!("broken: {error}"))),
        );
        bytes = &bytes[end..];
    }
    if !bytes.is_empty() {
        batches.push(json!(format!("a cut batch of {} bytes", bytes.len())));
    }
    Value::Array(batches)
}

fn describe_batch(batch: &[u8]) -> Result<Value> {
    let crc = crc32c::crc32c(&batch[CRC_FROM..]);
    let mut header = &batch[..HEADER_BYTES];
    let base_offset = header.get_i64();
    header.advance(4);
    let partition_leader_epoch = header.get_i32();
    let magic = header.get_i8();
    let crc = if header.get_u32() == crc {
        "right"
    } else {
        "wrong"
    };
    let attributes = header.get_i16();
    let codec = attributes & 7;
    let size = if codec == 0 {
        json!(batch.len())
    } else {
        json!("compressed")
    };
    Ok(json!({
        "base_offset": base_offset,
        "size": size,
        "partition_leader_epoch": partition_leader_epoch,
        "magic": magic,
        "crc": crc,
        "attributes": attributes,
        "last_offset_delta": header.get_i32(),
        "base_timestamp": header.get_i64(),
        "max_timestamp": header.get_i64(),
        "producer_id": header.get_i64(),
        "producer_epoch": header.get_i16(),
        "base_sequence": header.get_i32(),
        "records_count": header.get_i32(),
        "records": describe_records(&decompress(codec, &batch[HEADER_BYTES..])?)?,
    }))
}

/// Each record in one line: offset delta, timestamp delta, key, value, headers.
fn describe_records(mut bytes: &[u8]) -> Result<Value> {
    let mut lines = Vec::new();
    while bytes.has_remaining() {
        let length = usize::try_from(varint(&mut bytes)?)?;
        let mut record = bytes.get(..length).context("a cut record")?;
        bytes.advance(length);
        if record.is_empty() {
            bail!("an empty record");
        }
        record.advance(1);
        let (timestamp, offset) = (varint(&mut record)?, varint(&mut record)?);
        let (key, value) = (field(&mut record)?, field(&mut record)?);
        let mut headers = Vec::new();
        for _ in 0..varint(&mut record)? {
            headers.push(format!(" {}:{}", field(&mut record)?, field(&mut record)?));
        }
        lines.push(json!(format!(
            "+{offset} +{timestamp}ms {key}={value}{}",
            headers.concat()
        )));
    }
    Ok(Value::Array(lines))
}

/// A key or value: null, its text, or its length where that is shorter to read.
fn field(record: &mut &[u8]) -> Result<String> {
    let length = varint(record)?;
    if length < 0 {
        return Ok("null".into());
    }
    let length = usize::try_from(length)?;
    let bytes = record.get(..length).context("a cut field")?;
    record.advance(length);
    Ok(match std::str::from_utf8(bytes) {
        Ok(text) if length <= 40 => format!("{text:?}"),
        Ok(_) => format!("<{length} characters, crc {:08x}>", crc32c::crc32c(bytes)),
        Err(_) => tree::hex(bytes),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_of_every_codec_is_described_as_it_was_built() {
        for codec in CODECS {
            let record = Record {
                headers: vec![("h", None), ("h", Some(""))],
                ..record("k", "v")
            };
            let described = describe(&batch(vec![record, Record::default()]).codec(codec).bytes());
            assert_eq!(described[0]["crc"], "right", "{codec:?}");
            let records = json!([
                "+0 +0ms \"k\"=\"v\" \"h\":null \"h\":\"\"",
                "+1 +0ms null=null"
            ]);
            assert_eq!(described[0]["records"], records, "{codec:?}");
        }
    }

    #[test]
    fn a_cut_batch_is_counted() {
        let bytes = one().bytes();
        let cut = describe(&[&bytes[..], &bytes[..20]].concat());
        assert_eq!(cut[1], "a cut batch of 20 bytes");
    }

    #[test]
    fn a_wrong_crc_is_seen() {
        let wrong = Batch {
            crc: Some(7),
            ..one()
        };
        assert_eq!(describe(&wrong.bytes())[0]["crc"], "wrong");
    }
}

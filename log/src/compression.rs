//! The codecs of a record batch's payload, each with the framing that Kafka's clients use.
//!
//! Snappy: xerial framing is written, xerial and one raw block are read. Lz4: the frame format.
//! Gzip: several members are read as one stream. Decompression stops at a limit, so that a few bytes
//! cannot become gigabytes.

use std::io::{self, Read, Write};

/// How a batch's records are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Codec {
    #[default]
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

/// Why a payload could not be compressed or decompressed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompressionError {
    #[error("payload exceeds {limit} bytes decompressed")]
    TooLarge { limit: usize },
    #[error("payload is not valid {codec:?}: {reason}")]
    Invalid { codec: Codec, reason: String },
}

impl Codec {
    pub const ALL: [Codec; 5] = [
        Codec::None,
        Codec::Gzip,
        Codec::Snappy,
        Codec::Lz4,
        Codec::Zstd,
    ];

    /// The codec with this number in a batch's attributes.
    pub fn from_id(id: u8) -> Option<Codec> {
        Codec::ALL.into_iter().find(|codec| codec.id() == id)
    }

    /// The number in a batch's attributes.
    pub fn id(self) -> u8 {
        match self {
            Codec::None => 0,
            Codec::Gzip => 1,
            Codec::Snappy => 2,
            Codec::Lz4 => 3,
            Codec::Zstd => 4,
        }
    }

    /// The codec's name as a value of `compression.type`.
    pub fn name(self) -> &'static str {
        match self {
            Codec::None => "uncompressed",
            Codec::Gzip => "gzip",
            Codec::Snappy => "snappy",
            Codec::Lz4 => "lz4",
            Codec::Zstd => "zstd",
        }
    }
}

const XERIAL_MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const XERIAL_HEADER_LEN: usize = 16;
/// Version and lowest compatible version, as Kafka's Java client writes them.
const XERIAL_VERSIONS: [u8; 8] = [0, 0, 0, 1, 0, 0, 0, 1];
const XERIAL_BLOCK_LEN: usize = 32 * 1024;
/// Kafka's default levels.
const ZSTD_LEVEL: i32 = 3;
const GZIP_LEVEL: u32 = 6;
/// What a payload is given room for at first.
const FIRST_BYTES: usize = 16 << 10;

/// The payload's bytes before compression; fails as soon as they exceed `limit`.
pub fn decompress(codec: Codec, payload: &[u8], limit: usize) -> Result<Vec<u8>, CompressionError> {
    match codec {
        Codec::None if payload.len() > limit => Err(CompressionError::TooLarge { limit }),
        Codec::None => Ok(payload.to_vec()),
        Codec::Gzip => read_all(codec, flate2::read::MultiGzDecoder::new(payload), limit),
        Codec::Lz4 => read_all(codec, lz4_flex::frame::FrameDecoder::new(payload), limit),
        Codec::Zstd => {
            let decoder = zstd::stream::read::Decoder::with_buffer(payload)
                .map_err(|error| invalid(codec, &error))?;
            read_all(codec, decoder, limit)
        }
        Codec::Snappy if payload.starts_with(&XERIAL_MAGIC) => decompress_xerial(payload, limit),
        Codec::Snappy => {
            let mut out = Vec::new();
            append_snappy_block(payload, limit, &mut out)?;
            Ok(out)
        }
    }
}

/// Compresses a payload at the codec's default level.
pub fn compress(codec: Codec, payload: &[u8]) -> Result<Vec<u8>, CompressionError> {
    let compressed = match codec {
        Codec::None => Ok(payload.to_vec()),
        Codec::Gzip => {
            let level = flate2::Compression::new(GZIP_LEVEL);
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(payload).and_then(|()| encoder.finish())
        }
        Codec::Lz4 => {
            // The Java client reads no other frames.
            let frame = lz4_flex::frame::FrameInfo::new()
                .block_mode(lz4_flex::frame::BlockMode::Independent);
            let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(frame, Vec::new());
            encoder
                .write_all(payload)
                .and_then(|()| encoder.finish().map_err(io::Error::other))
        }
        Codec::Zstd => zstd::stream::encode_all(payload, ZSTD_LEVEL),
        Codec::Snappy => compress_xerial(payload),
    };
    compressed.map_err(|error| invalid(codec, &error))
}

fn read_all(
    codec: Codec,
    mut reader: impl Read,
    limit: usize,
) -> Result<Vec<u8>, CompressionError> {
    let mut out = Vec::new();
    loop {
        // Twice as much each time, and in the end one byte more than allowed, which tells a payload of the limit's size
        // from a longer one.
        let room = out.len().max(FIRST_BYTES).min(limit + 1 - out.len());
        out.reserve_exact(room);
        let read = reader.by_ref().take(room as u64).read_to_end(&mut out);
        let read = read.map_err(|error| invalid(codec, &error))?;
        if out.len() > limit {
            return Err(CompressionError::TooLarge { limit });
        }
        if read < room {
            return Ok(out);
        }
    }
}

fn decompress_xerial(payload: &[u8], limit: usize) -> Result<Vec<u8>, CompressionError> {
    let truncated = || invalid(Codec::Snappy, &"a block is cut off");
    let mut rest = payload.get(XERIAL_HEADER_LEN..).ok_or_else(truncated)?;
    let mut out = Vec::new();
    while !rest.is_empty() {
        // The Java library appends to a stream by writing the header once more.
        if rest.starts_with(&XERIAL_MAGIC) {
            rest = rest.get(XERIAL_HEADER_LEN..).ok_or_else(truncated)?;
            continue;
        }
        let (length, after) = rest.split_first_chunk::<4>().ok_or_else(truncated)?;
        let length = u32::from_be_bytes(*length) as usize;
        let block = after.get(..length).ok_or_else(truncated)?;
        append_snappy_block(block, limit, &mut out)?;
        rest = &after[length..];
    }
    Ok(out)
}

fn append_snappy_block(
    block: &[u8],
    limit: usize,
    out: &mut Vec<u8>,
) -> Result<(), CompressionError> {
    let length = snap::raw::decompress_len(block).map_err(|e| invalid(Codec::Snappy, &e))?;
    if length > limit.saturating_sub(out.len()) {
        return Err(CompressionError::TooLarge { limit });
    }
    let start = out.len();
    out.resize(start + length, 0);
    let written = snap::raw::Decoder::new()
        .decompress(block, &mut out[start..])
        .map_err(|error| invalid(Codec::Snappy, &error))?;
    out.truncate(start + written);
    Ok(())
}

fn compress_xerial(payload: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(XERIAL_HEADER_LEN + payload.len() / 2);
    out.extend_from_slice(&XERIAL_MAGIC);
    out.extend_from_slice(&XERIAL_VERSIONS);
    let mut encoder = snap::raw::Encoder::new();
    for chunk in payload.chunks(XERIAL_BLOCK_LEN) {
        let block = encoder.compress_vec(chunk).map_err(io::Error::other)?;
        out.extend_from_slice(&(block.len() as u32).to_be_bytes());
        out.extend_from_slice(&block);
    }
    Ok(out)
}

fn invalid(codec: Codec, reason: &dyn std::fmt::Display) -> CompressionError {
    CompressionError::Invalid {
        codec,
        reason: reason.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMIT: usize = 1 << 20;

    #[test]
    fn bombs_stop_at_the_limit() {
        let zeros = vec![0u8; LIMIT + 1];
        for codec in Codec::ALL {
            let bomb = compress(codec, &zeros).unwrap();
            assert_eq!(
                decompress(codec, &bomb, LIMIT),
                Err(CompressionError::TooLarge { limit: LIMIT }),
                "{codec:?}"
            );
            assert_eq!(decompress(codec, &bomb, zeros.len()).unwrap(), zeros);
        }
    }

    #[test]
    fn a_snappy_block_that_claims_gigabytes_is_refused_before_it_is_allocated() {
        let claim = [0xff, 0xff, 0xff, 0xff, 0x0f, 0x00];
        let refused = decompress(Codec::Snappy, &claim, LIMIT);
        assert_eq!(refused, Err(CompressionError::TooLarge { limit: LIMIT }));
    }

    #[test]
    fn framing_is_what_the_java_client_reads() {
        let lz4 = compress(Codec::Lz4, &[7; 100_000]).unwrap();
        assert_eq!(lz4[..4], [0x04, 0x22, 0x4d, 0x18]);
        let (version, independent, with_size) = (lz4[4] >> 6, lz4[4] & 0x20, lz4[4] & 0x08);
        assert_eq!((version, independent, with_size), (1, 0x20, 0));
        let snappy = compress(Codec::Snappy, b"x").unwrap();
        assert_eq!(snappy[..8], XERIAL_MAGIC);
        assert_eq!(snappy[8..16], [0, 0, 0, 1, 0, 0, 0, 1]);
    }

    #[test]
    fn raw_snappy_is_read() {
        let raw = snap::raw::Encoder::new()
            .compress_vec(b"one block")
            .unwrap();
        assert_eq!(
            decompress(Codec::Snappy, &raw, LIMIT).unwrap(),
            b"one block"
        );
    }

    #[test]
    fn gzip_members_are_one_stream() {
        let mut members = compress(Codec::Gzip, b"first ").unwrap();
        members.extend(compress(Codec::Gzip, b"second").unwrap());
        assert_eq!(
            decompress(Codec::Gzip, &members, LIMIT).unwrap(),
            b"first second"
        );
    }

    #[test]
    fn cut_payloads_give_an_error_or_a_prefix() {
        let payload: Vec<u8> = (0..20_000u32).flat_map(|n| n.to_be_bytes()).collect();
        for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            let whole = compress(codec, &payload).unwrap();
            for cut in [0, 1, 7, 8, 15, 16, 20, whole.len() / 2, whole.len() - 1] {
                if let Ok(read) = decompress(codec, &whole[..cut], LIMIT) {
                    assert!(payload.starts_with(&read), "{codec:?} cut at {cut}");
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn round_trip(unit in proptest::collection::vec(any::<u8>(), 0..500), times in 1usize..200) {
            let payload = unit.repeat(times);
            for codec in Codec::ALL {
                let compressed = compress(codec, &payload).unwrap();
                prop_assert_eq!(&decompress(codec, &compressed, LIMIT).unwrap(), &payload);
            }
        }

        #[test]
        fn noise_never_panics(noise in proptest::collection::vec(any::<u8>(), 0..200)) {
            for codec in Codec::ALL {
                let _ = decompress(codec, &noise, LIMIT);
            }
            let mut framed = XERIAL_MAGIC.to_vec();
            framed.extend_from_slice(&noise);
            let _ = decompress(Codec::Snappy, &framed, LIMIT);
        }
    }
}

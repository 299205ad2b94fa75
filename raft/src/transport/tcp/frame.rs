//! Frames: pieces of messages on a connection between nodes. All integers are little-endian.
//!
//! ```text
//! offset  size  field    encoding
//! 0       4     len      u32, bytes of the piece after this header
//! 4       4     crc      u32, CRC32C of the header from offset 8 on and the piece
//! 8       8     stream   u64, the question's number; its answer bears the same
//! 16      4     total    u32, length of the whole message
//! 20      1     kind     u8: 1 question of a replica, 2 question of the layer above, 3 answer, 4 failure
//! 21      1     last     u8: 1 when the message ends with this piece
//! 22      2     zero     u16 = 0
//! 24      len   piece
//! ```
//!
//! A message is cut into pieces so that a short one need not wait for a long one to end.

use std::collections::HashMap;
use std::io;

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};

pub const HEADER_LEN: usize = 24;
/// The longest piece.
pub const PIECE_BYTES: usize = 256 << 10;
/// What both ends read through, for short messages, many at once. Of a long piece only its ends pass through it, and are
/// copied once more.
pub const READ_BUFFER_BYTES: usize = 16 << 10;
/// The longest message: one entry at its largest, or a snapshot.
pub const MAX_MESSAGE_BYTES: usize = u32::MAX as usize;
/// As much is set aside for a message that was only announced.
const FIRST_STEP_BYTES: usize = 4 << 10;
/// And then so many times what of it has arrived, up to [`MAX_STEP_BYTES`] at once.
const GROWTH: usize = 63;
const MAX_STEP_BYTES: usize = 8 << 20;
/// Messages of which a part has arrived.
const MAX_PARTIAL: usize = 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// From a replica of a shard to another one.
    Replica = 1,
    /// From the layer above this crate.
    Service = 2,
    Answer = 3,
    /// Why there is no answer, as text.
    Failure = 4,
}

impl Kind {
    pub fn decode(byte: u8) -> Option<Kind> {
        [Kind::Replica, Kind::Service, Kind::Answer, Kind::Failure]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub len: usize,
    crc: u32,
    pub stream: u64,
    pub total: u32,
    pub kind: Kind,
    pub last: bool,
}

/// The header of a piece.
pub fn header(stream: u64, total: u32, kind: Kind, last: bool, piece: &[Bytes]) -> Bytes {
    let len: usize = piece.iter().map(Bytes::len).sum();
    assert!(len <= PIECE_BYTES, "a piece is cut to size");
    let mut rest = BytesMut::with_capacity(HEADER_LEN);
    rest.put_u64_le(stream);
    rest.put_u32_le(total);
    rest.put_u8(kind as u8);
    rest.put_u8(u8::from(last));
    rest.put_u16_le(0);
    let crc = piece.iter().fold(weir_crc::crc32c(&rest), |crc, part| {
        weir_crc::append(crc, part)
    });
    let mut bytes = BytesMut::with_capacity(HEADER_LEN);
    bytes.put_u32_le(len as u32);
    bytes.put_u32_le(crc);
    bytes.put_slice(&rest);
    bytes.freeze()
}

fn parse(bytes: &[u8; HEADER_LEN]) -> Result<Header, &'static str> {
    let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
    let len = u32_at(0) as usize;
    if len > PIECE_BYTES {
        return Err("a piece is too long");
    }
    let kind = Kind::decode(bytes[20]).ok_or("a piece of an unknown kind")?;
    if bytes[21] > 1 || bytes[22..] != [0, 0] {
        return Err("a piece with unknown flags");
    }
    Ok(Header {
        len,
        crc: u32_at(4),
        stream: u64::from_le_bytes(bytes[8..16].try_into().expect("8 bytes")),
        total: u32_at(16),
        kind,
        last: bytes[21] == 1,
    })
}

/// A whole message as it arrived.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    pub stream: u64,
    pub kind: Kind,
    pub bytes: Bytes,
}

/// Puts messages together from the pieces of one connection.
#[derive(Default)]
pub struct Assembler {
    partial: HashMap<u64, BytesMut>,
}

impl Assembler {
    /// The next message that is complete; `None` at the end of the connection.
    pub async fn next<R: AsyncBufRead + Unpin>(
        &mut self,
        reader: &mut R,
    ) -> io::Result<Option<Message>> {
        loop {
            let mut bytes = [0; HEADER_LEN];
            if reader.fill_buf().await?.is_empty() {
                return Ok(None);
            }
            reader.read_exact(&mut bytes).await?;
            let header = parse(&bytes).map_err(malformed)?;
            let mut message = match self.partial.remove(&header.stream) {
                Some(message) => message,
                None => BytesMut::new(),
            };
            let start = message.len();
            if start + header.len > header.total as usize {
                return Err(malformed("a message is longer than it said"));
            }
            let mut piece = reader.take(header.len as u64);
            while message.len() < start + header.len {
                make_room(&mut message, header.total as usize);
                if piece.read_buf(&mut message).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            let crc = weir_crc::append(weir_crc::crc32c(&bytes[8..]), &message[start..]);
            if crc != header.crc {
                return Err(malformed("a piece arrived with other bytes than were sent"));
            }
            if header.last {
                if message.len() != header.total as usize {
                    return Err(malformed("a message is shorter than it said"));
                }
                return Ok(Some(Message {
                    stream: header.stream,
                    kind: header.kind,
                    bytes: message.freeze(),
                }));
            }
            if self.partial.len() == MAX_PARTIAL {
                return Err(malformed("too many messages at once"));
            }
            self.partial.insert(header.stream, message);
        }
    }
}

/// Grows a full buffer, in steps: a length that is announced and never sent costs one of them.
fn make_room(message: &mut BytesMut, total: usize) {
    let held = message.len();
    if held < message.capacity() {
        return;
    }
    let step = (held * GROWTH).clamp(FIRST_STEP_BYTES, MAX_STEP_BYTES);
    let mut grown = BytesMut::with_capacity(total.min(held + step));
    grown.extend_from_slice(message);
    *message = grown;
}

fn malformed(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(stream: u64, total: u32, last: bool, piece: &'static [u8]) -> Vec<u8> {
        let piece = [Bytes::from_static(piece)];
        let head = header(stream, total, Kind::Answer, last, &piece);
        [&head[..], &piece[0]].concat()
    }

    fn read_all(bytes: &[u8]) -> io::Result<Vec<Message>> {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.expect("a runtime").block_on(async {
            let mut reader = tokio::io::BufReader::new(bytes);
            let mut assembler = Assembler::default();
            let mut messages = Vec::new();
            while let Some(message) = assembler.next(&mut reader).await? {
                messages.push(message);
            }
            Ok(messages)
        })
    }

    #[test]
    fn golden_bytes() {
        let hex: String = frame(5, 3, true, b"abc")
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(
            hex,
            "03000000".to_owned()
                + &hex[8..16]
                + "0500000000000000"
                + "03000000"
                + "03010000"
                + "616263"
        );
    }

    #[test]
    fn pieces_of_several_messages_are_put_together() {
        let bytes = [
            frame(1, 6, false, b"abc"),
            frame(2, 2, true, b"xy"),
            frame(1, 6, true, b"def"),
        ]
        .concat();
        let messages = read_all(&bytes).expect("legal");
        let texts: Vec<&[u8]> = messages.iter().map(|message| &message.bytes[..]).collect();
        assert_eq!(texts, [&b"xy"[..], b"abcdef"]);
    }

    #[test]
    fn every_flipped_or_missing_byte_is_found() {
        let bytes = frame(1, 3, true, b"abc");
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert!(read_all(&flipped).is_err(), "flipped byte {at}");
            assert!(at == 0 || read_all(&bytes[..at]).is_err(), "cut to {at}");
        }
    }

    #[test]
    fn lengths_that_disagree_are_refused() {
        assert!(
            read_all(&frame(1, 2, true, b"abc")).is_err(),
            "more than announced"
        );
        assert!(
            read_all(&frame(1, 4, true, b"abc")).is_err(),
            "less than announced"
        );
    }

    #[test]
    fn a_message_that_is_announced_and_not_sent_costs_one_step() {
        let head = frame(1, u32::MAX, false, b"a");
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.expect("a runtime").block_on(async {
            let mut assembler = Assembler::default();
            let ended = assembler.next(&mut &head[..]).await.expect("legal");
            assert_eq!(ended, None);
            let held: usize = assembler.partial.values().map(BytesMut::capacity).sum();
            assert_eq!(held, FIRST_STEP_BYTES);
        });
    }

    #[test]
    fn a_long_message_arrives_whole_in_few_steps() {
        let bytes = Bytes::from(vec![7; 3 * PIECE_BYTES + 5]);
        let mut sent = Vec::new();
        let mut rest = bytes.clone();
        while !rest.is_empty() {
            let piece = rest.split_to(rest.len().min(PIECE_BYTES));
            let total = bytes.len() as u32;
            let parts = [piece];
            sent.extend(header(1, total, Kind::Answer, rest.is_empty(), &parts));
            sent.extend(&parts[0]);
        }
        let messages = read_all(&sent).expect("legal");
        assert_eq!(messages[0].bytes, bytes);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_all(&bytes);
        }
    }
}

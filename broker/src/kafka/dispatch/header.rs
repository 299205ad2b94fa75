//! The header of a request, which is the same for every API.

use super::{Refusal, RefusalReason};
use crate::kafka::codec::{Reader, WireError};
use crate::kafka::session::Session;

/// The part of a request's header that its handler needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestHead {
    pub version: i16,
    pub correlation_id: i32,
    /// Whether body and response use compact lengths and tagged fields.
    pub flexible: bool,
    /// Of the whole frame, whose memory lives as long as any part of it.
    pub frame_bytes: usize,
}

/// A request header's fixed part.
pub(super) struct Header {
    pub key: i16,
    pub version: i16,
    pub correlation_id: i32,
}

impl Header {
    const LEN: usize = 8;

    pub fn read(frame: &[u8]) -> Result<Self, Refusal> {
        let mut reader = Reader::new(frame, false);
        let key = reader.i16().unwrap_or(-1);
        let version = reader.i16().unwrap_or(-1);
        match reader.i32() {
            Ok(correlation_id) => Ok(Header {
                key,
                version,
                correlation_id,
            }),
            Err(error) => Err(Refusal {
                key,
                version,
                reason: RefusalReason::Header(error),
            }),
        }
    }

    pub fn refuse(&self, reason: RefusalReason) -> Refusal {
        Refusal {
            key: self.key,
            version: self.version,
            reason,
        }
    }

    /// Reads the rest of the header, and returns where the body begins. The client id has a fixed-size length even
    /// where the header has tagged fields.
    pub fn finish(
        &self,
        frame: &[u8],
        flexible: bool,
        session: &Session,
    ) -> Result<usize, WireError> {
        let mut reader = Reader::new(&frame[Self::LEN..], false);
        session.note_client_id(reader.nullable_string_bytes()?);
        let tags_at = Self::LEN + reader.position();
        let mut tags = Reader::new(&frame[tags_at..], flexible);
        tags.skip_tagged_fields()?;
        Ok(tags_at + tags.position())
    }
}

//! The value of a committed offset.
//!
//! ```text
//! field         versions  encoding
//! version                 i16
//! offset        0+        i64
//! leader_epoch  3+        i32, -1 when unknown
//! metadata      0+        text
//! commit_ms     0+        i64, wall clock
//! expire_ms     1         i64, wall clock, -1 for none
//! ```
//! Version 1 is written where an old client set an end, version 3 otherwise.

use std::sync::Arc;

use super::{FormatError, Reader, put_text};

/// The offset that a group has committed for a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedOffset {
    pub offset: i64,
    /// -1 when unknown.
    pub leader_epoch: i32,
    pub metadata: Arc<str>,
    pub commit_ms: i64,
    /// The end that clients before KIP-211 set themselves.
    pub expire_ms: Option<i64>,
}

impl CommittedOffset {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(32 + self.metadata.len());
        let version: i16 = if self.expire_ms.is_some() { 1 } else { 3 };
        out.extend_from_slice(&version.to_be_bytes());
        out.extend_from_slice(&self.offset.to_be_bytes());
        if version >= 3 {
            out.extend_from_slice(&self.leader_epoch.to_be_bytes());
        }
        put_text(&mut out, &self.metadata);
        out.extend_from_slice(&self.commit_ms.to_be_bytes());
        if let Some(expire_ms) = self.expire_ms {
            out.extend_from_slice(&expire_ms.to_be_bytes());
        }
        out
    }

    pub fn decode(bytes: &[u8]) -> Result<CommittedOffset, FormatError> {
        let mut reader = Reader::new(bytes);
        let version = reader.i16()?;
        if !(0..=4).contains(&version) {
            return Err(FormatError::Version(version));
        }
        reader.flexible = version >= 4;
        let offset = reader.i64()?;
        let leader_epoch = if version >= 3 { reader.i32()? } else { -1 };
        let metadata = reader.text()?;
        let commit_ms = reader.i64()?;
        let expire_ms = if version == 1 { reader.i64()? } else { -1 };
        reader.skip_tags()?;
        let expire_ms = (expire_ms != -1).then_some(expire_ms);
        Ok(CommittedOffset {
            offset,
            leader_epoch,
            metadata,
            commit_ms,
            expire_ms,
        })
    }
}

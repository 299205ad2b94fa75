//! The value of a group: a generation with its members and what they were assigned.
//!
//! ```text
//! field                  versions  encoding
//! version                          i16
//! protocol_type          0+        text, empty for a group that nobody has joined
//! generation             0+        i32
//! protocol               0+        text or null
//! leader                 0+        text or null
//! state_since_ms         2+        i64, wall clock, -1 when unknown
//! members                0+        count, then each:
//!   id                   0+        text
//!   instance_id          3+        text or null
//!   client_id            0+        text
//!   client_host          0+        text
//!   rebalance_timeout_ms 1+        i32
//!   session_timeout_ms   0+        i32
//!   subscription         0+        bytes
//!   assignment           0+        bytes
//! ```
//! Version 3 is written.

use std::sync::Arc;

use bytes::Bytes;

use super::{FormatError, Reader, put_bytes, put_nullable_text, put_text};

const WRITTEN: i16 = 3;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMetadata {
    pub protocol_type: Arc<str>,
    pub generation: i32,
    pub protocol: Option<Arc<str>>,
    pub leader: Option<Arc<str>>,
    pub state_since_ms: Option<i64>,
    pub members: Vec<StoredMember>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMember {
    pub id: Arc<str>,
    pub instance_id: Option<Arc<str>>,
    pub client_id: Arc<str>,
    pub client_host: Arc<str>,
    pub rebalance_timeout_ms: i32,
    pub session_timeout_ms: i32,
    /// The member's metadata for the group's protocol.
    pub subscription: Bytes,
    pub assignment: Bytes,
}

impl GroupMetadata {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = WRITTEN.to_be_bytes().to_vec();
        put_text(&mut out, &self.protocol_type);
        out.extend_from_slice(&self.generation.to_be_bytes());
        put_nullable_text(&mut out, self.protocol.as_deref());
        put_nullable_text(&mut out, self.leader.as_deref());
        out.extend_from_slice(&self.state_since_ms.unwrap_or(-1).to_be_bytes());
        let count = i32::try_from(self.members.len()).expect("a group has fewer than 2^31 members");
        out.extend_from_slice(&count.to_be_bytes());
        for member in &self.members {
            member.encode(&mut out);
        }
        out
    }

    pub fn decode(bytes: &[u8]) -> Result<GroupMetadata, FormatError> {
        let mut reader = Reader::new(bytes);
        let version = reader.i16()?;
        if !(0..=4).contains(&version) {
            return Err(FormatError::Version(version));
        }
        reader.flexible = version >= 4;
        let protocol_type = reader.text()?;
        let generation = reader.i32()?;
        let protocol = reader.nullable_text()?;
        let leader = reader.nullable_text()?;
        let state_since_ms = if version >= 2 { reader.i64()? } else { -1 };
        let count = reader.count()?;
        let members = (0..count)
            .map(|_| StoredMember::decode(&mut reader, version))
            .collect::<Result<_, _>>()?;
        reader.skip_tags()?;
        let state_since_ms = (state_since_ms != -1).then_some(state_since_ms);
        Ok(GroupMetadata {
            protocol_type,
            generation,
            protocol,
            leader,
            state_since_ms,
            members,
        })
    }
}

impl StoredMember {
    fn encode(&self, out: &mut Vec<u8>) {
        put_text(out, &self.id);
        put_nullable_text(out, self.instance_id.as_deref());
        put_text(out, &self.client_id);
        put_text(out, &self.client_host);
        out.extend_from_slice(&self.rebalance_timeout_ms.to_be_bytes());
        out.extend_from_slice(&self.session_timeout_ms.to_be_bytes());
        put_bytes(out, &self.subscription);
        put_bytes(out, &self.assignment);
    }

    fn decode(reader: &mut Reader<'_>, version: i16) -> Result<StoredMember, FormatError> {
        let id = reader.text()?;
        let instance_id = if version >= 3 {
            reader.nullable_text()?
        } else {
            None
        };
        let client_id = reader.text()?;
        let client_host = reader.text()?;
        let rebalance_timeout_ms = if version >= 1 { reader.i32()? } else { -1 };
        let session_timeout_ms = reader.i32()?;
        let subscription = reader.bytes()?;
        let assignment = reader.bytes()?;
        reader.skip_tags()?;
        // Before there was a rebalance timeout, the session timeout stood for it.
        let rebalance_timeout_ms = if rebalance_timeout_ms == -1 {
            session_timeout_ms
        } else {
            rebalance_timeout_ms
        };
        Ok(StoredMember {
            id,
            instance_id,
            client_id,
            client_host,
            rebalance_timeout_ms,
            session_timeout_ms,
            subscription,
            assignment,
        })
    }
}

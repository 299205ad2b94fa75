//! What nodes ask each other above Raft. All integers are little-endian.
//!
//! ```text
//! offset  size  field
//! 0       4     len    u32, length of the head
//! 4       len   head   JSON: a `Question` or an `Answer`; fields and variants are only ever added
//! 4+len   n     body   bytes, up to the end
//! ```

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::founding::{Founding, Introduction};
use super::leaders::Led;
use super::overview::Figures;
use super::quorum::Quorum;
use super::transfer::TransferError;
use crate::meta::NodeInfo;
use crate::rejects::Reject;
use crate::tables::gather::{RowsAnswer, RowsQuestion};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// Who are you, and are you in a cluster?
    Introduce,
    /// Will you found this cluster, and never another?
    Promise(Founding),
    /// Take me into your cluster.
    Register { broker_id: i32, node: NodeInfo },
    /// Append the body to the metadata's log.
    Commit,
    /// Up to which entry is everything that was acknowledged before now?
    ReadIndex { shard: u64 },
    /// This is what I lead.
    Led(Vec<Led>),
    /// I am about to stop: hand me nothing.
    Leaving,
    /// Hand a shard that you lead to this Raft node.
    HandOver { shard: u64, to: u64 },
    /// How far are the replicas of the metadata, which you lead?
    Quorum,
    /// What do you know of yourself?
    Figures,
    /// Are you connected to this Raft node?
    Reaches { node: u64 },
    /// Are you, too, without this leader of a shard, and how far does your log of it go?
    Succession { shard: u64, leader: u64 },
    /// Tell me when your partitions of the topic are attached.
    Attached { topic: Uuid },
    /// Send me records of a partition.
    Records(RecordsQuestion),
    /// End a partition in this shard, for it goes on in shard `to`.
    Seal {
        shard: u64,
        topic: Uuid,
        index: i32,
        to: u64,
    },
    /// Which records of the topic have you refused lately?
    Rejects { topic: Uuid },
    /// Send me rows of a table.
    Rows(RowsQuestion),
    /// Answer this request, whose body is the body.
    Http(HttpRequest),
}

impl Question {
    /// How new the metadata has to be that it is answered by.
    pub fn revision(&self) -> u64 {
        match self {
            Question::Rows(rows) => rows.revision,
            Question::Http(request) => request.revision,
            _ => 0,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    Introduction(Introduction),
    /// What was asked for is done.
    Done,
    /// The entry has this index; without effect where there is a reason.
    Committed {
        index: u64,
        rejected: Option<String>,
    },
    Index(u64),
    Reaches(bool),
    /// Whether the leader is out of reach, and term and index of the last entry.
    Succession {
        gone: bool,
        last: Option<(u64, u64)>,
    },
    HandedOver(Result<(), TransferError>),
    Quorum(Quorum),
    Figures(Figures),
    Rejects(Vec<Reject>),
    /// Not done: another node leads.
    NotLeader,
    /// Perhaps done.
    Unknown,
    /// Not done, for this reason.
    Refused(String),
    /// Whole batches, which are the body.
    Records(RecordsAnswer),
    /// The partition has come to its end, and no leader epoch above this one was given out. The body is what is known of
    /// its log (`weir_log::format`).
    Sealed {
        highest_epoch: i32,
    },
    /// Rows, which are the body.
    Rows(RowsAnswer),
    /// The response, whose body is the body.
    Http(HttpResponse),
}

/// Committed records of a partition, from the batch that holds `from` on, below `upto`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordsQuestion {
    /// Of the replica of this shard; else of the one that is served.
    #[serde(default)]
    pub shard: Option<u64>,
    pub topic: Uuid,
    pub index: i32,
    pub from: i64,
    /// Exclusive; where a batch ends.
    pub upto: i64,
    pub max_bytes: u32,
}

/// What is to be known of the records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordsAnswer {
    /// The first offset that the partition has. There are no records where an earlier one was asked for.
    pub log_start: i64,
    /// What lies below this offset is compacted,
    pub compacted_end: i64,
    /// and a number that is another one once it is compacted further.
    pub compacted_mark: u64,
}

/// Which of a node's HTTP surfaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Surface {
    Registry,
    Http,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HttpRequest {
    /// Of the asker's metadata, which the one that answers waits for.
    #[serde(default)]
    pub revision: u64,
    pub surface: Surface,
    pub method: String,
    /// Path and query.
    pub uri: String,
    /// Those whose values are text.
    pub headers: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HttpResponse {
    pub status: u16,
    pub headers: Vec<(String, String)>,
}

pub fn encode<T: Serialize>(head: &T, body: &[u8]) -> Bytes {
    let head = serde_json::to_vec(head).expect("heads have string keys only");
    let mut bytes = BytesMut::with_capacity(4 + head.len() + body.len());
    bytes.put_u32_le(u32::try_from(head.len()).expect("a head is short"));
    bytes.put_slice(&head);
    bytes.put_slice(body);
    bytes.freeze()
}

/// The head and the body; the error says what is wrong with the bytes.
pub fn decode<T: DeserializeOwned>(mut bytes: Bytes) -> Result<(T, Bytes), String> {
    let len = bytes.try_get_u32_le().map_err(|error| error.to_string())?;
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    if bytes.len() < len {
        return Err(format!("a head of {len} bytes in {} bytes", bytes.len()));
    }
    let head = bytes.split_to(len);
    let head = serde_json::from_slice(&head).map_err(|error| error.to_string())?;
    Ok((head, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn golden_bytes() {
        let question = Question::ReadIndex { shard: 7 };
        let bytes = encode(&question, b"body");
        assert_eq!(bytes[..], *b"\x1a\0\0\0{\"read_index\":{\"shard\":7}}body");
        let (again, body) = decode::<Question>(bytes).expect("legal");
        assert_eq!((again, &body[..]), (question, &b"body"[..]));
    }

    #[test]
    fn cut_bytes_are_refused() {
        let bytes = encode(&Answer::Done, b"");
        for len in 0..bytes.len() {
            assert!(
                decode::<Answer>(bytes.slice(..len)).is_err(),
                "cut to {len}"
            );
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = decode::<Question>(bytes.into());
        }
    }
}

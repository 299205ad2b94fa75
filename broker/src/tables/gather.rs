//! Rows of a table whose partitions lie on several nodes, as they do while they move: each node is asked for what it has,
//! and whoever was asked for all of it puts it together.
//!
//! The answer's body is pieces: `len u32, little-endian | bytes`, and `u32::MAX` alone for one that is not there.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures::future::join_all;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use weir_raft::NodeId;
use weir_tables::{BucketState, ScanRange, ScanSource, StoreError, scan};

use super::barrier::Barrier;
use super::{OpenTable, RowsHere};
use crate::broker::Broker;
use crate::cluster::message::{Answer, Question};
use crate::http::tables::ReadError;

/// How long another node may take.
const PATIENCE: Duration = Duration::from_secs(6);
/// How often rows are read that have gone while they were.
const READ_AGAIN: u32 = 3;
/// A part ends early once it has this many bytes.
const MAX_BYTES: usize = 8 << 20;
const NONE: u32 = u32::MAX;

/// What one node is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowsQuestion {
    /// Of the asker's metadata, which the one that answers waits for: the table may be new.
    #[serde(default)]
    pub revision: u64,
    pub topic: Uuid,
    /// Ascending.
    pub partitions: Vec<u32>,
    pub wanted: Wanted,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// The rows of these row keys (`weir_tables::keys::row`), each with its partition. The pieces are the rows, in this
    /// order.
    Keys(Vec<(u32, Vec<u8>)>),
    /// Rows in the order of their primary keys. The pieces are primary key and row in turns.
    Range {
        prefix: Vec<u8>,
        /// Exclusive.
        after: Option<Vec<u8>>,
        limit: usize,
    },
    /// How far the rows are, without waiting for anything. There are no pieces.
    Standings,
}

/// What is to be known of the pieces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowsAnswer {
    /// Of each partition, in the view that was read.
    pub standings: Vec<Standing>,
    /// There are rows behind the last one.
    pub more: bool,
}

/// How far the rows of a partition are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    pub partition: u32,
    pub applied: i64,
    pub row_count: u64,
    /// Where it is known.
    pub high_watermark: Option<i64>,
}

impl Standing {
    fn new(partition: u32, state: BucketState) -> Standing {
        Standing {
            partition,
            applied: state.applied,
            row_count: state.row_count,
            high_watermark: None,
        }
    }
}

/// One node's part of what was wanted.
pub struct Part {
    /// Ascending.
    pub partitions: Vec<u32>,
    pub answer: RowsAnswer,
    pub pieces: Vec<Option<Bytes>>,
}

impl Part {
    /// Primary keys and rows, where a range was wanted.
    pub fn rows(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let (pairs, _) = self.pieces.as_chunks::<2>();
        pairs
            .iter()
            .filter_map(|[key, row]| Some((key.as_deref()?, row.as_deref()?)))
    }
}

/// Reads rows that are here. Blocks.
pub fn read(
    table: &OpenTable,
    rows: &RowsHere,
    wanted: &Wanted,
) -> Result<(RowsAnswer, Bytes), StoreError> {
    let id = table.table.def().table_id;
    let (mut out, mut more, mut standings) = (BytesMut::new(), false, Vec::new());
    match wanted {
        Wanted::Keys(keys) => {
            for (bucket, key) in keys {
                let found = rows.store(*bucket).multi_get([key.as_slice()])?;
                let found = found.into_iter().next().flatten();
                put_piece(&mut out, found.as_ref().map(|row| row.bytes()));
            }
        }
        Wanted::Range {
            prefix,
            after,
            limit,
        } => {
            let source = |bucket| ScanSource {
                tables: rows.store(bucket),
                bucket,
            };
            let sources: Vec<ScanSource<'_>> = rows.buckets().map(source).collect();
            let after = after.as_deref();
            let range = ScanRange { prefix, after };
            let (mut count, mut stored) = (0, Vec::new());
            let end = scan(id, &sources, range, |_, key, row| {
                if count == *limit || out.len() > MAX_BYTES {
                    return Ok(ControlFlow::Break(()));
                }
                count += 1;
                stored.clear();
                row.encode(&mut stored);
                put_piece(&mut out, Some(key));
                put_piece(&mut out, Some(&stored));
                Ok(ControlFlow::Continue(()))
            })?;
            more = end.stopped;
            let views = end.views.into_iter();
            standings.extend(views.map(|(bucket, state)| Standing::new(bucket, state)));
        }
        Wanted::Standings => {
            for bucket in rows.buckets() {
                let state = rows.store(bucket).bucket_state(id, bucket)?;
                standings.push(Standing::new(bucket, state));
            }
        }
    }
    Ok((RowsAnswer { standings, more }, out.freeze()))
}

fn put_piece(out: &mut BytesMut, piece: Option<&[u8]>) {
    match piece {
        Some(bytes) => {
            out.put_u32_le(u32::try_from(bytes.len()).expect("a row is smaller than 4 GiB"));
            out.put_slice(bytes);
        }
        None => out.put_u32_le(NONE),
    }
}

/// The pieces of a body, which another node may have sent.
pub fn pieces(mut body: Bytes) -> Result<Vec<Option<Bytes>>, String> {
    let mut pieces = Vec::new();
    while !body.is_empty() {
        let len = body.try_get_u32_le().map_err(|error| error.to_string())?;
        if len == NONE {
            pieces.push(None);
            continue;
        }
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        if len > body.len() {
            return Err(format!("a piece of {len} bytes in {}", body.len()));
        }
        pieces.push(Some(body.split_to(len)));
    }
    Ok(pieces)
}

/// Answers a question for rows that are here; the error says why they are not.
pub async fn answer(
    broker: &Broker,
    question: RowsQuestion,
) -> Result<(RowsAnswer, Bytes), String> {
    let RowsQuestion {
        revision: _,
        topic,
        partitions,
        wanted,
    } = question;
    let found = broker.meta.read().topics().by_id(topic).cloned();
    let found = found.ok_or("there is no such topic here")?;
    let here = broker.tables.find(topic).await;
    let open = here.and_then(|here| here.open(&found));
    let open = Arc::new(open.ok_or("there is no such table here")?);
    if partitions
        .iter()
        .any(|one| *one >= open.table.def().partition_count)
    {
        return Err("there is no such partition".to_owned());
    }
    let wanted = Arc::new(wanted);
    let barrier = Barrier {
        broker,
        table: &open,
    };
    for _ in 0..READ_AGAIN {
        let mut marks = BTreeMap::new();
        let rows = match &*wanted {
            Wanted::Standings => {
                let served = barrier.served(&partitions).await;
                let marked = served
                    .iter()
                    .map(|(bucket, one, _)| (*bucket, one.high_watermark()));
                marks.extend(marked);
                let rows = served.into_iter();
                RowsHere::new(
                    rows.map(|(bucket, _, rows)| {
                        (bucket, rows.tables().clone(), rows.gone().clone())
                    }),
                )
            }
            _ => {
                let rows = tokio::time::timeout(PATIENCE, barrier.rows(&partitions)).await;
                let rows = rows.map_err(|_| "the rows are not up to date in time".to_owned())?;
                rows.map_err(|error| error.to_string())?
            }
        };
        let (table, wanted, reading) = (open.clone(), wanted.clone(), rows.clone());
        let done = tokio::task::spawn_blocking(move || read(&table, &reading, &wanted)).await;
        let (mut answer, body) = done
            .map_err(|error| error.to_string())?
            .map_err(|error| error.to_string())?;
        for standing in &mut answer.standings {
            standing.high_watermark = marks.get(&standing.partition).copied();
        }
        if !rows.have_gone() {
            return Ok((answer, body));
        }
    }
    Err("the rows move".to_owned())
}

/// Asks each node that has some of these partitions.
pub async fn gather(
    broker: &Broker,
    table: &OpenTable,
    partitions: &[u32],
    wanted: &Wanted,
) -> Result<Vec<Part>, ReadError> {
    let barrier = Barrier { broker, table };
    let mut by_node: BTreeMap<NodeId, Vec<u32>> = BTreeMap::new();
    for partition in partitions.iter().copied() {
        let node = barrier.asked_for(partition);
        let node = node.ok_or(ReadError::NoLeader { partition })?;
        by_node.entry(node).or_default().push(partition);
    }
    let parts = by_node.into_iter().map(|(node, partitions)| async move {
        let behind = ReadError::Behind {
            partition: partitions.first().copied().unwrap_or(0),
        };
        let question = RowsQuestion {
            revision: broker.meta.read().revision(),
            topic: table.table.def().topic_id,
            wanted: wanted.of(&partitions),
            partitions: partitions.clone(),
        };
        let asked = tokio::time::timeout(PATIENCE, ask(broker, node, question)).await;
        let asked = asked.unwrap_or_else(|_| Err("no answer in time".to_owned()));
        let asked = asked.and_then(|(answer, body)| Ok((answer, pieces(body)?)));
        let (answer, pieces) = asked.map_err(|reason| {
            tracing::debug!(%node, reason, "rows were not gathered");
            behind
        })?;
        Ok(Part {
            partitions,
            answer,
            pieces,
        })
    });
    join_all(parts).await.into_iter().collect()
}

impl Wanted {
    /// What is wanted of these partitions.
    pub fn of(&self, partitions: &[u32]) -> Wanted {
        match self {
            Wanted::Keys(keys) => {
                let keys = keys.iter().filter(|(one, _)| partitions.contains(one));
                Wanted::Keys(keys.cloned().collect())
            }
            Wanted::Range { .. } | Wanted::Standings => self.clone(),
        }
    }
}

async fn ask(
    broker: &Broker,
    node: NodeId,
    question: RowsQuestion,
) -> Result<(RowsAnswer, Bytes), String> {
    if node == broker.shards.metadata().node_id() {
        return answer(broker, question).await;
    }
    let asked = broker.peers.ask(node, &Question::Rows(question), b"").await;
    match asked.map_err(|error| error.to_string())? {
        (Answer::Rows(answer), body) => Ok((answer, body)),
        (other, _) => Err(format!("it answered {other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pieces_come_back_as_they_were(some in proptest::collection::vec(proptest::option::of(proptest::collection::vec(any::<u8>(), 0..9)), 0..9)) {
            let mut out = BytesMut::new();
            some.iter().for_each(|piece| put_piece(&mut out, piece.as_deref()));
            let back = pieces(out.freeze()).expect("legal");
            let back: Vec<Option<Vec<u8>>> = back.into_iter().map(|piece| piece.map(|bytes| bytes.to_vec())).collect();
            prop_assert_eq!(back, some);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = pieces(bytes.into());
        }
    }

    #[test]
    fn cut_pieces_are_refused() {
        let mut out = BytesMut::new();
        put_piece(&mut out, Some(b"row"));
        let whole = out.freeze();
        for len in 1..whole.len() {
            assert!(pieces(whole.slice(..len)).is_err(), "cut to {len}");
        }
    }
}

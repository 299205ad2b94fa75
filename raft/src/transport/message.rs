//! Requests and answers between replicas as bytes. All integers are little-endian.
//!
//! ```text
//! request: shard u64, kind u8, then
//!   1 append     vote, last id before, commit position, count u32,
//!                count times {form u8: 1 blank, 2 payload, 3 membership; term u64, index u64, len u32},
//!                and the bodies one after the other
//!   2 vote       vote, last id, transfer u8: 0 or 1
//!   3 pre-vote   like 2
//!   4 snapshot   vote, last id, id of the membership, len u32 of the membership, its bytes, the state
//!   5 transfer   vote, node u64, last id
//! answer: kind u8, then
//!   1 append     1 all; 2 up to an id; 3 conflict; 4 a higher vote
//!   2 vote       vote, granted u8, last id
//!   4 snapshot   vote
//!   5 transfer   1 done; 2 vote expected, vote found; 3 id expected, id found
//! vote: term u64, node u64, won u8      id: 0, or 1 and term u64, index u64
//! ```

use bytes::{Buf, BufMut, Bytes, BytesMut};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderError,
    TransferLeaderRequest, VoteRequest, VoteResponse,
};

use super::{Answer, Ask, Reply, Request};
use crate::group::membership;
use crate::group::types::{
    Data, Entry, EntryPayload, Held, LeaderId, LogId, SnapshotMeta, StoredMembership, TypeConfig,
    Vote, log_id, term_and_index,
};
use crate::ids::ShardId;
use crate::payload::Payload;

const APPEND: u8 = 1;
const VOTE: u8 = 2;
const PRE_VOTE: u8 = 3;
const SNAPSHOT: u8 = 4;
const TRANSFER: u8 = 5;

const BLANK: u8 = 1;
const PAYLOAD: u8 = 2;
const MEMBERSHIP: u8 = 3;
const ENTRY_LEN: usize = 21;

/// Bytes of a peer that are no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a message between nodes is malformed: {0}")]
pub struct Malformed(pub &'static str);

type Parsed<T> = Result<T, Malformed>;

/// A request's bytes; payloads are shared, not copied.
pub fn encode_request(shard: ShardId, request: &Request) -> Vec<Bytes> {
    let mut head = BytesMut::new();
    head.put_u64_le(shard.0);
    let mut bodies = Vec::new();
    match &request.0 {
        Ask::Append(append) => encode_append(&mut head, append, &mut bodies),
        Ask::Vote(vote) => encode_vote_request(&mut head, VOTE, vote),
        Ask::PreVote(vote) => encode_vote_request(&mut head, PRE_VOTE, vote),
        Ask::Snapshot { vote, meta, state } => {
            head.put_u8(SNAPSHOT);
            put_vote(&mut head, vote);
            put_id(&mut head, meta.last_log_id.as_ref());
            put_id(&mut head, meta.last_membership.log_id().as_ref());
            let members = membership::encode(meta.last_membership.membership());
            head.put_u32_le(members.len() as u32);
            head.put_slice(&members);
            bodies.push(state.clone());
        }
        Ask::TransferLeader(transfer) => {
            head.put_u8(TRANSFER);
            put_vote(&mut head, transfer.from_leader());
            head.put_u64_le(*transfer.to_node_id());
            put_id(&mut head, transfer.last_log_id());
        }
    }
    bodies.insert(0, head.freeze());
    bodies
}

fn encode_append(
    head: &mut BytesMut,
    append: &AppendEntriesRequest<TypeConfig>,
    bodies: &mut Vec<Bytes>,
) {
    head.put_u8(APPEND);
    put_vote(head, &append.vote);
    put_id(head, append.prev_log_id.as_ref());
    put_id(head, append.leader_commit.as_ref());
    head.put_u32_le(append.entries.len() as u32);
    for entry in &append.entries {
        let (term, index) = term_and_index(&entry.log_id);
        let (form, len) = match &entry.payload {
            EntryPayload::Blank => (BLANK, 0),
            EntryPayload::Membership(members) => {
                let bytes = membership::encode(members);
                let len = bytes.len();
                bodies.push(bytes.into());
                (MEMBERSHIP, len)
            }
            EntryPayload::Normal(data) => match &data.bytes {
                Held::InMemory(payload) => {
                    bodies.extend(payload.pieces().iter().map(|piece| piece.bytes.clone()));
                    (PAYLOAD, payload.len())
                }
                Held::InWal(_) => unreachable!("an entry is loaded before it is sent"),
            },
        };
        head.put_u8(form);
        head.put_u64_le(term);
        head.put_u64_le(index);
        head.put_u32_le(len as u32);
    }
}

fn encode_vote_request(head: &mut BytesMut, kind: u8, request: &VoteRequest<TypeConfig>) {
    head.put_u8(kind);
    put_vote(head, &request.vote);
    put_id(head, request.last_log_id.as_ref());
    head.put_u8(u8::from(request.leadership_transfer));
}

pub fn decode_request(mut bytes: Bytes) -> Parsed<(ShardId, Request)> {
    let bytes = &mut bytes;
    let shard = ShardId(u64(bytes)?);
    let ask = match u8(bytes)? {
        APPEND => Ask::Append(decode_append(bytes)?),
        VOTE => Ask::Vote(decode_vote_request(bytes)?),
        PRE_VOTE => Ask::PreVote(decode_vote_request(bytes)?),
        SNAPSHOT => {
            let vote = vote(bytes)?;
            let last_log_id = id(bytes)?;
            let changed_at = id(bytes)?;
            let len = u32(bytes)? as usize;
            let members = membership::decode(&take(bytes, len)?);
            let members = members.ok_or(Malformed("the membership"))?;
            let meta = SnapshotMeta {
                last_log_id,
                last_membership: StoredMembership::new(changed_at, members),
            };
            Ask::Snapshot {
                vote,
                meta: Box::new(meta),
                state: std::mem::take(bytes),
            }
        }
        TRANSFER => {
            let from = vote(bytes)?;
            let to = u64(bytes)?;
            Ask::TransferLeader(TransferLeaderRequest::new(from, to, id(bytes)?))
        }
        _ => return Err(Malformed("the kind of a request")),
    };
    finished(bytes)?;
    Ok((shard, Request(ask)))
}

fn decode_append(bytes: &mut Bytes) -> Parsed<AppendEntriesRequest<TypeConfig>> {
    let vote = vote(bytes)?;
    let prev_log_id = id(bytes)?;
    let leader_commit = id(bytes)?;
    let count = u32(bytes)? as usize;
    let heads_len = count.checked_mul(ENTRY_LEN);
    let mut heads = take(bytes, heads_len.ok_or(Malformed("the number of entries"))?)?;
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        let form = u8(&mut heads)?;
        let (term, index) = (u64(&mut heads)?, u64(&mut heads)?);
        let body_len = u32(&mut heads)? as usize;
        let body = take(bytes, body_len)?;
        let payload = match form {
            BLANK => EntryPayload::Blank,
            PAYLOAD => EntryPayload::Normal(Data::new(Payload::from(body))),
            MEMBERSHIP => {
                let members = membership::decode(&body).ok_or(Malformed("the membership"))?;
                EntryPayload::Membership(members)
            }
            _ => return Err(Malformed("the form of an entry")),
        };
        entries.push(Entry {
            log_id: log_id(term, index),
            payload,
        });
    }
    Ok(AppendEntriesRequest {
        vote,
        prev_log_id,
        entries,
        leader_commit,
    })
}

fn decode_vote_request(bytes: &mut Bytes) -> Parsed<VoteRequest<TypeConfig>> {
    let mut request = VoteRequest::new(vote(bytes)?, id(bytes)?);
    request.leadership_transfer = flag(bytes)?;
    Ok(request)
}

pub fn encode_reply(reply: &Reply) -> Bytes {
    let mut bytes = BytesMut::new();
    match &reply.0 {
        Answer::Append(answer) => {
            bytes.put_u8(APPEND);
            match answer {
                AppendEntriesResponse::Success => bytes.put_u8(1),
                AppendEntriesResponse::PartialSuccess(upto) => {
                    bytes.put_u8(2);
                    put_id(&mut bytes, upto.as_ref());
                }
                AppendEntriesResponse::Conflict => bytes.put_u8(3),
                AppendEntriesResponse::HigherVote(vote) => {
                    bytes.put_u8(4);
                    put_vote(&mut bytes, vote);
                }
            }
        }
        Answer::Vote(answer) => {
            bytes.put_u8(VOTE);
            put_vote(&mut bytes, &answer.vote);
            bytes.put_u8(u8::from(answer.vote_granted));
            put_id(&mut bytes, answer.last_log_id.as_ref());
        }
        Answer::Snapshot(answer) => {
            bytes.put_u8(SNAPSHOT);
            put_vote(&mut bytes, &answer.vote);
        }
        Answer::TransferLeader(answer) => {
            bytes.put_u8(TRANSFER);
            match answer {
                Ok(()) => bytes.put_u8(1),
                Err(TransferLeaderError::VoteChanged { expected, actual }) => {
                    bytes.put_u8(2);
                    put_vote(&mut bytes, expected);
                    put_vote(&mut bytes, actual);
                }
                Err(TransferLeaderError::LogNotFlushed { expected, actual }) => {
                    bytes.put_u8(3);
                    put_id(&mut bytes, expected.as_ref());
                    put_id(&mut bytes, actual.as_ref());
                }
            }
        }
    }
    bytes.freeze()
}

pub fn decode_reply(mut bytes: Bytes) -> Parsed<Reply> {
    let bytes = &mut bytes;
    let answer = match u8(bytes)? {
        APPEND => Answer::Append(match u8(bytes)? {
            1 => AppendEntriesResponse::Success,
            2 => AppendEntriesResponse::PartialSuccess(id(bytes)?),
            3 => AppendEntriesResponse::Conflict,
            4 => AppendEntriesResponse::HigherVote(vote(bytes)?),
            _ => return Err(Malformed("the answer to entries")),
        }),
        VOTE => {
            let vote = vote(bytes)?;
            let granted = flag(bytes)?;
            Answer::Vote(VoteResponse::new(vote, id(bytes)?, granted))
        }
        SNAPSHOT => Answer::Snapshot(SnapshotResponse::new(vote(bytes)?)),
        TRANSFER => Answer::TransferLeader(match u8(bytes)? {
            1 => Ok(()),
            2 => Err(TransferLeaderError::VoteChanged {
                expected: vote(bytes)?,
                actual: vote(bytes)?,
            }),
            3 => Err(TransferLeaderError::LogNotFlushed {
                expected: id(bytes)?,
                actual: id(bytes)?,
            }),
            _ => return Err(Malformed("the answer to a transfer")),
        }),
        _ => return Err(Malformed("the kind of an answer")),
    };
    finished(bytes)?;
    Ok(Reply(answer))
}

fn put_vote(bytes: &mut BytesMut, vote: &Vote) {
    bytes.put_u64_le(vote.leader_id.term);
    bytes.put_u64_le(vote.leader_id.voted_for);
    bytes.put_u8(u8::from(vote.committed));
}

fn vote(bytes: &mut Bytes) -> Parsed<Vote> {
    let (term, voted_for) = (u64(bytes)?, u64(bytes)?);
    Ok(Vote {
        leader_id: LeaderId { term, voted_for },
        committed: flag(bytes)?,
    })
}

fn put_id(bytes: &mut BytesMut, id: Option<&LogId>) {
    bytes.put_u8(u8::from(id.is_some()));
    if let Some(id) = id {
        let (term, index) = term_and_index(id);
        bytes.put_u64_le(term);
        bytes.put_u64_le(index);
    }
}

fn id(bytes: &mut Bytes) -> Parsed<Option<LogId>> {
    if !flag(bytes)? {
        return Ok(None);
    }
    let (term, index) = (u64(bytes)?, u64(bytes)?);
    Ok(Some(log_id(term, index)))
}

fn flag(bytes: &mut Bytes) -> Parsed<bool> {
    match u8(bytes)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Malformed("a flag")),
    }
}

fn u8(bytes: &mut Bytes) -> Parsed<u8> {
    bytes.try_get_u8().map_err(|_| TOO_SHORT)
}

fn u32(bytes: &mut Bytes) -> Parsed<u32> {
    bytes.try_get_u32_le().map_err(|_| TOO_SHORT)
}

fn u64(bytes: &mut Bytes) -> Parsed<u64> {
    bytes.try_get_u64_le().map_err(|_| TOO_SHORT)
}

const TOO_SHORT: Malformed = Malformed("it is too short");

fn take(bytes: &mut Bytes, len: usize) -> Parsed<Bytes> {
    if bytes.len() < len {
        return Err(TOO_SHORT);
    }
    Ok(bytes.split_to(len))
}

fn finished(bytes: &Bytes) -> Parsed<()> {
    match bytes.is_empty() {
        true => Ok(()),
        false => Err(Malformed("it is too long")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openraft::EmptyNode;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn a_vote() -> Vote {
        Vote {
            leader_id: LeaderId {
                term: 7,
                voted_for: 2,
            },
            committed: true,
        }
    }

    fn members() -> crate::group::types::Membership {
        let nodes = BTreeMap::from([1, 2, 3].map(|id| (id, EmptyNode::new())));
        crate::group::types::Membership::new(vec![[1, 2, 3].into()], nodes).expect("legal")
    }

    fn append() -> Request {
        let payload = Payload::new(vec![
            Bytes::from_static(b"one"),
            Bytes::from_static(b"piece"),
        ]);
        let payloads = [
            EntryPayload::Blank,
            EntryPayload::Normal(Data::new(payload)),
            EntryPayload::Membership(members()),
        ];
        let entries = (5..).zip(payloads).map(|(index, payload)| Entry {
            log_id: log_id(7, index),
            payload,
        });
        Request(Ask::Append(AppendEntriesRequest {
            vote: a_vote(),
            prev_log_id: Some(log_id(6, 4)),
            entries: entries.collect(),
            leader_commit: None,
        }))
    }

    fn requests() -> Vec<Request> {
        let mut vote = VoteRequest::new(a_vote(), Some(log_id(3, 9)));
        vote.leadership_transfer = true;
        vec![
            append(),
            Request(Ask::Vote(vote.clone())),
            Request(Ask::PreVote(vote)),
            Request(Ask::Snapshot {
                vote: a_vote(),
                meta: Box::new(SnapshotMeta {
                    last_log_id: Some(log_id(1, 2)),
                    last_membership: StoredMembership::new(None, members()),
                }),
                state: Bytes::from_static(b"state"),
            }),
            Request(Ask::TransferLeader(TransferLeaderRequest::new(
                a_vote(),
                3,
                None,
            ))),
        ]
    }

    fn joined(pieces: &[Bytes]) -> Bytes {
        pieces.concat().into()
    }

    /// What is encoded, decoded and encoded again is the same, and no shorter piece of it is taken.
    #[test]
    fn requests_round_trip_and_no_part_of_one_is_taken_for_one() {
        for request in requests() {
            let bytes = joined(&encode_request(ShardId(9), &request));
            let (shard, again) = decode_request(bytes.clone()).expect("legal");
            assert_eq!(shard, ShardId(9));
            assert_eq!(joined(&encode_request(shard, &again)), bytes);
            if matches!(request.0, Ask::Snapshot { .. }) {
                // Its state is what is left.
                continue;
            }
            for len in 0..bytes.len() {
                assert!(decode_request(bytes.slice(..len)).is_err(), "cut to {len}");
            }
        }
    }

    #[test]
    fn replies_round_trip() {
        let replies = [
            Answer::Append(AppendEntriesResponse::Success),
            Answer::Append(AppendEntriesResponse::PartialSuccess(Some(log_id(1, 2)))),
            Answer::Append(AppendEntriesResponse::Conflict),
            Answer::Append(AppendEntriesResponse::HigherVote(a_vote())),
            Answer::Vote(VoteResponse::new(a_vote(), None, true)),
            Answer::Snapshot(SnapshotResponse::new(a_vote())),
            Answer::TransferLeader(Ok(())),
            Answer::TransferLeader(Err(TransferLeaderError::VoteChanged {
                expected: a_vote(),
                actual: a_vote(),
            })),
            Answer::TransferLeader(Err(TransferLeaderError::LogNotFlushed {
                expected: None,
                actual: Some(log_id(4, 4)),
            })),
        ];
        for reply in replies {
            let bytes = encode_reply(&Reply(reply));
            let again = decode_reply(bytes.clone()).expect("legal");
            assert_eq!(encode_reply(&again), bytes);
            for len in 0..bytes.len() {
                assert!(decode_reply(bytes.slice(..len)).is_err(), "cut to {len}");
            }
        }
    }

    #[test]
    fn golden_bytes() {
        let bytes = joined(&encode_request(ShardId(9), &append()));
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "0900000000000000010700000000000000020000000000000001\
             010600000000000000040000000000000000\
             03000000\
             010700000000000000050000000000000000000000\
             020700000000000000060000000000000008000000\
             03070000000000000007000000000000001e000000\
             6f6e657069656365\
             010100000300010000000000000002000000000000000300000000000000"
        );
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode_request(bytes.clone().into());
            let _ = decode_reply(bytes.into());
        }
    }
}
